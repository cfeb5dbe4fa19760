//! `raftctl status`: shows the statuses of the servers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use raft_kv::api::Status;
use raft_kv::client::Error;
use serde::Serialize;

use crate::args::StatusArgs;
use crate::cluster::{
    Agreement, Cluster, Refused, Seen, deficient, in_words, refusals, statuses, word,
};
use crate::failure::{Exit, Failure};
use crate::output;

/// The JSON report.
#[derive(Serialize)]
struct Json<'a> {
    leader: Option<u64>,
    term: Option<u64>,
    majority_agrees: bool,
    /// Whether a majority agrees on a leader, and every other member is current.
    redundant: bool,
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
    out.print(&report(&seen, agreement));
    out.finish()?;
    Ok(if is_redundant(&seen, agreement) { Exit::Fine } else { Exit::No })
}

/// Returns whether a majority agrees on a leader, and no member reduces the redundancy.
fn is_redundant(seen: &[Seen], agreement: Option<Agreement>) -> bool {
    agreement.is_some_and(|agreement| {
        let leader = agreement.leader_of(seen);
        agreement.is_majority() && leader.is_some_and(|leader| deficient(seen, leader).is_empty())
    })
}

fn report(seen: &[Seen], agreement: Option<Agreement>) -> String {
    let leader = agreement.and_then(|agreement| agreement.leader_of(seen));
    let followers = leader.map(|leader| followers(seen, leader)).unwrap_or_default();
    table(seen) + &followers + &summary(seen, agreement)
}

/// Returns a table of the other members, as the leader sees them.
fn followers(seen: &[Seen], leader: &Status) -> String {
    let others: Vec<_> = leader.members.iter().filter(|member| member.id != leader.id).collect();
    if others.is_empty() {
        return String::new();
    }
    let mut table = output::table(&["id", "last heard", "match", "lag", "state"], &[1, 2, 3]);
    let deficient = deficient(seen, leader);
    for member in others {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), output::count);
        let state = deficient.get(&member.id).copied();
        table.add_row(vec![
            format!("n{}", member.id),
            member.last_heard_ms.map_or_else(|| "never".to_owned(), ago),
            number(member.match_index),
            number(member.lag),
            state.unwrap_or_else(|| word(member.replication)).to_owned(),
        ]);
    }
    format!("\nThe others, as n{} sees them:\n{}", leader.id, output::lines(&table))
}

/// Formats the time since an event.
fn ago(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..120_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        120_000..7_200_000 => format!("{} min", milliseconds / 60_000),
        _ => format!("{} h", milliseconds / 3_600_000),
    }
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

/// Returns the indexes of the last, the committed and the applied entry and of the snapshot.
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
    for Refused { server, by, reason } in refusals(seen) {
        let line = format!("n{by} refuses n{server}: {reason}");
        let options = textwrap::Options::new(100).subsequent_indent("    ");
        let _ = writeln!(out, "{}", textwrap::fill(&line, options));
    }
    let Some(Agreement { leader, term, agreeing, servers }) = agreement else {
        return out + "NO LEADER: no server that answers leads.\n";
    };
    for status in statuses(seen).filter(|status| status.role == "leader" && status.id != leader) {
        let _ = writeln!(out, "n{} believes to lead the older term {}", status.id, status.term);
    }
    let verdict = if agreeing > servers / 2 { "" } else { "NO MAJORITY: " };
    let _ = writeln!(out, "{verdict}n{leader} leads term {term}; {agreeing} of {servers} agree.");
    let lost = agreement.and_then(|agreement| agreement.leader_of(seen));
    let lost = lost.map_or_else(BTreeMap::new, |leader| deficient(seen, leader));
    if !lost.is_empty() {
        let sound = servers.saturating_sub(lost.len());
        let lost = in_words(&lost);
        let _ = writeln!(out, "REDUNDANCY LOST: {sound} of {servers} do their part; {lost}.");
    }
    out
}

/// Returns the reason why a server did not answer, without the server's address, which the reader
/// already knows.
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
        redundant: is_redundant(seen, agreement),
        majority_agrees: agreement.is_some_and(|agreement| agreement.is_majority()),
        servers: servers.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_kv::api::{Member, Replication};

    fn server(id: u64, role: &str, term: u64, leader: Option<u64>) -> Seen {
        let leads = role == "leader";
        let member = |other: u64| {
            let followed = leads && other != id;
            Member {
                id: other,
                peer_address: format!("127.0.0.1:720{other}"),
                client_address: format!("127.0.0.1:710{other}"),
                match_index: followed.then_some(123_456_789),
                next_index: followed.then_some(123_456_790),
                lag: followed.then_some(0),
                last_heard_ms: (other != id).then_some(12),
                refused: None,
                refuses: None,
                replication: followed.then_some(Replication::Current),
            }
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

    /// Returns the answers of three servers without any failure.
    fn sound() -> [Seen; 3] {
        let follower = |id| server(id, "follower", 3, Some(1));
        [server(1, "leader", 3, Some(1)), follower(2), follower(3)]
    }

    /// Returns the entry for `member` in the answer of server `of`.
    fn member(seen: &mut [Seen], of: usize, member: usize) -> &mut Member {
        &mut seen[of - 1].status.as_mut().expect("it answers").members[member - 1]
    }

    fn told(seen: &[Seen]) -> (String, bool) {
        let agreement = Agreement::of(seen);
        (report(seen, agreement), is_redundant(seen, agreement))
    }

    #[test]
    fn a_majority_must_agree() {
        let led = [server(1, "leader", 3, Some(1)), server(2, "follower", 3, Some(1)), silent(3)];
        let agreement = Agreement::of(&led).expect("a leader");
        assert!(agreement.is_majority());
        assert_eq!((agreement.leader, agreement.agreeing, agreement.servers), (1, 2, 3));

        let alone = [server(1, "leader", 3, Some(1)), silent(2), silent(3)];
        assert!(!Agreement::of(&alone).expect("a leader").is_majority());
        let (text, redundant) = told(&alone);
        assert!(text.contains("NO MAJORITY") && !redundant, "{text}");

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
    fn a_server_that_lost_its_data_and_is_refused_costs_the_redundancy() {
        let mut seen = sound();
        let lost = "n3 has been here with another data directory: either two servers have one id, or \
                    n3 has lost its data, and then it could vote twice";
        *member(&mut seen, 1, 3) = Member {
            match_index: Some(123_000_000),
            lag: Some(456_789),
            last_heard_ms: Some(83_456),
            refused: Some(lost.to_owned()),
            replication: Some(Replication::Refused),
            ..member(&mut seen, 1, 3).clone()
        };
        // The refused server reports the same refusal.
        member(&mut seen, 3, 1).refuses = Some(lost.to_owned());
        let (text, redundant) = told(&seen);
        assert!(!redundant);
        assert_eq!(text, GOLDEN);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    const GOLDEN: &str = "\x20id address               role     term leader      last    commit   applied  snapshot      log
 n1 http://127.0.0.1:7101 leader      3 n1     123456789 123456789 123456789 123456000 123.5 MB
 n2 http://127.0.0.1:7102 follower    3 n1     123456789 123456789 123456789 123456000 123.5 MB
 n3 http://127.0.0.1:7103 follower    3 n1     123456789 123456789 123456789 123456000 123.5 MB

The others, as n1 sees them:
 id last heard       match     lag state
 n2      12 ms 123,456,789       0 current
 n3     83.4 s 123,000,000 456,789 refused

n1 refuses n3: n3 has been here with another data directory: either two servers have one id, or n3
    has lost its data, and then it could vote twice
n1 leads term 3; 3 of 3 agree.
REDUNDANCY LOST: 2 of 3 do their part; n3 is refused.
";

    #[test]
    fn every_member_must_do_its_part() {
        let (text, redundant) = told(&sound());
        assert!(redundant && !text.contains("REDUNDANCY"), "{text}");
        let states = [
            (Some(Replication::Behind), "n2 is behind"),
            (Some(Replication::Silent), "n2 is silent"),
            (Some(Replication::Snapshot), "n2 is being sent a snapshot"),
            (None, "n2 is unknown"),
        ];
        for (state, words) in states {
            let mut seen = sound();
            member(&mut seen, 1, 2).replication = state;
            let (text, redundant) = told(&seen);
            let words = format!("REDUNDANCY LOST: 2 of 3 do their part; {words}.");
            assert!(!redundant && text.contains(&words), "{text}");
        }
    }

    #[test]
    fn a_refusal_between_two_followers_counts() {
        let mut seen = sound();
        member(&mut seen, 2, 3).refused = Some("why".to_owned());
        let (text, redundant) = told(&seen);
        assert!(!redundant && text.contains("n2 refuses n3: why\n"), "{text}");
        assert!(text.contains("2 of 3 do their part; n3 is refused."), "{text}");
    }

    #[test]
    fn who_is_at_odds_with_the_leader_makes_nobody_else_deficient() {
        let mut seen = sound();
        let differ = || Some("the members differ".to_owned());
        for sound in [1, 2] {
            member(&mut seen, sound, 3).refused = differ();
            member(&mut seen, sound, 3).refuses = differ();
        }
        let (text, redundant) = told(&seen);
        assert!(!redundant && text.contains("n3 refuses n2: the members differ\n"), "{text}");
        assert!(text.contains("2 of 3 do their part; n3 is refused."), "{text}");
    }

    #[test]
    fn the_table_fits() {
        let table = table(&[server(1, "leader", 123, Some(1)), silent(2)]);
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
        assert!(table.contains("unreachable"), "{table}");
    }
}
