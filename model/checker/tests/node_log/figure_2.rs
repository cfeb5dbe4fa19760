//! Figures 2 and 13, "Receiver implementation", on a list that holds every entry from index 1 on,
//! compacted or not. The code is as short as the paper, so that the two can be compared.

use raft_core::{AppendOutcome, Bytes, Entry, Index, LogPosition, Payload, Term};

/// Returns the entry that the leader of a term creates at an index. Each entry has its own name.
pub(crate) fn entry(term: u64, index: usize) -> Entry {
    let name = format!("t{term}i{index}");
    Entry { term: Term(term), payload: Payload::Command(Bytes::from(name.as_str())) }
}

/// Returns the position of the entry at an index.
pub(crate) fn position(log: &[Entry], index: usize) -> LogPosition {
    let term = index.checked_sub(1).map_or(Term::ZERO, |place| log[place].term);
    LogPosition { term, index: Index(index as u64) }
}

/// Does steps 2 to 4 of AppendEntries. Entries up to `base` are compacted, and not named in hints.
pub(crate) fn append(
    log: &mut Vec<Entry>,
    base: usize,
    prev_log: LogPosition,
    entries: &[Entry],
) -> AppendOutcome {
    let prev = place(prev_log.index);
    if prev > log.len() || position(log, prev) != prev_log {
        return conflict(log, base, prev_log);
    }
    for (place, entry) in (prev..).zip(entries) {
        if log.get(place) != Some(entry) {
            log.truncate(place);
            log.push(entry.clone());
        }
    }
    AppendOutcome::Matched { match_index: prev_log.index.plus(entries.len()) }
}

/// Returns the last entry that can agree: its index is not above the leader's, and its term not
/// later.
fn conflict(log: &[Entry], base: usize, prev_log: LogPosition) -> AppendOutcome {
    let mut last = place(prev_log.index).min(log.len());
    while last > base && position(log, last).term > prev_log.term {
        last -= 1;
    }
    AppendOutcome::Conflict { prev_log_index: prev_log.index, hint: position(log, last) }
}

/// Does steps 5 to 7 of InstallSnapshot, where the snapshot replaces `prefix`. Returns whether the
/// whole log was discarded.
pub(crate) fn install(log: &mut Vec<Entry>, prefix: &[Entry]) -> bool {
    let last = prefix.len() - 1;
    let has_last = log.get(last).map(|entry| entry.term) == Some(prefix[last].term);
    if !has_last {
        *log = prefix.to_vec();
    }
    !has_last
}

/// Returns an index as the length of the list up to it.
pub(crate) fn place(index: Index) -> usize {
    usize::try_from(index.0).expect("lists are short")
}
