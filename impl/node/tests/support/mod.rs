//! A disk that can lose its power: everything that was not synced may be kept, lost, or torn.

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
    /// How many operations it has seen.
    operations: usize,
    /// The power goes at this operation.
    power_until: Option<usize>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

/// A simulated disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// A disk with these contents, all of them durable.
    pub(crate) fn with(contents: Vec<u8>) -> Disk {
        let state = State { live: contents.clone(), durable: contents, ..State::default() };
        Disk(Arc::new(Mutex::new(state)))
    }

    /// How many operations it has seen.
    pub(crate) fn operations(&self) -> usize {
        self.0.lock().unwrap().operations
    }

    /// Every operation from number `operation` on fails.
    pub(crate) fn cut_power_at(&self, operation: usize) {
        self.0.lock().unwrap().power_until = Some(operation);
    }

    /// What reads see.
    pub(crate) fn contents(&self) -> Vec<u8> {
        self.0.lock().unwrap().live.clone()
    }

    /// What may be on the disk after the power went: what was synced, and of the rest those sectors
    /// that `kept` picks.
    pub(crate) fn after_power_loss(&self, mut kept: impl FnMut() -> bool) -> Vec<u8> {
        let state = self.0.lock().unwrap();
        let mut image = state.durable.clone();
        for change in &state.unsynced {
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
        image
    }

    fn operate<T>(&self, work: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        if state.power_until.is_some_and(|last| state.operations >= last) {
            return Err(io::Error::other("the power is off"));
        }
        state.operations += 1;
        Ok(work(&mut state))
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("the simulated disk is small")
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.operate(|state| state.live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.operate(|state| {
            let at = place(offset);
            let found = state.live.get(at..at + out.len());
            out.copy_from_slice(
                found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?,
            );
            Ok(())
        })?
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.operate(|state| {
            state.live.resize(place(length), 0);
            state.unsynced.push(Change::Length(place(length)));
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(|state| {
            state.durable.clone_from(&state.live);
            state.unsynced.clear();
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate(|state| {
            let at = place(offset);
            state.live[at..at + data.len()].copy_from_slice(data);
            state.unsynced.push(Change::Write(at, data.to_vec()));
        })
    }
}
