//! Ways through the state space.
//!
//! [`level`] goes level by level: it knows depths, and what it finds first is nearest to the start.
//! [`mod@stateright`] runs stateright's strategies over the same model.

pub mod level;
pub mod path;
pub mod stateright;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// How a search is watched and stopped from outside.
#[derive(Debug, Default)]
pub struct Control {
    /// How far the search has come.
    pub progress: Progress,
    stop: OnceLock<StopReason>,
    interrupted: AtomicBool,
}

/// Why a search was stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The time limit was reached.
    TimeLimit,
    /// The memory limit was reached.
    MemoryLimit,
    /// Somebody asked for an end.
    Interrupted,
}

impl StopReason {
    /// As it stands behind INCOMPLETE.
    pub const fn sentence(self) -> &'static str {
        match self {
            StopReason::TimeLimit => "the time limit was reached",
            StopReason::MemoryLimit => "the memory limit was reached",
            StopReason::Interrupted => "it was interrupted",
        }
    }
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
    /// Ends the search early. The first reason counts.
    pub fn stop(&self, reason: StopReason) {
        if reason == StopReason::Interrupted {
            self.interrupted.store(true, Ordering::Relaxed);
        }
        self.stop.get_or_init(|| reason);
    }

    /// Whether somebody asked for an end, also if a limit had been reached before. Then there is no
    /// time for a trace either, which a limit leaves.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Why the search was ended early, if it was.
    pub fn stopped(&self) -> Option<StopReason> {
        self.stop.get().copied()
    }
}

impl Progress {
    /// Adds to what has been visited.
    pub(crate) fn add(&self, distinct: u64, transitions: u64) {
        self.distinct.fetch_add(distinct, Ordering::Relaxed);
        self.transitions.fetch_add(transitions, Ordering::Relaxed);
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
