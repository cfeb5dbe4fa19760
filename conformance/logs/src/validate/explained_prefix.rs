//! The explained prefix of the log of one server.

use super::log_reader::{Located, LogReader};
use super::refusal::Refusal;

/// A server's log, the next record that is not explained yet, and the refusal that stopped it.
#[derive(Debug)]
pub(super) struct ExplainedPrefix {
    pub(super) log: LogReader,
    /// The next record.
    pub(super) next: Option<Located>,
    pub(super) refusal: Option<Refusal>,
}
