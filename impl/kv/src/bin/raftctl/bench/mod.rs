//! `raftctl bench`: measures how fast a cluster is.

mod client_threads;
mod closed_loop;
mod cpu;
#[cfg(feature = "etcd")]
mod etcd;
mod fill;
mod http;
mod report;
mod response;
mod tally;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use raft_cli::output::Output;

use crate::args::BenchArgs;
use crate::cluster::{Cluster, leader};
use crate::failure::{Exit, Failure, complain};

use client_threads::Target;
use report::Report;

/// A request without an answer after this time is an error.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause of a client after an error, so that an unavailable cluster does not get thousands of
/// requests per second.
const PAUSE: Duration = Duration::from_millis(10);

/// The time between two updates of the progress bar.
const INTERVAL: Duration = Duration::from_millis(200);

pub(crate) fn run(cluster: &Cluster, args: &BenchArgs) -> Result<Exit, Failure> {
    let (mut out, json) = args.json.open()?;
    let report = match &args.etcd {
        None => measure(&http_target(cluster, args)?, args, &mut out)?,
        #[cfg(feature = "etcd")]
        Some(servers) => measure(&etcd::EtcdTarget::new(servers, args)?, args, &mut out)?,
        #[cfg(not(feature = "etcd"))]
        Some(_) => return Err(Failure::NoEtcd),
    };
    json.write(&report)?;
    out.print(&report.text(args));
    out.finish()?;
    let idle = report.runs.iter().any(|run| run.operations == 0);
    Ok(if idle { Exit::Unavailable } else { Exit::Fine })
}

/// Finds the leader, and returns the cluster as a target.
fn http_target(cluster: &Cluster, args: &BenchArgs) -> Result<http::HttpTarget, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::Runtime)?;
    let seen = runtime.block_on(cluster.survey(Duration::from_secs(2)));
    let leader = leader(&seen).ok_or(Failure::NoLeader)?.address.clone();
    let servers = seen.into_iter().map(|server| server.address).collect();
    let tls = cluster.options.tls.clone();
    Ok(http::HttpTarget { servers, tls, leader, value_size: args.value_size })
}

fn measure<T: Target>(target: &T, args: &BenchArgs, out: &mut Output) -> Result<Report, Failure> {
    // This is printed before the first write, because the user may have named the wrong cluster.
    complain(format_args!("Writing keys named bench-.. to {}.", target.name()));
    if let Some(bytes) = args.fill {
        let filled = fill::fill(target, args, bytes)?;
        writeln!(out, "{filled}");
    }
    let mut report = Report::new(target.name(), args);
    for clients in &args.clients {
        report.runs.push(closed_loop::run(target, args, usize::from(*clients))?);
    }
    Ok(report)
}

/// Creates a progress bar on stderr. It is visible only if stderr is a terminal.
fn progress_bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
