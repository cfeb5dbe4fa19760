//! Tests of snapshot transfers, with connections that break and a receiver whose disk fails or
//! loses power.
//!
//! Both sides are production code, without the connection: the frames of one side are encoded,
//! decoded and given to the other side. After any disturbance of a transfer, two claims must hold.
//! A file with a snapshot's name has exactly the bytes of this snapshot, also after a power loss.
//! The next transfer without disturbance succeeds.

use raft_checker::cluster::snapshot_data::encode;
use raft_checker::control::Control;
use raft_core::{Bytes, Entry, InstallSnapshot, Payload, ReadRound, Snapshot, Term};
use raft_node::snapshot_store::SnapshotStore;
use raft_node::snapshot_transfer::{Receiving, Sending};
use raft_node::wire::{Chunk, Frame};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::lockstep::Divergence;
use crate::refinement_mapping::{Refinement, SnapshotFile};
use raft_simulation::disk::{Disk, Fault, Moment};
use raft_simulation::failure::Failure;
use raft_simulation::server::{SMALL_CHUNK, over_the_wire};

/// The most parts in which a snapshot is sent.
const PARTS: usize = 24;

/// The most connections that an undisturbed transfer may need. If the received part of the file is
/// torn, the first connection detects this at its end and removes the file. The second connection
/// sends everything again.
const CONNECTIONS: usize = 2;

/// The number of random ways to tear unsynced data that are tried.
const TEARS: usize = 4;

/// The number of orders in which two transfers are interleaved.
const ORDERS: u64 = 8;

/// The numbers of cases that were tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfers {
    /// Snapshots.
    pub snapshots: u64,
    /// Disturbed transfers, each followed by an undisturbed one.
    pub disturbed: u64,
    /// Connections in all.
    pub connections: u64,
    /// Connections that the receiver ended because of wrong data or a failed disk operation.
    pub refused: u64,
    /// Moments at which a crash of the receiver was simulated.
    pub crash_points: u64,
    /// Operations on the receiver's disk that were made to fail.
    pub faults: u64,
}

/// A transfer that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The name of the snapshot.
    pub name: String,
    /// A description of the disturbance, for reports.
    pub disturbance: String,
    /// The difference that was found.
    pub divergence: Divergence,
}

/// A disturbance of the frames of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    Break(usize),
    Drop(usize),
    Repeat(usize),
    Swap(usize),
    Foreign(usize),
    Cut(usize),
}

impl Disturbance {
    fn all(place: usize) -> [Disturbance; 6] {
        use Disturbance::{Break, Cut, Drop, Foreign, Repeat, Swap};
        [Break(place), Drop(place), Repeat(place), Swap(place), Foreign(place), Cut(place)]
    }

    fn describe(self) -> String {
        match self {
            Disturbance::Break(place) => format!("the connection breaks after {place} parts"),
            Disturbance::Drop(place) => format!("part {} is left out", place + 1),
            Disturbance::Repeat(place) => format!("part {} comes twice", place + 1),
            Disturbance::Swap(place) => format!("part {} comes after the next one", place + 1),
            Disturbance::Foreign(place) => format!("part {} is that of another file", place + 1),
            Disturbance::Cut(place) => format!("part {} ends one byte early", place + 1),
        }
    }

    fn disturb(self, parts: &mut Vec<Chunk>) {
        match self {
            Disturbance::Break(place) => parts.truncate(place),
            Disturbance::Drop(place) => drop(parts.remove(place)),
            Disturbance::Repeat(place) => parts.insert(place, parts[place].clone()),
            Disturbance::Swap(place) if place + 1 < parts.len() => parts.swap(place, place + 1),
            Disturbance::Swap(_) => {}
            Disturbance::Foreign(place) => {
                let data = parts[place].data.as_slice().iter().map(|byte| byte ^ 0x55);
                parts[place].data = Bytes::from(data.collect::<Vec<u8>>());
            }
            Disturbance::Cut(place) => {
                let data = parts[place].data.as_slice();
                parts[place].data = Bytes::from(&data[..data.len() - 1]);
            }
        }
    }
}

/// Returns snapshots of some kilobytes; two of them have the same length.
pub fn generated() -> Vec<SnapshotFile> {
    let refinement = Refinement::default();
    let snapshot = |letter: u8, entries: usize| {
        let command = Payload::Command(Bytes::from(vec![letter; 500]));
        let entries = vec![Entry { term: Term(1), payload: command }; entries];
        let mut snapshot = Snapshot::none();
        snapshot.last_included_index.0 = entries.len() as u64;
        snapshot.last_included_term = Term(1);
        snapshot.handle = encode(&entries);
        refinement.file(&snapshot)
    };
    vec![snapshot(b'a', 12), snapshot(b'b', 12), snapshot(b'c', 20)]
}

/// Transfers each of these snapshots with every disturbance, until something goes wrong or the test
/// is stopped.
pub fn try_all(snapshots: &[SnapshotFile], control: &Control) -> (Transfers, Option<Scenario>) {
    let mut tried = Transfers::default();
    for (place, file) in snapshots.iter().enumerate() {
        if control.stopped().is_some() {
            break;
        }
        tried.snapshots += 1;
        let other = snapshots.get((place + 1) % snapshots.len()).filter(|_| snapshots.len() > 1);
        let outcome = Transfer::of(file).map_err(|failure| differs("begins", &failure));
        let outcome = outcome.map_err(|divergence| ("nothing".to_owned(), divergence));
        let outcome = outcome.and_then(|transfer| transfer.try_all(other, &mut tried));
        if let Err((disturbance, divergence)) = outcome {
            let name = file.name.to_string();
            return (tried, Some(Scenario { name, disturbance, divergence }));
        }
    }
    (tried, None)
}

fn differs(model: &str, failure: &Failure) -> Divergence {
    let field = "the transfer".to_owned();
    Divergence { field, model: model.to_owned(), node: failure.to_string() }
}

/// The transfer of one snapshot.
struct Transfer<'a> {
    source: &'a SnapshotFile,
    offer: InstallSnapshot,
    /// The expected contents of the file.
    bytes: Vec<u8>,
    part: usize,
}

/// A description of the disturbance, and the difference that was found after it.
type Wrong = (String, Divergence);

impl<'a> Transfer<'a> {
    fn of(source: &'a SnapshotFile) -> Result<Transfer<'a>, Failure> {
        let name = source.name;
        let snapshot = Snapshot {
            last_included_index: name.last_included.index,
            last_included_term: name.last_included.term,
            handle: name.handle(),
        };
        let term = name.last_included.term;
        let offer = InstallSnapshot { term, snapshot, read_round: ReadRound::default() };
        let file = source.store.open(name)?;
        let mut bytes = vec![0; usize::try_from(name.length)?];
        file.read(0, &mut bytes)?;
        let part = SMALL_CHUNK.max(bytes.len().div_ceil(PARTS));
        Ok(Transfer { source, offer, bytes, part })
    }

    fn parts(&self) -> usize {
        self.bytes.len().div_ceil(self.part)
    }

    fn try_all(&self, other: Option<&SnapshotFile>, tried: &mut Transfers) -> Result<(), Wrong> {
        for place in 0..self.parts() {
            for disturbance in Disturbance::all(place) {
                let named = |divergence| (disturbance.describe(), divergence);
                self.disturbed(disturbance, tried).map_err(named)?;
            }
        }
        self.crashes(tried)?;
        self.faults(tried)?;
        self.mixed(self.source, tried)?;
        other.map_or(Ok(()), |other| self.mixed(other, tried))
    }

    /// Runs one connection. Returns whether the snapshot is stored at its end.
    fn connect(
        &self,
        disk: &Disk,
        disturbance: Option<Disturbance>,
        tried: &mut Transfers,
    ) -> Result<bool, Failure> {
        tried.connections += 1;
        let mut receiving = Receiving::begin(&self.offer, &store(disk)?)?;
        let mut parts = self.send(receiving.here())?;
        if let Some(disturbance) = disturbance {
            disturbance.disturb(&mut parts);
        }
        for part in parts {
            if receiving.is_complete() {
                break;
            }
            receiving.add(&part)?;
        }
        let complete = receiving.is_complete();
        if complete {
            receiving.finish()?;
        }
        Ok(complete)
    }

    /// Returns the parts that the sender sends when the receiver already has `here` bytes.
    fn send(&self, here: u64) -> Result<Vec<Chunk>, Failure> {
        let mut sending = Sending::begin(&self.offer, &self.source.store, self.part)?;
        sending.go_on_at(here);
        let mut parts = Vec::new();
        while let Some(frame) = sending.next_chunk()? {
            match over_the_wire(&frame)? {
                Frame::SnapshotChunk(chunk) => parts.push(chunk),
                _ => return Err("a part became something else".into()),
            }
        }
        Ok(parts)
    }

    fn disturbed(&self, by: Disturbance, tried: &mut Transfers) -> Result<(), Divergence> {
        tried.disturbed += 1;
        let disk = Disk::default();
        let outcome = self.connect(&disk, Some(by), tried);
        tried.refused += u64::from(outcome.is_err());
        self.check(&disk, outcome.is_ok_and(|stored| stored))?;
        self.succeeds(&disk, tried)
    }

    /// Simulates a crash of the receiver before each operation on its disk, in a transfer that
    /// takes two connections.
    fn crashes(&self, tried: &mut Transfers) -> Result<(), Wrong> {
        let disk = Disk::default();
        let whole = |failure: Failure| ("nothing".to_owned(), differs("succeeds", &failure));
        let half = Some(Disturbance::Break(self.parts() / 2));
        disk.record();
        let begun = self.connect(&disk, half, tried).and_then(|_| self.connect(&disk, None, tried));
        let mut moments = disk.recorded();
        begun.map_err(whole)?;
        moments.push(disk.moment());
        let mut random = SmallRng::seed_from_u64(self.source.name.length);
        for (place, moment) in moments.iter().enumerate() {
            tried.crash_points += 1;
            for disk in left(moment, &mut random) {
                let what = format!("the power goes before operation {} on the disk", place + 1);
                let outcome = self.check(&disk, place + 1 == moments.len());
                let outcome = outcome.and_then(|()| starts(&disk));
                let outcome = outcome.and_then(|()| self.succeeds(&disk, tried));
                outcome.map_err(|divergence| (what, divergence))?;
            }
        }
        Ok(())
    }

    /// Makes each operation on the receiver's disk fail, alone or with all later ones. Then the
    /// receiver goes on or is restarted.
    fn faults(&self, tried: &mut Transfers) -> Result<(), Wrong> {
        self.faults_of(Fault::Once, tried)?;
        self.faults_of(Fault::From, tried)
    }

    fn faults_of(&self, fault: fn(u64) -> Fault, tried: &mut Transfers) -> Result<(), Wrong> {
        let mut operation = 0;
        loop {
            let disk = Disk::default();
            disk.fail(Some(fault(operation)));
            let outcome = self.connect(&disk, None, tried);
            let failed = disk.failed();
            disk.fail(None);
            if failed == 0 {
                return Ok(());
            }
            tried.faults += 1;
            tried.refused += u64::from(outcome.is_err());
            let later = if matches!(fault(0), Fault::From(_)) { " and all later ones" } else { "" };
            let what = format!("operation {}{later} on the receiver's disk fails", operation + 1);
            let stored = outcome.is_ok_and(|stored| stored);
            let restarted = disk.moment().after_power_loss(|| false);
            for (disk, starting) in [(disk, false), (restarted, true)] {
                let held = self.check(&disk, stored);
                let held = held.and_then(|()| if starting { starts(&disk) } else { Ok(()) });
                let held = held.and_then(|()| self.succeeds(&disk, tried));
                held.map_err(|divergence| (what.clone(), divergence))?;
            }
            operation += 1;
        }
    }

    /// Interleaves two connections in several orders, for the same snapshot or for two snapshots.
    fn mixed(&self, other: &SnapshotFile, tried: &mut Transfers) -> Result<(), Wrong> {
        for seed in 0..ORDERS {
            let what = format!("mixed with a transfer of {}, order {seed}", other.name);
            let outcome = self.mixed_in_order(other, seed, tried);
            outcome.map_err(|divergence| (what, divergence))?;
        }
        Ok(())
    }

    fn mixed_in_order(
        &self,
        other: &SnapshotFile,
        seed: u64,
        tried: &mut Transfers,
    ) -> Result<(), Divergence> {
        tried.disturbed += 1;
        let begins = |failure: Failure| differs("begins", &failure);
        let other = Transfer::of(other).map_err(begins)?;
        let (disk, both) = (Disk::default(), [self, &other]);
        let mut random = SmallRng::seed_from_u64(seed);
        let mut stored = [false; 2];
        let mut under_way = [None, None];
        while stored.iter().zip(&under_way).any(|(stored, way)| !stored || way.is_some()) {
            let which = usize::from(random.random::<bool>());
            let transfer = both[which];
            let (receiving, parts) = match under_way[which].take() {
                None if stored[which] => continue,
                None => {
                    tried.connections += 1;
                    let files = store(&disk).map_err(begins)?;
                    let receiving = Receiving::begin(&transfer.offer, &files);
                    let receiving = receiving.map_err(|error| begins(error.into()))?;
                    let parts = transfer.send(receiving.here()).map_err(begins)?;
                    (receiving, parts.into_iter())
                }
                Some(way) => way,
            };
            match goes_on((receiving, parts)) {
                Ok(Some(way)) => under_way[which] = Some(way),
                Ok(None) => stored[which] = true,
                // The other connection has removed or renamed the file. This transfer gives up, and
                // is not tried again here.
                Err(_) => (stored[which], tried.refused) = (true, tried.refused + 1),
            }
            self.check(&disk, false)?;
            other.check(&disk, false)?;
        }
        self.succeeds(&disk, tried)
    }

    /// Checks that a file with the snapshot's name, if there is one, has the bytes of the snapshot,
    /// now and after a power loss. If `stored` is set, there must be such a file in both cases.
    fn check(&self, disk: &Disk, stored: bool) -> Result<(), Divergence> {
        let lost = disk.moment().after_power_loss(|| false);
        for (disk, when) in [(disk, "now"), (&lost, "after a power loss")] {
            let wrong = |node: String| Divergence {
                field: format!("the file under the snapshot's name, {when}"),
                model: "exactly the bytes that were sent".to_owned(),
                node,
            };
            match self.file(disk).map_err(|failure| wrong(failure.to_string()))? {
                None if stored => return Err(wrong("there is none".to_owned())),
                None => {}
                Some(bytes) if bytes == self.bytes => {}
                Some(bytes) => {
                    let pairs = bytes.iter().zip(&self.bytes);
                    let first = pairs.take_while(|(found, sent)| found == sent).count();
                    let length = bytes.len();
                    return Err(wrong(format!("{length} bytes, others from {first} on")));
                }
            }
        }
        Ok(())
    }

    fn file(&self, disk: &Disk) -> Result<Option<Vec<u8>>, Failure> {
        let directory = directory(disk)?;
        let name = self.source.name.to_string();
        if !directory.contains(&name)? {
            return Ok(None);
        }
        let file = directory.open(&name)?;
        let mut bytes = vec![0; usize::try_from(file.len()?)?];
        file.read(0, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Checks that the transfer succeeds without disturbance.
    fn succeeds(&self, disk: &Disk, tried: &mut Transfers) -> Result<(), Divergence> {
        let mut last = String::new();
        for _ in 0..CONNECTIONS {
            match self.connect(disk, None, tried) {
                Ok(true) => return self.check(disk, true),
                Ok(false) => "not all of it came".clone_into(&mut last),
                Err(failure) => last = failure.to_string(),
            }
        }
        Err(Divergence {
            field: "the transfer after that".to_owned(),
            model: format!("succeeds within {CONNECTIONS} connections"),
            node: last,
        })
    }
}

/// Restarts the receiver, with a log that does not refer to the snapshot.
fn starts(disk: &Disk) -> Result<(), Divergence> {
    let cleaned = store(disk).and_then(|store| Ok(store.clean(None)?));
    cleaned.map_err(|failure| differs("begins", &failure))
}

/// A connection in progress: the receiving side, and the parts that have not arrived yet.
type Way = (Receiving, std::vec::IntoIter<Chunk>);

/// Delivers the next part. Returns `None` when the snapshot is stored.
fn goes_on((mut receiving, mut parts): Way) -> Result<Option<Way>, Failure> {
    if receiving.is_complete() {
        receiving.finish()?;
        return Ok(None);
    }
    let part = parts.next().ok_or("the sender has nothing more to say")?;
    receiving.add(&part)?;
    Ok(Some((receiving, parts)))
}

fn directory(disk: &Disk) -> Result<std::sync::Arc<dyn raft_node::directory::Directory>, Failure> {
    Ok(disk.root().directory("snapshots")?)
}

fn store(disk: &Disk) -> Result<SnapshotStore, Failure> {
    Ok(SnapshotStore::new(directory(disk)?, u64::MAX))
}

/// Returns disks that a crash may leave.
fn left(moment: &Moment, random: &mut SmallRng) -> Vec<Disk> {
    let mut disks = vec![moment.after_power_loss(|| false), moment.after_kill()];
    disks.extend((0..TEARS).map(|_| moment.after_power_loss(|| random.random())));
    disks
}
