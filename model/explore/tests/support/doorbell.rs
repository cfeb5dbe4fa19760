//! A visitor rings or knocks once, and a host who is awake takes note of it. An arrival changes nothing
//! but the history, and that only at a host who is awake.

use raft_explore::{Findings, Initial, Input, Relevance, Step, System};
use serde::{Deserialize, Serialize};

/// A visitor and a host.
#[derive(Clone, Copy)]
pub(crate) struct Doorbell {
    /// The place of the host.
    pub(crate) host: usize,
    /// The system claims that a host who sleeps will never take note of a call. That is wrong.
    pub(crate) forgets_what_rings_while_asleep: bool,
    /// Whether the visitor has rung before the search begins.
    pub(crate) has_called: bool,
}

/// A visitor who has not called, and a host who takes note of every call.
pub(crate) const DOORBELL: Doorbell =
    Doorbell { host: 1, forgets_what_rings_while_asleep: false, has_called: false };

/// The most arrivals that the history counts.
pub(crate) const MOST: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Server {
    Visitor { has_called: bool },
    Host { is_awake: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Call {
    Ring,
    Knock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Call(Call),
    WakeUp,
}

/// The numbers of rings and knocks that were noted.
pub(crate) type Noted = (u8, u8);

impl System for Doorbell {
    type Server = Server;
    type Message = Call;
    type Action = Action;
    type Used = ();
    type History = Noted;
    type Fact = Call;

    fn initial(&self) -> Initial<Self> {
        let mut servers = vec![Server::Visitor { has_called: self.has_called }; 2];
        servers[self.host] = Server::Host { is_awake: false };
        let sent = if self.has_called { vec![Call::Ring] } else { Vec::new() };
        let findings = Findings::default();
        Initial { servers, sent, used: (), history: (0, 0), findings }
    }

    fn receiver(&self, _: &Call) -> usize {
        self.host
    }

    fn actions(&self, server: &Server, (): ()) -> Vec<(Action, ())> {
        match server {
            Server::Visitor { has_called: false } => {
                vec![(Action::Call(Call::Ring), ()), (Action::Call(Call::Knock), ())]
            }
            Server::Host { is_awake: false } => vec![(Action::WakeUp, ())],
            _ => Vec::new(),
        }
    }

    fn step(&self, server: &Server, input: Input<'_, Self>) -> Option<Step<Self>> {
        let (server, sent, facts) = match input {
            Input::Act(Action::Call(call)) => {
                (Server::Visitor { has_called: true }, vec![call], vec![])
            }
            Input::Act(Action::WakeUp) => (Server::Host { is_awake: true }, vec![], vec![]),
            Input::Receive(call) if *server == (Server::Host { is_awake: true }) => {
                (*server, vec![], vec![*call])
            }
            Input::Receive(_) => (*server, vec![], vec![]),
        };
        Some(Step { server, sent, facts, findings: Findings::default() })
    }

    fn record(&self, (rings, knocks): &mut Noted, call: &Call) -> Findings {
        let count = if *call == Call::Ring { rings } else { knocks };
        *count = (*count + 1).min(MOST);
        Findings::default()
    }

    fn check(&self, _: &[&Server], _: &Noted) -> Findings {
        Findings::default()
    }

    fn progress(&self, _: &[&Server], (): ()) -> u64 {
        0
    }

    fn renamings(&self) -> Vec<Vec<usize>> {
        vec![vec![0, 1]]
    }

    fn rename_server(&self, _: usize, server: &Server) -> Server {
        *server
    }

    fn rename_message(&self, _: usize, call: &Call) -> Call {
        *call
    }

    fn relevance(&self, _: &Call, receiver: &Server) -> Relevance<Self> {
        let asleep = *receiver == Server::Host { is_awake: false };
        if asleep && self.forgets_what_rings_while_asleep {
            Relevance::Dead
        } else {
            Relevance::Live
        }
    }
}
