//! **Commit is a fact** (paper, Figure 2, State): `commit_index` is the highest log entry *known to be
//! committed*.
//!
//! Exactly: what any server believes to be committed, some leader has committed: the server's log
//! agrees with the [history](crate::cluster::history) up to its `commit_index`. State Machine Safety
//! needs two servers that disagree; this needs one that is wrong.
//!
//! Witness: the `commit_index` of a server that does not lead is above 0.

use super::View;
use crate::cluster::history::History;

/// Whether a server takes something for committed that no leader has committed.
pub fn broken(view: &View, history: &History) -> bool {
    let Some(place) = view.commit.0.checked_sub(1) else {
        return false;
    };
    let place = usize::try_from(place).unwrap_or(usize::MAX);
    let decided = history.decided.get(place).filter(|decided| decided.committed_in.is_some());
    decided.map(|decided| &decided.entry) != view.log.get(place) || decided.is_none()
}

/// Whether somebody was told what is committed.
pub fn witnessed(view: &View) -> bool {
    view.leads.is_none() && view.commit.0 > 0
}
