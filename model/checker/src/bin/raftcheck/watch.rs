//! Watching a search: progress on a terminal, limits, and the most memory that was in use.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use raft_checker::search::{Control, StopReason};
use raft_checker::view::count;

use crate::args::SearchArgs;
use crate::table;

/// How often limits are looked at and progress is drawn.
const INTERVAL: Duration = Duration::from_millis(50);

/// Runs a search and watches it. Returns its result and the peak of the process' memory, in bytes.
pub(crate) fn watch<T: Send>(
    name: &str,
    args: &SearchArgs,
    search: impl FnOnce(&Control) -> T + Send,
) -> (T, u64) {
    let control = Control::default();
    let (done, finished) = mpsc::channel();
    std::thread::scope(|scope| {
        let control = &control;
        let watcher = scope.spawn(move || observe(name, args, control, &finished));
        let result = search(control);
        // The watcher ends when the sender is gone, also if the search panics.
        drop(done);
        (result, watcher.join().unwrap_or(0))
    })
}

fn observe(name: &str, args: &SearchArgs, control: &Control, finished: &mpsc::Receiver<()>) -> u64 {
    let started = Instant::now();
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    let mut peak = memory_in_use();
    while finished.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
        let memory = memory_in_use();
        peak = peak.max(memory);
        if args.time_limit.is_some_and(|limit| started.elapsed() >= limit) {
            control.stop(StopReason::TimeLimit);
        }
        if args.memory_limit.is_some_and(|limit| memory >= limit.as_u64()) {
            control.stop(StopReason::MemoryLimit);
        }
        bar.set_message(message(name, control, started.elapsed(), memory));
        bar.tick();
    }
    bar.finish_and_clear();
    peak.max(memory_in_use())
}

fn message(name: &str, control: &Control, elapsed: Duration, memory: u64) -> String {
    let progress = &control.progress;
    let distinct = progress.distinct.load(Ordering::Relaxed);
    let transitions = progress.transitions.load(Ordering::Relaxed);
    format!(
        "{name}  {} states  {}  depth {}  queue {}  {}  {:.0} s",
        count(distinct),
        table::rate(transitions, elapsed.as_secs_f64()),
        progress.depth.load(Ordering::Relaxed),
        count(progress.queue.load(Ordering::Relaxed)),
        table::bytes(memory),
        elapsed.as_secs_f64(),
    )
}

/// The memory that the process holds, in bytes; 0 where the system does not say.
fn memory_in_use() -> u64 {
    memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem as u64)
}
