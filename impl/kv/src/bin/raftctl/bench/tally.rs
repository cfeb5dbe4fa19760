//! The results of clients: latencies, and errors by reason.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is recorded, in microseconds: one minute. Clients give up earlier.
const LONGEST: u64 = 60_000_000;

/// The latencies of requests of one kind.
#[derive(Debug)]
pub(super) struct Latencies {
    /// The latencies of answered requests that began within the window, in microseconds.
    pub(super) histogram: Histogram<u32>,
    /// The number of answered requests that ended within the window.
    pub(super) completed: u64,
}

impl Latencies {
    pub(super) fn new() -> Latencies {
        // Three digits are a valid precision for this crate. The histogram grows with the longest
        // time.
        let histogram = Histogram::new(3).expect("three digits are possible");
        Latencies { histogram, completed: 0 }
    }

    pub(super) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(LONGEST);
        self.histogram.record(micros).expect("it grows");
    }

    pub(super) fn add(&mut self, other: &Latencies) {
        self.histogram.add(&other.histogram).expect("it grows");
        self.completed += other.completed;
    }
}

/// The results of a client.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) puts: Latencies,
    pub(super) gets: Latencies,
    /// The number of reads that found no value.
    pub(super) missing: u64,
    pub(super) redirections: u64,
    pub(super) errors: BTreeMap<String, u64>,
    /// The number of errors during the warm-up.
    pub(super) early_errors: u64,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            puts: Latencies::new(),
            gets: Latencies::new(),
            missing: 0,
            redirections: 0,
            errors: BTreeMap::new(),
            early_errors: 0,
        }
    }

    pub(super) fn add(&mut self, other: Tally) {
        self.puts.add(&other.puts);
        self.gets.add(&other.gets);
        self.missing += other.missing;
        self.redirections += other.redirections;
        self.early_errors += other.early_errors;
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
    }
}

/// Returns a count per second.
#[expect(clippy::cast_precision_loss, reason = "a rate needs few digits")]
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}
