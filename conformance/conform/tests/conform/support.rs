//! Traces and configurations for the tests.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use raft_checker::cluster::Cluster;
use raft_checker::config::{BoundedConfig, Catalog};
use raft_checker::control::Control;
use raft_conform::trace::{BadTrace, Held, hold};
use raft_conform::{Found, Progress};
use raft_core::{Limits, NodeId, Paper};
use raft_trace::{Action, ApplyMode, ClusterTrace, DiskMode, Envelope, Settings};

pub(crate) fn config(name: &str) -> BoundedConfig {
    let catalog = Catalog::embedded().expect("the configurations are sound");
    catalog.find(name).expect("it is one of them")
}

pub(crate) fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/corpus");
    let entries = std::fs::read_dir(folder).expect("the corpus is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

pub(crate) fn read(path: &Path) -> ClusterTrace {
    let file = File::open(path).expect("the trace is there");
    ClusterTrace::read(BufReader::new(file)).expect("it is a trace")
}

pub(crate) fn held(trace: &ClusterTrace) -> Result<(Held, Option<Found>), BadTrace> {
    hold(trace, &Control::default(), &Progress::default())
}

pub(crate) fn settings(servers: u64, disk: DiskMode, apply: ApplyMode) -> Settings {
    Settings { servers, limits: Limits { batch: 1, window: 2, reads: 16 }, disk, apply }
}

/// A cluster of the model, with a trace of its actions.
pub(crate) struct Author {
    pub(crate) cluster: Cluster,
    pub(crate) trace: ClusterTrace,
}

impl Author {
    pub(crate) fn of(settings: Settings) -> Author {
        let cluster = Cluster::boot(&settings, &Paper);
        let trace = ClusterTrace { settings, about: "A test.".to_owned(), actions: Vec::new() };
        Author { cluster, trace }
    }

    pub(crate) fn act(&mut self, action: Action) {
        let done = self.cluster.act(&self.trace.settings, &Paper, &action);
        done.unwrap_or_else(|reason| panic!("{action:?}: {reason}"));
        self.trace.actions.push(action);
    }

    /// Delivers messages until the network is empty.
    pub(crate) fn deliver_all(&mut self) {
        while let Some(envelope) = self.next() {
            self.act(Action::Deliver(envelope));
        }
    }

    fn lose_all(&mut self) {
        while let Some(envelope) = self.next() {
            self.act(Action::Drop(envelope));
        }
    }

    fn next(&self) -> Option<Envelope> {
        self.cluster.network.keys().next().cloned()
    }

    /// Makes n1 start an election, and delivers all messages.
    pub(crate) fn elect(&mut self) {
        self.act(Action::ElectionTimeout { server: NodeId(1) });
        self.deliver_all();
    }
}

/// Returns a trace with more reads than production begins at once. The other reads wait in
/// production, but not in the model. This limit is outside of the scope of conformance.
pub(crate) fn too_many_reads() -> ClusterTrace {
    let mut author = Author::of(settings(3, DiskMode::Atomic, ApplyMode::AtOnce));
    author.elect();
    let server = NodeId(1);
    for number in 1..=5 {
        author.act(Action::Heartbeat { server });
        author.lose_all();
        author.act(Action::Read { server, id: raft_core::ReadId(number) });
        author.lose_all();
    }
    author.trace
}
