//! The differences from a baseline, as text.

use std::fmt::Write as _;
use std::path::Path;

use raft_checker::baseline::{Change, ChangedStep, Changes};
use raft_checker::behaviour::{RuleAnswers, Step};
use raft_checker::text_width::wrap;
use raft_cli::options::shell_word;
use raft_cli::quantity::count;

/// The most classes of local transitions, or rules, that are shown for a configuration.
const MOST: usize = 12;

/// Describes the differences from a baseline, and says how to accept them.
pub(crate) fn show(changes: &[Changes], compared: usize, baseline: &Path) -> String {
    let path = baseline.display();
    if changes.is_empty() {
        return format!("As in {path}: counts, rules and local transitions.\n");
    }
    let mut out = String::new();
    for change in changes {
        show_configuration(&mut out, change);
    }
    let differ = changes.len();
    let _ = writeln!(out, "CHANGED: {differ} of {compared} configurations differ from {path}.");
    let file = shell_word(&baseline.to_string_lossy());
    let advice = format!(
        "A refactoring changes nothing. To accept the change: raftcheck bless --baseline {file}. To see \
         every local transition: raftcheck check CONFIG --transitions FILE, before and after, and diff."
    );
    let _ = writeln!(out, "{}", wrap(&advice, "    "));
    out
}

/// Describes the differences that became the baseline.
pub(crate) fn accepted(changes: &[Changes], compared: usize, baseline: &Path) -> String {
    let mut out = String::from("\n");
    for change in changes {
        show_configuration(&mut out, change);
    }
    let (path, same) = (baseline.display(), compared - changes.len());
    let _ = writeln!(out, "ACCEPTED in {path}: {} changed, {same} as before.", changes.len());
    out
}

fn show_configuration(out: &mut String, changes: &Changes) {
    let Changes { name, network, is_new, counts, rules, transitions, example, .. } = changes;
    let _ = writeln!(out, "{name}, {} network", network.name());
    if *is_new {
        let _ = writeln!(out, "    is not in the baseline\n");
        return;
    }
    match example {
        Some(step) => show_step(out, step),
        None if transitions.is_empty() => {}
        None => out.push_str("  the examples of the baseline happen as before\n"),
    }
    out.push_str("  counts\n");
    if changes.other_states && counts.is_empty() {
        let _ = writeln!(out, "    as many states, and other ones");
    }
    for change in counts {
        let _ = writeln!(out, "    {:28} {}", change.name, numbers(change));
    }
    if !transitions.is_empty() {
        let _ = writeln!(out, "  local transitions");
    }
    for change in transitions.iter().take(MOST) {
        let _ = writeln!(out, "{}", wrap(&class(change), "    "));
    }
    show_rest(out, transitions.len(), "classes of local transitions");
    if !rules.is_empty() {
        let _ = writeln!(out, "  answers of rules in local transitions: yes, no");
    }
    for change in rules.iter().take(MOST) {
        let [before, now] = [change.before, change.now].map(answers);
        let _ = writeln!(out, "    {:28} {before} -> {now}", change.name);
    }
    show_rest(out, rules.len(), "rules");
    out.push('\n');
}

fn show_step(out: &mut String, step: &ChangedStep) {
    let title = match (&step.before, &step.now) {
        (Some(_), Some(_)) => "a local transition that differs",
        (None, _) => "a local transition that is new",
        (_, None) => "a local transition that does not happen any more",
    };
    let _ = writeln!(out, "  {title}");
    if let Some(Step { server, input, .. }) = step.before.as_ref().or(step.now.as_ref()) {
        let _ = writeln!(out, "    server  {server}\n    input   {input}");
    }
    for (title, step) in [("before", &step.before), ("now", &step.now)] {
        if let Some(step) = step {
            let _ = writeln!(out, "    {title:7} {}", step.effect());
        }
    }
}

fn show_rest(out: &mut String, all: usize, what: &str) {
    if all > MOST {
        let _ = writeln!(out, "    and {} more {what}", all - MOST);
    }
}

fn numbers(change: &Change<u64>) -> String {
    let text = |number: Option<u64>| number.map_or_else(|| "none".to_owned(), count);
    format!("{} -> {}", text(change.before), text(change.now))
}

fn answers(answers: Option<RuleAnswers>) -> String {
    answers.map_or_else(
        || "not asked".to_owned(),
        |answers| format!("{}, {}", count(answers.yes), count(answers.no)),
    )
}

fn class(change: &Change<u64>) -> String {
    let (Change { name, before, now }, numbers) = (change, numbers(change));
    match (before, now) {
        (None, Some(now)) => format!("{name}: {}, new", count(*now)),
        (Some(before), None) => format!("{name}: {}, gone", count(*before)),
        (Some(before), Some(now)) if before == now => {
            format!("{name}: {} as before, some of them others", count(*now))
        }
        _ => format!("{name}: {numbers}"),
    }
}
