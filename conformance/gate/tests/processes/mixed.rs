//! Failures of all kinds, in an order that a seed determines.
//!
//! `RAFT_SEED` selects another order, and `RAFT_FAILURES` the number of failures. A run also
//! depends on the machine, so a seed does not repeat a run. The logs of a failed run can be
//! replayed.

use std::str::FromStr;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::clients::{Ballast, Load};
use crate::cluster::{Cluster, IDS, pairs};
use crate::proxy::Mode;
use crate::snapshots::SMALL;
use crate::verdict::{Floor, judge};

const BALLAST: Ballast = Ballast { keys: 16, bytes: 16 << 10, puts: u64::MAX };

#[test]
fn everything_goes_wrong_at_any_time() {
    let seed = from_environment("RAFT_SEED", 6);
    let failures = from_environment("RAFT_FAILURES", 32);
    println!("RAFT_SEED={seed} RAFT_FAILURES={failures}");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut cluster = Cluster::started(SMALL);
    let load = Load::with_ballast(&cluster, seed, BALLAST);
    for number in 1..=failures {
        let what = fail(&mut cluster, &mut random);
        println!("{number}: {what}");
        let longest = Duration::from_millis(300);
        load.wait_for_at_most(random.random_range(20..300), longest);
        if number % 4 == 0 {
            cluster.heal();
            load.wait_for(&mut cluster, 40);
        }
    }
    judge(
        &mut cluster,
        load,
        Floor { answered: 10 * failures, elections: 2, kills: failures / 8, resets: 0 },
    );
}

/// Causes a failure of servers or links. Most failures last until everything is healed. Returns a
/// description.
fn fail(cluster: &mut Cluster, random: &mut SmallRng) -> String {
    let id = random.random_range(1..=3);
    let mode = match random.random_range(0..4) {
        0 | 1 => Mode::Stalled,
        2 => Mode::Reset,
        _ => Mode::ResetAfter(random.random_range(1..300_000)),
    };
    match random.random_range(0..16) {
        0..3 => {
            cluster.kill(id);
            format!("n{id} is killed")
        }
        3..6 => {
            cluster.kill(id);
            cluster.start(id);
            format!("n{id} is killed and started")
        }
        6 => {
            for id in IDS {
                cluster.kill(id);
            }
            for id in IDS {
                cluster.start(id);
            }
            "all are killed and started".to_owned()
        }
        7..9 => {
            cluster.server_mut(id).halt();
            format!("n{id} stands still")
        }
        9..11 => {
            cluster.isolate(id, mode);
            format!("the links from and to n{id}: {mode:?}")
        }
        11..14 => {
            let pairs: Vec<(u64, u64)> = pairs().collect();
            let (from, to) = pairs[random.random_range(0..pairs.len())];
            cluster.link(from, to).set(mode);
            format!("the link from n{from} to n{to}: {mode:?}")
        }
        14 => {
            cluster.door(id).set(mode);
            format!("the link from clients to n{id}: {mode:?}")
        }
        _ => {
            cluster.heal();
            "everything is healed".to_owned()
        }
    }
}

fn from_environment<T: FromStr>(name: &str, otherwise: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => otherwise,
    }
}
