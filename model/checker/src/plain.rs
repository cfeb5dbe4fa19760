//! The cluster model in plain form, for stateright's Explorer: slow, but readable.
//!
//! It has the same actions under the same bounds as [`crate::bounded_cluster`] over a bounded
//! network; a test compares their counts.

use std::fmt;

use raft_core::Paper;
use raft_trace::Action;
use stateright::{Model, Path, Property as Condition};

use crate::cluster::Cluster;
use crate::cluster::budget::{self, Used};
use crate::config::BoundedConfig;
use crate::diagram::{self, Theme};
use crate::notation;
use crate::properties::PropertySet;
use crate::replay::Replay;
use crate::script::Start;

/// The plain model of a bounded configuration, under the paper's rules.
pub struct PlainModel {
    config: BoundedConfig,
}

/// A state of the plain model.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PlainState {
    /// The cluster.
    pub cluster: Cluster,
    /// The properties that the step to this state broke.
    pub broken: PropertySet,
    used: Used,
}

impl fmt::Debug for PlainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.cluster.servers {
            writeln!(f, "{}  {}", server.id, notation::describe_server(server))?;
        }
        if self.cluster.network.is_empty() {
            writeln!(f, "no messages in flight")?;
        }
        for (envelope, copies) in &self.cluster.network {
            let times = if *copies > 1 { format!(" (x{copies})") } else { String::new() };
            writeln!(f, "{}{times}", notation::describe_envelope(envelope))?;
        }
        for (place, decided) in self.cluster.history.decided.iter().enumerate() {
            writeln!(f, "decided {}: {}", place + 1, notation::describe_entry(&decided.entry))?;
        }
        for property in self.broken.iter() {
            writeln!(f, "BROKEN {}: {}", property.name(), property.sentence())?;
        }
        Ok(())
    }
}

impl PlainModel {
    /// Makes the model of a configuration.
    pub fn new(config: BoundedConfig) -> PlainModel {
        PlainModel { config }
    }

    fn step(&self, state: &PlainState, action: &Action) -> Option<PlainState> {
        let bounds = &self.config.bounds;
        let mut next = state.clone();
        let observation = next.cluster.act(&self.config.settings, &Paper, action).ok()?;
        let in_flight: usize = next.cluster.network.values().sum();
        if in_flight > bounds.in_flight || next.cluster == state.cluster {
            return None;
        }
        next.used = next.used.after_action(action);
        next.broken = observation.broken.that_end_search();
        Some(next)
    }
}

impl Model for PlainModel {
    type State = PlainState;
    type Action = Action;

    fn init_states(&self) -> Vec<PlainState> {
        let Start { cluster, used, broken, .. } = self.config.script().start(&Paper);
        vec![PlainState { cluster, broken, used }]
    }

    fn actions(&self, state: &PlainState, actions: &mut Vec<Action>) {
        let BoundedConfig { settings, bounds, .. } = &self.config;
        actions.extend(budget::possible(&state.cluster, settings, bounds, state.used));
    }

    fn next_state(&self, state: &PlainState, action: Action) -> Option<PlainState> {
        self.step(state, &action)
    }

    fn format_action(&self, action: &Action) -> String {
        notation::describe_action(action)
    }

    fn format_step(&self, last: &PlainState, action: Action) -> Option<String> {
        let next = self.step(last, &action)?;
        let pairs = last.cluster.servers.iter().zip(&next.cluster.servers);
        let changed = pairs.filter(|(before, after)| before != after).map(|(before, after)| {
            let (was, is) = (notation::describe_server(before), notation::describe_server(after));
            format!("{}  {was}\n    {is}", before.id)
        });
        let network = next.cluster.network.keys();
        let sent = network.filter(|envelope| !last.cluster.network.contains_key(envelope));
        let sent = sent.map(|envelope| format!("sent {}", notation::describe_envelope(envelope)));
        Some(changed.chain(sent).collect::<Vec<_>>().join("\n"))
    }

    fn as_svg(&self, path: Path<PlainState, Action>) -> Option<String> {
        let mut actions = self.config.script().start(&Paper).actions;
        actions.extend(path.into_actions());
        let replay = Replay::run(&self.config.settings, &actions).ok()?;
        Some(diagram::svg(&replay, &self.config.name, Theme::Auto))
    }

    fn properties(&self) -> Vec<Condition<Self>> {
        vec![Condition::always("every property holds", |_, state: &PlainState| {
            state.broken.is_empty()
        })]
    }
}
