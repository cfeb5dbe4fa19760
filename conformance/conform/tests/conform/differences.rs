//! A difference is found, its trace is shortened, and it is shown.

use raft_checker::notation::describe_action;
use raft_conform::{FaultVariant, show};
use raft_core::NodeId;
use raft_trace::{Action, ClusterTrace};

use crate::support::{held, too_many_reads};

#[test]
fn a_difference_is_found_and_what_does_not_matter_is_left_out() {
    let trace = too_many_reads();
    let (_, found) = held(&trace).expect("the model can do it");
    let found = found.expect("production makes the fifth read wait");
    assert_eq!(found.server, NodeId(1));
    let reads = |trace: &ClusterTrace| {
        trace.actions.iter().filter(|action| matches!(action, Action::Read { .. })).count()
    };
    assert_eq!(reads(&found.trace), 5);
    let heartbeat = |action: &Action| matches!(action, Action::Heartbeat { .. });
    let steps: Vec<String> = found.trace.actions.iter().map(describe_action).collect();
    assert!(!found.trace.actions.iter().any(heartbeat), "{steps:#?}");
    // The short trace alone leads to the difference.
    let (_, again) = held(&found.trace).expect("the model can do it");
    assert_eq!(again.map(|again| again.divergence.field), Some(found.divergence.field));
}

#[test]
fn what_is_shown_is_short_and_names_field_step_and_both_values() {
    let (_, found) = held(&too_many_reads()).expect("the model can do it");
    let mut found = found.expect("production makes the fifth read wait");
    let text = show::divergence("reads", &found, "Again: do it again");
    for part in ["reads DIVERGED on n1", "\nX ", "X differs: ", "  model   ", "  node    "] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(text.ends_with("Again: do it again\n"), "{text}");
    fits(&text);
    // The report stays short if the trace and the values are long.
    let last = found.trace.actions.last().cloned().expect("there is a step");
    found.trace.actions.extend(vec![last; 500]);
    found.divergence.model = "[".repeat(5000);
    found.variant = FaultVariant::BatchCrash { steps: 3, before: 2, of: 7 };
    let text = show::divergence("reads", &found, "Again: do it again");
    assert_eq!(text.lines().filter(|line| line.starts_with("X  ")).count(), 3, "{text}");
    fits(&text);
}

fn fits(text: &str) {
    assert!(text.lines().count() <= 30, "{text}");
    for line in text.lines() {
        assert!(line.is_ascii() && line.len() <= 100, "{line}");
    }
}
