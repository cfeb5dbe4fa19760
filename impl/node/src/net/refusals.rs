//! The recent refusals of greetings, by this server and by its peers: for `status`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use raft_core::NodeId;

/// The time for which a refusal counts as recent. A refused server tries again about twice a
/// second.
const LATELY: Duration = Duration::from_secs(5);

/// The maximum number of characters of a reason that are kept. The text comes from other servers.
const LONGEST: usize = 300;

/// The side that refused a greeting of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// This server refused a greeting of the peer.
    Us,
    /// The peer refused a greeting of this server.
    Them,
}

/// The last refusals between this server and each of its peers.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<(NodeId, By), (Instant, String)>>);

impl Refusals {
    /// Records a refusal. `peer` must be a server of the cluster, as far as this server can verify.
    /// If a sender fails to prove the id that it claims, its refusal must not be recorded.
    pub(crate) fn note(&self, peer: NodeId, by: By, now: Instant, reason: &str) {
        let printable = reason.chars().filter(|letter| !letter.is_control());
        let reason = printable.take(LONGEST).collect();
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.insert((peer, by), (now, reason));
    }

    /// Removes a refusal after a later greeting was accepted. Must not be used for [`By::Us`]: if
    /// two servers use one id, this server accepts one of them while it still refuses the other.
    pub(crate) fn forget(&self, peer: NodeId, by: By) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.remove(&(peer, by));
    }

    /// Returns the reason of a recent refusal between this server and a peer, if there is one.
    pub(crate) fn lately(&self, peer: NodeId, by: By, now: Instant) -> Option<String> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (when, reason) = noted.get(&(peer, by))?;
        (now.saturating_duration_since(*when) < LATELY).then(|| reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_for_a_while_and_its_reason_is_cut_to_what_can_be_printed() {
        let (refusals, now, peer) = (Refusals::default(), Instant::now(), NodeId(3));
        refusals.note(peer, By::Us, now, &format!("why\x1b[2J\n{}", "!".repeat(1000)));
        let reason = refusals.lately(peer, By::Us, now).expect("it was refused");
        assert!(reason.starts_with("why[2J!!") && reason.len() == LONGEST, "{reason}");
        assert_eq!(refusals.lately(peer, By::Them, now), None);
        assert_eq!(refusals.lately(NodeId(2), By::Us, now), None);
        assert_eq!(refusals.lately(peer, By::Us, now + LATELY), None);
    }
}
