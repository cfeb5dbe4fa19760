//! The conflicting answers of a long history.

use raft_linearizability::{KvModel, Limit, Operation, check, conflict};

use crate::simulate::{KvService, Random, Simulation, swap_answers};

#[test]
fn a_history_with_swapped_answers_is_cut_down_to_the_few_that_are_in_conflict() {
    let mut found = 0;
    for seed in 0..20 {
        let simulation = Simulation { seed, clients: 4, keys: 1, operations: 80, unknown: 5 };
        let history = simulation.run::<KvService>();
        let is_read = |operation: &Operation| *operation == Operation::Get;
        let history = swap_answers(&history, is_read, &mut Random(seed));
        let report = check::<KvModel>(&history, Limit::default());
        let Some(conflict) = conflict::<KvModel>(&history, &report) else {
            assert!(report.is_linearizable(), "{report}");
            continue;
        };
        found += 1;
        assert!((1..=6).contains(&conflict.calls.len()), "{conflict}");
        assert!(conflict.to_string().lines().all(|line| line.len() <= 100), "{conflict}");
    }
    assert!(found > 5, "{found}");
}

#[test]
fn a_linearizable_history_has_no_conflict() {
    let simulation = Simulation { seed: 1, clients: 4, keys: 2, operations: 80, unknown: 5 };
    let history = simulation.run::<KvService>();
    let report = check::<KvModel>(&history, Limit::default());
    assert!(conflict::<KvModel>(&history, &report).is_none());
}
