//! The systems that can be explored: servers that take inputs, change, and send messages.

use std::fmt::Debug;
use std::hash::Hash;

/// The most servers that a system may have.
pub const MAX_SERVERS: usize = 5;

/// Servers that exchange messages, and the properties of their runs.
///
/// A step depends on one server and one input alone. Properties look at servers, at steps and at the
/// history; the types do not let them look at the network. Both are what the argument for exploring
/// any network rests on (see [`crate`]).
pub trait System: Sync {
    /// The state of one server, with everything around it that a step depends on: its disk, its
    /// timers, its id.
    type Server: Clone + Debug + Eq + Hash + Send + Sync;
    /// A message, with its sender and its receiver.
    type Message: Clone + Debug + Eq + Hash + Send + Sync;
    /// An action that a server takes by itself, for example at a timeout.
    type Action: Copy + Debug + Eq + Hash + Send + Sync;
    /// How much of each bounded kind of action a run has used.
    type Used: Copy + Debug + Eq + Hash + Send + Sync;
    /// What has happened, as far as properties need it and servers do not show it.
    type History: Clone + Debug + Eq + Hash + Send + Sync;
    /// An event of a step that the history records.
    type Fact: Send + Sync;

    /// Where every run begins.
    fn initial(&self) -> Initial<Self>;

    /// The place of the server that receives a message, from 0 on.
    fn receiver(&self, message: &Self::Message) -> usize;

    /// The actions of a server within the bounds, each with the budgets after it.
    fn actions(&self, server: &Self::Server, used: Self::Used) -> Vec<(Self::Action, Self::Used)>;

    /// What a server does at an input; none if it cannot take it, for example while it is down.
    fn step(&self, server: &Self::Server, input: Input<'_, Self>) -> Option<Step<Self>>;

    /// Records a fact in the history.
    fn record(&self, history: &mut Self::History, fact: &Self::Fact) -> Findings;

    /// What all servers together and the history show.
    fn check(&self, servers: &[&Self::Server], history: &Self::History) -> Findings;

    /// Whether a step that breaks these properties ends the search.
    fn ends_search(&self, broken: u64) -> bool {
        broken != 0
    }

    /// How far the servers have come. States are expanded in this order, which saves work if steps
    /// increase it. Nothing else depends on it.
    fn progress(&self, servers: &[&Self::Server], used: Self::Used) -> u64;

    /// The renamings of the servers under which the system behaves alike: where each moves the server
    /// at a place to. The first one moves nothing.
    fn renamings(&self) -> Vec<Vec<usize>>;

    /// A server under a renaming, by the renaming's place in [`renamings`](System::renamings).
    fn rename_server(&self, renaming: usize, server: &Self::Server) -> Self::Server;

    /// A message under a renaming.
    fn rename_message(&self, renaming: usize, message: &Self::Message) -> Self::Message;

    /// Whether a message can still make a difference to its receiver, in this state and in every one
    /// that can follow it.
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
    /// What the way there broke and showed.
    pub findings: Findings,
}

/// An input of a server.
pub enum Input<'s, S: System + ?Sized> {
    /// A message arrives.
    Receive(&'s S::Message),
    /// The server acts by itself.
    Act(S::Action),
}

/// What a server did at an input.
pub struct Step<S: System + ?Sized> {
    /// The server afterwards.
    pub server: S::Server,
    /// The messages that it sent.
    pub sent: Vec<S::Message>,
    /// What the history records.
    pub facts: Vec<S::Fact>,
    /// What the step itself broke and showed.
    pub findings: Findings,
}

/// Whether a message can still make a difference.
pub enum Relevance<S: System + ?Sized> {
    /// It can.
    Live,
    /// It cannot.
    Dead,
    /// It can, but no more and no less than another one that its sender might have sent.
    Like(S::Message),
}

/// Properties that are broken and situations that occurred, as bits that the system gives a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The broken properties.
    pub broken: u64,
    /// The situations.
    pub witnessed: u64,
}

impl Findings {
    /// Adds other findings.
    pub fn extend(&mut self, other: Findings) {
        self.broken |= other.broken;
        self.witnessed |= other.witnessed;
    }
}
