//! The tests that earlier configurations have made.
//!
//! Configurations with the same settings have many local transitions in common. A transition is
//! tried once, and so is each pair of a transition and one that follows it.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use super::fault_variant::dice;

/// The tests that have been made, by a hash of their contents.
#[derive(Debug, Default)]
pub struct Tried {
    tests: Mutex<HashSet<u64>>,
}

impl Tried {
    /// Adds a test. Returns whether it is new.
    pub(super) fn add(&self, test: impl Hash) -> bool {
        self.tests.lock().unwrap_or_else(PoisonError::into_inner).insert(dice(test))
    }
}
