//! Watches searches: progress, limits, signals, and peak memory.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use raft_checker::control::{Control, StopReason};
use raft_cli::interrupt::Interrupt;
use raft_cli::progress::{INTERVAL, Progress, Share};
use raft_cli::quantity::{bytes, count};

use crate::args::SearchArgs;
use crate::measurement::Sample;
use crate::table;

/// A watcher of searches, one after the other.
pub(crate) struct Watch<'a> {
    limits: &'a SearchArgs,
    interrupt: Interrupt,
    progress: Progress,
    samples: Vec<Sample>,
}

/// The most samples of a search. Then every other one is dropped.
const MOST_SAMPLES: usize = 200;

impl<'a> Watch<'a> {
    /// Begins to listen for Ctrl-C and SIGTERM, which end the search that runs.
    pub(crate) fn new(limits: &'a SearchArgs) -> Watch<'a> {
        Watch {
            limits,
            interrupt: Interrupt::listen(),
            progress: Progress::new(),
            samples: Vec::new(),
        }
    }

    /// Returns whether the user wants the program to end.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupt.requested()
    }

    /// Returns the progress of the last search, at equal distances.
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Runs a search and watches it. Returns its result and the peak of the process' memory, in
    /// bytes.
    pub(crate) fn run<T: Send>(
        &mut self,
        name: &str,
        share: Option<Share>,
        search: impl FnOnce(&Control) -> T + Send,
    ) -> (T, u64) {
        let control = Control::default();
        let (done, finished) = mpsc::channel();
        let result = std::thread::scope(|scope| {
            let (control, watch) = (&control, &mut *self);
            let watcher = scope.spawn(move || watch.observe(name, share, control, &finished));
            let result = search(control);
            // The watcher ends when the sender is gone, also if the search panics.
            drop(done);
            (result, watcher.join().unwrap_or(0))
        });
        self.progress.clear();
        result
    }

    fn observe(
        &mut self,
        name: &str,
        share: Option<Share>,
        control: &Control,
        finished: &mpsc::Receiver<()>,
    ) -> u64 {
        let started = Instant::now();
        let mut peak = memory_in_use();
        let mut sampling = Sampling::default();
        while finished.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
            let memory = memory_in_use();
            peak = peak.max(memory);
            if self.interrupt.requested() {
                control.stop(StopReason::Interrupted);
            }
            if self.limits.time_limit.is_some_and(|limit| started.elapsed() >= limit) {
                control.stop(StopReason::TimeLimit);
            }
            if self.limits.memory_limit.is_some_and(|limit| memory >= limit.as_u64()) {
                control.stop(StopReason::MemoryLimit);
            }
            sampling.look(started.elapsed(), control);
            let line = Line { name, control, elapsed: started.elapsed(), memory };
            self.progress.show(line, share);
        }
        self.samples = sampling.samples;
        peak.max(memory_in_use())
    }
}

/// Samples of a search at equal distances.
struct Sampling {
    samples: Vec<Sample>,
    /// The number of looks for each sample.
    every: usize,
    looks: usize,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { samples: Vec::new(), every: 1, looks: 0 }
    }
}

impl Sampling {
    fn look(&mut self, elapsed: Duration, control: &Control) {
        if self.looks.is_multiple_of(self.every) {
            let states = control.progress.distinct.load(Ordering::Relaxed);
            self.samples.push(Sample { seconds: elapsed.as_secs_f64(), states });
        }
        self.looks += 1;
        if self.samples.len() == MOST_SAMPLES {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.every *= 2;
        }
    }
}

/// The progress of a search, in one line.
struct Line<'a> {
    name: &'a str,
    control: &'a Control,
    elapsed: Duration,
    memory: u64,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = &self.control.progress;
        let transitions = progress.transitions.load(Ordering::Relaxed);
        let depth = match progress.depth.load(Ordering::Relaxed) {
            0 => String::new(),
            depth => format!("  depth {depth}"),
        };
        write!(
            out,
            "{}  {} states  {}{depth}  queue {}  {}",
            self.name,
            count(progress.distinct.load(Ordering::Relaxed)),
            table::rate(transitions, self.elapsed.as_secs_f64()),
            count(progress.queue.load(Ordering::Relaxed)),
            bytes(self.memory),
        )
    }
}

/// Returns the memory that the process holds, in bytes; 0 where the system does not say.
fn memory_in_use() -> u64 {
    memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem as u64)
}
