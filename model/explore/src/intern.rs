//! Interning: every distinct value gets one small number, which never changes.

use crate::table::Table;

/// A map from values to numbers and back. Reading takes no lock.
pub(crate) struct Interner<T> {
    ids: Table,
    items: boxcar::Vec<T>,
}

impl<T> Default for Interner<T> {
    fn default() -> Interner<T> {
        Interner::new()
    }
}

impl<T> Interner<T> {
    /// Returns an empty map.
    pub(crate) fn new() -> Interner<T> {
        Interner { ids: Table::new(), items: boxcar::Vec::new() }
    }

    /// Returns the number of the item with this content hash that `same` accepts. If there is none
    /// yet, adds the item that `make` returns.
    ///
    /// # Panics
    ///
    /// If there are more than 2^32 items; the memory for them does not exist.
    pub(crate) fn intern(
        &self,
        hash: u64,
        same: impl Fn(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> u32 {
        let mut pending = Some(make);
        let mut key = hash;
        loop {
            let add = || number(self.items.push(pending.take().expect("added once")()));
            let id = self.ids.get_or_insert(key, add);
            if same(self.get(id)) {
                return id;
            }
            // Another item has this hash. Try the next key.
            key = key.wrapping_add(1);
        }
    }

    /// Frees the memory of tables that have been replaced by larger ones.
    pub(crate) fn free_old_tables(&mut self) {
        self.ids.free_old();
    }

    /// Returns the number of items.
    pub(crate) fn count(&self) -> usize {
        self.ids.count()
    }

    /// Returns the item with a number.
    #[inline]
    pub(crate) fn get(&self, id: u32) -> &T {
        &self.items[id as usize]
    }
}

/// Converts the place of an item to its number.
///
/// # Panics
///
/// If there are more than 2^32 items; the memory for them does not exist.
#[inline]
pub(crate) fn number(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^32 items")
}

/// Combines two numbers into a key of a [`Table`].
#[inline]
pub(crate) fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}
