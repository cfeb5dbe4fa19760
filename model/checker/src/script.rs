//! Where a search begins: at the first start of the cluster, or after a script.
//!
//! Some situations are too deep to search for, like the second half of Figure 8 or what needs five
//! servers, and yet well known. A script leads there, and everything is explored from there on. Its
//! lines are what a run's table shows in its column of actions (or how such a line begins), so a run
//! can be cut anywhere and become a script.

use raft_core::Paper;
use raft_trace::Action;

use crate::cluster::Cluster;
use crate::cluster::budget::{self, Used};
use crate::config::BoundedConfig;
use crate::properties::PropertySet;
use crate::protocol::Protocol;
use crate::view;

/// A cluster from which a search begins.
pub(crate) struct Start {
    pub(crate) cluster: Cluster,
    /// How much of the budgets has been used on the way.
    pub(crate) used: Used,
    /// What has happened on the way.
    pub(crate) actions: Vec<Action>,
    /// What has been broken on the way.
    pub(crate) broken: PropertySet,
}

/// A line of a script that says nothing that could happen there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// Its place, counted from 1.
    pub(crate) step: usize,
    /// The line.
    pub(crate) line: String,
    /// What could happen there.
    pub(crate) possible: Vec<String>,
}

impl Start {
    /// The start of a configuration. Under a mutant, lines that it has made impossible are skipped.
    pub(crate) fn of<P: Protocol>(config: &BoundedConfig, protocol: &P) -> Start {
        let mut start = Start::boot(config, protocol);
        for line in &config.script {
            if let Ok(action) = start.find(config, line) {
                start.act(config, protocol, action);
            }
        }
        start
    }

    /// Whether every line of the script is possible under the paper's rules.
    pub(crate) fn check(config: &BoundedConfig) -> Result<(), BadLine> {
        let mut start = Start::boot(config, &Paper);
        for (place, line) in config.script.iter().enumerate() {
            let bad = |possible| BadLine { step: place + 1, line: line.clone(), possible };
            let action = start.find(config, line).map_err(bad)?;
            start.act(config, &Paper, action);
        }
        Ok(())
    }

    fn boot<P: Protocol>(config: &BoundedConfig, protocol: &P) -> Start {
        Start {
            cluster: Cluster::boot(&config.settings, protocol),
            used: Used::default(),
            actions: Vec::new(),
            broken: PropertySet::default(),
        }
    }

    /// The first possible action whose description is the line, or begins with it.
    fn find(&self, config: &BoundedConfig, line: &str) -> Result<Action, Vec<String>> {
        let possible = budget::possible(&self.cluster, &config.settings, &config.bounds, self.used);
        let describe = |action: &Action| view::describe_action(action);
        let exact = possible.iter().position(|action| describe(action) == line);
        let begins = || possible.iter().position(|action| describe(action).starts_with(line));
        match exact.or_else(begins) {
            Some(place) => Ok(possible[place].clone()),
            None => Err(possible.iter().map(describe).collect()),
        }
    }

    fn act<P: Protocol>(&mut self, config: &BoundedConfig, protocol: &P, action: Action) {
        if let Ok(seen) = self.cluster.act(&config.settings, protocol, &action) {
            self.broken.extend(seen.broken.that_end_search());
            self.used = self.used.after_action(&action);
            self.actions.push(action);
        }
    }
}
