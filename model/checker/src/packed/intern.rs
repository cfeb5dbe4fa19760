//! Interning: every distinct content gets a small number, once, and keeps it.

use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// A concurrent map from 64-bit numbers. Reading takes no lock.
pub(crate) type Table<V> = papaya::HashMap<u64, V, BuildHasherDefault<Mixed>>;

/// Two numbers as a key of a [`Table`].
pub(crate) fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

/// Hashes one 64-bit number.
#[derive(Default)]
pub(crate) struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are 64-bit numbers");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = mix(number);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A table from contents to numbers and back. Reading takes no lock.
pub(crate) struct Interner<T> {
    ids: Table<u32>,
    items: boxcar::Vec<T>,
    adding: Mutex<()>,
}

impl<T> Interner<T> {
    pub(crate) fn new() -> Interner<T> {
        Interner { ids: Table::default(), items: boxcar::Vec::new(), adding: Mutex::new(()) }
    }

    /// The number of the item with that content hash; if there is none yet, of the one that `make`
    /// makes.
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
        let mut hash = hash;
        if let Some(id) = self.find(&mut hash, &same) {
            return id;
        }
        let item = make();
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = self.find(&mut hash, &same) {
            return id;
        }
        let id = u32::try_from(self.items.push(item)).expect("fewer than 2^32 distinct items");
        self.ids.pin().insert(hash, id);
        id
    }

    /// Looks an item up; on a collision of hashes it goes on to the next free hash.
    fn find(&self, hash: &mut u64, same: &impl Fn(&T) -> bool) -> Option<u32> {
        let ids = self.ids.pin();
        loop {
            let id = *ids.get(hash)?;
            if same(self.get(id)) {
                return Some(id);
            }
            *hash = hash.wrapping_add(1);
        }
    }

    pub(crate) fn get(&self, id: u32) -> &T {
        &self.items[id as usize]
    }
}

/// A 64-bit hash of a content, the same in every run of one build.
pub(crate) fn content_hash(content: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// Spreads the bits of a number over all 64 (the finalizer of `SplitMix64`, Steele et al. 2014).
pub(crate) const fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
