//! The tests of agreement: from `BasicAgree` to `Backup`.

use raft_core::NodeId;

use super::tester::{ELECTION, LOOK, Tester};
use super::{Stop, demand};

/// Commits three commands, one after the other.
pub(super) fn basic_agree(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    for number in 1..=3 {
        let before = tester.committed();
        demand(before < number, "nothing is committed before it was proposed", || {
            format!("{before} commands are, before the one of number {number}")
        })?;
        let found = tester.one(&(number * 100).to_string(), servers, false)?;
        demand(found == number, "the commands have the numbers 1, 2, 3", || {
            format!("the one of number {number} has {found}")
        })?;
    }
    Ok(())
}

/// Checks that ten long commands are sent to each follower about once.
pub(super) fn rpc_bytes(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("99", servers, false)?;
    let before = tester.cluster.counters.bytes;
    let text = "x".repeat(5000);
    for number in 2..12 {
        let found = tester.one(&text, servers, false)?;
        demand(found == number, "commands are numbered one by one", || {
            format!("the one of number {number} has {found}")
        })?;
    }
    let bytes = tester.cluster.counters.bytes - before;
    demand(bytes <= 3 * 50_000 + 50_000, "50,000 bytes on 3 servers take at most 200,000", || {
        format!("they took {bytes}")
    })
}

/// Checks for 2 s that no more than this number of commands is committed.
fn nothing_beyond(tester: &mut Tester, number: u64) -> Result<(), Stop> {
    let end = tester.cluster.now() + 2 * ELECTION;
    while tester.cluster.now() < end {
        tester.advance(LOOK)?;
        let committed = tester.committed();
        demand(committed <= number, "nothing is committed without a majority, for 2 s", || {
            format!("{committed} commands are, and not {number}")
        })?;
    }
    Ok(())
}

/// Proposes a command to a leader, and checks that the command gets one of these numbers.
fn numbered(tester: &mut Tester, leader: NodeId, numbers: &[u64]) -> Result<u64, Stop> {
    let command = tester.command("numbered");
    tester.note(&format!("propose to {leader}"));
    let number = tester.start(leader, &command).map(|started| started.number);
    let demanded = format!("{leader} leads, and takes a command as number {numbers:?}");
    let right = number.is_some_and(|number| numbers.contains(&number));
    demand(right, &demanded, || format!("number {number:?}; {}", tester.describe()))?;
    Ok(number.unwrap_or(0))
}

/// Disconnects one follower, then the other.
pub(super) fn follower_failure(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("101", servers, false)?;
    let leader = tester.one_leader()?;
    tester.disconnect(tester.after(leader, 1));
    tester.one("102", servers - 1, false)?;
    tester.advance(ELECTION)?;
    tester.one("103", servers - 1, false)?;
    let leader = tester.one_leader()?;
    tester.disconnect(tester.after(leader, 1));
    tester.disconnect(tester.after(leader, 2));
    numbered(tester, leader, &[4])?;
    nothing_beyond(tester, 3)
}

/// Disconnects one leader, then the next.
pub(super) fn leader_failure(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("101", servers, false)?;
    let first = tester.one_leader()?;
    tester.disconnect(first);
    tester.one("102", servers - 1, false)?;
    tester.advance(ELECTION)?;
    tester.one("103", servers - 1, false)?;
    let second = tester.one_leader()?;
    tester.disconnect(second);
    let command = tester.command("104");
    tester.start_anywhere(&command);
    nothing_beyond(tester, 3)
}

/// Disconnects a follower for four commands.
pub(super) fn fail_agree(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("101", servers, false)?;
    let leader = tester.one_leader()?;
    let follower = tester.after(leader, 1);
    tester.disconnect(follower);
    tester.one("102", servers - 1, false)?;
    tester.one("103", servers - 1, false)?;
    tester.advance(ELECTION)?;
    tester.one("104", servers - 1, false)?;
    tester.one("105", servers - 1, false)?;
    tester.connect(follower);
    tester.one("106", servers, true)?;
    tester.advance(ELECTION)?;
    tester.one("107", servers, true).map(|_| ())
}

/// Disconnects three of five servers, and connects them again.
pub(super) fn fail_no_agree(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("10", servers, false)?;
    let leader = tester.one_leader()?;
    let gone: Vec<NodeId> = (1..=3).map(|steps| tester.after(leader, steps)).collect();
    for id in &gone {
        tester.disconnect(*id);
    }
    numbered(tester, leader, &[2])?;
    nothing_beyond(tester, 1)?;
    for id in &gone {
        tester.connect(*id);
    }
    // The reconnected servers may elect a leader that does not have the second command.
    let leader = tester.one_leader()?;
    numbered(tester, leader, &[2, 3])?;
    tester.one("1000", servers, true).map(|_| ())
}

/// Proposes five commands at once, in one term.
pub(super) fn concurrent_starts(tester: &mut Tester) -> Result<(), Stop> {
    for _ in 0..5 {
        let leader = tester.one_leader()?;
        let Some(started) = tester.start_many(leader, 5) else { continue };
        let end = tester.cluster.now() + 2 * ELECTION;
        let all_done = |tester: &Tester| {
            started.iter().all(|started| {
                tester.applied_on(started.index) == tester.count()
                    && tester.cluster.has_done(leader, started.proposal)
            })
        };
        while !all_done(tester) && tester.cluster.now() < end {
            tester.advance(LOOK)?;
        }
        let same = |term| tester.node(leader).is_some_and(|node| node.current_term == term);
        if !started.iter().all(|started| same(started.term)) {
            continue;
        }
        return demand(all_done(tester), "5 commands at once are all committed within 2 s", || {
            tester.describe()
        });
    }
    demand(false, "the term stays the same in one of 5 attempts", || tester.describe())
}

/// Reconnects an old leader with entries that conflict with committed ones.
pub(super) fn rejoin(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("101", servers, true)?;
    let first = tester.one_leader()?;
    tester.disconnect(first);
    let lost = tester.start_many(first, 3).unwrap_or_default();
    demand(lost.len() == 3, "a leader that was cut off takes 3 commands", || tester.describe())?;
    tester.one("103", 2, true)?;
    let second = tester.one_leader()?;
    tester.disconnect(second);
    tester.connect(first);
    tester.one("104", 2, true)?;
    tester.connect(second);
    tester.one("105", servers, true)?;
    let done = lost.iter().any(|lost| tester.cluster.has_done(first, lost.proposal));
    demand(!done, "no client is told that a conflicting entry was committed", || tester.describe())
}

/// Creates long logs that conflict repeatedly.
pub(super) fn backup(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("first", servers, true)?;
    let first = tester.one_leader()?;
    let [second, third, fourth, fifth] = [1, 2, 3, 4].map(|steps| tester.after(first, steps));
    for id in [third, fourth, fifth] {
        tester.disconnect(id);
    }
    tester.start_many(first, 50);
    tester.advance(ELECTION / 2)?;
    tester.disconnect(first);
    tester.disconnect(second);
    for id in [third, fourth, fifth] {
        tester.connect(id);
    }
    fifty(tester)?;
    let leader = tester.one_leader()?;
    let other = if leader == third { fourth } else { third };
    tester.disconnect(other);
    tester.start_many(leader, 50);
    tester.advance(ELECTION / 2)?;
    for id in tester.all() {
        tester.disconnect(id);
    }
    for id in [first, second, other] {
        tester.connect(id);
    }
    fifty(tester)?;
    for id in tester.all() {
        tester.connect(id);
    }
    tester.one("last", servers, true).map(|_| ())
}

fn fifty(tester: &mut Tester) -> Result<(), Stop> {
    tester.note("50 commands are to be committed");
    (0..50).try_for_each(|number| tester.one(&number.to_string(), 3, true).map(|_| ()))
}
