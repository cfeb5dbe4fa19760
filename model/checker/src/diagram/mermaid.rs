//! A run in Mermaid's language.

use std::fmt::Write as _;

use raft_core::NodeId;
use raft_trace::{Action, Envelope};

use crate::notation;
use crate::properties::Property;
use crate::replay::Replay;

/// Returns the run as a Mermaid sequence diagram. Lost messages end in a cross. Notes say when a
/// server is down, which step breaks a property, and which earlier step that contradicts.
pub fn mermaid(replay: &Replay) -> String {
    let mut out = "sequenceDiagram\n".to_owned();
    for server in &replay.start.servers {
        let _ = writeln!(out, "    participant {}", server.id);
    }
    let mut down_since = vec![None; replay.start.servers.len()];
    for (place, step) in replay.steps.iter().enumerate() {
        let number = place + 1;
        let _ = match &step.action {
            Action::Deliver(Envelope { from, to, message }) => {
                let text = escape(&notation::describe_message(message));
                writeln!(out, "    {from}->>{to}: {number} {text}")
            }
            Action::Drop(Envelope { from, to, message }) => {
                let text = escape(&notation::describe_message(message));
                writeln!(out, "    {from}--x{to}: {number} lost: {text}")
            }
            action => {
                let text = escape(&notation::describe_action(action));
                writeln!(out, "    Note over {}: {number} {text}", column(action))
            }
        };
        for (server, since) in step.after.servers.iter().zip(&mut down_since) {
            match (&server.process, *since) {
                (None, None) => {
                    *since = Some(number);
                    let _ = writeln!(out, "    Note over {}: down from step {number}", server.id);
                }
                (Some(_), Some(first)) => {
                    *since = None;
                    let id = server.id;
                    let _ =
                        writeln!(out, "    Note over {id}: was down, steps {first} to {number}");
                }
                _ => {}
            }
        }
        write_marks(&mut out, replay, place);
    }
    for (server, since) in replay.start.servers.iter().zip(down_since) {
        if let Some(first) = since {
            let id = server.id;
            let _ = writeln!(out, "    Note over {id}: down from step {first} to the end");
        }
    }
    out
}

fn write_marks(out: &mut String, replay: &Replay, place: usize) {
    let Some((violation, broken)) = replay.violation() else { return };
    let at = column(&replay.steps[place].action);
    if violation == place {
        let names: Vec<&str> = broken.iter().map(Property::name).collect();
        let _ = writeln!(out, "    Note over {at}: X breaks {}", names.join(", "));
    }
    if replay.contradicted() == Some(place) {
        let step = violation + 1;
        let _ = writeln!(out, "    Note over {at}: > step {step} contradicts this");
    }
}

/// Returns the server over which an action is noted: the one that it changes, or the receiver of
/// its message.
fn column(action: &Action) -> NodeId {
    match action {
        Action::Drop(envelope) | Action::Duplicate(envelope) => envelope.to,
        action => action.server().unwrap_or(NodeId(1)),
    }
}

/// Escapes a text for Mermaid, which ends a text at a semicolon and reads `#` as the beginning of a
/// character's code.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '#' => out.push_str("#35;"),
            ';' => out.push_str("#59;"),
            letter => out.push(letter),
        }
    }
    out
}
