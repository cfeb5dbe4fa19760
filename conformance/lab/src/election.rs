//! The tests of elections, `InitialElection`, `ReElection` and `ManyElections`, and `Count`.

use std::time::Duration;

use rand::RngExt;

use super::tester::{ELECTION, LOOK, Tester};
use super::{Stop, demand};

/// Checks that a leader is elected and that its term is stable.
pub(super) fn initial_election(tester: &mut Tester) -> Result<(), Stop> {
    tester.one_leader()?;
    tester.advance(Duration::from_millis(50))?;
    let term = tester.one_term()?;
    demand(term.0 > 0, "the term is at least 1", || format!("it is {term}"))?;
    tester.advance(2 * ELECTION)?;
    let later = tester.one_term()?;
    demand(term == later, "the term is stable over 2 s", || format!("it was {term}, is {later}"))?;
    tester.one_leader().map(|_| ())
}

/// Disconnects a leader and connects it again. Then disconnects the new leader and another server,
/// so that no majority is left.
pub(super) fn re_election(tester: &mut Tester) -> Result<(), Stop> {
    let first = tester.one_leader()?;
    tester.disconnect(first);
    tester.one_leader()?;
    tester.connect(first);
    let second = tester.one_leader()?;
    let other = tester.after(second, 1);
    tester.disconnect(second);
    tester.disconnect(other);
    let end = tester.cluster.now() + 2 * ELECTION;
    while tester.cluster.now() < end {
        tester.advance(LOOK)?;
        tester.no_leader()?;
    }
    tester.connect(other);
    tester.one_leader()?;
    tester.connect(second);
    tester.one_leader().map(|_| ())
}

/// Disconnects three of seven servers, nine times.
pub(super) fn many_elections(tester: &mut Tester) -> Result<(), Stop> {
    tester.one_leader()?;
    for _ in 0..9 {
        // As in the course, the three servers need not be different.
        let off = [tester.any(), tester.any(), tester.any()];
        for id in off {
            tester.disconnect(id);
        }
        tester.one_leader()?;
        for id in off {
            tester.connect(id);
        }
    }
    tester.one_leader().map(|_| ())
}

/// Counts the calls for an election, for commands, and in an idle second.
pub(super) fn count(tester: &mut Tester) -> Result<(), Stop> {
    while tester.leader()?.is_none() {
        tester.advance(LOOK)?;
        let now = tester.cluster.now();
        demand(now < 5 * ELECTION, "a leader is elected within 5 s", || tester.describe())?;
    }
    let calls = tester.cluster.checks().calls;
    demand((1..=30).contains(&calls), "it takes 1 to 30 calls to elect a leader", || {
        format!("it took {calls}")
    })?;
    for _ in 0..5 {
        if burst(tester)? {
            let before = tester.cluster.checks().calls;
            tester.advance(ELECTION)?;
            let calls = tester.cluster.checks().calls - before;
            return demand(calls <= 3 * 20, "an idle second takes at most 60 calls", || {
                format!("it took {calls}")
            });
        }
    }
    demand(false, "the term stays the same in one of 5 attempts", || tester.describe())
}

/// Commits eleven commands and counts the calls. Returns false if the term changed, because then
/// the count means nothing.
fn burst(tester: &mut Tester) -> Result<bool, Stop> {
    let leader = tester.one_leader()?;
    let before = tester.cluster.checks().calls;
    let Some(started) = tester.start_many(leader, 11) else { return Ok(false) };
    let Some(last) = started.last().copied() else { return Ok(false) };
    for (first, second) in started.iter().zip(&started[1..]) {
        demand(second.number == first.number + 1, "numbers follow each other", || {
            format!("{} comes after {}", second.number, first.number)
        })?;
    }
    let end = tester.cluster.now() + 2 * ELECTION;
    while tester.applied_on(last.index) < tester.count() && tester.cluster.now() < end {
        tester.advance(LOOK)?;
    }
    if tester.node(leader).is_none_or(|node| node.current_term != last.term) {
        return Ok(false);
    }
    let applied = tester.applied_on(last.index);
    demand(applied == tester.count(), "11 commands are committed on all within 2 s", || {
        tester.describe()
    })?;
    let calls = tester.cluster.checks().calls - before;
    demand(calls <= 42, "11 commands take at most 42 calls", || format!("they took {calls}"))?;
    Ok(true)
}

/// Returns a random pause for the two tests named after the paper's Figure 8. Most pauses are
/// short.
pub(super) fn figure_8_pause(tester: &mut Tester) -> Duration {
    let most = if tester.chance(10) { 500 } else { 13 };
    Duration::from_millis(tester.random.random_range(0..most))
}
