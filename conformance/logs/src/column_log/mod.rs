//! Traces and node logs in one column for each server: who did what, in which order, and what came
//! of it. For people who look for the reason of something, so it tells more than it judges.
//!
//! ```text
//! cluster trace --replayed--> Replayed -----------+
//!                                                 +--> Event --Filter--> Columns, JSON or Stats
//! node logs --Merge--> NodeRecord --EventBuilder--+
//! ```
//!
//! | to read | what it is |
//! | --- | --- |
//! | [`Event`], [`Topic`] | one line of the picture |
//! | [`EventBuilder`] | from the records of a server to events |
//! | [`Replayed`] | from a cluster trace to events |
//! | [`NodeLog`], [`Merge`] | from the logs of servers to one run |
//! | [`Filter`], [`Columns`], [`Stats`] | what is shown, and how |
//! | [`show`] | all of it, for `raftgate log` |

mod columns;
mod error;
mod event;
mod event_builder;
mod event_text;
mod event_topic;
mod filter;
mod merge;
mod node_log;
mod show;
mod stats;
mod trace;
mod waiting_messages;

pub use columns::{Columns, Layout, NARROWEST};
pub use error::LogError;
pub use event::{Event, Flag, State};
pub use event_builder::EventBuilder;
pub use event_topic::Topic;
pub use filter::{Filter, Span};
pub use merge::{Merge, Merged, Next, SENT};
pub use node_log::{GrowingFile, Located, NodeLog};
pub use show::{COLUMN_LOG_SCHEMA, COLUMN_LOG_VERSION, Form, Options, show};
pub use stats::{ServerStats, Stats};
pub use trace::{MOST_SERVERS, Replayed, Stuck};
