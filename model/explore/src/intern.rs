//! Interning: every distinct content gets a small number, once, and keeps it.

use crate::table::Table;

/// A list from contents to numbers and back. Reading takes no lock.
pub struct Interner<T> {
    ids: Table,
    items: boxcar::Vec<T>,
}

impl<T> Default for Interner<T> {
    fn default() -> Interner<T> {
        Interner::new()
    }
}

impl<T> Interner<T> {
    /// An empty list.
    pub fn new() -> Interner<T> {
        Interner { ids: Table::new(), items: boxcar::Vec::new() }
    }

    /// The number of the item with that content hash; if there is none yet, of the one that `make`
    /// makes.
    ///
    /// # Panics
    ///
    /// If there are more than 2^32 items; the memory for them does not exist.
    pub fn intern(&self, hash: u64, same: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> u32 {
        let mut pending = Some(make);
        let mut key = hash;
        loop {
            let add = || number(self.items.push(pending.take().expect("added once")()));
            let id = self.ids.get_or_insert(key, add);
            if same(self.get(id)) {
                return id;
            }
            // Another content has this hash: the next free key.
            key = key.wrapping_add(1);
        }
    }

    /// The number of items.
    pub fn count(&self) -> usize {
        self.ids.count()
    }

    /// The item of a number.
    #[inline]
    pub fn get(&self, id: u32) -> &T {
        &self.items[id as usize]
    }
}

/// The place of an item, as a number.
///
/// # Panics
///
/// If there are more than 2^32 items; the memory for them does not exist.
#[inline]
pub fn number(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^32 items")
}

/// Two numbers as a key of a [`Table`].
#[inline]
pub fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}
