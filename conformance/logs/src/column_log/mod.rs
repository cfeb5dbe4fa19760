//! Shows cluster traces and node logs, with one column for each server. The columns show the steps
//! of the servers, their order, and their consequences. This helps people to search for the cause
//! of a problem, so it shows more than it judges.
//!
//! ```text
//! cluster trace --replayed--> Replayed -----------+
//!                                                 +--> Event --Filter--> Columns, JSON or Stats
//! node logs --Merge--> NodeRecord --EventBuilder--+
//! ```
//!
//! | item | purpose |
//! | --- | --- |
//! | [`Event`], [`Topic`] | one line of the picture, and its topic |
//! | [`EventBuilder`] | makes events from the records of a server |
//! | [`Replayed`] | makes events from a cluster trace |
//! | [`NodeLog`], [`Merge`] | read the logs of servers, and merge them into one run |
//! | [`Filter`], [`Columns`], [`Stats`] | select events, and write them |
//! | [`show`] | does all of this, for `raftgate log` |

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
