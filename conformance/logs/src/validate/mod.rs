//! Decides whether the logs of a real cluster are a behaviour of the model.
//!
//! A node log records each input of a server, the effects of the step, and the state after it
//! ([`raft_trace::NodeRecord`]). The servers share no clock. Only two things are known: the order
//! of the steps of each server, and that a message is received after it was sent.
//!
//! The logs are explained if all of the following holds. Otherwise they are refused, at the first
//! records for which it does not hold:
//!
//! - **The steps are the model's.** Each incarnation is repeated with `raft_core::step`, from the
//!   disk state in its start record. The effects and the digest of each step are equal to those in
//!   the log, field by field.
//! - **The lines are all there.** The steps of an incarnation are numbered without a gap. A line
//!   that is cut short was cut by a kill: it ends its incarnation, and is reported.
//! - **The environment is the model's** ([`EnvironmentRule`]). Disks keep the writes that they
//!   report durable, in order. State machines do the tasks that they are given, in order.
//! - **The messages are the model's.** Every message that a server receives was sent by its sender
//!   to this server, and had left the sender. A message that confirms a write leaves only after
//!   that write is durable. A message may arrive any number of times, in any order, or never.
//! - **There is a global order** of all steps of all servers in which this holds.
//! - **The properties hold** along this order: Figure 3 and the additional properties of the
//!   checker, checked in a cheap form (the table is in `history.rs`).
//!
//! A server must write a step to its log before any effect of the step is visible outside of the
//! server. Otherwise a kill can remove the record that explains what other servers have received.
//!
//! # Undetected changes
//!
//! A changed log is accepted if it is another behaviour of the model. There are three cases. The
//! last lines of an incarnation are missing, and no other server has seen anything of them; a kill
//! has the same effect. Steps that do not depend on each other have changed places, and are
//! numbered accordingly. A message has been replaced by an equal one.

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

/// Options of the validation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether the logs begin in the middle of the cluster's life. If so, the first start of each
    /// log is accepted as it is.
    pub resumed: bool,
}

/// The progress of the validation.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The number of records that are explained.
    pub records: u64,
    /// The number of bytes that were read.
    pub bytes: u64,
    /// The number of bytes of all logs.
    pub total: u64,
}

/// Decides whether node logs can be explained. There is one file for each server, in any order.
///
/// # Errors
///
/// Fails if a file cannot be read, a line is not a line of a node log, or the logs do not belong
/// together.
pub fn validate(
    logs: &[PathBuf],
    options: Options,
    tell: &mut dyn FnMut(Progress),
) -> Result<Report, ReadError> {
    let mut merge = global_order::Merge::open(logs, options)?;
    merge.run(tell)?;
    Ok(Report::of(&merge))
}
