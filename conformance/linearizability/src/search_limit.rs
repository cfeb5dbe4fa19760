//! The limit on the duration of a check.

use std::time::Duration;

/// The limit on the duration of a check, over all keys.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The number of states that may be computed or compared.
    pub steps: u64,
    /// The time that may pass.
    pub time: Duration,
    /// The number of steps after which the search tries something else: a part of the history, or
    /// longer chains of calls of unknown outcome. It changes the duration of a check, but never its
    /// verdict.
    pub patience: u64,
}

impl Default for Limit {
    fn default() -> Limit {
        Limit { steps: 30_000_000, time: Duration::from_mins(1), patience: 300_000 }
    }
}
