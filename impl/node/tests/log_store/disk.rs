//! Files on a disk that fails, and that can lose its power: everything that was not synced may be kept,
//! lost, or torn.

use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

/// The unit in which a disk writes: all of it or nothing.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
struct State {
    /// What reads see.
    live: Vec<u8>,
    /// What survives for certain.
    durable: Vec<u8>,
    /// What was done since the last sync.
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

/// Which operation fails; those that only read do not count. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<Counter>>);

#[derive(Debug, Default)]
struct Counter {
    operations: u64,
    fails_at: Option<(u64, bool)>,
}

impl Faults {
    /// The operation after `after` others fails, and no other.
    pub(crate) fn fail_once(&self, after: u64) {
        let mut counter = self.0.lock().unwrap();
        counter.fails_at = Some((counter.operations + after, false));
    }

    /// The operation after `after` others fails, and all later ones.
    pub(crate) fn fail_from(&self, after: u64) {
        let mut counter = self.0.lock().unwrap();
        counter.fails_at = Some((counter.operations + after, true));
    }

    /// How many operations there were.
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
    /// A file with these contents, all of them durable.
    pub(crate) fn with(contents: Vec<u8>) -> Disk {
        let state = State { live: contents.clone(), durable: contents, ..State::default() };
        Disk { state: Arc::new(Mutex::new(state)), faults: Faults::default() }
    }

    /// The same file, on a disk with these faults.
    pub(crate) fn on(self, faults: &Faults) -> Disk {
        Disk { faults: faults.clone(), ..self }
    }

    /// What reads see.
    pub(crate) fn contents(&self) -> Vec<u8> {
        self.state.lock().unwrap().live.clone()
    }

    /// The file after the process was killed: what was not synced is still on its way, and what could
    /// not be synced looks as if it had been.
    pub(crate) fn after_kill(&self) -> Disk {
        let State { live, durable, unsynced } = &*self.state.lock().unwrap();
        let (live, durable, unsynced) = (live.clone(), durable.clone(), unsynced.clone());
        let state = Arc::new(Mutex::new(State { live, durable, unsynced }));
        Disk { state, faults: Faults::default() }
    }

    /// The file after the power went: what was synced, and of the rest those sectors that `kept` picks.
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

    /// If it fails, the system takes the pages for clean: they are read as they were written, and no
    /// later sync writes them.
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
