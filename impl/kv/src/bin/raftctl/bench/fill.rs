//! Fills the store with keys before the measurement.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::client_threads::{Operation, Target, Worker, spread};
use super::tally::per_second;
use super::{INTERVAL, PATIENCE, PAUSE, progress_bar};
use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::output;

/// The number of clients, which is enough to keep any server busy.
const CLIENTS: usize = 64;

/// The number of consecutive errors after which a client gives up.
const ERRORS: u32 = 50;

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    done: AtomicU64,
    errors: AtomicU64,
}

/// Writes different keys until values of this many bytes are stored. Returns a sentence with the
/// result.
pub(super) fn fill<T: Target>(target: &T, args: &BenchArgs, bytes: u64) -> Result<String, Failure> {
    let size = u64::try_from(args.value_size).unwrap_or(u64::MAX).max(1);
    let wanted = bytes.div_ceil(size);
    let shared = Arc::new(Shared::default());
    let started = Instant::now();
    let job = |worker, _| client(worker, Arc::clone(&shared), wanted);
    let observe = |finished: &dyn Fn() -> bool| {
        let bar = progress_bar(wanted, "{bar:30} filling  {human_pos} of {human_len} keys  {eta}");
        while !finished() {
            bar.set_position(shared.done.load(Ordering::Relaxed));
            std::thread::sleep(INTERVAL);
        }
        bar.finish_and_clear();
    };
    let ends = spread(target, CLIENTS, usize::from(args.threads), job, observe)?;
    let done = shared.done.load(Ordering::Relaxed);
    if done < wanted {
        let reason = ends.into_iter().find_map(Result::err).unwrap_or_default();
        return Err(Failure::Fill { done, wanted, reason });
    }
    Ok(sentence(args, wanted, started.elapsed(), shared.errors.load(Ordering::Relaxed)))
}

fn sentence(args: &BenchArgs, wanted: u64, time: Duration, errors: u64) -> String {
    let errors = match errors {
        0 => String::new(),
        errors => format!("; {} were written again after errors", output::count(errors)),
    };
    format!(
        "Filled with {} keys of {} in {:.1} s, {:.0}/s{errors}.",
        output::count(wanted),
        output::bytes(args.value_size as u64),
        time.as_secs_f64(),
        per_second(wanted, time),
    )
}

async fn client<W: Worker>(mut worker: W, shared: Arc<Shared>, wanted: u64) -> Result<(), String> {
    let mut errors = 0;
    loop {
        let key = shared.next.fetch_add(1, Ordering::Relaxed);
        if key >= wanted {
            return Ok(());
        }
        // A repeated write of the same key does no harm.
        while let Err(error) = write(&mut worker, key).await {
            shared.errors.fetch_add(1, Ordering::Relaxed);
            errors += 1;
            if errors == ERRORS {
                return Err(error);
            }
            sleep(PAUSE * errors).await;
        }
        errors = 0;
        shared.done.fetch_add(1, Ordering::Relaxed);
    }
}

async fn write<W: Worker>(worker: &mut W, key: u64) -> Result<(), String> {
    let answered = timeout(PATIENCE, worker.ask(Operation::Put(key))).await;
    answered.unwrap_or_else(|_| Err("no answer in time".to_owned())).map(drop)
}
