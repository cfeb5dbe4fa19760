//! Decides whether the answers that clients received can be explained by a single copy of the data.
//!
//! A history is linearizable if all its operations can be put into one order that meets two
//! conditions (Herlihy and Wing, 1990). Every answer is the answer that a single object gives in
//! this order. An operation that returned before another one was called stands before it. An
//! operation of unknown outcome may stand anywhere after its call, or be left out.
//!
//! Linearizability is local: a history is linearizable if and only if, for each key, the part of it
//! that concerns this key is linearizable. So [`check`] checks each key separately. The module
//! `search` describes the search for one key. `README.md` explains why this crate has its own
//! checker.
//!
//! # Example
//!
//! ```
//! use raft_linearizability::{Answer, KvModel, Limit, Operation, Recorder, check};
//!
//! let recorder = Recorder::default();
//! let put = recorder.invoke(1, "k".into(), Operation::Put { value: "a".into() });
//! recorder.returned(put, Answer::Written { version: 1, length: 1 });
//! let get = recorder.invoke(2, "k".into(), Operation::Get);
//! recorder.returned(get, Answer::Missing);
//!
//! let report = check::<KvModel>(&recorder.into_history(), Limit::default());
//! assert!(!report.is_linearizable());
//! assert!(report.to_string().contains("client 2: get -> absent"));
//! ```

mod bit_set;
mod bytes;
mod conflict;
mod conflict_window;
mod explain;
mod history;
mod kv;
mod model;
mod observed_values;
mod operation;
mod report;
mod search;
mod search_limit;
mod unknown_outcomes;
mod unversioned_kv;

pub use bytes::Bytes;
pub use conflict::{Conflict, conflict};
pub use explain::{Explanation, Line};
pub use history::{Call, History, HistoryError, Outcome, Recorder, Ticket};
pub use kv::{KvModel, KvState};
pub use model::{Effect, Model};
pub use operation::{Answer, Operation};
pub use report::{KeyReport, Report, Verdict, check};
pub use search_limit::Limit;
pub use unversioned_kv::{ValueAnswer, ValueModel, ValueOperation, ValueState};
