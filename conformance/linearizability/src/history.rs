//! What clients did and saw: histories, how they are recorded, stored and read.

use std::io::{self, BufRead, Write};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Bytes;

/// An operation on one key, from its invocation on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call<O, A> {
    /// Who called.
    pub client: u64,
    /// The key that it was about.
    pub key: Bytes,
    /// What was asked for.
    pub operation: O,
    /// When it was called: its place in the order of all calls and returns.
    pub invoked: u64,
    /// What became of it.
    pub outcome: Outcome<A>,
}

/// What became of a call, as its client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<A> {
    /// It took effect, once, between the call and the return.
    Ok {
        /// When it returned: its place in the order of all calls and returns.
        returned: u64,
        /// What the service answered.
        answer: A,
    },
    /// It had no effect and will have none.
    NotDone,
    /// It may take effect at any time after its call, or never.
    Unknown,
}

impl<O, A> Call<O, A> {
    /// When it returned and with which answer, if it did.
    pub fn answer(&self) -> Option<(u64, &A)> {
        match &self.outcome {
            Outcome::Ok { returned, answer } => Some((*returned, answer)),
            Outcome::NotDone | Outcome::Unknown => None,
        }
    }

    /// Whether it may take effect at any time after its call, or never.
    pub fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown)
    }
}

/// Calls of many clients. One counter orders all calls and returns: a call that returned before
/// another was invoked has the lower number. Equal numbers count as concurrent.
///
/// Stored as JSON lines, one call in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History<O, A> {
    calls: Vec<Call<O, A>>,
}

/// Why something is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The source cannot be read.
    #[error("the history cannot be read after line {line}: {source}")]
    Read {
        /// The last line that was read, from 1 on.
        line: usize,
        /// Why.
        source: io::Error,
    },
    /// A line is no call.
    #[error("line {line} is no call: {source}")]
    NotACall {
        /// The line, from 1 on.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A call returned before it was invoked.
    #[error(
        "call {place}, of client {client}: invoked at {invoked}, it cannot have returned at \
         {returned}; one counter must number both"
    )]
    ReturnBeforeCall {
        /// The call's place in the history, from 1 on; in a file, its line.
        place: usize,
        /// Who called.
        client: u64,
        /// When.
        invoked: u64,
        /// When it returned.
        returned: u64,
    },
}

/// What was known when an answer came: calls that were under way have an unknown outcome, those
/// that were not invoked did nothing.
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
    /// A history of these calls, in any order.
    ///
    /// # Errors
    ///
    /// A call did not return after its invocation.
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

    /// The calls, in the order in which they were given.
    pub fn calls(&self) -> &[Call<O, A>] {
        &self.calls
    }
}

impl<O: DeserializeOwned, A: DeserializeOwned> History<O, A> {
    /// Reads JSON lines. Empty lines are skipped.
    ///
    /// # Errors
    ///
    /// The source cannot be read, a line is no call, or a call returned before its invocation.
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
    /// Writes JSON lines, which [`read`](History::read) reads.
    ///
    /// # Errors
    ///
    /// The target cannot be written.
    pub fn write(&self, mut target: impl Write) -> io::Result<()> {
        for call in &self.calls {
            serde_json::to_writer(&mut target, call)?;
            target.write_all(b"\n")?;
        }
        target.flush()
    }
}

/// Records a history while clients on one machine make it.
///
/// A call must be [invoked](Recorder::invoke) before it is sent and [returned](Recorder::returned)
/// after its answer came; what lies in between is what was concurrent. A call that never returns
/// has an unknown outcome.
#[derive(Debug)]
pub struct Recorder<O, A> {
    recording: Mutex<Recording<O, A>>,
}

#[derive(Debug)]
struct Recording<O, A> {
    clock: u64,
    calls: Vec<Call<O, A>>,
}

/// Stands for a call that was invoked.
#[derive(Debug)]
#[must_use = "without it, the call's outcome stays unknown"]
pub struct Ticket(usize);

impl<O, A> Default for Recorder<O, A> {
    fn default() -> Recorder<O, A> {
        Recorder { recording: Mutex::new(Recording { clock: 0, calls: Vec::new() }) }
    }
}

impl<O, A> Recorder<O, A> {
    /// Notes that a client is about to call.
    pub fn invoke(&self, client: u64, key: Bytes, operation: O) -> Ticket {
        let mut recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        recording.clock += 1;
        let invoked = recording.clock;
        recording.calls.push(Call { client, key, operation, invoked, outcome: Outcome::Unknown });
        Ticket(recording.calls.len() - 1)
    }

    /// Notes the answer to a call.
    pub fn returned(&self, ticket: Ticket, answer: A) {
        self.finish(ticket, |returned| Outcome::Ok { returned, answer });
    }

    /// Notes that a call has no effect and will have none.
    pub fn not_done(&self, ticket: Ticket) {
        self.finish(ticket, |_| Outcome::NotDone);
    }

    fn finish(&self, Ticket(index): Ticket, outcome: impl FnOnce(u64) -> Outcome<A>) {
        let mut recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        recording.clock += 1;
        let returned = recording.clock;
        // A ticket of another recorder may stand for nothing here.
        if let Some(call) = recording.calls.get_mut(index) {
            call.outcome = outcome(returned);
        }
    }

    /// What was recorded. Calls that have not returned have an unknown outcome.
    pub fn into_history(self) -> History<O, A> {
        let recording = self.recording.into_inner().unwrap_or_else(PoisonError::into_inner);
        History { calls: recording.calls }
    }
}
