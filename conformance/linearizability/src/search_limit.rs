//! How long a check may take.

use std::time::Duration;

/// How long a check may take, over all keys.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// How many states may be computed or compared.
    pub steps: u64,
    /// How much time may pass.
    pub time: Duration,
    /// After how many steps the search looks elsewhere: at a part of the history, or at longer
    /// sequences of calls of unknown outcome. It changes how long a check takes, never what it
    /// finds.
    pub patience: u64,
}

impl Default for Limit {
    fn default() -> Limit {
        Limit { steps: 30_000_000, time: Duration::from_mins(1), patience: 300_000 }
    }
}
