//! The systems that can be explored: servers that take inputs, change, and send messages.

use std::fmt::Debug;
use std::hash::Hash;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The most servers that a system may have.
pub const MAX_SERVERS: usize = 5;

/// Servers that exchange messages, and the properties of their runs.
///
/// A step depends only on one server and one input. Properties look at servers, at steps and at the
/// history; the types give them no access to the network. The argument for exploring any network
/// rests on both facts (see [`crate::any_network`]).
pub trait System: Send + Sync {
    /// The state of one server, including everything else that its steps depend on: its disk, its
    /// timers, its id.
    type Server: Clone + Debug + Eq + Hash + Send + Sync + Serialize + DeserializeOwned;
    /// A message, with its sender and its receiver.
    type Message: Clone + Debug + Eq + Hash + Send + Sync + Serialize + DeserializeOwned;
    /// An action that a server takes by itself, for example at a timeout.
    type Action: Copy + Debug + Eq + Hash + Send + Sync;
    /// The budgets that a run has used: a count for each bounded kind of action.
    type Used: Copy + Debug + Eq + Hash + Send + Sync + Serialize + DeserializeOwned;
    /// The past events that properties need and that the states of the servers do not show.
    type History: Clone + Debug + Eq + Hash + Send + Sync + Serialize + DeserializeOwned;
    /// An event of a step that the history records.
    type Fact: PartialEq + Send + Sync;

    /// Where every run begins.
    fn initial(&self) -> Initial<Self>;

    /// Returns the place of the server that receives a message. Places start at 0.
    fn receiver(&self, message: &Self::Message) -> usize;

    /// Returns the actions that a server can take within the bounds, each with the budgets after
    /// it.
    fn actions(&self, server: &Self::Server, used: Self::Used) -> Vec<(Self::Action, Self::Used)>;

    /// Returns the step of a server at an input; none if the server cannot take the input, for
    /// example while it is down.
    fn step(&self, server: &Self::Server, input: Input<'_, Self>) -> Option<Step<Self>>;

    /// Records a fact in the history.
    fn record(&self, history: &mut Self::History, fact: &Self::Fact) -> Findings;

    /// Returns the findings in all servers together and the history.
    fn check(&self, servers: &[&Self::Server], history: &Self::History) -> Findings;

    /// Returns whether [`check`](System::check) can return other findings after one server has
    /// changed like this.
    fn affects_check(&self, before: &Self::Server, after: &Self::Server) -> bool {
        before != after
    }

    /// Returns further findings, which take long to compute. They are computed once for each state
    /// that is visited, and only if [`examines`](System::examines) is true.
    ///
    /// `in_flight` are the messages of a bounded network. A network without bounds may have lost
    /// every message, so over any network the list is empty.
    fn examine(
        &self,
        _servers: &[&Self::Server],
        _in_flight: &[&Self::Message],
        _history: &Self::History,
    ) -> Findings {
        Findings::default()
    }

    /// Returns whether [`examine`](System::examine) can find anything.
    fn examines(&self) -> bool {
        false
    }

    /// Returns the properties whose violation ends a search, as bits.
    fn ends_search(&self) -> u64 {
        u64::MAX
    }

    /// Returns a number for the progress of the servers. States are expanded in ascending order of
    /// this number, which saves work if steps increase it. Nothing else depends on it.
    fn progress(&self, servers: &[&Self::Server], used: Self::Used) -> u64;

    /// Returns the renamings of the servers under which the system behaves the same. Each renaming
    /// lists, for every place, the new place of the server. The first renaming moves nothing.
    fn renamings(&self) -> Vec<Vec<usize>>;

    /// Renames a server. `renaming` is the renaming's place in [`renamings`](System::renamings).
    fn rename_server(&self, renaming: usize, server: &Self::Server) -> Self::Server;

    /// Renames a message.
    fn rename_message(&self, renaming: usize, message: &Self::Message) -> Self::Message;

    /// Decides whether a message can still make a difference to its receiver, in this state or in
    /// any state that can follow it.
    fn relevance(&self, message: &Self::Message, receiver: &Self::Server) -> Relevance<Self>;
}

/// Where every run begins.
pub struct Initial<S: System + ?Sized> {
    /// The servers.
    pub servers: Vec<S::Server>,
    /// The messages that have been sent.
    pub sent: Vec<S::Message>,
    /// The budgets that have been used.
    pub used: S::Used,
    /// The history.
    pub history: S::History,
    /// The findings of the steps before this state.
    pub findings: Findings,
}

/// An input of a server.
pub enum Input<'s, S: System + ?Sized> {
    /// A message arrives.
    Receive(&'s S::Message),
    /// The server takes an action by itself.
    Act(S::Action),
}

/// The result of a server's step at an input.
pub struct Step<S: System + ?Sized> {
    /// The server after the step.
    pub server: S::Server,
    /// The messages that it sent.
    pub sent: Vec<S::Message>,
    /// The facts for the history to record.
    pub facts: Vec<S::Fact>,
    /// The findings of the step itself.
    pub findings: Findings,
}

/// A step of a run.
pub enum RunStep<S: System> {
    /// The server at a place acts by itself.
    Act(usize, S::Action),
    /// A message arrives.
    Receive(S::Message),
    /// The network loses a message.
    Lose(S::Message),
    /// The network repeats a message.
    Repeat(S::Message),
}

/// Whether a message can still make a difference.
pub enum Relevance<S: System + ?Sized> {
    /// It can.
    Live,
    /// It cannot.
    Dead,
    /// It can, and its effect is the same as that of another message that its sender might have
    /// sent.
    Like(S::Message),
}

/// Broken properties and situations that occurred, as bits. The system defines the meaning of each
/// bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Findings {
    /// The broken properties.
    pub broken: u64,
    /// The situations that occurred.
    pub witnessed: u64,
}

impl Findings {
    /// Returns whether it includes all of the other findings.
    pub fn include(self, other: Findings) -> bool {
        other.broken & !self.broken == 0 && other.witnessed & !self.witnessed == 0
    }

    /// Adds other findings.
    pub fn extend(&mut self, other: Findings) {
        self.broken |= other.broken;
        self.witnessed |= other.witnessed;
    }
}
