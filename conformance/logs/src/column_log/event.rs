//! An event: one line of the picture.

use std::fmt;

use raft_core::{Index, NodeId, Term};
use raft_trace::NodeDigest;
use serde::{Serialize, Serializer};

use super::event_topic::Topic;

/// An event of a server, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The step of the event. A step has one or more events.
    pub step: u64,
    /// The server in whose column the event is shown.
    pub server: NodeId,
    /// The topic of the event.
    pub topic: Topic,
    /// The term that the event concerns: the term of a message, otherwise the term of the server.
    pub term: Option<Term>,
    /// The first and the last log index that the event concerns.
    #[serde(rename = "index")]
    pub indexes: Option<(Index, Index)>,
    /// The state of the server after the step; `None` if the server is down.
    pub state: Option<State>,
    /// The problem with the event, if there is one.
    pub flag: Flag,
    /// The text of the event.
    pub text: String,
}

/// A problem with an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Flag {
    /// No problem.
    #[default]
    None,
    /// The message that arrived had already arrived before.
    Repeated,
    /// No shown log contains the sending of the message that arrived.
    Unsent,
    /// The step breaks a property.
    Broken,
}

impl Flag {
    /// Returns the mark in the margin.
    pub const fn mark(self) -> char {
        match self {
            Flag::None => ' ',
            Flag::Repeated => '=',
            Flag::Unsent => '?',
            Flag::Broken => 'X',
        }
    }
}

/// The state of a server in short form. `L3 c7 a6` leads term 3, knows entries up to 7 to be
/// committed, and has applied them up to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The role: `F` (follower), `C` (candidate) or `L` (leader).
    pub role: char,
    /// Its current term.
    pub term: Term,
    /// Its commit index.
    pub commit: Index,
    /// The last index that the server knows to be applied.
    pub applied: Index,
}

impl State {
    /// Returns the part of a digest that is shown.
    pub fn of(digest: &NodeDigest) -> State {
        let NodeDigest { role, term, commit, applied, .. } = digest;
        State { role: role.to_ascii_uppercase(), term: *term, commit: *commit, applied: *applied }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { role, term, commit, applied } = self;
        write!(f, "{role}{term} c{commit} a{applied}")
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
