//! Tests of the reductions against a plain search, on a system other than Raft.

#[path = "../examples/two_phase_commit/system.rs"]
mod system;

use std::collections::HashSet;
use std::sync::Arc;

use raft_explore::any_network::{Options, Order, Outcome, explore, search};
use raft_explore::bounded_network::level::{self, Goal, LevelOutcome};
use raft_explore::bounded_network::stateright::{self, Strategy};
use raft_explore::bounded_network::{Bounds, Counts, Model, path};
use raft_explore::control::Control;
use raft_explore::explicit;
use system::{ALL_COMMITTED, CONSISTENT, Server, TwoPhaseCommit};

fn correct(participants: usize) -> TwoPhaseCommit {
    TwoPhaseCommit { participants, enough: participants }
}

fn run(system: TwoPhaseCommit, options: Options) -> Outcome<TwoPhaseCommit> {
    search(&Arc::new(system), options, &Control::default())
}

const PLAIN: Options = Options {
    threads: 1,
    symmetry: false,
    prune: false,
    order: Order::Progress,
    most_expanded: u64::MAX,
};

/// Others have counted 288 states for three participants and 8,832 for five: stateright's own
/// example, and TLC for Lamport's specification.
#[test]
fn a_plain_search_counts_what_others_have_counted() {
    assert_eq!(explicit::search(correct(3)).states, 288);
    assert_eq!(explicit::search(correct(5)).states, 8_832);
}

#[test]
fn the_same_tuples_are_reached_with_each_reduction_and_without() {
    for participants in 1..=4 {
        let visited = explicit::search(correct(participants));
        let tuples: HashSet<Vec<Server>> =
            visited.tuples.into_iter().map(|(servers, (), ())| servers).collect();
        for prune in [false, true] {
            let mut reached = HashSet::new();
            let system = Arc::new(correct(participants));
            let options = Options { prune, ..PLAIN };
            let explored = explore(&system, options, &Control::default());
            explored.for_each_tuple(|servers, (), ()| {
                reached.insert(servers.into_iter().cloned().collect::<Vec<Server>>());
            });
            let outcome = explored.outcome;
            assert_eq!(reached, tuples);
            assert_eq!(outcome.findings, visited.findings);
            assert_eq!(outcome.kept.unfolded, outcome.kept.states);
            let folded = run(correct(participants), Options { prune, symmetry: true, ..PLAIN });
            assert_eq!(folded.kept.unfolded_tuples, tuples.len() as u64);
            assert_eq!(folded.kept.unfolded, outcome.kept.states);
            assert_eq!(folded.findings, visited.findings);
        }
    }
}

#[test]
fn what_is_kept_does_not_depend_on_the_number_of_threads() {
    for symmetry in [false, true] {
        let options = Options { symmetry, prune: true, ..PLAIN };
        let one = run(correct(4), options);
        assert_eq!(one.findings.witnessed, ALL_COMMITTED);
        for threads in [2, 4] {
            assert_eq!(run(correct(4), Options { threads, ..options }).kept, one.kept);
        }
    }
}

#[test]
fn a_mistake_is_found_and_no_step_of_the_run_can_be_left_out() {
    let hasty = TwoPhaseCommit { participants: 3, enough: 2 };
    let outcome = run(hasty, Options { symmetry: true, prune: true, ..PLAIN });
    let (steps, broken) = outcome.violation.expect("it is found");
    assert_eq!(broken, CONSISTENT);
    // Two prepare, two messages arrive, the coordinator commits, one commits, one gives up.
    assert_eq!(steps.len(), 7);
}

fn bounded(system: TwoPhaseCommit, symmetry: bool) -> Model<TwoPhaseCommit> {
    Model::new(Arc::new(system), Bounds { in_flight: 6, repeats: 1 }, symmetry)
}

fn in_level_order(system: TwoPhaseCommit, symmetry: bool, threads: usize) -> LevelOutcome {
    let model = bounded(system, symmetry);
    level::search(&model, Goal::Violation, threads, &Control::default())
}

#[test]
fn stateright_counts_the_states_of_a_bounded_network_as_the_level_search_does() {
    for symmetry in [false, true] {
        let counts = in_level_order(correct(3), symmetry, 1).counts;
        assert_eq!(in_level_order(correct(3), symmetry, 2).counts, counts);
        for strategy in [Strategy::Bfs, Strategy::Dfs] {
            let model = Arc::new(bounded(correct(3), symmetry));
            let outcome = stateright::search(&model, strategy, 2, &Control::default());
            assert!(outcome.complete && outcome.violation.is_none());
            assert_eq!(outcome.counts, Counts { depth: None, ..counts });
        }
    }
    let (folded, all) = (in_level_order(correct(3), true, 1), in_level_order(correct(3), false, 1));
    assert_eq!(folded.counts.orbit, all.counts.distinct);
    assert!(folded.counts.distinct < all.counts.distinct);
}

#[test]
fn a_bounded_network_has_a_shortest_run_to_a_mistake() {
    let hasty = || TwoPhaseCommit { participants: 3, enough: 2 };
    let depth = in_level_order(hasty(), true, 2).found_at.expect("it is found");
    assert_eq!(depth, 7);
    let model = bounded(hasty(), true);
    let path = path::shortest(&model, Goal::Violation, depth, &Control::default());
    let path = path.expect("the search found one of this length");
    assert_eq!((path.steps.len(), path.broken), (7, CONSISTENT));
    assert!(in_level_order(correct(3), true, 2).found_at.is_none());
}

#[test]
fn a_full_network_makes_actions_impossible() {
    let model = Model::new(Arc::new(correct(3)), Bounds { in_flight: 1, repeats: 0 }, false);
    let outcome = level::search(&model, Goal::Violation, 1, &Control::default());
    assert!(outcome.complete && model.blocked() > 0);
    // The coordinator cannot tell three participants at once.
    assert_eq!(model.findings().witnessed & ALL_COMMITTED, 0);
}
