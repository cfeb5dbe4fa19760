//! Whole configurations conform.

use raft_checker::config::BoundedConfig;
use raft_checker::control::{Control, StopReason};
use raft_conform::{Conformed, Progress, Tried, conform};

use crate::support::config;

/// The numbers that do not depend on the layout of production's files.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    states: u64,
    transitions: u64,
    second_ways: u64,
    batches: u64,
    longer: u64,
    walked: u64,
}

fn conforms(name: &str) -> Counts {
    let conformed =
        conform(&config(name), &Tried::default(), 2, &Control::default(), &Progress::default());
    assert!(conformed.divergence.is_none(), "{:#?}", conformed.divergence);
    assert!(conformed.bad_transfer.is_none(), "{:#?}", conformed.bad_transfer);
    assert!(conformed.complete);
    let Conformed { crash_points, disks, faults, asked, .. } = conformed;
    assert!([crash_points, disks, faults, asked].iter().all(|count| *count > 0));
    assert_eq!((conformed.covered(), conformed.unreached, conformed.collisions()), {
        (conformed.known(), 0, 0)
    });
    Counts {
        states: conformed.states,
        transitions: conformed.known(),
        second_ways: conformed.second_ways,
        batches: conformed.batches,
        longer: conformed.longer,
        walked: conformed.walks.steps,
    }
}

#[test]
fn elections_among_two_conform() {
    let counts = conforms("election-2");
    let expected = Counts {
        states: 173,
        transitions: 1937,
        second_ways: 1765,
        batches: 28330,
        longer: 1621,
        walked: 488,
    };
    assert_eq!(counts, expected);
}

#[test]
fn servers_that_recover_with_snapshots_conform() {
    let counts = conforms("recover-2-snapshot");
    let expected = Counts {
        states: 172,
        transitions: 1777,
        second_ways: 1606,
        batches: 20205,
        longer: 1574,
        walked: 432,
    };
    assert_eq!(counts, expected);
}

#[test]
fn late_snapshots_conform() {
    let counts = conforms("snapshot-late-3");
    let expected = Counts {
        states: 218,
        transitions: 3966,
        second_ways: 3749,
        batches: 70336,
        longer: 3612,
        walked: 324,
    };
    assert_eq!(counts, expected);
}

#[test]
fn the_end_of_figure_8_conforms() {
    let counts = conforms("figure-8-end-3");
    let expected = Counts {
        states: 206,
        transitions: 4534,
        second_ways: 4331,
        batches: 115_131,
        longer: 4247,
        walked: 822,
    };
    assert_eq!(counts, expected);
}

#[test]
fn what_an_earlier_configuration_with_the_same_settings_has_tried_is_not_repeated() {
    let tried = Tried::default();
    let run = |config: &BoundedConfig| {
        let conformed = conform(config, &tried, 2, &Control::default(), &Progress::default());
        assert!(conformed.complete);
        conformed
    };
    let config = config("recover-2-snapshot");
    assert_eq!(run(&config).tried_before, 0);
    let again = run(&config);
    assert_eq!((again.tried_before, again.batches, again.faults), (again.known(), 0, 0));
    let mut wider = config.clone();
    wider.settings.limits.window += 1;
    let other = run(&wider);
    assert!(other.tried_before == 0 && other.batches > 0);
}

#[test]
fn what_was_stopped_is_not_complete() {
    let control = Control::default();
    control.stop(StopReason::TimeLimit);
    let conformed =
        conform(&config("election-2"), &Tried::default(), 1, &control, &Progress::default());
    assert!(!conformed.complete && !conformed.diverged());
    assert_eq!(conformed.covered(), 0);
}
