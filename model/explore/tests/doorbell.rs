//! A small system in which a message changes nothing but the history, and that only at a server which
//! is awake.

use std::collections::HashSet;
use std::sync::Arc;

use raft_explore::any_network::{Options, explore};
use raft_explore::control::Control;
use raft_explore::{Findings, Initial, Input, Relevance, Step, System, explicit};
use serde::{Deserialize, Serialize};

/// A visitor rings, and a host who is awake takes note of it.
#[derive(Clone, Copy)]
struct Doorbell {
    /// The system claims that a host who sleeps will never take note of the message. That is wrong.
    forgets_what_rings_while_asleep: bool,
}

const CORRECT: Doorbell = Doorbell { forgets_what_rings_while_asleep: false };

/// The most arrivals that the history counts.
const MOST: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Server {
    Visitor { has_rung: bool },
    Host { is_awake: bool },
}

impl System for Doorbell {
    type Server = Server;
    type Message = ();
    type Action = ();
    type Used = ();
    type History = u8;
    type Fact = ();

    fn initial(&self) -> Initial<Self> {
        Initial {
            servers: vec![Server::Visitor { has_rung: false }, Server::Host { is_awake: false }],
            sent: Vec::new(),
            used: (),
            history: 0,
            findings: Findings::default(),
        }
    }

    fn receiver(&self, (): &()) -> usize {
        1
    }

    fn actions(&self, server: &Server, (): ()) -> Vec<((), ())> {
        match server {
            Server::Visitor { has_rung: false } | Server::Host { is_awake: false } => {
                vec![((), ())]
            }
            _ => Vec::new(),
        }
    }

    fn step(&self, server: &Server, input: Input<'_, Self>) -> Option<Step<Self>> {
        let (server, sent, facts) = match (server, input) {
            (Server::Visitor { .. }, _) => (Server::Visitor { has_rung: true }, vec![()], vec![]),
            (Server::Host { .. }, Input::Act(())) => {
                (Server::Host { is_awake: true }, vec![], vec![])
            }
            (Server::Host { is_awake: true }, Input::Receive(())) => (*server, vec![], vec![()]),
            (Server::Host { is_awake: false }, Input::Receive(())) => (*server, vec![], vec![]),
        };
        Some(Step { server, sent, facts, findings: Findings::default() })
    }

    fn record(&self, history: &mut u8, (): &()) -> Findings {
        *history = (*history + 1).min(MOST);
        Findings::default()
    }

    fn check(&self, _: &[&Server], _: &u8) -> Findings {
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

    fn rename_message(&self, _: usize, (): &()) {}

    fn relevance(&self, (): &(), receiver: &Server) -> Relevance<Self> {
        let asleep = *receiver == Server::Host { is_awake: false };
        if asleep && self.forgets_what_rings_while_asleep {
            Relevance::Dead
        } else {
            Relevance::Live
        }
    }
}

/// Returns the tuples that were reached, and whether the removed messages make no
/// difference.
fn reached(system: Doorbell) -> (HashSet<(Vec<Server>, (), u8)>, bool) {
    let options = Options { symmetry: false, ..Options::default() };
    let mut reached = HashSet::new();
    let explored = explore(&Arc::new(system), options, &Control::default());
    explored.for_each_tuple(|servers, (), history| {
        reached.insert((servers.into_iter().copied().collect(), (), *history));
    });
    assert!(explored.outcome.complete);
    (reached, explored.outcome.removals_hold)
}

#[test]
fn a_step_that_changes_only_the_history_is_taken() {
    let (tuples, removals_hold) = reached(CORRECT);
    assert!(removals_hold);
    assert_eq!(tuples, explicit::search(CORRECT).tuples);
    // Before the message, and while the host sleeps; then it arrives 0 to 3 times.
    assert_eq!(tuples.len(), 3 + 1 + usize::from(MOST));
}

#[test]
fn a_wrong_claim_about_a_message_is_detected() {
    let wrong = Doorbell { forgets_what_rings_while_asleep: true };
    let (_, removals_hold) = reached(wrong);
    assert!(!removals_hold);
}
