//! Invalid input on a port is refused, and does not disturb the servers or their clients.

use std::io::Read;

use raft_core::NodeId;
use raft_node::wire::{self, Frame, Hello, Purpose};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::cluster::{Cluster, wait_for};
use crate::raw::{metric, say};

fn frame(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode(frame, &mut bytes);
    bytes
}

fn goes_on(cluster: &mut Cluster) {
    let mut client = cluster.client();
    cluster.runtime.block_on(client.put(b"still", "here")).unwrap();
    for id in 1..=3 {
        assert!(cluster.is_running(id), "{}", cluster.log(id));
        assert!(!cluster.log(id).contains("panicked"), "{}", cluster.log(id));
    }
}

#[test]
fn on_the_port_for_servers() {
    let mut cluster = Cluster::started("");
    let (port, client_port) = (cluster.peer_ports[0], cluster.client_ports[0]);
    let mut random = StdRng::seed_from_u64(1);
    let mut streams = Vec::new();
    for _ in 0..50 {
        let length = random.random_range(1..2000);
        let noise: Vec<u8> = (0..length).map(|_| random.random()).collect();
        streams.push(say(port, &noise));
    }
    let hello = |cluster: &str, from, to| {
        let (cluster, from, to) = (cluster.to_owned(), NodeId(from), NodeId(to));
        let (voters, purpose) = ([1, 2, 3].map(NodeId).into(), Purpose::Messages);
        frame(&Frame::Hello(Hello { cluster, from, to, voters, disk: 1, purpose }))
    };
    let mut other_version = hello("test", 2, 1);
    other_version[0] = 9;
    let mut huge = hello("test", 2, 1);
    huge[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut damaged = hello("test", 2, 1);
    *damaged.last_mut().unwrap() ^= 1;
    let half = hello("test", 2, 1)[..12].to_vec();
    let strangers =
        [hello("other", 2, 1), hello("test", 9, 1), hello("test", 2, 3), hello("test", 1, 1)];
    for bytes in [other_version, huge, damaged, half].iter().chain(&strangers) {
        streams.push(say(port, bytes));
    }
    wait_for("all of them to be counted", || {
        (metric(client_port, "raft_rejected_frames_total") >= 58).then_some(())
    });
    goes_on(&mut cluster);
}

#[test]
fn on_the_port_for_clients() {
    let mut cluster = Cluster::started("");
    let port = cluster.client_ports[0];
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..50 {
        let length = random.random_range(1..2000);
        let noise: Vec<u8> = (0..length).map(|_| random.random()).collect();
        say(port, &noise);
    }
    let status = |request: &[u8]| {
        let mut stream = say(port, request);
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    let long = "k".repeat(5000);
    assert_eq!(
        status(b"PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n"),
        "413"
    );
    assert_eq!(
        status(format!("GET /v1/kv/{long} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()),
        "400"
    );
    assert_eq!(status(b"GET /v1/kv/ HTTP/1.1\r\nHost: localhost\r\n\r\n"), "404");
    assert_eq!(status(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"), "404");
    assert_eq!(status(b"PATCH /v1/kv/k HTTP/1.1\r\nHost: localhost\r\n\r\n"), "405");
    assert_eq!(
        status(b"POST /v1/kv/k/cas HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"),
        "400"
    );
    assert_eq!(
        status(b"PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nIf-Match: \"1\"\r\nContent-Length: 0\r\n\r\n"),
        "400"
    );
    assert_eq!(status(b"GET /v1/kv/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n"), "400");
    let serial =
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: localhost\r\nRaft-Serial: 1\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(status(serial), "400");
    goes_on(&mut cluster);
}
