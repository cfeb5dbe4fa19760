//! Clients on threads. Each thread has its own runtime, so that clients of different threads never
//! wait for each other.

use std::future::Future;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Put(u64),
    Get(u64),
}

/// The result of a request that was answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Whether a read found no value.
    pub(super) missing: bool,
    /// The number of redirections before the answer.
    pub(super) redirections: u64,
}

/// The system that is measured.
pub(super) trait Target: Sync {
    type Worker: Worker;

    /// Describes the target in a few words.
    fn name(&self) -> String;

    /// Connects a client with its own connection. Every client has a different `number`.
    fn connect(&self, number: usize) -> impl Future<Output = Result<Self::Worker, String>> + Send;
}

/// A client that makes one request after the other.
pub(super) trait Worker: Send + 'static {
    /// Makes a request. An error is a text of a few words, because the report counts errors by
    /// their texts. The next request connects again if necessary, even if this request was
    /// abandoned.
    fn ask(&mut self, operation: Operation) -> impl Future<Output = Result<Done, String>> + Send;
}

/// Returns the name of a key. All names have the same number of digits.
pub(super) fn key_name(key: u64) -> String {
    format!("bench-{key:010}")
}

/// Connects the clients, and runs a job for each of them. Runs `observe` at the same time, and
/// gives it a function that returns whether all jobs have ended.
pub(super) fn spread<T, J, F, R>(
    target: &T,
    clients: usize,
    threads: usize,
    job: J,
    observe: impl FnOnce(&dyn Fn() -> bool),
) -> Result<Vec<R>, Failure>
where
    T: Target,
    J: Fn(T::Worker, usize) -> F + Sync,
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let threads = threads.clamp(1, clients.max(1));
    let connected = Barrier::new(threads + 1);
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (connected, failed, job) = (&connected, &failed, &job);
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let numbers = (thread..clients).step_by(threads);
                scope.spawn(move || run_thread(target, numbers, job, connected, failed))
            })
            .collect();
        connected.wait();
        if !failed.load(Ordering::Relaxed) {
            observe(&|| handles.iter().all(std::thread::ScopedJoinHandle::is_finished));
        }
        let mut results = Vec::new();
        for handle in handles {
            match handle.join() {
                Ok(result) => results.extend(result?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(results)
    })
}

/// Runs one thread, which connects its clients, waits for the other threads, and then runs the
/// jobs.
fn run_thread<T, J, F, R>(
    target: &T,
    numbers: impl Iterator<Item = usize>,
    job: &J,
    connected: &Barrier,
    failed: &AtomicBool,
) -> Result<Vec<R>, Failure>
where
    T: Target,
    J: Fn(T::Worker, usize) -> F,
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let connecting = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::Runtime)?;
        let workers = runtime.block_on(async {
            let mut workers = Vec::new();
            for number in numbers {
                let worker = target.connect(number).await.map_err(Failure::Connect)?;
                workers.push((number, worker));
            }
            Ok::<_, Failure>(workers)
        })?;
        Ok::<_, Failure>((runtime, workers))
    };
    let ready = connecting();
    // The flag is set before the barrier, so that every thread sees it after the barrier.
    failed.fetch_or(ready.is_err(), Ordering::Relaxed);
    connected.wait();
    let (runtime, workers) = ready?;
    if failed.load(Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    runtime.block_on(async {
        let spawn = |(number, worker)| tokio::spawn(job(worker, number));
        let tasks: Vec<_> = workers.into_iter().map(spawn).collect();
        let mut results = Vec::new();
        for task in tasks {
            match task.await {
                Ok(result) => results.push(result),
                Err(error) => {
                    if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
        Ok(results)
    })
}
