//! The log: a snapshot of the entries up to a base, and the entries after it.
//!
//! Only this module converts between an index and the place of its entry in the list. The term at
//! an index has three possible answers ([`TermAt`]): a compacted entry has no term here, not even a
//! placeholder.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::types::{Bytes, DISK_LIMIT, Entry, Index, Term};

/// The end of a log, or any other position in it.
///
/// The order of this type *is* the paper's "more up-to-date" (section 5.4.1): the position with the
/// later term is greater; within one term, the position with the higher index.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LogPosition {
    /// The term of the entry at this position.
    pub term: Term,
    /// The index of the entry.
    pub index: Index,
}

/// A snapshot as the protocol sees it (paper, section 7): the prefix of the log that it replaces,
/// and a handle to its data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Snapshot {
    /// The index of the last entry whose effect the snapshot contains.
    pub last_included_index: Index,
    /// The term of that entry.
    pub last_included_term: Term,
    /// The shell's reference to the data, such as a file name or a digest; opaque here.
    pub handle: Bytes,
}

impl Snapshot {
    /// Returns the snapshot of the empty prefix, with which every log starts.
    pub fn none() -> Snapshot {
        Snapshot {
            last_included_index: Index::ZERO,
            last_included_term: Term::ZERO,
            handle: Bytes::empty(),
        }
    }
}

/// A log's knowledge of the term of the entry at an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermAt {
    /// The entry is inside the snapshot. It was committed, and the log no longer holds its term.
    Compacted,
    /// The log holds the term of the entry. The last entry of the snapshot and position 0 count as
    /// entries.
    Present(Term),
    /// The log ends before the index.
    Beyond,
}

/// The log of one server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Log {
    snapshot: Snapshot,
    entries: Vec<Entry>,
}

impl Default for Log {
    fn default() -> Log {
        Log { snapshot: Snapshot::none(), entries: Vec::new() }
    }
}

impl Log {
    /// Makes a log from a snapshot and entries, without checking them. [`Log::is_valid`] checks the
    /// invariants.
    pub fn new(snapshot: Snapshot, entries: Vec<Entry>) -> Log {
        Log { snapshot, entries }
    }

    /// Returns whether terms start at 1 and never decrease along the log, and all numbers are in
    /// range.
    pub fn is_valid(&self) -> bool {
        let base = self.base();
        (base.index == Index::ZERO) == (base.term == Term::ZERO)
            && base.index.0 <= DISK_LIMIT
            && base.term.0 <= DISK_LIMIT
            && terms_ascend(base.term.max(Term(1)), &self.entries, Term(DISK_LIMIT))
    }

    /// Returns the snapshot that replaces the compacted prefix.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns the position up to which the snapshot replaces entries; position 0 if it replaces
    /// none.
    pub fn base(&self) -> LogPosition {
        LogPosition {
            term: self.snapshot.last_included_term,
            index: self.snapshot.last_included_index,
        }
    }

    /// Returns the index of the last entry, or of the base if there is no entry after it.
    pub fn last_index(&self) -> Index {
        self.base().index.plus(self.entries.len())
    }

    /// Returns the term and index of the last entry, or the base if there is no entry after it.
    pub fn last(&self) -> LogPosition {
        let term = self.entries.last().map_or(self.base().term, |entry| entry.term);
        LogPosition { term, index: self.last_index() }
    }

    /// Returns the term of the entry at `index`, if the log knows it.
    pub fn term_at(&self, index: Index) -> TermAt {
        let base = self.base();
        match index.cmp(&base.index) {
            Ordering::Less => TermAt::Compacted,
            Ordering::Equal => TermAt::Present(base.term),
            Ordering::Greater => {
                self.entry(index).map_or(TermAt::Beyond, |entry| TermAt::Present(entry.term))
            }
        }
    }

    /// Returns the entry at `index`, unless it is compacted or beyond the end.
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.entries.get(self.offset(index)?)
    }

    /// Returns the entries after the base, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns at most `max` entries, beginning with the one at `first`; none if the log does not
    /// hold that entry.
    pub fn entries_from(&self, first: Index, max: usize) -> &[Entry] {
        let tail = self.offset(first).and_then(|start| self.entries.get(start..)).unwrap_or(&[]);
        &tail[..max.min(tail.len())]
    }

    /// Appends entries after the last one.
    pub fn append(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.entries.extend(entries);
    }

    /// Removes the entry at `first` and everything after it. Does nothing if `first` is beyond the
    /// end or compacted.
    pub fn truncate_from(&mut self, first: Index) {
        if let Some(keep) = self.offset(first) {
            self.entries.truncate(keep);
        }
    }

    /// Replaces the prefix that `snapshot` covers by the snapshot, and keeps the entries after it.
    pub fn compact(&mut self, snapshot: Snapshot) {
        let covered = snapshot.last_included_index.since(self.base().index);
        let covered = usize::try_from(covered).unwrap_or(usize::MAX).min(self.entries.len());
        self.entries.drain(..covered);
        self.snapshot = snapshot;
    }

    /// Discards the entire log in favour of `snapshot` (paper, Figure 13, step 7).
    pub fn install(&mut self, snapshot: Snapshot) {
        self.entries.clear();
        self.snapshot = snapshot;
    }

    /// Returns the last position (the base included) at which this log can agree with another log
    /// whose entry at `limit.index` is of `limit.term`. Its index is at most `limit.index`, and its
    /// term at most `limit.term`. Returns none if every such entry is compacted.
    pub fn last_within(&self, limit: LogPosition) -> Option<LogPosition> {
        let base = self.base();
        let in_range = usize::try_from(limit.index.since(base.index)).unwrap_or(usize::MAX);
        let in_range = &self.entries[..in_range.min(self.entries.len())];
        // Terms never decrease along a log.
        let count = in_range.partition_point(|entry| entry.term <= limit.term);
        match count.checked_sub(1) {
            Some(last) => {
                Some(LogPosition { term: in_range[last].term, index: base.index.plus(count) })
            }
            None if base.index <= limit.index && base.term <= limit.term => Some(base),
            None => None,
        }
    }

    /// Returns the place of the entry at `index` in `entries`, if it lies after the base.
    fn offset(&self, index: Index) -> Option<usize> {
        if index <= self.base().index {
            return None;
        }
        usize::try_from(index.since(self.base().index.next())).ok()
    }
}

/// Returns whether the entries' terms begin at `from` or later, never decrease, and end at most at
/// `to`.
pub(crate) fn terms_ascend(from: Term, entries: &[Entry], to: Term) -> bool {
    let mut newest = from;
    for entry in entries {
        if entry.term < newest {
            return false;
        }
        newest = entry.term;
    }
    newest <= to
}
