//! What no server knows and the properties need: a small history of the whole run.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{Entry, Index, ReadId, Term};

/// Something that a server did and that the history remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// It became leader of a term.
    Won(Term),
    /// As the leader of a term it moved its commit index over these entries.
    Committed {
        /// The leader's term.
        term: Term,
        /// The index of the first entry.
        first: Index,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Its state machine applied an entry.
    Applied(Index, Entry),
    /// Its state machine became the result of these entries, from index 1 on.
    Restored(Vec<Entry>),
    /// A client began a read.
    ReadBegan(ReadId),
    /// The read was served from a state that reflects the log up to here.
    ReadServed(ReadId, Index),
    /// The read was refused, or died with its server.
    ReadEnded(ReadId),
}

/// The history of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// For each index, what was decided there, from index 1 on.
    pub decided: Vec<Decided>,
    /// The terms that somebody has won.
    pub terms_won: BTreeSet<Term>,
    /// For each read that has not ended, the highest index decided when it began.
    pub reads: BTreeMap<ReadId, Index>,
}

/// An entry that a leader has committed or a state machine has applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decided {
    /// The entry.
    pub entry: Entry,
    /// The lowest term in which a leader committed it; none if it was applied without that.
    pub committed_in: Option<Term>,
}

/// What a fact is, in the light of what happened before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Somebody has won that term before.
    TermWonBefore,
    /// Something else was decided there, or nothing yet before it.
    DecidedOtherwise,
    /// A read was served.
    ReadServed {
        /// The highest index that was decided when it began.
        committed: Index,
        /// How far the state reflects the log that it was served from.
        applied: Index,
    },
}

impl History {
    /// Remembers a fact, and says what is remarkable about it.
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

    /// An index is decided once. A leader's commit counts as well as an application, because it is the
    /// promise to apply.
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
            // Something was decided beyond a gap: the state machine that did it skipped entries.
            return Some(Finding::DecidedOtherwise);
        }
        None
    }
}
