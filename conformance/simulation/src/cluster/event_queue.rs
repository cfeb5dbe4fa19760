//! The future events of a simulated cluster, ordered by time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use raft_core::NodeId;

use super::http::ExchangeId;

/// A future event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A server wakes up, because something is due.
    Wake(NodeId),
    /// Frames arrive.
    Arrive { from: NodeId, to: NodeId, bytes: Vec<u8> },
    /// A transaction is durable.
    Commit { server: NodeId, incarnation: u64 },
    /// The state machine has done a task.
    Apply { server: NodeId, incarnation: u64 },
    /// A snapshot is written.
    Store { server: NodeId, incarnation: u64 },
    /// The transfer of a snapshot continues.
    Transfer(u64),
    /// The time is over within which a client's request must be answered.
    Deadline { server: NodeId, incarnation: u64, exchange: ExchangeId },
}

/// The future events. Of several events at the same time, the one that was planned first comes
/// first.
#[derive(Default)]
pub(super) struct Events {
    queue: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    planned: u64,
}

impl Events {
    pub(super) fn push(&mut self, time: Duration, event: Event) {
        self.planned += 1;
        self.queue.push(Reverse((time, self.planned, event)));
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.queue.peek().map(|Reverse((time, _, _))| *time)
    }

    pub(super) fn pop_until(&mut self, end: Duration) -> Option<(Duration, Event)> {
        if self.next()? > end {
            return None;
        }
        self.queue.pop().map(|Reverse((time, _, event))| (time, event))
    }
}
