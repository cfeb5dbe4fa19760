//! The tests with crashes, `Persist1` to `Persist3` and `Figure8`, and those with an unreliable
//! network, `UnreliableAgree` and `Figure8Unreliable`.

use raft_core::NodeId;

use super::election::figure_8_pause;
use super::tester::{Agreement, ELECTION, LOOK, Tester};
use super::{Stop, demand};

/// Restarts all servers, then the leader. Then a leader and a follower miss a command each.
pub(super) fn persist_1(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("11", servers, true)?;
    for id in tester.all() {
        tester.restart(id)?;
    }
    tester.one("12", servers, true)?;
    let first = tester.one_leader()?;
    tester.restart(first)?;
    tester.one("13", servers, true)?;
    let second = tester.one_leader()?;
    tester.disconnect(second);
    tester.one("14", servers - 1, true)?;
    tester.restart(second)?;
    caught_up(tester)?;
    let leader = tester.one_leader()?;
    let third = tester.after(leader, 1);
    tester.disconnect(third);
    tester.one("15", servers - 1, true)?;
    tester.restart(third)?;
    tester.one("16", servers, true).map(|_| ())
}

/// Waits until all servers have applied all entries that are committed now.
fn caught_up(tester: &mut Tester) -> Result<(), Stop> {
    let decided = raft_core::Index(tester.cluster.checks().decided.len() as u64);
    let end = tester.cluster.now() + 10 * ELECTION;
    while tester.applied_on(decided) < tester.count() {
        let demanded = "all servers catch up within 10 s";
        demand(tester.cluster.now() < end, demanded, || tester.describe())?;
        tester.advance(LOOK)?;
    }
    Ok(())
}

/// Disconnects two servers, then the other three. Then restarts three of the five, and reconnects
/// the others.
pub(super) fn persist_2(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    let mut index = 1;
    let mut next = || {
        index += 1;
        (9 + index).to_string()
    };
    for _ in 0..5 {
        tester.one(&next(), servers, true)?;
        let leader = tester.one_leader()?;
        let [second, third, fourth, fifth] = [1, 2, 3, 4].map(|steps| tester.after(leader, steps));
        tester.disconnect(second);
        tester.disconnect(third);
        tester.one(&next(), servers - 2, true)?;
        for id in [leader, fourth, fifth] {
            tester.disconnect(id);
        }
        tester.restart(second)?;
        tester.restart(third)?;
        tester.advance(ELECTION)?;
        tester.restart(fourth)?;
        tester.one(&next(), servers - 2, true)?;
        tester.connect(fifth);
        tester.connect(leader);
    }
    tester.one("1000", servers, true).map(|_| ())
}

/// Crashes the leader and a follower while the third server is disconnected. The leader is
/// restarted first.
pub(super) fn persist_3(tester: &mut Tester) -> Result<(), Stop> {
    tester.one("101", 3, true)?;
    let leader = tester.one_leader()?;
    let [second, third] = [1, 2].map(|steps| tester.after(leader, steps));
    tester.disconnect(third);
    tester.one("102", 2, true)?;
    tester.crash(leader)?;
    tester.crash(second)?;
    tester.connect(third);
    tester.restart(leader)?;
    tester.one("103", 2, true)?;
    tester.restart(second)?;
    tester.one("104", 3, true).map(|_| ())
}

/// Crashes leaders soon after they have appended a command, in a thousand rounds.
pub(super) fn figure_8(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("first", 1, true)?;
    for round in 0..1000 {
        let command = tester.command(&round.to_string());
        let leader = tester.start_anywhere(&command).map(|started| started.server);
        let pause = figure_8_pause(tester);
        tester.advance(pause)?;
        if let Some(leader) = leader {
            tester.crash(leader)?;
        }
        let up = tester.cluster.ids().filter(|id| tester.cluster.is_up(*id)).count();
        let one = tester.any();
        if up < 3 && !tester.cluster.is_up(one) {
            tester.restart(one)?;
        }
    }
    for id in tester.all() {
        tester.bring_up(id)?;
    }
    tester.one("last", servers, true).map(|_| ())
}

/// Commits many commands at a time over an unreliable network.
pub(super) fn unreliable_agree(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    let mut concurrent = Vec::new();
    for round in 1..50 {
        for number in 0..4 {
            let text = (100 * round + number).to_string();
            concurrent.push(Agreement::new(tester, &text, 1, true));
        }
        let mut main = Agreement::new(tester, &round.to_string(), 1, true);
        while main.poll(tester)?.is_none() {
            go_on(tester, &mut concurrent)?;
        }
    }
    tester.set_unreliable(false);
    while !concurrent.is_empty() {
        go_on(tester, &mut concurrent)?;
    }
    tester.one("100", servers, true).map(|_| ())
}

fn go_on(tester: &mut Tester, agreements: &mut Vec<Agreement>) -> Result<(), Stop> {
    let mut under_way = Vec::with_capacity(agreements.len());
    for mut agreement in agreements.drain(..) {
        if agreement.poll(tester)?.is_none() {
            under_way.push(agreement);
        }
    }
    *agreements = under_way;
    tester.advance(LOOK)
}

/// Disconnects leaders while an unreliable network delays replies by up to 2.2 s.
pub(super) fn figure_8_unreliable(tester: &mut Tester) -> Result<(), Stop> {
    let servers = tester.count();
    tester.one("first", 1, true)?;
    for round in 0..1000 {
        if round == 200 {
            tester.reorder_for_long();
        }
        let command = tester.command(&round.to_string());
        let mut leader: Option<NodeId> = None;
        for id in tester.all() {
            if tester.start(id, &command).is_some() && tester.is_connected(id) {
                leader = Some(id);
            }
        }
        let pause = figure_8_pause(tester);
        tester.advance(pause)?;
        if let Some(leader) = leader.filter(|_| tester.chance(50)) {
            tester.disconnect(leader);
        }
        let connected = tester.cluster.ids().filter(|id| tester.is_connected(*id)).count();
        let one = tester.any();
        if connected < 3 && !tester.is_connected(one) {
            tester.connect(one);
        }
    }
    tester.heal();
    tester.one("last", servers, true).map(|_| ())
}
