//! Where a search begins: at the first start of the cluster, or after a script.
//!
//! Some situations are too deep to search for, like the second half of Figure 8 or what needs five
//! servers, and yet well known. A script leads there, and everything is explored from there on. Its
//! lines are what a run's table shows in its column of actions (or how such a line begins), so a run
//! can be cut anywhere and become a script.

use raft_core::Paper;
use raft_trace::{Action, Settings};

use crate::cluster::Cluster;
use crate::cluster::budget::{self, Bounds, Used};
use crate::notation;
use crate::properties::PropertySet;
use crate::protocol::Protocol;

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

/// How to get from the first start of a cluster to where a search begins.
#[derive(Clone, Copy)]
pub(crate) struct Script<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) bounds: &'a Bounds,
    pub(crate) lines: &'a [String],
}

impl Script<'_> {
    /// Where it leads. Under a mutant, lines that it has made impossible are skipped.
    pub(crate) fn start<P: Protocol>(self, protocol: &P) -> Start {
        let mut start = self.boot(protocol);
        for line in self.lines {
            if let Ok(action) = self.find(&start, line) {
                self.act(&mut start, protocol, action);
            }
        }
        start
    }

    /// Whether every line is possible under the paper's rules.
    pub(crate) fn check(self) -> Result<(), BadLine> {
        let mut start = self.boot(&Paper);
        for (place, line) in self.lines.iter().enumerate() {
            let bad = |possible| BadLine { step: place + 1, line: line.clone(), possible };
            let action = self.find(&start, line).map_err(bad)?;
            self.act(&mut start, &Paper, action);
        }
        Ok(())
    }

    fn boot<P: Protocol>(self, protocol: &P) -> Start {
        Start {
            cluster: Cluster::boot(self.settings, protocol),
            used: Used::default(),
            actions: Vec::new(),
            broken: PropertySet::default(),
        }
    }

    /// The first possible action whose description is the line, or begins with it.
    fn find(self, start: &Start, line: &str) -> Result<Action, Vec<String>> {
        let possible = budget::possible(&start.cluster, self.settings, self.bounds, start.used);
        let describe = |action: &Action| notation::describe_action(action);
        let exact = possible.iter().position(|action| describe(action) == line);
        let begins = || possible.iter().position(|action| describe(action).starts_with(line));
        match exact.or_else(begins) {
            Some(place) => Ok(possible[place].clone()),
            None => Err(possible.iter().map(describe).collect()),
        }
    }

    fn act<P: Protocol>(self, start: &mut Start, protocol: &P, action: Action) {
        if let Ok(seen) = start.cluster.act(self.settings, protocol, &action) {
            start.broken.extend(seen.broken.that_end_search());
            start.used = start.used.after_action(&action);
            start.actions.push(action);
        }
    }
}
