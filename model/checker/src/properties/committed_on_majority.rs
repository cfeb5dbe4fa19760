//! **Committed on a majority** (paper, section 5.3, with Figure 2's "updated on stable storage
//! before responding"): every committed entry is in the durable log or the durable snapshot of a
//! majority of the servers.
//!
//! Exactly: this holds at every moment after a leader committed the entry. Servers that are down
//! count with the contents of their disks. The paper implies this and does not say it. The property
//! detects deep bugs early: data that one more crash and two more elections could lose is reported
//! at once.
//!
//! Witness: an entry is committed and one server does not have it.

use crate::cluster::history::{Decided, History};

use super::View;

/// Returns whether a committed entry is on too few disks.
pub fn broken(views: &[&View], history: &History) -> bool {
    let majority = raft_core::quorum::majority(views.len());
    committed(history).any(|(place, decided)| holders(views, place, decided) < majority)
}

/// Returns whether a committed entry is missing on some disk.
pub fn witnessed(views: &[&View], history: &History) -> bool {
    committed(history).any(|(place, decided)| holders(views, place, decided) < views.len())
}

fn committed(history: &History) -> impl Iterator<Item = (usize, &Decided)> {
    history.decided.iter().enumerate().filter(|(_, decided)| decided.committed_in.is_some())
}

fn holders(views: &[&View], place: usize, decided: &Decided) -> usize {
    views.iter().filter(|view| view.durable.get(place) == Some(&decided.entry)).count()
}
