//! One line of the picture.

use std::fmt;

use raft_core::{Index, NodeId, Term};
use raft_trace::NodeDigest;
use serde::{Serialize, Serializer};

use super::event_topic::Topic;

/// Something that happened to a server, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The step that it belongs to. A step has one event or several.
    pub step: u64,
    /// In whose column it stands.
    pub server: NodeId,
    /// What it is about.
    pub topic: Topic,
    /// The term that it concerns: a message's own, otherwise the server's.
    pub term: Option<Term>,
    /// The first and the last log index that it concerns.
    #[serde(rename = "index")]
    pub indexes: Option<(Index, Index)>,
    /// How the step left the server; nothing if it is down.
    pub state: Option<State>,
    /// Whether there is something wrong with it.
    pub flag: Flag,
    /// What happened, in words.
    pub text: String,
}

/// Whether there is something wrong with an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Flag {
    /// Nothing.
    #[default]
    None,
    /// The message that arrived had arrived before.
    Repeated,
    /// No log that is shown says that the message which arrived was sent.
    Unsent,
    /// A property is broken here.
    Broken,
}

impl Flag {
    /// What stands in the margin.
    pub const fn mark(self) -> char {
        match self {
            Flag::None => ' ',
            Flag::Repeated => '=',
            Flag::Unsent => '?',
            Flag::Broken => 'X',
        }
    }
}

/// A server in a word or three: `L3 c7 a6` leads term 3, knows entries up to 7 to be committed, and
/// has applied them up to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// `F`, `C` or `L`.
    pub role: char,
    /// Its current term.
    pub term: Term,
    /// Its commit index.
    pub commit: Index,
    /// The last index that it knows to be applied.
    pub applied: Index,
}

impl State {
    /// What of a digest is shown.
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
