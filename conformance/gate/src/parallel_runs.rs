//! Many runs on several threads. Runs can be abandoned.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};

use raft_cli::interrupt::Interrupt;
use raft_cli::progress::INTERVAL;

/// The decision whether more runs begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Begin,
    /// Runs in progress continue to their end, and no other run begins.
    BeginNoMore,
}

/// Runs `number` jobs, counted from 0, on this many threads. Calls `look` with each result, and
/// from time to time without one. Returns at once on an interrupt. A run may take a long time and
/// cannot be stopped, so the runs in progress are abandoned, and end with the process.
pub(crate) fn run<T: Send + 'static>(
    number: u64,
    threads: usize,
    interrupt: &Interrupt,
    job: impl Fn(u64) -> T + Send + Sync + 'static,
    mut look: impl FnMut(Option<T>) -> Next,
) {
    let job = Arc::new(job);
    let (next, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (sender, results) = mpsc::channel();
    for _ in 0..threads {
        let (job, next, stop) = (Arc::clone(&job), Arc::clone(&next), Arc::clone(&stop));
        let sender = sender.clone();
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= number {
                    return;
                }
                let result = catch_unwind(AssertUnwindSafe(|| job(place)));
                if sender.send(result).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    while !interrupt.requested() {
        let result = match results.recv_timeout(INTERVAL) {
            Ok(Ok(result)) => Some(result),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if look(result) == Next::BeginNoMore {
            stop.store(true, Ordering::Relaxed);
        }
    }
    stop.store(true, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_done_once() {
        let mut done = Vec::new();
        run(
            100,
            3,
            &Interrupt::default(),
            |place| place,
            |result| {
                done.extend(result);
                Next::Begin
            },
        );
        done.sort_unstable();
        assert_eq!(done, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn no_job_begins_after_enough() {
        let mut done = 0;
        run(
            u64::MAX,
            1,
            &Interrupt::default(),
            |place| place,
            |result| {
                done += u64::from(result.is_some());
                Next::BeginNoMore
            },
        );
        assert!(done >= 1);
    }

    #[test]
    fn an_interrupt_does_not_wait_for_a_run_that_never_ends() {
        let interrupt = Interrupt::default();
        let mut done = Vec::new();
        let job = |place| {
            if place == 1 {
                loop {
                    std::thread::park();
                }
            }
            place
        };
        run(3, 2, &interrupt, job, |result| {
            done.extend(result);
            if done.len() == 2 {
                interrupt.request();
            }
            Next::Begin
        });
        assert_eq!(done, [0, 2]);
    }

    #[test]
    #[should_panic(expected = "a run broke")]
    fn a_panic_of_a_run_is_one_of_the_program() {
        run(2, 1, &Interrupt::default(), |_| panic!("a run broke"), |_: Option<()>| Next::Begin);
    }
}
