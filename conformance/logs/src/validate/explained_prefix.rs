//! How far the log of one server is explained.

use super::log_reader::{Located, LogReader};
use super::refusal::Refusal;

/// A server's log, as far as it is read, and what stopped it.
#[derive(Debug)]
pub(super) struct ExplainedPrefix {
    pub(super) log: LogReader,
    /// The next record.
    pub(super) next: Option<Located>,
    pub(super) refusal: Option<Refusal>,
}
