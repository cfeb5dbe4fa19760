//! The closed loop: each client sends its next request when its last one is answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{sleep, timeout};

use super::client_threads::{Operation, Target, Worker, spread};
use super::report::Run;
use super::tally::{Tally, per_second};
use super::{INTERVAL, PATIENCE, PAUSE, cpu, progress_bar};
use crate::args::BenchArgs;
use crate::failure::Failure;

/// The time in which requests count.
#[derive(Clone, Copy, Debug)]
struct Window {
    begin: Instant,
    end: Instant,
}

/// The state that all clients of a run share.
struct Shared {
    warm_up: Duration,
    duration: Duration,
    keys: u64,
    reads: u8,
    window: OnceLock<Window>,
    /// The number of requests that were answered, within the window or not.
    answered: AtomicU64,
}

impl Shared {
    /// Returns the window, which is the same for all clients. The warm-up before it begins with the
    /// first call of this function.
    fn window(&self) -> Window {
        *self.window.get_or_init(|| {
            let begin = Instant::now() + self.warm_up;
            Window { begin, end: begin + self.duration }
        })
    }
}

/// Measures a target under the load of this many clients.
pub(super) fn run<T: Target>(target: &T, args: &BenchArgs, clients: usize) -> Result<Run, Failure> {
    let shared = Arc::new(Shared {
        warm_up: args.warm_up,
        duration: args.duration,
        keys: args.keys,
        reads: args.reads,
        window: OnceLock::new(),
        answered: AtomicU64::new(0),
    });
    let job = |worker, number: usize| {
        let seed = args.seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        client(worker, Arc::clone(&shared), SmallRng::seed_from_u64(seed))
    };
    let mut cost = None;
    let threads = usize::from(args.threads);
    let observe = |finished: &dyn Fn() -> bool| cost = observe(&shared, clients, finished);
    let tallies = spread(target, clients, threads, job, observe)?;
    let mut total = Tally::new();
    for tally in tallies {
        total.add(tally);
    }
    Ok(Run::new(clients, args, &total, cost))
}

/// Runs one client, which sends its next request when its last one is answered.
async fn client<W: Worker>(mut worker: W, shared: Arc<Shared>, mut rng: SmallRng) -> Tally {
    let mut tally = Tally::new();
    let window = shared.window();
    let mut begun = Instant::now();
    while begun < window.end {
        let key = rng.random_range(0..shared.keys);
        let reads = shared.reads > 0 && rng.random_range(0..100) < shared.reads;
        let operation = if reads { Operation::Get(key) } else { Operation::Put(key) };
        let result = timeout(PATIENCE, worker.ask(operation)).await;
        let ended = Instant::now();
        let counts = begun >= window.begin;
        match result.unwrap_or_else(|_| Err("no answer in 5 s".to_owned())) {
            Ok(done) => {
                shared.answered.fetch_add(1, Ordering::Relaxed);
                let latencies = if reads { &mut tally.gets } else { &mut tally.puts };
                if counts {
                    latencies.record(ended - begun);
                    tally.missing += u64::from(done.missing);
                    tally.redirections += done.redirections;
                }
                latencies.completed += u64::from(ended >= window.begin && ended < window.end);
                begun = ended;
            }
            Err(error) => {
                if ended >= window.begin {
                    *tally.errors.entry(error).or_default() += 1;
                } else {
                    tally.early_errors += 1;
                }
                sleep(PAUSE).await;
                begun = Instant::now();
            }
        }
    }
    tally
}

/// Draws progress. Returns the CPU time that this process spent within the window, for each answer
/// and for each second.
fn observe(shared: &Shared, clients: usize, finished: &dyn Fn() -> bool) -> Option<cpu::Cost> {
    let Window { begin, end } = shared.window();
    let length = shared.warm_up + shared.duration;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let template = "{bar:30} {msg}";
    let bar = progress_bar(millis(length), template);
    let mut meter = cpu::Meter::default();
    let answered = || shared.answered.load(Ordering::Relaxed);
    let mut last = (Instant::now(), answered());
    while !finished() {
        let now = Instant::now();
        meter.at(now, begin, end, answered());
        let rate = per_second(answered() - last.1, now - last.0);
        last = (now, answered());
        let phase = if now < begin { "warm-up" } else { "measuring" };
        bar.set_position(millis(length.saturating_sub(end.saturating_duration_since(now))));
        bar.set_message(format!("{clients} clients  {phase}  {rate:.0}/s"));
        // The loop wakes up exactly at the edges of the window, so that the readings there are
        // right.
        let edges = [begin, end].map(|edge| edge.saturating_duration_since(now));
        let edge = edges.into_iter().filter(|wait| !wait.is_zero()).min();
        std::thread::sleep(edge.unwrap_or(INTERVAL).min(INTERVAL));
    }
    meter.at(Instant::now(), begin, end, answered());
    bar.finish_and_clear();
    meter.cost()
}
