//! The control of a search from outside: its progress and the reason to stop it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// The means to watch a search and to stop it from outside.
#[derive(Debug, Default)]
pub struct Control {
    /// The progress of the search.
    pub progress: Progress,
    stop: OnceLock<StopReason>,
    interrupted: AtomicBool,
}

/// The reason why a search was stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The time limit was reached.
    TimeLimit,
    /// The memory limit was reached.
    MemoryLimit,
    /// A checkpoint would have passed the limit of what checkpoints may take on the disk, or the disk
    /// is full.
    DiskLimit,
    /// The user interrupted the search.
    Interrupted,
}

impl StopReason {
    /// Returns the reason as it is printed after INCOMPLETE.
    pub const fn sentence(self) -> &'static str {
        match self {
            StopReason::TimeLimit => "the time limit was reached",
            StopReason::MemoryLimit => "the memory limit was reached",
            StopReason::DiskLimit => "the checkpoint does not fit on the disk or into its limit",
            StopReason::Interrupted => "it was interrupted",
        }
    }
}

/// The progress of a search. The search writes it, and the display reads it.
#[derive(Debug, Default)]
pub struct Progress {
    /// The number of distinct states so far.
    pub distinct: AtomicU64,
    /// The number of transitions so far.
    pub transitions: AtomicU64,
    /// The level that is being expanded, or the greatest depth so far; 0 if the search knows none.
    pub depth: AtomicU64,
    /// The number of states that wait to be expanded.
    pub queue: AtomicU64,
}

impl Control {
    /// Ends the search early. The first reason counts.
    pub fn stop(&self, reason: StopReason) {
        if reason == StopReason::Interrupted {
            self.interrupted.store(true, Ordering::Relaxed);
        }
        self.stop.get_or_init(|| reason);
    }

    /// Returns whether the user interrupted the search, even if a limit had been reached before.
    /// After a limit there is time to make a trace; after an interrupt there is not.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Returns the reason why the search was ended early, if it was.
    pub fn stopped(&self) -> Option<StopReason> {
        self.stop.get().copied()
    }
}

impl Progress {
    /// Adds to the numbers of visited states and transitions.
    pub fn add(&self, distinct: u64, transitions: u64) {
        self.distinct.fetch_add(distinct, Ordering::Relaxed);
        self.transitions.fetch_add(transitions, Ordering::Relaxed);
    }
}
