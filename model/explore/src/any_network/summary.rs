//! The results of all processes together, after the last round.

use std::collections::HashSet;

use super::antichains::{Antichains, Kept, StateId, add};
use super::definitions::{Defined, Definitions, Translation};
use super::expansion::Observed;
use super::inbox::Inboxes;
use super::peers::{PeerError, Peers};
use super::state::{Messages, State, Tuple};
use crate::local::LocalTransition;
use crate::system::System;

/// Adds up what the processes have kept.
pub(crate) fn kept(peers: &mut Peers, own: Kept) -> Result<Kept, PeerError> {
    Ok(peers.share(own)?.into_iter().fold(Kept::default(), add))
}

/// Adds up what the processes have found and the numbers of states that they have expanded.
pub(crate) fn observed(
    peers: &mut Peers,
    own: Observed,
    expanded: u64,
) -> Result<(Observed, u64), PeerError> {
    let mut all = (Observed::default(), 0);
    for (observed, expanded) in peers.share((own, expanded))? {
        all.0.findings.extend(observed.findings);
        for (bit, parent) in observed.first.into_iter().filter(|(bit, _)| *bit < u64::BITS) {
            all.0.first.entry(bit).or_insert(parent);
        }
        all.1 += expanded;
    }
    Ok(all)
}

/// Returns the number of distinct classes of local transitions of all processes.
pub(crate) fn local_transitions(
    peers: &mut Peers,
    own: &[(u64, LocalTransition)],
) -> Result<u64, PeerError> {
    // Each class is counted by one process.
    let mut classes: Vec<Vec<u64>> = vec![Vec::new(); peers.count()];
    for (class, _) in own {
        let counts = usize::try_from(class % classes.len() as u64).unwrap_or(0);
        classes[counts].push(*class);
    }
    let received: HashSet<u64> = peers.exchange(classes)?.into_iter().flatten().collect();
    Ok(peers.share(received.len() as u64)?.into_iter().sum())
}

/// Returns the states from the initial one to this one, each the parent of the next; none if a process
/// does not have its state, or if a state is its own ancestor.
pub(crate) fn chain<S: System>(
    inboxes: &Inboxes<S>,
    antichains: &Antichains,
    peers: &mut Peers,
    mut id: StateId,
) -> Result<Option<Vec<State>>, PeerError> {
    let mut chain = Vec::new();
    let mut seen = HashSet::new();
    while id != StateId::NONE {
        if !seen.insert(id) {
            return Ok(None);
        }
        let values = (0..peers.count()).map(|_| {
            let has = antichains.has(id);
            has.then(|| describe(inboxes, antichains.get(id)))
        });
        let found = peers.exchange(values.collect())?.into_iter().flatten().next();
        let Some((definitions, tuple, messages, parent)) = found else {
            return Ok(None);
        };
        let (mut translation, count) = (Translation::default(), inboxes.count());
        let own = translation.learn(&inboxes.local, &definitions).and_then(|()| {
            Some((translation.tuple(&tuple, count)?, translation.messages(&messages, count)?))
        });
        let Some((tuple, messages)) = own else {
            return Ok(None);
        };
        chain.push(inboxes.state(&tuple, &messages));
        id = parent;
    }
    chain.reverse();
    Ok(Some(chain))
}

/// A state for any process, with its parent.
type Described<S> = (Definitions<S>, Tuple, Messages, StateId);

fn describe<S: System>(
    inboxes: &Inboxes<S>,
    (tuple, messages, parent): (Tuple, Messages, StateId),
) -> Described<S> {
    let (mut defined, mut definitions) = (Defined::default(), Definitions::default());
    defined.tuple(&inboxes.local, &tuple, &mut definitions);
    defined.messages(&inboxes.local, &messages, &mut definitions);
    (definitions, tuple, messages, parent)
}
