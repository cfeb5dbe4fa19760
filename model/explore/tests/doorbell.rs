//! Tests of a system in which states with the same servers differ only in messages or in the history.

#[path = "support/doorbell.rs"]
mod system;

use std::collections::HashSet;
use std::sync::Arc;

use raft_explore::any_network::{Options, explore};
use raft_explore::control::Control;
use raft_explore::explicit;
use system::{DOORBELL, Doorbell, MOST, Noted, Server};

fn correct(host: usize) -> Doorbell {
    Doorbell { host, ..DOORBELL }
}

/// Returns the tuples that were reached, and whether the removed messages make no difference.
fn reached(system: Doorbell) -> (HashSet<(Vec<Server>, (), Noted)>, bool) {
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
    for host in [0, 1] {
        let (tuples, removals_hold) = reached(correct(host));
        assert!(removals_hold);
        assert_eq!(tuples, explicit::search(correct(host)).tuples);
        // Before the call and after it, a host who sleeps or has noted nothing; then the ring or the
        // knock arrives up to 3 times.
        assert_eq!(tuples.len(), 4 + 2 * usize::from(MOST));
    }
}

#[test]
fn states_with_different_messages_to_one_server_are_both_kept() {
    for host in [0, 1] {
        let (tuples, _) = reached(correct(host));
        let noted: HashSet<Noted> = tuples.into_iter().map(|(_, (), noted)| noted).collect();
        assert!(noted.contains(&(1, 0)) && noted.contains(&(0, 1)), "{noted:?}");
        assert!(!noted.contains(&(1, 1)), "{noted:?}");
    }
}

#[test]
fn a_wrong_claim_about_a_message_is_detected() {
    for host in [0, 1] {
        let (_, removals_hold) =
            reached(Doorbell { forgets_what_rings_while_asleep: true, ..correct(host) });
        assert!(!removals_hold);
    }
}
