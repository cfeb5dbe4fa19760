//! **Commit is a fact** (paper, Figure 2, State): `commit_index` is the highest log entry *known to
//! be committed*.
//!
//! Exactly: a leader has committed the entry at the `commit_index` of each server, according to the
//! [history](crate::cluster::history), and so (Log Matching) all entries before it. To break State
//! Machine Safety, two servers must disagree; to break this property, one wrong server is enough.
//!
//! Witness: the `commit_index` of a server that does not lead is above 0.

use super::View;
use crate::cluster::history::History;

/// Returns whether a server takes an entry for committed that no leader has committed.
pub fn broken(view: &View, history: &History) -> bool {
    let Some(place) = view.commit.0.checked_sub(1) else {
        return false;
    };
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    let decided = history.decided.get(place).filter(|decided| decided.committed_in.is_some());
    decided.map(|decided| &decided.entry) != view.log.get(place) || decided.is_none()
}

/// Returns whether a server that does not lead has learned which entries are committed.
pub fn witnessed(view: &View) -> bool {
    view.leads.is_none() && view.commit.0 > 0
}
