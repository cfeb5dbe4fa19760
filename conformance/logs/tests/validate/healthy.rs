//! Tests that the logs of a correct cluster are explained, with kills and other faults.

use raft_logs::validate::{Options, Report, validate};

use crate::cluster::Cluster;

fn explained(cluster: &Cluster) -> Report {
    let report = cluster.logs.validate().expect("every line can be read");
    assert!(report.is_explained(), "{}", report.explain());
    report
}

#[test]
fn healthy_logs_with_kills_are_explained() {
    let reports: Vec<Report> = (0..60).map(|seed| explained(&Cluster::ran(seed, 3000))).collect();
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    // The logs must contain enough events for the explanation to mean something.
    assert!(sum(|r| r.elections) > 100);
    assert!(sum(|r| r.committed) > 1000);
    assert!(sum(|r| r.messages.repeated) > 100);
    assert!(sum(|r| r.messages.lost) > 100);
    assert!(sum(|r| r.messages.never_left) > 10);
    let of_servers = |of: fn(&raft_logs::validate::ServerReport) -> u64| {
        reports.iter().flat_map(|report| &report.servers).map(of).sum::<u64>()
    };
    assert!(of_servers(|s| s.incarnations) > 300);
    assert!(of_servers(|s| s.cut_lines.len() as u64) > 100);
    assert!(of_servers(|s| s.kept_writes) > 10);
    assert!(of_servers(|s| s.lost_writes) > 10);
    assert!(of_servers(|s| s.reads_served) > 50);
    assert!(of_servers(|s| s.snapshots_taken) > 50);
    assert!(of_servers(|s| s.snapshots_installed) > 5);
}

#[test]
fn every_line_is_counted() {
    let cluster = Cluster::ran(3, 2000);
    let report = explained(&cluster);
    for (server, lines) in report.servers.iter().zip(&cluster.logs.files) {
        assert_eq!(server.steps + server.incarnations, lines.len() as u64);
    }
}

#[test]
fn the_order_of_the_files_does_not_matter() {
    let cluster = Cluster::ran(5, 2000);
    let (_directory, paths) = cluster.logs.write();
    let of = |order: [usize; 3]| {
        let paths: Vec<_> = order.iter().map(|place| paths[*place].clone()).collect();
        let report = validate(&paths, Options::default(), &mut |_| {}).expect("it can be read");
        assert!(report.is_explained(), "{}", report.explain());
        report.to_json()
    };
    let first = of([0, 1, 2]);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(of(order), first);
    }
}

#[test]
fn a_large_append_entries_may_arrive_in_parts() {
    let mut cluster = Cluster::boot(1, 30 << 10);
    cluster.run(1500);
    let report = explained(&cluster);
    assert!(report.messages.parts > 5, "{:?}", report.messages);
    assert!(report.committed > 5);
}

#[test]
fn a_server_without_a_log_is_missed_where_it_is_heard() {
    let mut logs = Cluster::ran(7, 2000).logs;
    logs.files.remove(2);
    let places = logs.contradictions();
    assert!(!places.is_empty());
    for place in places {
        assert_eq!(place.refusal.details(), ["there is no log of n3"]);
    }
}
