//! Majorities, computed in the simplest way (paper, section 5.2 and Figure 2).

use crate::types::Index;

/// Returns how many of `voters` servers are a majority. Any two majorities share a server.
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Returns the highest index that at least `quorum` of the given match indexes have reached; 0 if
/// fewer than `quorum` are given.
pub fn reached_by(quorum: usize, match_indexes: impl IntoIterator<Item = Index>) -> Index {
    let mut sorted: Vec<Index> = match_indexes.into_iter().collect();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    quorum.checked_sub(1).and_then(|place| sorted.get(place)).copied().unwrap_or(Index::ZERO)
}
