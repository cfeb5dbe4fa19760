//! The start of a search: the first start of the cluster, or the end of a script.
//!
//! Some known situations are too deep for a search, like the second half of Figure 8 or those that
//! need five servers. A script leads to such a situation, and the search explores everything from
//! there on. A line of a script is a text from the action column of a run's table, or the beginning
//! of such a text. So the first steps of any run can be used as a script.

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
    /// The part of each budget that was used on the way.
    pub(crate) used: Used,
    /// The actions on the way.
    pub(crate) actions: Vec<Action>,
    /// The properties that were broken on the way.
    pub(crate) broken: PropertySet,
}

/// A line of a script that names no action which is possible there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// Its place, counted from 1.
    pub(crate) step: usize,
    /// The line.
    pub(crate) line: String,
    /// The actions that are possible there.
    pub(crate) possible: Vec<String>,
}

/// The way from the first start of a cluster to the start of a search.
#[derive(Clone, Copy)]
pub(crate) struct Script<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) bounds: &'a Bounds,
    pub(crate) lines: &'a [String],
}

impl Script<'_> {
    /// Returns the start to which the script leads. Under a mutant, lines that it has made
    /// impossible are skipped.
    pub(crate) fn start<P: Protocol>(self, protocol: &P) -> Start {
        let mut start = self.boot(protocol);
        for line in self.lines {
            if let Ok(action) = self.find(&start, line) {
                self.act(&mut start, protocol, action);
            }
        }
        start
    }

    /// Checks whether every line is possible under the paper's rules.
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

    /// Returns the first possible action whose description is the line, or begins with it.
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
