//! Which servers were refused lately, and which refuse this one: for `status`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use raft_core::NodeId;

/// For how long a refusal counts. Who is refused tries again about twice a second.
const LATELY: Duration = Duration::from_secs(5);

/// How many characters of a reason are kept; other servers write them.
const LONGEST: usize = 300;

/// Who refused whose greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// This server the other one's.
    Us,
    /// The other one this server's.
    Them,
}

/// The last refusals between this server and each other one of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<(NodeId, By), (Instant, String)>>);

impl Refusals {
    /// Notes a refusal. `peer` must be a server of the cluster, as far as that can be known: who says
    /// to be one and cannot show it is not noted.
    pub(crate) fn note(&self, peer: NodeId, by: By, now: Instant, reason: &str) {
        let printable = reason.chars().filter(|letter| !letter.is_control());
        let reason = printable.take(LONGEST).collect();
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.insert((peer, by), (now, reason));
    }

    /// Forgets a refusal: a greeting was accepted since. Not for [`By::Us`]: if two servers use one id,
    /// one is accepted while the other goes on being refused.
    pub(crate) fn forget(&self, peer: NodeId, by: By) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.remove(&(peer, by));
    }

    /// Why greetings between this server and that one were refused lately.
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
