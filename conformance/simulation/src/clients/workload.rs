//! The workload of clients: their number, their requests, and their patience.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, RngExt};

use crate::cluster::{PerMille, Span};

/// The workload of clients.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The number of clients.
    pub clients: u64,
    /// The number of keys that they share.
    pub keys: u64,
    /// The pause of a client between two requests.
    pub think: Span,
    /// The time that a client waits for an answer before it asks again or gives up.
    pub patience: Duration,
    /// The time during which a client repeats a request.
    pub persistence: Duration,
    /// The time that a request or an answer takes, and the number in a thousand that are lost.
    pub network: (Span, PerMille),
    /// Every client whose number, counted from 1, is a multiple of this has no session.
    pub without_session: u64,
    /// The kinds of requests, each picked with the same probability.
    pub mix: Vec<Kind>,
    /// The greatest number of requests of each client.
    pub requests: u64,
    /// The lengths of values.
    pub values: Values,
    /// The probability that a client gives up a request when it is told that nothing was done.
    pub leaves_it: PerMille,
    /// The probability that a client asks a server that it picks, instead of its last one.
    pub wanders: PerMille,
    /// The workload in a [burst](super::Clients::burst).
    pub burst: Burst,
}

/// The workload of clients in a burst.
#[derive(Clone, Debug)]
pub struct Burst {
    /// The pause of a client between two requests.
    pub think: Span,
    /// The time that a client waits for an answer.
    pub patience: Duration,
    /// The probability that a request is a read. Otherwise it is one of the usual kinds.
    pub reads: PerMille,
    /// The probability that a client asks a server that it picks.
    pub wanders: PerMille,
}

/// The lengths of values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values {
    /// The probability that a value is empty.
    pub empty: PerMille,
    /// The probability that a value is long.
    pub long: PerMille,
    /// The greatest length of a long value, in bytes.
    pub longest: usize,
}

impl Values {
    /// Picks a value that no other client writes, unless it is empty.
    pub(super) fn pick(self, unique: String, random: &mut SmallRng) -> Vec<u8> {
        if chance(random, self.empty) {
            return Vec::new();
        }
        let mut value = unique.into_bytes();
        if chance(random, self.long) {
            value.resize(random.random_range(value.len()..=self.longest.max(value.len())), b'.');
        }
        value
    }
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Read a key.
    Get,
    /// Give a key a value.
    Put,
    /// Lengthen a value.
    Append,
    /// Give a key a value if it has the version that was seen last.
    CompareAndSet,
    /// Remove a key.
    Delete,
    /// Send a request again after its session has made a later request, as an old connection may
    /// do.
    StaleRetry,
}

impl Default for Workload {
    fn default() -> Workload {
        Workload {
            clients: 4,
            keys: 3,
            think: Span(Duration::from_millis(200), Duration::from_millis(1500)),
            patience: Duration::from_millis(500),
            persistence: Duration::from_secs(8),
            network: (Span(Duration::from_micros(200), Duration::from_millis(2)), 0),
            without_session: 4,
            mix: vec![
                Kind::Get,
                Kind::Get,
                Kind::Put,
                Kind::Append,
                Kind::Append,
                Kind::CompareAndSet,
                Kind::Delete,
            ],
            requests: u64::MAX,
            values: Values::default(),
            leaves_it: 0,
            wanders: 0,
            burst: Burst {
                think: Span(Duration::from_millis(1), Duration::from_millis(15)),
                patience: Duration::from_millis(200),
                reads: 700,
                wanders: 400,
            },
        }
    }
}

impl Workload {
    pub(super) fn pick_kind(&self, burst: bool, random: &mut SmallRng) -> Kind {
        if burst && chance(random, self.burst.reads) {
            return Kind::Get;
        }
        self.mix.choose(random).copied().unwrap_or(Kind::Get)
    }
}

pub(super) fn chance(random: &mut impl Rng, often: PerMille) -> bool {
    often > 0 && random.random_range(0..1000) < often
}
