//! A network that loses, repeats, delays and reorders messages. Any connection of it can be cut.

use std::time::Duration;

use raft_core::NodeId;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt};

/// A probability, in thousandths.
pub type PerMille = u32;

/// A span of time, from its shortest to its longest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration, pub Duration);

impl Span {
    /// Picks a time from the span.
    pub fn pick(self, random: &mut impl Rng) -> Duration {
        let Span(least, most) = self;
        let spread = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX);
        least + Duration::from_nanos(if spread == 0 { 0 } else { random.random_range(0..=spread) })
    }
}

/// The behaviour of the network.
#[derive(Clone, Debug)]
pub struct Network {
    /// The time that a message takes.
    pub delay: Span,
    /// The probability that a message is lost.
    pub loss: PerMille,
    /// The probability that a message arrives twice.
    pub duplication: PerMille,
    /// The probability that a message is delayed, and the delay.
    pub holdup: (PerMille, Span),
    /// The probability that a reply is delayed, and the delay.
    pub reply_holdup: (PerMille, Span),
    /// The time after which a connection sends a lost frame of a snapshot again. Without it, the
    /// connection breaks.
    pub resend: Option<Duration>,
    /// The number of frames of a snapshot after which its connection breaks. Without it, the
    /// connection does not break.
    pub snapshot_frames: Option<u64>,
    /// The additional time that a message from or to a slow server takes.
    pub slowness: Duration,
    slow: Vec<bool>,
    /// Whether the direction from one server to another is cut.
    cut: Vec<Vec<bool>>,
}

impl Network {
    /// Creates a network without faults between this many servers.
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

    /// Returns whether messages from one server reach another.
    pub fn connects(&self, from: NodeId, to: NodeId) -> bool {
        !self.cut[place(from)][place(to)]
    }

    /// Returns the latency of each copy of a message that arrives.
    pub fn arrivals(&self, from: NodeId, to: NodeId, random: &mut SmallRng) -> Vec<Duration> {
        if !self.connects(from, to) || random.random_range(0..1000) < self.loss {
            return Vec::new();
        }
        let copies = 1 + usize::from(random.random_range(0..1000) < self.duplication);
        (0..copies).map(|_| self.latency(from, to, random)).collect()
    }

    /// Picks the latency of a message that arrives.
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

/// Returns the position of a server in lists: n1 is the first.
pub fn place(id: NodeId) -> usize {
    usize::try_from(id.0.saturating_sub(1)).unwrap_or(usize::MAX)
}
