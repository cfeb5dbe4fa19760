//! Whether the logs of a real cluster are a behaviour of the model.
//!
//! A node log says what each server was told, what it asked for, and where that left it
//! ([`raft_trace::NodeRecord`]). There is no clock in it that servers share; what is known is the
//! order of the steps of each server, and that a message is received after it was sent.
//!
//! The logs are explained if all of the following holds, and refused at the first records for which
//! it does not:
//!
//! - **The steps are the model's.** Each incarnation is repeated on `raft_core::step`, from what its
//!   start says was on the disk; effects and digest of each step are equal, field by field.
//! - **The lines are all there**: the steps of an incarnation are numbered without a gap. A line that
//!   is cut short is one that a kill cut: it ends its incarnation, and is reported.
//! - **The world is the model's** ([`EnvironmentRule`]): disks keep what they report durable, in order, and
//!   state machines do what they are asked to do, in order.
//! - **Messages are the model's**: whatever is received was sent, by that server to this one, and had
//!   left it, which a message that confirms a write does only after that write is durable. It may
//!   arrive any number of times, in any order, or never.
//! - **There is a global order** of all steps of all servers in which that is so.
//! - **The properties hold** along this order: Figure 3 and what the checker adds to it, checked in a
//!   cheap form (the table is in `history.rs`).
//!
//! A server must write a step to its log before anything of the step can be seen outside of it;
//! otherwise a kill can take away the explanation of what others have seen.
//!
//! # What goes unnoticed
//!
//! A log that is another behaviour of the model. That is so if the last lines of an incarnation are
//! missing and nobody has seen anything of them (this is what a kill does), if steps change places
//! that do not depend on each other and are numbered accordingly, or if a message is put in the place
//! of an equal one.

mod diagnosis;
mod difference;
mod environment;
mod explained_prefix;
mod global_order;
mod history;
mod log_reader;
mod network;
mod refusal;
mod replica;
mod report;

use std::path::PathBuf;

pub use difference::Difference;
pub use environment::EnvironmentRule;
pub use log_reader::ReadError;
pub use network::MessageCounts;
pub use refusal::{Dependence, Refusal};
pub use report::{Incomplete, Report, ServerReport};

/// What is known about the logs beforehand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The logs begin in the middle of the cluster's life: the first start of each is believed.
    pub resumed: bool,
}

/// How far the reading has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// How many records are explained.
    pub records: u64,
    /// How many bytes were read.
    pub bytes: u64,
    /// How many there are.
    pub total: u64,
}

/// Looks for an explanation of node logs, one file for each server, in any order.
///
/// # Errors
///
/// A file cannot be read, a line is not one of a node log, or the logs do not belong together.
pub fn validate(
    logs: &[PathBuf],
    options: Options,
    tell: &mut dyn FnMut(Progress),
) -> Result<Report, ReadError> {
    let mut merge = global_order::Merge::open(logs, options)?;
    merge.run(tell)?;
    Ok(Report::of(&merge))
}
