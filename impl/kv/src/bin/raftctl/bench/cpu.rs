//! The CPU time of the clients, which is not available to the servers on the same machine.

use std::time::{Duration, Instant};

use serde::Serialize;

/// The CPU time of this process within the window.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Cost {
    /// CPU time for each answer, in microseconds.
    pub(super) micros_per_operation: f64,
    /// CPU time for each second: 1 is a whole core.
    pub(super) cores: f64,
}

/// A meter that reads the CPU time of this process at both edges of the window.
#[derive(Debug, Default)]
pub(super) struct Meter {
    begin: Option<Reading>,
    end: Option<Reading>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    cpu: Duration,
    answered: u64,
}

impl Meter {
    /// Takes a reading if an edge of the window was reached since the last call.
    pub(super) fn at(&mut self, now: Instant, begin: Instant, end: Instant, answered: u64) {
        let reading = || time().map(|cpu| Reading { at: now, cpu, answered });
        if now >= begin && self.begin.is_none() {
            self.begin = reading();
        }
        if now >= end && self.end.is_none() {
            self.end = reading();
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "two digits are printed")]
    pub(super) fn cost(&self) -> Option<Cost> {
        let (begin, end) = (self.begin?, self.end?);
        let cpu = end.cpu.checked_sub(begin.cpu)?.as_secs_f64();
        let answers = end.answered - begin.answered;
        let seconds = (end.at - begin.at).as_secs_f64();
        if answers == 0 || seconds <= 0.0 {
            return None;
        }
        Some(Cost { micros_per_operation: cpu * 1e6 / answers as f64, cores: cpu / seconds })
    }
}

/// Returns the CPU time of this process, on systems that report it. Linux counts in ticks of 10 ms.
fn time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may contain anything.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}
