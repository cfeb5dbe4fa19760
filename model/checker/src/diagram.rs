//! Sequence diagrams of a run: SVG for eyes, Mermaid for documents.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use raft_core::NodeId;
use raft_trace::{Action, Envelope};

use crate::properties::Property;
use crate::replay::{Replay, Step};
use crate::view;

const LANE: usize = 260;
const ROW: usize = 28;
const TOP: usize = 48;

/// Where each message of a run was sent and what became of it.
struct Flight<'a> {
    envelope: &'a Envelope,
    sent_at: usize,
    arrives_at: usize,
    lost: bool,
}

/// Pairs every delivery and loss with the oldest sending of the same message.
fn flights(replay: &Replay) -> Vec<Flight<'_>> {
    let mut waiting: BTreeMap<&Envelope, Vec<usize>> = BTreeMap::new();
    let mut flights = Vec::new();
    for (row, step) in replay.steps.iter().enumerate() {
        let (gone, lost) = match &step.action {
            Action::Deliver(envelope) => (Some(envelope), false),
            Action::Drop(envelope) => (Some(envelope), true),
            Action::Duplicate(envelope) => {
                waiting.entry(envelope).or_default().push(row);
                (None, false)
            }
            _ => (None, false),
        };
        if let Some(envelope) = gone
            && let Some(sendings) = waiting.get_mut(envelope)
            && !sendings.is_empty()
        {
            let sent_at = sendings.remove(0);
            flights.push(Flight { envelope, sent_at, arrives_at: row, lost });
        }
        for envelope in &step.sent {
            waiting.entry(envelope).or_default().push(row);
        }
    }
    flights
}

/// The run as an SVG picture: a lane for each server, time going down.
pub fn svg(replay: &Replay) -> String {
    let servers = replay.start.servers.len();
    let lane = |id: NodeId| LANE / 2 + usize::try_from(id.0.saturating_sub(1)).unwrap_or(0) * LANE;
    let height_of = |row: usize| TOP + (row + 1) * ROW;
    let (width, height) = (servers * LANE, height_of(replay.steps.len()) + ROW);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"monospace\" font-size=\"11\">\n\
         <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for server in &replay.start.servers {
        let x = lane(server.id);
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"24\" text-anchor=\"middle\" font-weight=\"bold\">{}</text>\
             <path d=\"M{x} 32V{height}\" stroke=\"silver\"/>",
            server.id
        );
    }
    for flight in flights(replay) {
        let Envelope { from, to, .. } = flight.envelope;
        let style =
            if flight.lost { " stroke-dasharray=\"4 3\"" } else { " marker-end=\"url(#head)\"" };
        let _ = writeln!(
            out,
            "<path d=\"M{} {}L{} {}\" stroke=\"steelblue\" fill=\"none\"{style}/>",
            lane(*from),
            height_of(flight.sent_at),
            lane(*to),
            height_of(flight.arrives_at)
        );
    }
    for (row, step) in replay.steps.iter().enumerate() {
        svg_step(&mut out, row, step, &lane, height_of(row));
    }
    out.push_str("</svg>\n");
    out
}

fn svg_step(out: &mut String, row: usize, step: &Step, lane: &dyn Fn(NodeId) -> usize, y: usize) {
    let at = match &step.action {
        Action::Drop(envelope) | Action::Duplicate(envelope) => Some(envelope.to),
        action => action.server(),
    };
    let Some(id) = at else { return };
    let x = lane(id);
    let color = if step.broken.is_empty() { "black" } else { "crimson" };
    let now = step.after.server(id).map(view::describe_server).unwrap_or_default();
    let _ = writeln!(
        out,
        "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{color}\"/>\
         <text x=\"{}\" y=\"{}\" fill=\"{color}\">{} {}</text>\
         <text x=\"{}\" y=\"{}\" fill=\"gray\">{}</text>",
        x + 6,
        y - 2,
        row + 1,
        escape(&view::describe_action(&step.action)),
        x + 6,
        y + 10,
        escape(&now)
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The run as a Mermaid sequence diagram.
pub fn mermaid(replay: &Replay) -> String {
    let mut out = "sequenceDiagram\n".to_owned();
    for server in &replay.start.servers {
        let _ = writeln!(out, "    participant {}", server.id);
    }
    for (place, step) in replay.steps.iter().enumerate() {
        let number = place + 1;
        let _ = match &step.action {
            Action::Deliver(Envelope { from, to, message }) => {
                let text = view::describe_message(message);
                writeln!(out, "    {from}->>{to}: {number} {text}")
            }
            Action::Drop(Envelope { from, to, message }) => {
                let text = view::describe_message(message);
                writeln!(out, "    {from}-x{to}: {number} {text}")
            }
            action => {
                let at = action.server().unwrap_or(NodeId(1));
                writeln!(out, "    Note over {at}: {number} {}", view::describe_action(action))
            }
        };
        let broken: Vec<&str> = step.broken.iter().map(Property::name).collect();
        if !broken.is_empty()
            && let Some(at) = step.action.server()
        {
            let _ = writeln!(out, "    Note over {at}: BROKEN {}", broken.join(", "));
        }
    }
    out
}
