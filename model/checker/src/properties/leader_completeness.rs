//! **Leader Completeness** (paper, Figure 3 and section 5.4): if a log entry is committed in a
//! given term, then that entry will be present in the logs of the leaders for all higher-numbered
//! terms.
//!
//! Exactly: an entry committed in term T, the lowest term in which a leader committed it, is in the
//! log (or snapshot) of every server that leads a term above T. Without the term of commitment the
//! property would be false for correct Raft. A candidate of a lower term may win late, without an
//! entry that a leader of a higher term has committed meanwhile. Such a leader can do no harm.
//!
//! Witness: a server leads a term above that of a commitment.

use crate::cluster::history::{Decided, History};

use super::View;

/// Returns whether a leader lacks an entry that was committed before its term.
pub fn broken(view: &View, history: &History) -> bool {
    let Some(leads) = view.leads else {
        return false;
    };
    history.decided.iter().enumerate().any(|(place, decided)| {
        is_before(decided, leads) && view.log.get(place) != Some(&decided.entry)
    })
}

/// Returns whether there is a leader that has to hold some committed entry.
pub fn witnessed(view: &View, history: &History) -> bool {
    view.leads.is_some_and(|leads| history.decided.iter().any(|entry| is_before(entry, leads)))
}

fn is_before(decided: &Decided, leads: raft_core::Term) -> bool {
    decided.committed_in.is_some_and(|term| term < leads)
}
