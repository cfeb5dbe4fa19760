//! Transfers snapshots between simulated servers, one frame at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use raft_core::{InstallSnapshot, Message, NodeId};
use raft_node::snapshot_store::SnapshotName;
use raft_node::snapshot_transfer::{Attempt, Outbound, Receiving};
use raft_node::wire::Frame;
use rand::RngExt;

use super::Cluster;
use super::event_queue::Event;
use super::network::place;
use crate::failure::Failure;
use crate::server::{SMALL_CHUNK, over_the_wire};

/// The waiting time after a transfer that failed.
const RETRY: Duration = Duration::from_millis(500);

/// The time after which a connection notices that the other side is gone.
const SILENCE: Duration = Duration::from_secs(3);

/// The time for which a leader keeps the entries after a snapshot whose connection broke.
const PATIENCE: Duration = Duration::from_secs(30);

/// The approximate number of frames of a snapshot, unless it is small.
const FRAMES: u64 = 20;

/// A transfer over one connection.
struct Transfer {
    from: NodeId,
    to: NodeId,
    /// The attempt; `None` after the connection broke. Another attempt may begin when this transfer
    /// ends.
    attempt: Option<Attempt>,
    receiving: Option<Receiving>,
    /// The number of frames that the connection has carried.
    frames: u64,
}

/// All transfers, by number.
#[derive(Default)]
pub(super) struct Transfers {
    under_way: BTreeMap<u64, Transfer>,
    outbound: BTreeMap<(NodeId, NodeId), Outbound>,
    /// The time until which a transfer whose connection broke is expected to continue.
    expected: BTreeMap<(NodeId, NodeId), Duration>,
    begun: u64,
}

impl Transfers {
    /// Returns whether a server receives a snapshot from this server, or is expected to continue
    /// with one.
    pub(super) fn sending(&self, from: NodeId, now: Duration) -> bool {
        let receives = |transfer: &Transfer| transfer.from == from && transfer.receiving.is_some();
        let expected =
            |((sender, _), until): (&(NodeId, NodeId), &Duration)| *sender == from && *until > now;
        self.under_way.values().any(receives) || self.expected.iter().any(expected)
    }

    /// Breaks the connections of a server that is gone.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.under_way.retain(|_, transfer| transfer.from != id);
        self.outbound.retain(|(from, _), _| *from != id);
        self.expected.retain(|(from, to), _| *from != id && *to != id);
        for transfer in self.under_way.values_mut().filter(|transfer| transfer.to == id) {
            transfer.receiving = None;
            if let Some(attempt) = transfer.attempt.take() {
                self.outbound.entry((transfer.from, id)).or_default().broke(attempt);
            }
        }
    }

    /// Breaks the connection of a transfer. Another one may begin later.
    fn break_off(&mut self, transfer: &mut Transfer, now: Duration) {
        let link = (transfer.from, transfer.to);
        let received = transfer.receiving.take().is_some();
        let Some(attempt) = transfer.attempt.take() else { return };
        let goes_on = self.outbound.entry(link).or_default().broke(attempt);
        if goes_on && received {
            self.expected.insert(link, now + PATIENCE);
        } else {
            self.expected.remove(&link);
        }
    }
}

impl Cluster {
    /// Begins to send a snapshot, or continues with an unfinished one, unless one is already under
    /// way.
    pub(super) fn begin_transfer(&mut self, from: NodeId, to: NodeId, offer: InstallSnapshot) {
        let busy = |transfer: &Transfer| transfer.from == from && transfer.to == to;
        if self.transfers.under_way.values().any(busy) {
            return;
        }
        let Some(running) = &self.hosts[place(from)].running else { return };
        let outbound = self.transfers.outbound.entry((from, to)).or_default();
        // The leader may have removed the file of the snapshot, because its log has moved on.
        let chunk = SnapshotName::of(&offer.snapshot).map_or(0, |name| name.length / FRAMES);
        let chunk = usize::try_from(chunk).unwrap_or(usize::MAX).max(SMALL_CHUNK * 4);
        let attempt = outbound.attempt(offer, &running.snapshots, chunk);
        let Ok(attempt) = attempt else { return };
        self.transfers.begun += 1;
        let number = self.transfers.begun;
        let attempt = Some(attempt);
        let transfer = Transfer { from, to, attempt, receiving: None, frames: 0 };
        self.transfers.under_way.insert(number, transfer);
        let time = self.network.latency(from, to, &mut self.random);
        self.events.push(self.now + time, Event::Transfer(number));
    }

    pub(super) fn go_on_with_transfer(&mut self, number: u64) -> Result<(), Failure> {
        let Some(mut transfer) = self.transfers.under_way.remove(&number) else { return Ok(()) };
        let Some(attempt) = &transfer.attempt else { return Ok(()) };
        let offer = attempt.offer.clone();
        let (from, to) = (transfer.from, transfer.to);
        let lost = self.random.random_range(0..1000) < self.network.loss;
        if let Some(wait) = self.network.resend.filter(|_| lost) {
            self.transfers.under_way.insert(number, transfer);
            self.events.push(self.now + wait, Event::Transfer(number));
            return Ok(());
        }
        let gone = !self.network.connects(from, to) || !self.network.connects(to, from) || lost;
        let paused = self.hosts[place(to)].paused || self.hosts[place(from)].paused;
        let progress = match (gone, paused) {
            (true, _) => Err("the connection broke".into()),
            (false, true) => Ok(false),
            (false, false) => self.transfer_frame(&mut transfer),
        };
        let time = self.network.latency(from, to, &mut self.random);
        match progress {
            Ok(true) => {
                self.transfers.expected.remove(&(from, to));
                self.touch(from);
                self.arrive_snapshot(from, to, Message::InstallSnapshot(offer));
            }
            Ok(false) => {
                self.transfers.under_way.insert(number, transfer);
                self.events.push(self.now + time, Event::Transfer(number));
            }
            Err(_) => {
                // Until this event, no other snapshot is sent there.
                let failed = self.hosts[place(to)].disk.failed() > 0;
                self.transfers.break_off(&mut transfer, self.now);
                self.transfers.under_way.insert(number, transfer);
                let wait = if gone { SILENCE } else { RETRY };
                self.events.push(self.now + wait, Event::Transfer(number));
                if failed {
                    self.crash(to, super::host::Survives::All)?;
                }
            }
        }
        Ok(())
    }

    /// Delivers the next frame. Returns whether it was the last one and the snapshot is stored.
    fn transfer_frame(&mut self, transfer: &mut Transfer) -> Result<bool, Failure> {
        let host = &mut self.hosts[place(transfer.to)];
        let running = host.running.as_mut().ok_or("nobody is there")?;
        let attempt = transfer.attempt.as_mut().ok_or("the connection broke")?;
        transfer.frames += 1;
        if self.network.snapshot_frames.is_some_and(|most| transfer.frames > most) {
            return Err("the connection broke".into());
        }
        let Some(receiving) = &mut transfer.receiving else {
            let offer = over_the_wire(&Frame::SnapshotOffer(attempt.offer.clone()))?;
            let Frame::SnapshotOffer(offer) = offer else { return Err("not an offer".into()) };
            let receiving = Receiving::begin(&offer, &running.snapshots)?;
            attempt.go_on_at(receiving.here());
            transfer.receiving = Some(receiving);
            return Ok(false);
        };
        if let Some(frame) = attempt.sending.next_chunk()? {
            let Frame::SnapshotChunk(chunk) = over_the_wire(&frame)? else {
                return Err("not a chunk".into());
            };
            self.counters.bytes += chunk.data.as_slice().len() as u64;
            receiving.add(&chunk)?;
        }
        if !receiving.is_complete() {
            return Ok(false);
        }
        if let Some(receiving) = transfer.receiving.take() {
            receiving.finish()?;
        }
        Ok(true)
    }
}
