//! The tests with snapshots every ten commands: from `SnapshotBasic` to `SnapshotInit`.

use rand::RngExt;

use super::tester::{ELECTION, Tester};
use super::{Stop, demand};

/// A log must take fewer encoded bytes than this.
const MOST_LOG_BYTES: usize = 2000;

/// The fate of the server that is to miss commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    /// It stays connected and misses none.
    Stays,
    /// It is cut off.
    Disconnected,
    /// It crashes.
    Crashed,
}

/// Runs thirty rounds in which a server misses commands that the others compact meanwhile.
pub(super) fn install(tester: &mut Tester, fate: Victim) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("first", servers, true)?;
    let mut leader = tester.one_leader()?;
    for round in 0..30 {
        let next = tester.after(leader, 1);
        // In every third round, the leader is the victim, and the commands go to another server.
        let (sender, victim) = if round % 3 == 1 { (next, leader) } else { (leader, next) };
        match fate {
            Victim::Stays => {}
            Victim::Disconnected => tester.disconnect(victim),
            Victim::Crashed => tester.crash(victim)?,
        }
        let with = if fate == Victim::Stays { servers } else { servers - 1 };
        if fate != Victim::Stays {
            tester.one("without", with, true)?;
        }
        let count = tester.random.random_range(5..15);
        tester.start_many(sender, count);
        tester.one("round", with, true)?;
        tester.logs_are_within(MOST_LOG_BYTES)?;
        if fate != Victim::Stays {
            tester.bring_up(victim)?;
            tester.one("together", servers, true)?;
            leader = tester.one_leader()?;
        }
    }
    Ok(())
}

fn many(tester: &mut Tester, count: usize) -> Result<(), Stop> {
    let servers = tester.count();
    (0..count).try_for_each(|number| tester.one(&number.to_string(), servers, true).map(|_| ()))
}

fn restart_all(tester: &mut Tester) -> Result<(), Stop> {
    for id in tester.all() {
        tester.crash(id)?;
    }
    tester.all().into_iter().try_for_each(|id| tester.restart(id))
}

/// Crashes all servers, five times.
pub(super) fn all_crash(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("first", servers, true)?;
    for _ in 0..5 {
        let count = tester.random.random_range(5..15);
        many(tester, count)?;
        let before = tester.one("before", servers, true)?;
        restart_all(tester)?;
        let after = tester.one("after", servers, true)?;
        demand(after > before, "the index never decreases", || {
            format!("it was {before} and is {after}")
        })?;
    }
    Ok(())
}

/// Checks that the base of the log survives two crashes in short succession.
pub(super) fn init(tester: &mut Tester) -> Result<(), Stop> {
    many(tester, 11)?;
    // Storing a snapshot and compacting the log run in parallel with commands.
    tester.advance(ELECTION)?;
    let before = bases(tester);
    let compacted = before.iter().any(|base| *base > 0);
    demand(compacted, "11 commands lead to a snapshot", || tester.describe())?;
    for _ in 0..2 {
        restart_all(tester)?;
        let kept = bases(tester).iter().zip(&before).all(|(after, before)| after >= before);
        demand(kept, "where the log begins is kept over crashes", || {
            format!("it began at {before:?}, and begins at {:?}", bases(tester))
        })?;
        many(tester, 1)?;
    }
    Ok(())
}

/// Returns the base index of each server's log.
fn bases(tester: &Tester) -> Vec<u64> {
    let base = |id| tester.node(id).map_or(0, |node| node.log.base().index.0);
    tester.cluster.ids().map(base).collect()
}
