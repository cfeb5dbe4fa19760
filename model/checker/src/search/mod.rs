//! Ways through the state space.
//!
//! [`level`] goes level by level: it knows depths, and what it finds first is nearest to the start.
//! [`mod@stateright`] runs stateright's strategies over the same model.

pub mod level;
pub mod path;
pub mod stateright;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When to give up, and what to tell while under way.
pub struct Control {
    /// When the search ends at the latest.
    pub deadline: Option<Instant>,
    /// How many bytes the process may hold.
    pub memory_limit: Option<u64>,
    /// How many bytes the process holds now.
    pub memory_in_use: fn() -> u64,
    /// How far the search has come.
    pub progress: Progress,
    stop: AtomicBool,
}

/// How far a search has come. Written by the search, read by whoever shows it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Distinct states so far.
    pub distinct: AtomicU64,
    /// Transitions so far.
    pub transitions: AtomicU64,
    /// The level that is being expanded, or the greatest depth so far.
    pub depth: AtomicU64,
    /// States that wait to be expanded.
    pub queue: AtomicU64,
}

impl Control {
    /// A search without limits.
    pub fn unlimited() -> Control {
        Control::new(None, None, || 0)
    }

    /// A search with limits.
    pub fn new(
        time_limit: Option<Duration>,
        memory_limit: Option<u64>,
        memory_in_use: fn() -> u64,
    ) -> Control {
        Control {
            deadline: time_limit.map(|limit| Instant::now() + limit),
            memory_limit,
            memory_in_use,
            progress: Progress::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Whether a limit is reached. Once it is, it stays so.
    pub fn exhausted(&self) -> bool {
        if self.stop.load(Ordering::Relaxed) {
            return true;
        }
        let late = self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        let full = self
            .memory_limit
            .is_some_and(|limit| (self.memory_in_use)() >= limit);
        if late || full {
            self.stop();
        }
        late || full
    }

    /// Ends the search early.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the search was ended early.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What a search has counted. Exact when it has come to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Visited states.
    pub distinct: u64,
    /// The states that they stand for, if states were folded.
    pub orbit: u64,
    /// Enabled actions of visited states that change something.
    pub transitions: u64,
    /// The longest shortest path; only a search in level order knows it.
    pub depth: Option<u64>,
}
