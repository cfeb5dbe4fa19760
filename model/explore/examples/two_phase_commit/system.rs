//! Two-phase commit over any network: Gray and Lamport, *Consensus on Transaction Commit* (2006),
//! section 3. The coordinator is server 0; the others are participants.

use std::collections::BTreeSet;

use raft_explore::{Findings, Initial, Input, MAX_SERVERS, Relevance, Step, System};
use serde::{Deserialize, Serialize};

/// Two-phase commit, correct or with a mistake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TwoPhaseCommit {
    /// The number of participants.
    pub(crate) participants: usize,
    /// The number of prepared participants that the coordinator needs to commit. The mistake is a
    /// number below `participants`.
    pub(crate) enough: usize,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Server {
    /// The coordinator, with its decision and the participants that it knows to be prepared.
    Coordinator(Decision, BTreeSet<usize>),
    /// A participant, with its place and its state.
    Participant(usize, Participant),
}

/// The decision of the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Decision {
    /// No decision yet.
    Open,
    /// To commit.
    Commit,
    /// To abort.
    Abort,
}

/// The state of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Participant {
    /// It works on the transaction.
    Working,
    /// It can commit, and has sent this to the coordinator.
    Prepared,
    /// It has committed.
    Committed,
    /// It has aborted.
    Aborted,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Message {
    /// From a participant to the coordinator.
    Prepared(usize),
    /// To a participant.
    Commit(usize),
    /// To a participant.
    Abort(usize),
}

/// An action that a server takes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A participant is ready to commit.
    Prepare,
    /// A participant aborts by itself.
    GiveUp,
    /// The coordinator decides to commit.
    Commit,
    /// The coordinator decides to abort.
    Abort,
}

/// The property: no participant commits if another one aborts.
pub(crate) const CONSISTENT: u64 = 1;
/// The situation: all participants have committed.
pub(crate) const ALL_COMMITTED: u64 = 1;

impl System for TwoPhaseCommit {
    type Server = Server;
    type Message = Message;
    type Action = Action;
    type Used = ();
    type History = ();
    type Fact = ();

    fn initial(&self) -> Initial<Self> {
        let coordinator = Server::Coordinator(Decision::Open, BTreeSet::new());
        let participants =
            (1..=self.participants).map(|place| Server::Participant(place, Participant::Working));
        Initial {
            servers: std::iter::once(coordinator).chain(participants).collect(),
            sent: Vec::new(),
            used: (),
            history: (),
            findings: Findings::default(),
        }
    }

    fn receiver(&self, message: &Message) -> usize {
        match message {
            Message::Prepared(_) => 0,
            Message::Commit(to) | Message::Abort(to) => *to,
        }
    }

    fn actions(&self, server: &Server, (): ()) -> Vec<(Action, ())> {
        let actions = match server {
            Server::Participant(_, Participant::Working) => vec![Action::Prepare, Action::GiveUp],
            Server::Coordinator(Decision::Open, prepared) if prepared.len() >= self.enough => {
                vec![Action::Commit, Action::Abort]
            }
            Server::Coordinator(Decision::Open, _) => vec![Action::Abort],
            _ => Vec::new(),
        };
        actions.into_iter().map(|action| (action, ())).collect()
    }

    fn step(&self, server: &Server, input: Input<'_, Self>) -> Option<Step<Self>> {
        let mut sent = Vec::new();
        let mut to_all = |message: fn(usize) -> Message| {
            sent.extend((1..=self.participants).map(message));
        };
        let server = match (server.clone(), input) {
            (Server::Coordinator(Decision::Open, mut prepared), input) => match input {
                Input::Receive(Message::Prepared(from)) => {
                    prepared.insert(*from);
                    Server::Coordinator(Decision::Open, prepared)
                }
                Input::Act(Action::Commit) => {
                    to_all(Message::Commit);
                    Server::Coordinator(Decision::Commit, prepared)
                }
                _ => {
                    to_all(Message::Abort);
                    Server::Coordinator(Decision::Abort, prepared)
                }
            },
            (Server::Participant(place, _), input) => match input {
                Input::Receive(Message::Commit(_)) => {
                    Server::Participant(place, Participant::Committed)
                }
                Input::Act(Action::Prepare) => {
                    sent.push(Message::Prepared(place));
                    Server::Participant(place, Participant::Prepared)
                }
                _ => Server::Participant(place, Participant::Aborted),
            },
            (decided, _) => decided,
        };
        Some(Step { server, sent, facts: Vec::new(), findings: Findings::default() })
    }

    fn record(&self, (): &mut (), (): &()) -> Findings {
        Findings::default()
    }

    fn check(&self, servers: &[&Server], (): &()) -> Findings {
        let is = |state| {
            servers.iter().filter(move |s| matches!(s, Server::Participant(_, p) if *p == state))
        };
        let committed = is(Participant::Committed).count();
        let broken = committed > 0 && is(Participant::Aborted).count() > 0;
        Findings {
            broken: if broken { CONSISTENT } else { 0 },
            witnessed: if committed == self.participants { ALL_COMMITTED } else { 0 },
        }
    }

    fn progress(&self, servers: &[&Server], (): ()) -> u64 {
        let progress = |server: &&Server| match server {
            Server::Coordinator(Decision::Open, prepared) => prepared.len(),
            Server::Coordinator(..) => MAX_SERVERS,
            Server::Participant(_, Participant::Working) => 0,
            Server::Participant(_, Participant::Prepared) => 1,
            Server::Participant(..) => 2,
        };
        servers.iter().map(progress).sum::<usize>() as u64
    }

    /// The coordinator keeps its place, and participants change places.
    fn renamings(&self) -> Vec<Vec<usize>> {
        let mut all = vec![vec![0]];
        for place in 1..=self.participants {
            let insert = |before: &Vec<usize>| {
                let before = before.clone();
                (1..=before.len()).rev().map(move |at| {
                    let mut after = before.clone();
                    after.insert(at, place);
                    after
                })
            };
            all = all.iter().flat_map(insert).collect();
        }
        all
    }

    fn rename_server(&self, renaming: usize, server: &Server) -> Server {
        let places = &self.renamings()[renaming];
        match server {
            Server::Coordinator(decision, prepared) => {
                let prepared = prepared.iter().map(|place| places[*place]).collect();
                Server::Coordinator(*decision, prepared)
            }
            Server::Participant(place, state) => Server::Participant(places[*place], *state),
        }
    }

    fn rename_message(&self, renaming: usize, message: &Message) -> Message {
        let places = &self.renamings()[renaming];
        match message {
            Message::Prepared(from) => Message::Prepared(places[*from]),
            Message::Commit(to) => Message::Commit(places[*to]),
            Message::Abort(to) => Message::Abort(places[*to]),
        }
    }

    fn relevance(&self, message: &Message, receiver: &Server) -> Relevance<Self> {
        match (message, receiver) {
            (Message::Prepared(from), Server::Coordinator(decision, prepared))
                if *decision != Decision::Open || prepared.contains(from) =>
            {
                Relevance::Dead
            }
            _ => Relevance::Live,
        }
    }
}
