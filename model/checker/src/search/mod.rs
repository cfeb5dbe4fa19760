//! Searches of the state space.
//!
//! [`level`] searches level by level. It knows depths, and the first state that it finds is nearest
//! to the start. [`mod@stateright`] runs stateright's strategies over the same model.

pub mod level;
pub mod path;
pub mod stateright;

pub use raft_explore::control::{Control, Progress, StopReason};

/// The counts of a search. They are exact when the search has come to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Visited states.
    pub distinct: u64,
    /// The number of states that they stand for, if states were folded.
    pub orbit: u64,
    /// Enabled actions of visited states that change something.
    pub transitions: u64,
    /// The longest of the shortest paths to a state; only a search in level order knows it.
    pub depth: Option<u64>,
}
