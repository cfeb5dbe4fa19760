//! Histories of the calls of clients: how they are recorded, stored and read.

use std::io::{self, BufRead, Write};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Bytes;

/// A call: an operation on one key, with its invocation and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call<O, A> {
    /// The client that made the call.
    pub client: u64,
    /// The key that the operation concerns.
    pub key: Bytes,
    /// The requested operation.
    pub operation: O,
    /// The time of the invocation: its number in the order of all invocations and returns.
    pub invoked: u64,
    /// The outcome of the call.
    pub outcome: Outcome<A>,
}

/// The outcome of a call, as its client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<A> {
    /// The operation took effect once, between the invocation and the return.
    Ok {
        /// The time of the return: its number in the order of all invocations and returns.
        returned: u64,
        /// The answer of the service.
        answer: A,
    },
    /// The operation had no effect and will have none.
    NotDone,
    /// The operation may take effect at any time after its invocation, or never.
    Unknown,
}

impl<O, A> Call<O, A> {
    /// Returns the time of the return and the answer, if there is an answer.
    pub fn answer(&self) -> Option<(u64, &A)> {
        match &self.outcome {
            Outcome::Ok { returned, answer } => Some((*returned, answer)),
            Outcome::NotDone | Outcome::Unknown => None,
        }
    }

    /// Returns whether the outcome is unknown.
    pub fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown)
    }
}

/// The calls of many clients. One counter numbers all invocations and returns. If one call returned
/// before another was invoked, the return has the lower number. Calls with equal numbers count as
/// concurrent.
///
/// A history is stored as JSON lines, one call per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History<O, A> {
    calls: Vec<Call<O, A>>,
}

/// The reason why some input is not a history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The source cannot be read.
    #[error("the history cannot be read after line {line}: {source}")]
    Read {
        /// The last line that was read, counted from 1.
        line: usize,
        /// The I/O error.
        source: io::Error,
    },
    /// A line is not a call.
    #[error("line {line} is no call: {source}")]
    NotACall {
        /// The line, counted from 1.
        line: usize,
        /// The JSON error.
        source: serde_json::Error,
    },
    /// A call did not return after its invocation.
    #[error(
        "call {place}, of client {client}: invoked at {invoked}, it cannot have returned at \
         {returned}; one counter must number both"
    )]
    ReturnBeforeCall {
        /// The call's position in the history, counted from 1. In a file without empty lines, this
        /// is its line.
        place: usize,
        /// The client that made the call.
        client: u64,
        /// The time of the invocation.
        invoked: u64,
        /// The time of the return.
        returned: u64,
    },
}

/// Returns the calls as they were known at time `last`. A call that had not returned by then has an
/// unknown outcome. A call that was invoked later is marked as not done.
pub(super) fn until<O: Clone, A: Clone>(calls: &[Call<O, A>], last: u64) -> Vec<Call<O, A>> {
    let shorten = |call: &Call<O, A>| {
        let outcome = match &call.outcome {
            _ if call.invoked > last => Outcome::NotDone,
            Outcome::Ok { returned, .. } if *returned > last => Outcome::Unknown,
            outcome => outcome.clone(),
        };
        Call { outcome, ..call.clone() }
    };
    calls.iter().map(shorten).collect()
}

impl<O, A> History<O, A> {
    /// Creates a history of these calls, which may be in any order.
    ///
    /// # Errors
    ///
    /// Fails if a call did not return after its invocation.
    pub fn new(calls: Vec<Call<O, A>>) -> Result<History<O, A>, HistoryError> {
        for (index, call) in calls.iter().enumerate() {
            match call.answer() {
                Some((returned, _)) if returned <= call.invoked => {
                    return Err(HistoryError::ReturnBeforeCall {
                        place: index + 1,
                        client: call.client,
                        invoked: call.invoked,
                        returned,
                    });
                }
                _ => {}
            }
        }
        Ok(History { calls })
    }

    /// Returns the calls, in the order in which they were given.
    pub fn calls(&self) -> &[Call<O, A>] {
        &self.calls
    }
}

impl<O: DeserializeOwned, A: DeserializeOwned> History<O, A> {
    /// Reads JSON lines. Empty lines are skipped.
    ///
    /// # Errors
    ///
    /// Fails if the source cannot be read, a line is not a call, or a call did not return after its
    /// invocation.
    pub fn read(source: impl BufRead) -> Result<History<O, A>, HistoryError> {
        let mut calls = Vec::new();
        for (index, line) in source.lines().enumerate() {
            let line = line.map_err(|source| HistoryError::Read { line: index, source })?;
            if line.trim().is_empty() {
                continue;
            }
            let call = serde_json::from_str(&line)
                .map_err(|source| HistoryError::NotACall { line: index + 1, source })?;
            calls.push(call);
        }
        History::new(calls)
    }
}

impl<O: Serialize, A: Serialize> History<O, A> {
    /// Writes JSON lines that [`read`](History::read) can read.
    ///
    /// # Errors
    ///
    /// Fails if the target cannot be written.
    pub fn write(&self, mut target: impl Write) -> io::Result<()> {
        for call in &self.calls {
            serde_json::to_writer(&mut target, call)?;
            target.write_all(b"\n")?;
        }
        target.flush()
    }
}

/// A recorder of the calls of clients on one machine.
///
/// A call must be [invoked](Recorder::invoke) before its request is sent, and
/// [returned](Recorder::returned) after its answer has arrived. Two calls are concurrent if these
/// periods overlap. A call that never returns has an unknown outcome.
#[derive(Debug)]
pub struct Recorder<O, A> {
    recording: Mutex<Recording<O, A>>,
}

#[derive(Debug)]
struct Recording<O, A> {
    clock: u64,
    calls: Vec<Call<O, A>>,
}

/// The handle of a call that was invoked.
#[derive(Debug)]
#[must_use = "without it, the call's outcome stays unknown"]
pub struct Ticket(usize);

impl<O, A> Default for Recorder<O, A> {
    fn default() -> Recorder<O, A> {
        Recorder { recording: Mutex::new(Recording { clock: 0, calls: Vec::new() }) }
    }
}

impl<O, A> Recorder<O, A> {
    /// Records that a client is about to make a call.
    pub fn invoke(&self, client: u64, key: Bytes, operation: O) -> Ticket {
        let mut recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        recording.clock += 1;
        let invoked = recording.clock;
        recording.calls.push(Call { client, key, operation, invoked, outcome: Outcome::Unknown });
        Ticket(recording.calls.len() - 1)
    }

    /// Records the answer to a call.
    pub fn returned(&self, ticket: Ticket, answer: A) {
        self.finish(ticket, |returned| Outcome::Ok { returned, answer });
    }

    /// Records that a call has no effect and will have none.
    pub fn not_done(&self, ticket: Ticket) {
        self.finish(ticket, |_| Outcome::NotDone);
    }

    fn finish(&self, Ticket(index): Ticket, outcome: impl FnOnce(u64) -> Outcome<A>) {
        let mut recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        recording.clock += 1;
        let returned = recording.clock;
        // The ticket may come from another recorder, which can have more calls.
        if let Some(call) = recording.calls.get_mut(index) {
            call.outcome = outcome(returned);
        }
    }

    /// Returns the recorded history. Calls that have not returned have an unknown outcome.
    pub fn into_history(self) -> History<O, A> {
        let recording = self.recording.into_inner().unwrap_or_else(PoisonError::into_inner);
        History { calls: recording.calls }
    }
}
