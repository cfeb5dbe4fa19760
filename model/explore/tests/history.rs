//! A step that changes nothing but the history is not idle: it is taken, and leads to another tuple.

use std::collections::HashSet;

use raft_explore::control::Control;
use raft_explore::{
    Findings, Initial, Input, Options, Relevance, Step, System, explicit, search_and_look,
};

/// One server sends a message once, the other one only takes note of each arrival.
struct Doorbell;

/// The most arrivals that the history counts.
const MOST: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Server {
    Visitor { has_rung: bool },
    Host,
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
            servers: vec![Server::Visitor { has_rung: false }, Server::Host],
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
        if *server == (Server::Visitor { has_rung: false }) { vec![((), ())] } else { Vec::new() }
    }

    fn step(&self, server: &Server, input: Input<'_, Self>) -> Option<Step<Self>> {
        let findings = Findings::default();
        Some(match input {
            Input::Act(()) => {
                let server = Server::Visitor { has_rung: true };
                Step { server, sent: vec![()], facts: Vec::new(), findings }
            }
            Input::Receive(()) => {
                Step { server: *server, sent: Vec::new(), facts: vec![()], findings }
            }
        })
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

    fn relevance(&self, (): &(), _: &Server) -> Relevance<Self> {
        Relevance::Live
    }
}

#[test]
fn a_step_that_changes_only_the_history_is_taken() {
    let plain = explicit::search(Doorbell);
    let options = Options { threads: 1, symmetry: false, prune: true };
    let mut reached = HashSet::new();
    let outcome =
        search_and_look(&Doorbell, options, &Control::default(), |servers, (), history| {
            reached.insert((servers.into_iter().copied().collect::<Vec<_>>(), (), *history));
        });
    assert!(outcome.complete);
    assert_eq!(reached, plain.tuples);
    // Before the message, and after it has arrived 0 to 3 times.
    assert_eq!(reached.len(), 2 + usize::from(MOST));
}
