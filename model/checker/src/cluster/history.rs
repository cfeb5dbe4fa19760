//! A small history of the whole run. The properties need it, and no server knows it.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{Entry, Index, ReadId, Term};
use serde::{Deserialize, Serialize};

/// An event at a server that the history records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The server became leader of a term.
    Won(Term),
    /// As the leader of a term, the server moved its commit index over these entries.
    Committed {
        /// The leader's term.
        term: Term,
        /// The index of the first entry.
        first: Index,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// The server's state machine applied an entry.
    Applied(Index, Entry),
    /// The server's state machine was restored to the result of these entries, from index 1 on.
    Restored(Vec<Entry>),
    /// A client began a read.
    ReadBegan(ReadId),
    /// The read was served from a state that reflects the log up to this index.
    ReadServed(ReadId, Index),
    /// The read was refused, or ended because its server stopped.
    ReadEnded(ReadId),
}

/// The history of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct History {
    /// The entry that was decided at each index, from index 1 on.
    pub decided: Vec<Decided>,
    /// The terms that a server has won.
    pub terms_won: BTreeSet<Term>,
    /// For each read that has not ended, the highest index that was decided when the read began.
    pub reads: BTreeMap<ReadId, Index>,
}

/// An entry that a leader has committed or a state machine has applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decided {
    /// The entry.
    pub entry: Entry,
    /// The lowest term in which a leader committed it; none if no leader has.
    pub committed_in: Option<Term>,
}

/// A relation of a fact to the history before it that matters to the properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A server has won that term before.
    TermWonBefore,
    /// Another entry was decided at that index, or none yet at the index before it.
    DecidedOtherwise,
    /// A read was served.
    ReadServed {
        /// The highest index that was decided when the read began.
        committed: Index,
        /// The index up to which the state that served the read reflects the log.
        applied: Index,
    },
}

impl History {
    /// Records a fact. Returns a finding if the fact matters to a property.
    pub fn record(&mut self, fact: &Fact) -> Option<Finding> {
        let mut finding = None;
        match fact {
            Fact::Won(term) => {
                if !self.terms_won.insert(*term) {
                    finding = Some(Finding::TermWonBefore);
                }
            }
            Fact::Committed { term, first, entries } => {
                for (index, entry) in (first.0..).zip(entries) {
                    finding = self.decide(Index(index), entry, Some(*term)).or(finding);
                }
            }
            Fact::Applied(index, entry) => finding = self.decide(*index, entry, None),
            Fact::Restored(entries) => {
                for (index, entry) in (1..).zip(entries) {
                    finding = self.decide(Index(index), entry, None).or(finding);
                }
            }
            Fact::ReadBegan(id) => {
                self.reads.insert(*id, Index(self.decided.len() as u64));
            }
            Fact::ReadServed(id, applied) => {
                let committed = self.reads.remove(id).unwrap_or_default();
                finding = Some(Finding::ReadServed { committed, applied: *applied });
            }
            Fact::ReadEnded(id) => {
                self.reads.remove(id);
            }
        }
        finding
    }

    /// Records the entry that is decided at an index. An index is decided once, by the commit of a
    /// leader or by an application. A commit counts, because it is the promise to apply the entry.
    fn decide(
        &mut self,
        index: Index,
        entry: &Entry,
        committed_in: Option<Term>,
    ) -> Option<Finding> {
        let place = usize::try_from(index.prev().0).unwrap_or(usize::MAX);
        if let Some(decided) = self.decided.get_mut(place) {
            if decided.entry != *entry {
                return Some(Finding::DecidedOtherwise);
            }
            if let Some(term) = committed_in {
                let lowest = decided.committed_in.map_or(term, |known| known.min(term));
                decided.committed_in = Some(lowest);
            }
        } else if place == self.decided.len() {
            self.decided.push(Decided { entry: entry.clone(), committed_in });
        } else {
            // The index is beyond a gap: the state machine that applied the entry skipped others.
            return Some(Finding::DecidedOtherwise);
        }
        None
    }
}
