//! The text below the table of a failing run: the sentence of the broken property, the step that
//! broke it, and the rules that were asked in that step.

use std::fmt::Write as _;

use raft_core::{NodeId, Rule};

use crate::notation::describe_action;
use crate::properties::Property;
use crate::replay::{Answer, Replay, Step};
use crate::text_width::wrap_to;

/// Describes the broken properties in words, and lists the rules that were asked. No line of prose
/// is wider than `width`, nor than [`WIDTH`](crate::text_width::WIDTH).
pub fn explain(replay: &Replay, width: usize) -> String {
    let Some((place, broken)) = replay.violation() else {
        return String::new();
    };
    let mut out = String::new();
    for property in broken.iter() {
        let _ = writeln!(out, "X {} is broken at step {}.", property.name(), place + 1);
        let _ = writeln!(out, "{}", wrap_to(property.sentence(), "    ", width));
        if let (Property::CanRecover, Some(stuck)) = (property, &replay.stuck) {
            let majority: Vec<String> = stuck.majority.iter().map(NodeId::to_string).collect();
            let _ = writeln!(out, "    {} cannot recover alone.", majority.join(" and "));
        }
    }
    let contradicted = replay.contradicted();
    if let Some(earlier) = contradicted {
        let _ = writeln!(out, "> It contradicts what happened at step {}.", earlier + 1);
    }
    out.push_str(&explain_rules(&replay.steps[place], place, width));
    if let Some(earlier) = contradicted {
        out.push_str(&explain_rules(&replay.steps[earlier], earlier, width));
    }
    out
}

/// Lists the rules that a step asked, and the rules of its handler that it did not ask.
fn explain_rules(step: &Step, place: usize, width: usize) -> String {
    let title = format!("Rules at step {} ({}):", place + 1, describe_action(&step.action));
    let mut out = format!("\n{}\n", wrap_to(&title, "", width));
    if step.asked.is_empty() {
        out.push_str("    none was asked\n");
    }
    for (rule, answer) in &step.asked {
        let answer = match answer {
            Answer::Holds(true) => "yes".to_owned(),
            Answer::Holds(false) => "no".to_owned(),
            Answer::Value(value) => format!("= {value}"),
        };
        let _ = writeln!(out, "    {answer:5} {}  ({})", rule.name(), rule.text().source);
    }
    let not_asked: Vec<String> = step.not_asked().into_iter().map(Rule::name).collect();
    if !not_asked.is_empty() {
        out.push_str("  not asked there, though the handler has them:\n");
        let _ = writeln!(out, "{}", wrap_to(&not_asked.join(", "), "    ", width));
    }
    out
}
