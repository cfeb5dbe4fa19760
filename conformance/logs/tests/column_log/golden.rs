//! Compares the picture with its expected text, word for word.

use std::path::PathBuf;

use raft_core::Input;
use raft_logs::column_log::{Filter, Layout};

use crate::cluster::Cluster;
use crate::support::{corpus, lines, picture};

const TRACE: &str = "\
A server votes, crashes, and refuses another candidate of the same term: the vote was durable before
it left.

    step topic| n1                        | n2                        | n3
       1 TIMR | election timeout          |                           |
       1 TERM | C1 c0 a0 term 1, was 0    |                           |
       1 ELEC | C1 c0 a0 campaigns        |                           |
       1 DISK | writes t1 v1              |                           |
       2 DISK | durable: t1 v1            |                           |
       2 ELEC | -> all vote? t1 log start |                           |
       3 ELEC |                           | <- n1 vote? t1 log start  |
       3 TERM |                           | F1 c0 a0 term 1, was 0    |
       3 ELEC |                           | votes for n1              |
       3 DISK |                           | writes t1 v1              |
       4 DISK |                           | durable: t1 v1            |
       4 ELEC |                           | -> n1 vote t1             |
       5 BOOT |                           | CRASH, keeps 0 writes     |
       6 BOOT |                           | F1 c0 a0 starts           |
       7 TIMR |                           |                           | election timeout
       7 TERM |                           |                           | C1 c0 a0 term 1, was 0
       7 ELEC |                           |                           | C1 c0 a0 campaigns
       7 DISK |                           |                           | writes t1 v3
       8 DISK |                           |                           | durable: t1 v3
       8 ELEC |                           |                           | -> all vote? t1 log start
       9 ELEC |                           | <- n3 vote? t1 log start  |
       9 ELEC |                           | -> n3 no vote t1          |
      10 ELEC |                           |                           | <- n2 no vote t1
      11 ELEC | <- n2 vote t1             |                           |
      11 ELEC | L1 c0 a0 leads            |                           |
      11 DISK | writes 1                  |                           |
      11 LOG  | -> all append 1 t1 c0     |                           |
      11 LOG  |   after start             |                           |

27 events shown.
";

const LOGS: &str = r"    step topic| n1                                       | n2
       1 BOOT | F0 c0 a0 starts                          |
       2 TIMR | election timeout                         |
       2 TERM | C1 c0 a0 term 1, was 0                   |
       2 ELEC | C1 c0 a0 campaigns                       |
       2 DISK | writes t1 v1                             |
       3 DISK | durable: t1 v1                           |
       3 ELEC | -> n2 vote? t1 log start                 |
       4 BOOT |                                          | F0 c0 a0 starts
       5 ELEC |                                          | <- n1 vote? t1 log start
       5 TERM |                                          | F1 c0 a0 term 1, was 0
       5 ELEC |                                          | votes for n1
       5 DISK |                                          | writes t1 v1
       6 DISK |                                          | durable: t1 v1
       6 ELEC |                                          | -> n1 vote t1
       7 ELEC | <- n2 vote t1                            |
       7 ELEC | L1 c0 a0 leads                           |
       7 DISK | writes 1                                 |
       7 LOG  | -> n2 append 1 t1 c0 after start         |
       8 DISK | durable: 1                               |
       9 LOG  |                                          | <- n1 append 1 t1 c0 after start
       9 DISK |                                          | writes 1
      10 DISK |                                          | durable: 1
      10 LOG  |                                          | -> n1 ack 1 t1
      11 LOG  | <- n2 ack 1 t1                           |
      11 CMIT | L1 c1 a0 commits 1                       |
      12 APPL | L1 c1 a1 applied 1                       |
      13 CLNT | proposes 2: put a 1                      |
      13 DISK | writes 2                                 |
      13 LOG  | -> n2 append 2 t1 c1 after 1@1           |
      14 DISK | durable: 2                               |
      15 LOG  |                                          | <- n1 append 2 t1 c1 after 1@1
      15 CMIT |                                          | F1 c1 a0 commits 1
      15 DISK |                                          | writes 2
      16 DISK |                                          | durable: 2
      16 LOG  |                                          | -> n1 ack 2 t1
      17 APPL |                                          | F1 c1 a1 applied 1
      18 LOG  | <- n2 ack 2 t1                           |
      18 CMIT | L1 c2 a1 commits 2                       |
      19 APPL | L1 c2 a2 applied 2                       |
      20 READ | client: read 1                           |
      20 TIMR | -> n2 heartbeat t1 c2 at 2@1             |
      21 TIMR |                                          | <- n1 heartbeat t1 c2 at 2@1
      21 CMIT |                                          | F1 c2 a1 commits 2
      21 LOG  |                                          | -> n1 ack 2 t1
      22 APPL |                                          | F1 c2 a2 applied 2
      23 LOG  | <- n2 ack 2 t1                           |
      23 READ | serves read 1 at 2                       |
      24 SNAP | stored snapshot 2                        |
      24 SNAP | L1 c2 a2 log begins after 2              |
      24 DISK | writes compaction to 2                   |
      25 DISK | durable: compaction to 2                 |
      26 BOOT | F1 c2 a2 starts, snapshot 2              |
      27 CLNT | refuses put b 2: no leader is known      |

53 events shown.
";

#[test]
fn a_cluster_trace_looks_like_this() {
    let text =
        picture(&[corpus("vote-survives-a-crash.jsonl")], Filter::default(), Layout::default());
    assert_eq!(text, TRACE, "{text}");
}

#[test]
fn node_logs_look_like_this() {
    let mut cluster = Cluster::new(2);
    cluster.input(0, Input::ElectionTimeout);
    cluster.settle();
    cluster.propose(0, "put a 1");
    cluster.settle();
    cluster.read(0);
    cluster.settle();
    cluster.snapshot(0);
    cluster.sync(0);
    cluster.restart(0);
    cluster.propose(0, "put b 2");
    let folder = tempfile::tempdir().expect("a folder");
    let paths: Vec<PathBuf> = ["n2.log", "n1.log"].map(|name| folder.path().join(name)).into();
    for (path, log) in paths.iter().rev().zip(cluster.logs()) {
        std::fs::write(path, lines(&log)).expect("the folder is ours");
    }
    let text = picture(&paths, Filter::default(), Layout::default());
    assert_eq!(text, LOGS, "{text}");
}
