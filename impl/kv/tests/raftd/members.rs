//! The members of a cluster, and the state of each member as the others see it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output};

use raft_kv::api::Replication;
use raft_kv::client::{Client, Options};

use crate::cluster::{Cluster, PATIENCE, failing, raftd, wait_for};
use crate::raw::metric;

/// Servers that are killed at the end of the test.
struct Processes(Vec<Child>);

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns all files and directories under a directory, with the contents of the files.
fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_dir() {
            found.push((name, Vec::new()));
            found.extend(contents(&path));
        } else {
            found.push((name, std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// Writes the configurations of servers 3, 4 and 5 of a cluster of five.
fn configure_five(cluster: &Cluster) {
    let ports = cluster.spare_ports();
    for id in 3..=5 {
        let mut text = cluster.config_text(id, "test");
        for (place, id) in (4..=5).enumerate() {
            let (peer, client) = (ports[2 * place], ports[2 * place + 1]);
            write!(
                text,
                "[[members]]\nid = {id}\npeer = \"127.0.0.1:{peer}\"\nclient = \"127.0.0.1:{client}\"\n"
            )
            .unwrap();
        }
        std::fs::write(cluster.config(id), text).unwrap();
    }
}

fn start(cluster: &Cluster, id: u64) -> Child {
    let log = std::fs::File::create(cluster.path(&format!("node-{id}.log"))).unwrap();
    raftd(&cluster.config(id)).stderr(log).spawn().unwrap()
}

fn status(cluster: &Cluster) -> Output {
    let servers: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
    Command::new(env!("CARGO_BIN_EXE_raftctl"))
        .args(["status", "--servers", &servers.join(",")])
        .output()
        .unwrap()
}

#[test]
fn servers_with_another_list_of_members_do_not_take_over() {
    let mut cluster = Cluster::started("");
    wait_for("server 3 to vote", || cluster.status(3)?.leader);
    cluster.kill(3);
    let options = Options { deadline: PATIENCE, ..Options::default() };
    let mut client = Client::new(cluster.addresses()[..2].to_vec(), options).unwrap();
    cluster.runtime.block_on(client.put(b"key", "acknowledged")).unwrap();

    // Server 3 has voted in a cluster of three, so it refuses to start in a cluster of five.
    configure_five(&cluster);
    let before = contents(&cluster.path("node-3"));
    let refused = failing(&cluster.config(3));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("members 1 2 3, the configuration names 1 2 3 4 5"), "{said}");
    let after = contents(&cluster.path("node-3"));
    assert_eq!(after.len(), before.len(), "no file comes or goes");
    for ((path, then), (again, now)) in before.iter().zip(&after) {
        assert!(path == again && then == now, "{path} was changed");
    }

    // Without its data, server 3 starts as a member of the cluster of five, and the first cluster
    // refuses it.
    std::fs::remove_dir_all(cluster.path("node-3")).unwrap();
    let _others = Processes(vec![start(&cluster, 4), start(&cluster, 5)]);
    cluster.start(3);
    let second = wait_for("a leader among 3, 4 and 5", || cluster.status(3)?.leader);
    assert!(second >= 3);
    let refused = "raft_rejected_frames_total{reason=\"other_members\"}";
    wait_for("the first cluster to count them", || {
        let port = cluster.client_ports[0];
        (metric(port, refused) > 0).then_some(())
    });
    let found = cluster.runtime.block_on(client.get(b"key")).unwrap().unwrap();
    assert_eq!(found.value, "acknowledged");
    let why = wait_for("server 1 to say so", || {
        cluster.status(1)?.members.into_iter().find(|member| member.id == 3)?.refused
    });
    assert_eq!(why, "the members differ: n3 has 1 2 3 4 5, n1 has 1 2 3");
    assert!(cluster.status(1).unwrap().leader.is_some_and(|leader| leader < 3));
}

#[test]
fn the_status_shows_that_a_server_without_its_data_is_refused() {
    let mut cluster = Cluster::started("");
    let mut client = cluster.client();
    cluster.runtime.block_on(client.put(b"key", "value")).unwrap();
    wait_for("every server to do its part", || status(&cluster).status.success().then_some(()));
    cluster.kill(3);
    std::fs::remove_dir_all(cluster.path("node-3")).unwrap();
    cluster.start(3);
    let said = wait_for("the refusal", || {
        let output = status(&cluster);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code() == Some(1) && said.contains("3 of 3 agree")).then_some(said)
    });
    assert!(said.contains("REDUNDANCY LOST: 2 of 3 do their part; n3 is refused."), "{said}");
    assert!(said.contains("refuses n3: n3 has been here with another data directory"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
    let leader = cluster.leader();
    let sees = |server: u64, other: u64| {
        let members = cluster.status(server).unwrap().members;
        members.into_iter().find(|member| member.id == other).unwrap()
    };
    let three = sees(leader, 3);
    assert_eq!(three.replication, Some(Replication::Refused));
    assert!(three.refused.is_some() && three.refuses.is_none(), "{three:?}");
    let leader = sees(3, leader);
    assert!(leader.refused.is_none() && leader.refuses == three.refused, "{leader:?}");
}
