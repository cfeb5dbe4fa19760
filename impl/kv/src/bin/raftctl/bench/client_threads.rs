//! Clients on threads: each thread has a runtime of its own, so that clients of different threads
//! never wait for each other.

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

/// A request that was answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// A read found nothing.
    pub(super) missing: bool,
    /// How often the client was sent elsewhere first.
    pub(super) redirections: u64,
}

/// What is measured.
pub(super) trait Target: Sync {
    type Worker: Worker;

    /// What it is, in a few words.
    fn name(&self) -> String;

    /// A client with a connection of its own. `number` tells the clients apart.
    fn connect(&self, number: usize) -> impl Future<Output = Result<Self::Worker, String>> + Send;
}

/// A client that makes one request after the other.
pub(super) trait Worker: Send + 'static {
    /// Makes a request. What goes wrong is said in few words: the report counts by them. The next
    /// request connects again if that is necessary, also if this one was abandoned.
    fn ask(&mut self, operation: Operation) -> impl Future<Output = Result<Done, String>> + Send;
}

/// The name of a key, with as many digits as each other.
pub(super) fn key_name(key: u64) -> String {
    format!("bench-{key:010}")
}

/// Connects the clients, runs a job for each, and `observe` beside them, which is told whether
/// they have all ended.
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

/// One thread: it connects its clients, waits for the other threads, and runs.
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
    // Before the barrier, so that everybody sees it behind it.
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
