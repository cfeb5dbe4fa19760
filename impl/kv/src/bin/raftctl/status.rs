//! `raftctl status`: what the servers say about themselves.

use std::fmt::Write as _;
use std::time::Duration;

use raft_kv::api::Status;
use raft_kv::client::Error;
use serde::Serialize;

use crate::args::StatusArgs;
use crate::cluster::{Agreement, Cluster, Seen, statuses};
use crate::failure::{Exit, Failure};
use crate::output;

/// The JSON report.
#[derive(Serialize)]
struct Json<'a> {
    leader: Option<u64>,
    term: Option<u64>,
    majority_agrees: bool,
    servers: Vec<JsonServer<'a>>,
}

#[derive(Serialize)]
struct JsonServer<'a> {
    address: String,
    id: Option<u64>,
    status: Option<&'a Status>,
    error: Option<String>,
}

pub(crate) async fn run(cluster: &Cluster, args: &StatusArgs) -> Result<Exit, Failure> {
    let (mut out, results) = args.json.open()?;
    let seen = cluster.survey(Duration::from_secs(2)).await;
    let agreement = Agreement::of(&seen);
    results.write(&json(&seen, agreement))?;
    out.print(&(table(&seen) + &summary(&seen, agreement)));
    out.finish()?;
    let is_led = agreement.is_some_and(|agreement| agreement.is_majority());
    Ok(if is_led { Exit::Fine } else { Exit::No })
}

fn table(seen: &[Seen]) -> String {
    let columns =
        ["id", "address", "role", "term", "leader", "last", "commit", "applied", "snapshot", "log"];
    let mut table = output::table(&columns, &[3, 5, 6, 7, 8, 9]);
    for server in seen {
        let id = server.id.map_or_else(|| "?".to_owned(), |id| format!("n{id}"));
        let mut row = vec![id, server.address.to_string(), server.role().to_owned()];
        if let Ok(status) = &server.status {
            row.push(status.term.to_string());
            row.push(status.leader.map_or_else(|| "-".to_owned(), |id| format!("n{id}")));
            row.extend(indexes(status).map(|index| index.to_string()));
            row.push(output::bytes(status.log_bytes));
        } else {
            row.extend(["-"; 7].map(str::to_owned));
        }
        table.add_row(row);
    }
    output::lines(&table)
}

/// The last, the committed, the applied entry and the snapshot's.
pub(crate) fn indexes(status: &Status) -> [u64; 4] {
    [status.last_index, status.commit_index, status.applied_index, status.snapshot_index]
}

fn summary(seen: &[Seen], agreement: Option<Agreement>) -> String {
    let mut out = "\n".to_owned();
    for server in seen {
        if let Err(error) = &server.status {
            let _ = writeln!(out, "{}: {}", server.name(), reason(server, error));
        }
    }
    let Some(Agreement { leader, term, agreeing, servers }) = agreement else {
        return out + "NO LEADER: no server that answers leads.\n";
    };
    for status in statuses(seen).filter(|status| status.role == "leader" && status.id != leader) {
        let _ = writeln!(out, "n{} believes to lead the older term {}", status.id, status.term);
    }
    let verdict = if agreeing > servers / 2 { "" } else { "NO MAJORITY: " };
    let _ = writeln!(out, "{verdict}n{leader} leads term {term}; {agreeing} of {servers} agree.");
    out
}

/// Why a server did not answer, without what the reader knows already.
pub(crate) fn reason(server: &Seen, error: &Error) -> String {
    let text = match error {
        Error::Unavailable { reason, .. } => reason.clone(),
        error => error.to_string(),
    };
    let address = format!("{}: ", server.address);
    text.strip_prefix(&address).unwrap_or(&text).to_owned()
}

fn json(seen: &[Seen], agreement: Option<Agreement>) -> Json<'_> {
    let servers = seen.iter().map(|server| JsonServer {
        address: server.address.to_string(),
        id: server.id,
        status: server.status.as_ref().ok(),
        error: server.status.as_ref().err().map(|error| reason(server, error)),
    });
    Json {
        leader: agreement.map(|agreement| agreement.leader),
        term: agreement.map(|agreement| agreement.term),
        majority_agrees: agreement.is_some_and(|agreement| agreement.is_majority()),
        servers: servers.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_kv::api::Member;

    fn server(id: u64, role: &str, term: u64, leader: Option<u64>) -> Seen {
        let member = |id| Member {
            id,
            peer_address: format!("127.0.0.1:720{id}"),
            client_address: format!("127.0.0.1:710{id}"),
            match_index: None,
            next_index: None,
        };
        let status = Status {
            id,
            cluster: "dev".to_owned(),
            role: role.to_owned(),
            term,
            leader,
            last_index: 123_456_789,
            durable_index: 123_456_789,
            commit_index: 123_456_789,
            applied_index: 123_456_789,
            snapshot_index: 123_456_000,
            log_bytes: 123_456_789,
            uptime_ms: 5,
            program_version: "0".to_owned(),
            members: (1..=3).map(member).collect(),
        };
        let address = format!("http://127.0.0.1:710{id}").parse().expect("an address");
        Seen { address, id: Some(id), status: Ok(status) }
    }

    fn silent(id: u64) -> Seen {
        let reason = "connection refused".to_owned();
        let error = Error::Unavailable { waited: Duration::ZERO, reason };
        Seen { status: Err(error), ..server(id, "", 0, None) }
    }

    #[test]
    fn a_majority_must_agree() {
        let led = [server(1, "leader", 3, Some(1)), server(2, "follower", 3, Some(1)), silent(3)];
        let agreement = Agreement::of(&led).expect("a leader");
        assert!(agreement.is_majority());
        assert_eq!((agreement.leader, agreement.agreeing, agreement.servers), (1, 2, 3));

        let alone = [server(1, "leader", 3, Some(1)), silent(2), silent(3)];
        assert!(!Agreement::of(&alone).expect("a leader").is_majority());
        assert!(summary(&alone, Agreement::of(&alone)).contains("NO MAJORITY"));

        let old = [server(1, "leader", 3, Some(1)), server(2, "follower", 4, None), silent(3)];
        assert!(!Agreement::of(&old).expect("a leader").is_majority());

        let two = [
            server(1, "leader", 3, Some(1)),
            server(2, "leader", 4, Some(2)),
            server(3, "follower", 4, Some(2)),
        ];
        let agreement = Agreement::of(&two).expect("a leader");
        assert!(agreement.is_majority() && agreement.leader == 2);
        assert!(summary(&two, Some(agreement)).contains("n1 believes to lead the older term 3"));
        assert_eq!(Agreement::of(&[silent(1)]), None);
    }

    #[test]
    fn the_table_fits() {
        let table = table(&[server(1, "leader", 123, Some(1)), silent(2)]);
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
        assert!(table.contains("unreachable"), "{table}");
    }
}
