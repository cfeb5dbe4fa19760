//! The checks of every run.

use std::path::PathBuf;
use std::time::Instant;

use raft_linearizability::{KvModel, Limit, check};
use raft_logs::validate::{Options, Report, validate};

use crate::clients::Load;
use crate::cluster::{Cluster, IDS};

/// The least numbers of events in a meaningful run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    /// Calls that were answered.
    pub(crate) answered: u64,
    /// Elections that were won.
    pub(crate) elections: u64,
    /// Processes that were killed.
    pub(crate) kills: u64,
    /// Connections that a link has reset.
    pub(crate) resets: u64,
}

/// Heals everything, waits until all servers have applied all entries, stops them, and checks the
/// history of the clients and the logs of the servers.
pub(crate) fn judge(cluster: &mut Cluster, load: Load, floor: Floor) -> Report {
    cluster.heal();
    load.wait_for(cluster, 50);
    let answered = load.answered();
    let history = load.finish();
    cluster.wait_until_even();
    for id in IDS {
        cluster.server_mut(id).terminate();
    }
    for id in IDS {
        let said = cluster.server(id).said();
        assert!(!said.contains("panicked"), "n{id} panicked:\n{said}");
        assert!(!said.contains("the trace log is incomplete"), "n{id}:\n{said}");
    }
    let began = Instant::now();
    let verdict = check::<KvModel>(&history, Limit::default());
    println!("{verdict} Checked in {:.1?}.", began.elapsed());
    assert!(verdict.is_linearizable(), "{verdict}");

    let report = explained(&trace_logs(cluster));
    let happened = Floor {
        answered,
        elections: report.elections,
        kills: cluster.kills(),
        resets: cluster.resets(),
    };
    println!("{happened:?}");
    assert!(happened.answered >= floor.answered, "{happened:?}");
    assert!(happened.elections >= floor.elections, "{happened:?}");
    assert!(happened.kills >= floor.kills, "{happened:?}");
    assert!(happened.resets >= floor.resets, "{happened:?}");
    let incarnations: u64 = report.servers.iter().map(|server| server.incarnations).sum();
    // A server that is killed before it has read its disk begins no incarnation.
    let starts = cluster.kills() + IDS.len() as u64;
    assert!(incarnations <= starts, "{incarnations} incarnations of {starts} processes");
    report
}

/// Returns the paths of the servers' trace logs.
pub(crate) fn trace_logs(cluster: &Cluster) -> Vec<PathBuf> {
    IDS.iter().map(|id| cluster.server(*id).trace_log()).collect()
}

/// Validates the logs, which must be a behaviour of the model.
fn explained(logs: &[PathBuf]) -> Report {
    let began = Instant::now();
    let report = validate(logs, Options::default(), &mut |_| {});
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    let sizes = logs.iter().map(|log| std::fs::metadata(log).map_or(0, |file| file.len()));
    let (bytes, time) = (sizes.sum::<u64>(), began.elapsed());
    println!("{} steps, {} KiB of logs, explained in {time:.1?}.", report.steps(), bytes >> 10);
    assert!(report.is_explained(), "the model does not do this:\n{}", report.explain());
    report
}
