//! Whether what clients saw can be explained by one copy of the data.
//!
//! A history is linearizable if all its operations can be put into one order in which every answer
//! is what a single object would have answered, and in which an operation that returned before
//! another was called stands before it (Herlihy and Wing, 1990). Operations of unknown outcome may
//! stand anywhere after their call, or nowhere.
//!
//! Linearizability is local: a history is linearizable if and only if the part of it that concerns
//! each key is. So [`check`] goes key by key. How one key is searched stands in `search`, why a new
//! checker at all in its `README.md`.
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
