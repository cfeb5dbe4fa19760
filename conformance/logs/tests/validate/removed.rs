//! Tests that a missing or repeated line is detected where the step numbers jump.
//!
//! The last step of an incarnation is an exception: if no other server has seen anything of it, a
//! kill could have removed it.

use raft_logs::validate::{ReadError, Refusal};

use crate::cluster::{Cluster, Dice};

#[test]
fn a_step_that_is_missing_inside_an_incarnation_is_noticed_at_the_next_one() {
    let mut dice = Dice(1);
    let mut tried = 0;
    for seed in 0..15 {
        let logs = Cluster::ran(seed, 1500).logs;
        for _ in 0..20 {
            let server = dice.below(3);
            let line = dice.below(logs.files[server].len());
            if !logs.goes_on_after(server, line) {
                continue;
            }
            let mut changed = logs.clone();
            changed.files[server].remove(line);
            let place = changed.contradiction();
            assert_eq!((place.server, place.line), (server, line + 1), "{place:?}");
            assert!(matches!(place.refusal, Refusal::Sequence { .. }), "{place:?}");
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried}");
}

#[test]
fn a_start_that_is_missing_is_noticed_at_the_step_after_it() {
    let mut tried = 0;
    for seed in 0..15 {
        let logs = Cluster::ran(seed, 1500).logs;
        for server in 0..3 {
            for line in 1..logs.files[server].len() {
                let between_steps = !logs.is_start(server, line - 1)
                    && logs.is_start(server, line)
                    && logs.goes_on_after(server, line + 1);
                if !between_steps {
                    continue;
                }
                let mut changed = logs.clone();
                changed.files[server].remove(line);
                let place = changed.contradiction();
                assert_eq!((place.server, place.line), (server, line + 1), "{place:?}");
                assert!(matches!(place.refusal, Refusal::Sequence { found: 1, .. }), "{place:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 50, "{tried}");
}

#[test]
fn a_log_begins_with_a_start() {
    let mut logs = Cluster::ran(1, 300).logs;
    logs.files[1].remove(0);
    let error = logs.validate().expect_err("nobody knows whose log it is");
    assert!(matches!(error, ReadError::Line { line: 1, .. }), "{error}");
}

#[test]
fn a_line_that_is_there_twice_is_noticed() {
    let mut dice = Dice(2);
    for seed in 0..15 {
        let mut logs = Cluster::ran(seed, 1500).logs;
        let server = dice.below(3);
        let steps: Vec<usize> =
            (0..logs.files[server].len()).filter(|line| !logs.is_start(server, *line)).collect();
        let line = steps[dice.below(steps.len())];
        let copy = logs.files[server][line].clone();
        logs.files[server].insert(line, copy);
        let place = logs.contradiction();
        assert_eq!((place.server, place.line), (server, line + 2), "{place:?}");
    }
}

/// If another server has seen something of the last step of an incarnation, the missing step is
/// detected at that server or at the next start.
#[test]
fn the_last_step_of_an_incarnation_is_missed_only_by_who_has_seen_it() {
    let (mut noticed, mut unseen) = (0, 0);
    for seed in 0..40 {
        let logs = Cluster::ran(seed, 1500).logs;
        for server in 0..3 {
            let ends: Vec<usize> = (1..logs.files[server].len())
                .filter(|line| !logs.is_start(server, *line) && !logs.goes_on_after(server, *line))
                .collect();
            for line in ends {
                let mut changed = logs.clone();
                changed.files[server].remove(line);
                let places = changed.contradictions();
                let own = places.iter().find(|place| place.server == server);
                assert!(own.is_none_or(|own| own.line > line), "{places:?}");
                if places.is_empty() {
                    unseen += 1;
                } else {
                    noticed += 1;
                }
            }
        }
    }
    assert!(noticed > 20 && unseen > 20, "{noticed} {unseen}");
}
