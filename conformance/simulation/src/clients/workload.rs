//! What clients do: how many they are, what they ask for, and how patient they are.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, RngExt};

use crate::cluster::{PerMille, Span};

/// What clients do.
#[derive(Clone, Debug)]
pub struct Workload {
    /// How many clients.
    pub clients: u64,
    /// How many keys they share.
    pub keys: u64,
    /// How long a client thinks between two requests.
    pub think: Span,
    /// How long it waits for an answer before it asks again or gives up.
    pub patience: Duration,
    /// For how long it asks again.
    pub persistence: Duration,
    /// How long a request or an answer takes, and how many in a thousand are lost.
    pub network: (Span, PerMille),
    /// Of how many clients one has no session.
    pub without_session: u64,
    /// What they ask for, picked evenly.
    pub mix: Vec<Kind>,
    /// How many requests each client makes.
    pub requests: u64,
    /// How long values are.
    pub values: Values,
    /// How often a client leaves it at that when it is told that nothing was done.
    pub leaves_it: PerMille,
    /// How often a client asks a server that it picks, not the one that answered last.
    pub wanders: PerMille,
    /// What they do in a [burst](super::Clients::burst).
    pub burst: Burst,
}

/// What clients do when there is much to do.
#[derive(Clone, Debug)]
pub struct Burst {
    /// How long a client thinks between two requests.
    pub think: Span,
    /// How long it waits for an answer.
    pub patience: Duration,
    /// How often it reads; otherwise it asks as always.
    pub reads: PerMille,
    /// How often it asks a server that it picks.
    pub wanders: PerMille,
}

/// How long values are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values {
    /// How often one is empty.
    pub empty: PerMille,
    /// How often one is long.
    pub long: PerMille,
    /// How many bytes a long one has at most.
    pub longest: usize,
}

impl Values {
    /// A value that no other client writes, unless it is empty.
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
    /// Send a request again whose session has gone on since, as an old connection may.
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
