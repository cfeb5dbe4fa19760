//! Selects the events that are shown.

use std::collections::BTreeSet;
use std::str::FromStr;

use raft_core::NodeId;

use super::event::Event;
use super::event_topic::Topic;

/// A selection of events. An event is shown if it passes every part. The default shows all events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The topics that are shown; all if it is empty.
    pub topics: BTreeSet<Topic>,
    /// The topics that are hidden.
    pub not_topics: BTreeSet<Topic>,
    /// The terms whose events are shown.
    pub terms: Option<Span>,
    /// The log indexes whose events are shown. An event may concern several of them.
    pub indexes: Option<Span>,
    /// The servers that are shown; all if it is empty.
    pub servers: BTreeSet<NodeId>,
    /// The steps that are shown.
    pub steps: Span,
}

impl Filter {
    /// Returns whether the event is shown.
    pub fn passes(&self, event: &Event) -> bool {
        let in_terms = |terms: Span| event.term.is_some_and(|term| terms.meets(term.0, term.0));
        let in_indexes = |indexes: Span| {
            event.indexes.is_some_and(|(first, last)| indexes.meets(first.0, last.0))
        };
        self.steps.meets(event.step, event.step)
            && self.shows_server(event.server)
            && (self.topics.is_empty() || self.topics.contains(&event.topic))
            && !self.not_topics.contains(&event.topic)
            && self.terms.is_none_or(in_terms)
            && self.indexes.is_none_or(in_indexes)
    }

    /// Returns whether the server has a column.
    pub fn shows_server(&self, server: NodeId) -> bool {
        self.servers.is_empty() || self.servers.contains(&server)
    }
}

/// A range of numbers, with its first and its last number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Default for Span {
    fn default() -> Span {
        Span { first: 0, last: u64::MAX }
    }
}

impl Span {
    /// Returns the numbers that are at most `distance` away from `centre`.
    pub fn around(centre: u64, distance: u64) -> Span {
        Span { first: centre.saturating_sub(distance), last: centre.saturating_add(distance) }
    }

    /// Returns the numbers in both ranges.
    pub fn and(self, other: Span) -> Span {
        Span { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    fn meets(self, first: u64, last: u64) -> bool {
        first <= self.last && last >= self.first
    }
}

/// Parses `7`, `7..9`, `7..` or `..9`.
impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let number = |text: &str, missing: u64| match text {
            "" => Ok(missing),
            _ => text.parse::<u64>().map_err(|_| format!("{text:?} is not a number")),
        };
        let span = match text.split_once("..") {
            Some(("", "")) | None if text.len() < 3 && text.parse::<u64>().is_err() => {
                return Err("write 7, 7..9, 7.. or ..9".to_owned());
            }
            Some((first, last)) => Span {
                first: number(first, 0)?,
                last: number(last.trim_start_matches('='), u64::MAX)?,
            },
            None => {
                let number = number(text, 0)?;
                Span { first: number, last: number }
            }
        };
        if span.first > span.last {
            return Err(format!("{} comes after {}", span.first, span.last));
        }
        Ok(span)
    }
}
