//! Counts of events.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use raft_core::{Index, NodeId, Term};
use serde::Serialize;

use super::event::{Event, State};
use super::event_topic::Topic;

/// Counts of events, for each server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// The counts of each server.
    pub servers: BTreeMap<NodeId, ServerStats>,
}

/// Counts of the events of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerStats {
    /// The number of events of each topic.
    pub events: BTreeMap<Topic, u64>,
    /// The number of its campaigns. A campaign that is won in the same step is not counted.
    pub campaigns: u64,
    /// The number of elections that it won.
    pub elections_won: u64,
    /// Its highest term.
    pub term: Term,
    /// Its highest commit index.
    pub commit: Index,
    /// The highest index that it has applied.
    pub applied: Index,
    #[serde(skip)]
    last: Option<State>,
}

impl Stats {
    /// Counts an event.
    pub fn note(&mut self, event: &Event) {
        let server = self.servers.entry(event.server).or_default();
        *server.events.entry(event.topic).or_default() += 1;
        let Some(state) = event.state else {
            server.last = None;
            return;
        };
        let was = server.last.replace(state).map(|last| (last.role, last.term));
        if was != Some((state.role, state.term)) {
            // A server that is alone in its cluster campaigns and wins in one step, without a
            // candidate state.
            server.campaigns += u64::from(state.role == 'C');
            server.elections_won += u64::from(state.role == 'L');
        }
        server.term = server.term.max(state.term);
        server.commit = server.commit.max(state.commit);
        server.applied = server.applied.max(state.applied);
    }
}

type Number = fn(&ServerStats) -> u64;

/// The rows below those of the topics.
const NUMBERS: [(&str, Number); 5] = [
    ("campaigns", |server| server.campaigns),
    ("elections won", |server| server.elections_won),
    ("highest term", |server| server.term.0),
    ("commit index", |server| server.commit.0),
    ("applied index", |server| server.applied.0),
];

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let names = self.servers.keys().map(NodeId::to_string);
        table.set_header(std::iter::once("events".to_owned()).chain(names));
        let topics = Topic::ALL.into_iter();
        let seen =
            topics.filter(|topic| self.servers.values().any(|s| s.events.contains_key(topic)));
        for topic in seen {
            let counts = self.servers.values().map(|server| server.events.get(&topic));
            let counts = counts.map(|count| count.copied().unwrap_or(0).to_string());
            table.add_row(std::iter::once(topic.name().to_owned()).chain(counts));
        }
        for (name, number) in NUMBERS {
            let numbers = self.servers.values().map(|server| number(server).to_string());
            table.add_row(std::iter::once(name.to_owned()).chain(numbers));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for line in table.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
