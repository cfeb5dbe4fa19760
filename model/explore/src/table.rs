//! A growing hash table from 64-bit keys to small numbers, for many concurrent readers.
//!
//! The lookup of a local transition is the innermost loop of every search. A read takes no lock and
//! usually touches one cache line. Writes are rare and take a lock. With a general concurrent map,
//! a search spent a third of its time in probing.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::hash::mix;

/// The table. Entries are never removed.
pub(crate) struct Table {
    /// The versions of the table. Each is twice as large as the one before and starts with a copy
    /// of its entries. Only the newest is read.
    generations: [OnceLock<Box<[Slot]>>; GENERATIONS],
    newest: AtomicUsize,
    len: Mutex<usize>,
}

/// A slot, which is empty while its key is 0. A key is stored plus one.
#[derive(Default)]
struct Slot {
    key: AtomicU64,
    value: AtomicU32,
}

const GENERATIONS: usize = 32;

/// The number of slots of the first generation.
const SMALLEST: usize = 1 << 10;

impl Default for Table {
    fn default() -> Table {
        Table::new()
    }
}

impl Table {
    /// Returns an empty table.
    pub(crate) fn new() -> Table {
        let generations = [const { OnceLock::new() }; GENERATIONS];
        generations[0].get_or_init(|| empty(SMALLEST));
        Table { generations, newest: AtomicUsize::new(0), len: Mutex::new(0) }
    }

    /// Returns the value of a key, if it has one.
    #[inline]
    pub(crate) fn get(&self, key: u64) -> Option<u32> {
        let stored = key.wrapping_add(1);
        let slots = self.slots();
        // Acquire: a thread that sees the key also sees the value, which was stored before the key.
        probe(slots, key).find_map(|slot| match slot.key.load(Ordering::Acquire) {
            0 => Some(None),
            found if found == stored => Some(Some(slot.value.load(Ordering::Relaxed))),
            _ => None,
        })?
    }

    /// Returns the value of a key. If the key has none, stores the value that `make` returns.
    pub(crate) fn get_or_insert(&self, key: u64, make: impl FnOnce() -> u32) -> u32 {
        if let Some(value) = self.get(key) {
            return value;
        }
        let mut len = self.len.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = self.get(key) {
            return value;
        }
        // The table stays at most three quarters full, which keeps probing short.
        if (*len + 1) * 4 > self.slots().len() * 3 {
            self.grow();
        }
        let value = make();
        store(self.slots(), key, value);
        *len += 1;
        value
    }

    /// Returns the value of a key. If the key has none, stores the value that `compute` returns.
    /// `compute` runs without the lock. If two threads compute a value at once, the one that is
    /// stored first stays.
    #[inline]
    pub(crate) fn get_or_compute(&self, key: u64, compute: impl FnOnce() -> u32) -> u32 {
        self.get(key).unwrap_or_else(|| {
            let value = compute();
            self.get_or_insert(key, || value)
        })
    }

    /// Frees the versions that have been replaced by larger ones. Nobody reads them any more: who
    /// holds the only reference to the table has no reader.
    pub(crate) fn free_old(&mut self) {
        let newest = *self.newest.get_mut();
        for old in self.generations[..newest].iter_mut().rev() {
            if old.take().is_none() {
                return;
            }
        }
    }

    /// Returns the number of keys.
    pub(crate) fn count(&self) -> usize {
        *self.len.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn slots(&self) -> &[Slot] {
        let newest = self.newest.load(Ordering::Acquire);
        self.generations[newest].get().expect("a generation is made before it is the newest")
    }

    /// Doubles the table. The caller holds the lock.
    fn grow(&self) {
        let old = self.slots();
        let larger = empty(old.len() * 2);
        for slot in old {
            let stored = slot.key.load(Ordering::Relaxed);
            if stored != 0 {
                store(&larger, stored.wrapping_sub(1), slot.value.load(Ordering::Relaxed));
            }
        }
        let next = self.newest.load(Ordering::Relaxed) + 1;
        assert!(next < GENERATIONS, "memory ends before the generations do");
        self.generations[next].get_or_init(|| larger);
        self.newest.store(next, Ordering::Release);
    }
}

fn empty(slots: usize) -> Box<[Slot]> {
    (0..slots).map(|_| Slot::default()).collect()
}

/// Returns the slots where a key may be, in the order of probing.
#[inline]
fn probe(slots: &[Slot], key: u64) -> impl Iterator<Item = &Slot> {
    let mask = slots.len() - 1;
    let start = usize::try_from(mix(key) & mask as u64).unwrap_or(0);
    (0..slots.len()).map(move |step| &slots[(start + step) & mask])
}

fn store(slots: &[Slot], key: u64, value: u32) {
    let free = probe(slots, key).find(|slot| slot.key.load(Ordering::Relaxed) == 0);
    let slot = free.expect("the table is never full");
    slot.value.store(value, Ordering::Relaxed);
    slot.key.store(key.wrapping_add(1), Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_first_stays_while_the_table_grows() {
        let table = Table::new();
        for key in 0..100_000u32 {
            let spread = mix(u64::from(key));
            assert_eq!(table.get(spread), None);
            assert_eq!(table.get_or_insert(spread, || key), key);
            assert_eq!(table.get_or_insert(spread, || key + 1), key);
        }
        assert!((0..100_000u32).all(|key| table.get(mix(u64::from(key))) == Some(key)));
        assert_eq!(table.count(), 100_000);
    }

    #[test]
    fn threads_agree_on_every_value() {
        let table = Table::new();
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let table = &table;
                scope.spawn(move || {
                    for key in 0..20_000 {
                        let value = table.get_or_insert(key, || thread);
                        assert_eq!(table.get(key), Some(value));
                    }
                });
            }
        });
        assert_eq!(table.count(), 20_000);
    }
}
