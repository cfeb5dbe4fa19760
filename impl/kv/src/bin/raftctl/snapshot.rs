//! `raftctl snapshot`: makes servers take a snapshot.

use std::time::{Duration, Instant};

use crate::args::SnapshotArgs;
use crate::cluster::{Cluster, leader, rest};
use crate::failure::{Exit, Failure, complain};
use crate::output;
use crate::status::reason;

pub(crate) async fn run(cluster: &Cluster, args: &SnapshotArgs) -> Result<Exit, Failure> {
    let began = Instant::now();
    let seen = cluster.survey(Duration::from_secs(2)).await;
    let mut exit = Exit::Fine;
    let servers = if args.all { seen.iter().collect() } else { Vec::from_iter(leader(&seen)) };
    if servers.is_empty() {
        return Err(Failure::NoLeader);
    }
    for server in servers {
        if let Err(error) = &server.status {
            complain(format_args!("{} takes none: {}", server.name(), reason(server, error)));
            exit = Exit::Unavailable;
            continue;
        }
        let mut client = cluster.client_of(&server.address)?;
        client.set_deadline(rest(cluster.options.deadline, began));
        let started = client.snapshot().await?;
        let name = server.name();
        output::print(&format!("{name} takes a snapshot up to index {}\n", started.index))?;
    }
    Ok(exit)
}
