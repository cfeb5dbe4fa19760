//! Files on a disk that fails, and that can lose power. In a power loss, data that was not synced
//! may be kept, lost, or torn.

use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

/// The unit in which a disk writes, in bytes: all of it or nothing.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
struct State {
    /// The contents that reads return.
    live: Vec<u8>,
    /// The contents that survive for certain.
    durable: Vec<u8>,
    /// The changes since the last sync.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

fn apply(image: &mut Vec<u8>, change: &Change, mut kept: impl FnMut() -> bool) {
    match change {
        Change::Length(length) => {
            if kept() {
                image.resize(*length, 0);
            }
        }
        Change::Write(offset, data) => {
            for (number, sector) in data.chunks(SECTOR).enumerate() {
                let at = offset + number * SECTOR;
                if kept() {
                    image.resize(image.len().max(at + sector.len()), 0);
                    image[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
    }
}

/// The plan of the operations that fail. Operations that only read do not count. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<Counter>>);

#[derive(Debug, Default)]
struct Counter {
    operations: u64,
    fails_at: Option<(u64, bool)>,
}

impl Faults {
    /// Makes the operation after the next `after` ones fail, and no other.
    pub(crate) fn fail_once(&self, after: u64) {
        let mut counter = self.0.lock().unwrap();
        counter.fails_at = Some((counter.operations + after, false));
    }

    /// Makes the operation after the next `after` ones fail, and all later ones.
    pub(crate) fn fail_from(&self, after: u64) {
        let mut counter = self.0.lock().unwrap();
        counter.fails_at = Some((counter.operations + after, true));
    }

    /// Returns the number of operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    fn count(&self) -> io::Result<()> {
        let mut counter = self.0.lock().unwrap();
        let number = counter.operations;
        counter.operations += 1;
        let fails = counter.fails_at.is_some_and(|(at, on)| number == at || on && number > at);
        if fails { Err(io::Error::other("the disk fails")) } else { Ok(()) }
    }
}

/// A simulated file. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
    faults: Faults,
}

impl Disk {
    /// Creates a file with these contents, all of them durable.
    pub(crate) fn with(contents: Vec<u8>) -> Disk {
        let state = State { live: contents.clone(), durable: contents, ..State::default() };
        Disk { state: Arc::new(Mutex::new(state)), faults: Faults::default() }
    }

    /// Returns the same file, on a disk with these faults.
    pub(crate) fn on(self, faults: &Faults) -> Disk {
        Disk { faults: faults.clone(), ..self }
    }

    /// Returns the contents that reads return.
    pub(crate) fn contents(&self) -> Vec<u8> {
        self.state.lock().unwrap().live.clone()
    }

    /// Returns the file after the process was killed. Changes that were not synced can still be
    /// synced. Changes whose sync failed look as if they had been synced.
    pub(crate) fn after_kill(&self) -> Disk {
        let State { live, durable, unsynced } = &*self.state.lock().unwrap();
        let (live, durable, unsynced) = (live.clone(), durable.clone(), unsynced.clone());
        let state = Arc::new(Mutex::new(State { live, durable, unsynced }));
        Disk { state, faults: Faults::default() }
    }

    /// Returns the file after a power loss. It has the synced contents, and those sectors of the
    /// other changes for which `kept` returns true.
    pub(crate) fn after_power_loss(&self, mut kept: impl FnMut() -> bool) -> Disk {
        let state = self.state.lock().unwrap();
        let mut image = state.durable.clone();
        for change in &state.unsynced {
            apply(&mut image, change, &mut kept);
        }
        Disk::with(image)
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("the simulated disk is small")
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().unwrap().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = place(offset);
        let state = self.state.lock().unwrap();
        let found = state.live.get(at..at + out.len());
        out.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.faults.count()?;
        let mut state = self.state.lock().unwrap();
        state.live.resize(place(length), 0);
        state.unsynced.push(Change::Length(place(length)));
        Ok(())
    }

    /// If a sync fails, the pages are marked as clean, as by an operating system. Reads return the
    /// new contents, and no later sync writes them.
    fn sync_data(&self) -> io::Result<()> {
        let failed = self.faults.count();
        let mut state = self.state.lock().unwrap();
        let changes = std::mem::take(&mut state.unsynced);
        failed?;
        for change in &changes {
            apply(&mut state.durable, change, || true);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.count()?;
        let mut state = self.state.lock().unwrap();
        let at = place(offset);
        state.live[at..at + data.len()].copy_from_slice(data);
        state.unsynced.push(Change::Write(at, data.to_vec()));
        Ok(())
    }
}
