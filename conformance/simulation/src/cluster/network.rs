//! A network that loses, repeats, delays and reorders, and that can be cut anywhere.

use std::time::Duration;

use raft_core::NodeId;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt};

/// One chance in a thousand.
pub type PerMille = u32;

/// A span from which times are picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration, pub Duration);

impl Span {
    /// A time out of the span.
    pub fn pick(self, random: &mut impl Rng) -> Duration {
        let Span(least, most) = self;
        let spread = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX);
        least + Duration::from_nanos(if spread == 0 { 0 } else { random.random_range(0..=spread) })
    }
}

/// What happens to messages.
#[derive(Clone, Debug)]
pub struct Network {
    /// How long a message takes.
    pub delay: Span,
    /// How often a message is lost.
    pub loss: PerMille,
    /// How often a message comes twice.
    pub duplication: PerMille,
    /// How often a message is held up, and for how long.
    pub holdup: (PerMille, Span),
    /// How often a reply is held up, and for how long.
    pub reply_holdup: (PerMille, Span),
    /// After how long a connection sends again what was lost of a snapshot. Without, it breaks.
    pub resend: Option<Duration>,
    /// After how many frames of a snapshot its connection breaks; never, without.
    pub snapshot_frames: Option<u64>,
    /// By how much longer what comes from or goes to a slow server takes.
    pub slowness: Duration,
    slow: Vec<bool>,
    /// Whether nothing gets from one server to another.
    cut: Vec<Vec<bool>>,
}

impl Network {
    /// A good network between this many servers.
    pub fn new(servers: usize) -> Network {
        Network {
            delay: Span(Duration::from_micros(200), Duration::from_millis(2)),
            loss: 0,
            duplication: 0,
            holdup: (0, Span(Duration::ZERO, Duration::ZERO)),
            reply_holdup: (0, Span(Duration::ZERO, Duration::ZERO)),
            resend: None,
            snapshot_frames: None,
            slowness: Duration::ZERO,
            slow: vec![false; servers],
            cut: vec![vec![false; servers]; servers],
        }
    }

    /// Cuts or restores one direction of a connection.
    pub fn set_cut(&mut self, from: NodeId, to: NodeId, cut: bool) {
        self.cut[place(from)][place(to)] = cut;
    }

    /// Cuts or restores a server's connections to all others, in both directions.
    pub fn isolate(&mut self, id: NodeId, cut: bool) {
        for other in 0..self.cut.len() {
            if other != place(id) {
                self.cut[place(id)][other] = cut;
                self.cut[other][place(id)] = cut;
            }
        }
    }

    /// Restores every connection.
    pub fn heal(&mut self) {
        self.cut.iter_mut().flatten().for_each(|cut| *cut = false);
    }

    /// Makes a server slow, or not.
    pub fn set_slow(&mut self, id: NodeId, slow: bool) {
        self.slow[place(id)] = slow;
    }

    /// Whether something gets through.
    pub fn connects(&self, from: NodeId, to: NodeId) -> bool {
        !self.cut[place(from)][place(to)]
    }

    /// How long each copy of a message takes that arrives.
    pub fn arrivals(&self, from: NodeId, to: NodeId, random: &mut SmallRng) -> Vec<Duration> {
        if !self.connects(from, to) || random.random_range(0..1000) < self.loss {
            return Vec::new();
        }
        let copies = 1 + usize::from(random.random_range(0..1000) < self.duplication);
        (0..copies).map(|_| self.latency(from, to, random)).collect()
    }

    /// How long something takes that arrives.
    pub fn latency(&self, from: NodeId, to: NodeId, random: &mut SmallRng) -> Duration {
        let mut time = self.delay.pick(random);
        if random.random_range(0..1000) < self.holdup.0 {
            time += self.holdup.1.pick(random);
        }
        if self.slow[place(from)] || self.slow[place(to)] {
            time += self.slowness;
        }
        time
    }
}

/// The place of a server in lists: n1 is the first.
pub fn place(id: NodeId) -> usize {
    usize::try_from(id.0.saturating_sub(1)).unwrap_or(usize::MAX)
}
