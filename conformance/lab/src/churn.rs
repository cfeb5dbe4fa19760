//! `ReliableChurn` and `UnreliableChurn`: servers are disconnected, crashed and restarted while
//! clients write.

use std::time::Duration;

use raft_core::{Bytes, NodeId};
use raft_kv::command::Operation;

use super::tester::{ELECTION, LOOK, Started, Tester, encode};
use super::{Stop, demand};

const MS: Duration = Duration::from_millis(1);

/// The key to which all clients append.
const KEY: &str = "churn";

/// The pauses between a client's checks of a command, in milliseconds. After the last check, the
/// client gives up.
const LOOKS: [u32; 5] = [10, 20, 50, 100, 200];

/// A client that writes one number after the other.
struct Writer {
    number: u32,
    written: u32,
    next_at: Duration,
    waiting: Option<(Started, String, usize)>,
    /// The writes that it saw committed.
    seen: Vec<String>,
}

impl Writer {
    fn go_on(&mut self, tester: &mut Tester) {
        let now = tester.cluster.now();
        if now < self.next_at {
            return;
        }
        let Some((started, text, looks)) = self.waiting.take() else {
            return self.write(tester, now);
        };
        if tester.cluster.has_done(started.server, started.proposal) {
            self.seen.push(text);
        } else if let Some(wait) = LOOKS.get(looks) {
            self.next_at = now + *wait * MS;
            self.waiting = Some((started, text, looks + 1));
        }
    }

    fn write(&mut self, tester: &mut Tester, now: Duration) {
        self.written += 1;
        let text = format!("{}.{},", self.number, self.written);
        let suffix = Bytes::from(text.as_str());
        let command = encode(Operation::Append { key: KEY.into(), suffix });
        match tester.start_anywhere(&command) {
            Some(started) => {
                self.next_at = now + LOOKS[0] * MS;
                self.waiting = Some((started, text, 1));
            }
            None => self.next_at = now + (79 + 17 * self.number) * MS,
        }
    }
}

fn run_for(tester: &mut Tester, writers: &mut [Writer], time: Duration) -> Result<(), Stop> {
    let end = tester.cluster.now() + time;
    while tester.cluster.now() < end {
        for writer in &mut *writers {
            writer.go_on(tester);
        }
        tester.advance(LOOK)?;
    }
    Ok(())
}

/// Disconnects, restarts and crashes random servers, in twenty rounds. Then brings all servers
/// back.
pub(super) fn churn(tester: &mut Tester) -> Result<(), Stop> {
    let writer = |number| Writer {
        number,
        written: 0,
        next_at: Duration::ZERO,
        waiting: None,
        seen: Vec::new(),
    };
    let mut writers: Vec<Writer> = (0..3).map(writer).collect();
    for _ in 0..20 {
        let one = tester.any();
        if tester.chance(20) {
            tester.disconnect(one);
        }
        let one = tester.any();
        if tester.chance(50) {
            tester.bring_up(one)?;
        }
        let one = tester.any();
        if tester.chance(20) && tester.cluster.is_up(one) {
            tester.crash(one)?;
        }
        run_for(tester, &mut writers, ELECTION * 7 / 10)?;
    }
    run_for(tester, &mut writers, ELECTION)?;
    tester.set_unreliable(false);
    for id in tester.all() {
        tester.bring_up(id)?;
    }
    run_for(tester, &mut writers, ELECTION)?;
    let servers = tester.count();
    tester.one("last", servers, true)?;
    let seen: Vec<&String> = writers.iter().flat_map(|writer| &writer.seen).collect();
    demand(!seen.is_empty(), "clients write something", || {
        "they saw nothing committed".to_owned()
    })?;
    tester.all().into_iter().try_for_each(|id| holds_all(tester, id, &seen))
}

/// Checks that all writes that clients saw committed are in a server's state.
fn holds_all(tester: &Tester, id: NodeId, seen: &[&String]) -> Result<(), Stop> {
    let value =
        tester.cluster.get(id, KEY.as_bytes())?.map(|found| found.value).unwrap_or_default();
    let value = String::from_utf8_lossy(&value);
    let held: std::collections::HashSet<&str> = value.split_inclusive(',').collect();
    for text in seen {
        let demanded = "every value that a client saw committed is on every server";
        demand(held.contains(text.as_str()), demanded, || format!("{id} does not hold {text}"))?;
    }
    Ok(())
}
