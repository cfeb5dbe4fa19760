//! Snapshots on their way between simulated servers, one frame at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use raft_core::{InstallSnapshot, Message, NodeId};
use raft_node::snapshot_store::SnapshotName;
use raft_node::snapshot_transfer::{Receiving, Sending};
use raft_node::wire::Frame;
use rand::RngExt;

use super::Cluster;
use super::events::Event;
use super::network::place;
use crate::server::{Failure, SMALL_CHUNK, over_the_wire};

/// How long to wait after a snapshot did not arrive.
const RETRY: Duration = Duration::from_millis(500);

/// How long the connection takes to notice that the other side is gone.
const SILENCE: Duration = Duration::from_secs(3);

/// About how many frames a snapshot takes, unless it is small.
const FRAMES: u64 = 20;

/// A transfer.
struct Transfer {
    from: NodeId,
    to: NodeId,
    offer: InstallSnapshot,
    sending: Sending,
    receiving: Option<Receiving>,
    /// It broke, and another one may begin after this.
    broken: bool,
}

/// All transfers, by number.
#[derive(Default)]
pub(super) struct Transfers {
    under_way: BTreeMap<u64, Transfer>,
    begun: u64,
}

impl Transfers {
    /// Whether somebody receives a snapshot from this server.
    pub(super) fn sending(&self, from: NodeId) -> bool {
        self.under_way
            .values()
            .any(|transfer| transfer.from == from && transfer.receiving.is_some())
    }

    /// A server is gone, and with it its connections.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.under_way.retain(|_, transfer| transfer.from != id);
        for transfer in self.under_way.values_mut().filter(|transfer| transfer.to == id) {
            transfer.receiving = None;
            transfer.broken = true;
        }
    }
}

impl Cluster {
    /// Begins to send a snapshot, unless one is on its way.
    pub(super) fn begin_transfer(&mut self, from: NodeId, to: NodeId, offer: InstallSnapshot) {
        let busy = |transfer: &Transfer| transfer.from == from && transfer.to == to;
        if self.transfers.under_way.values().any(busy) {
            return;
        }
        let Some(running) = &self.hosts[place(from)].running else { return };
        // The log may have moved on, and the file with it.
        let chunk = SnapshotName::of(&offer.snapshot).map_or(0, |name| name.length / FRAMES);
        let chunk = usize::try_from(chunk).unwrap_or(usize::MAX).max(SMALL_CHUNK * 4);
        let Ok(sending) = Sending::begin(&offer, &running.snapshots, chunk) else { return };
        self.transfers.begun += 1;
        let number = self.transfers.begun;
        let transfer = Transfer { from, to, offer, sending, receiving: None, broken: false };
        self.transfers.under_way.insert(number, transfer);
        let time = self.network.latency(from, to, &mut self.random);
        self.events.push(self.now + time, Event::Transfer(number));
    }

    pub(super) fn go_on_with_transfer(&mut self, number: u64) -> Result<(), Failure> {
        let Some(mut transfer) = self.transfers.under_way.remove(&number) else { return Ok(()) };
        if transfer.broken {
            return Ok(());
        }
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
                self.touch(from);
                self.arrive_snapshot(from, to, Message::InstallSnapshot(transfer.offer));
            }
            Ok(false) => {
                self.transfers.under_way.insert(number, transfer);
                self.events.push(self.now + time, Event::Transfer(number));
            }
            Err(_) => {
                // Until then nothing else is sent there.
                let failed = self.hosts[place(to)].disk.failed() > 0;
                transfer.receiving = None;
                transfer.broken = true;
                self.transfers.under_way.insert(number, transfer);
                let wait = if gone { SILENCE } else { RETRY };
                self.events.push(self.now + wait, Event::Transfer(number));
                if failed {
                    self.crash(to, super::host::Left::All)?;
                }
            }
        }
        Ok(())
    }

    /// The next frame arrives; true if that was all, and it is stored.
    fn transfer_frame(&mut self, transfer: &mut Transfer) -> Result<bool, Failure> {
        let host = &mut self.hosts[place(transfer.to)];
        let running = host.running.as_mut().ok_or("nobody is there")?;
        let Some(receiving) = &mut transfer.receiving else {
            let offer = over_the_wire(&Frame::SnapshotOffer(transfer.offer.clone()))?;
            let Frame::SnapshotOffer(offer) = offer else { return Err("not an offer".into()) };
            let receiving = Receiving::begin(&offer, &running.snapshots)?;
            transfer.sending.go_on_at(receiving.here());
            transfer.receiving = Some(receiving);
            return Ok(false);
        };
        if let Some(frame) = transfer.sending.next_chunk()? {
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
