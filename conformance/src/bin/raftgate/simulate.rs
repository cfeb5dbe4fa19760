//! `raftgate simulate`: clusters of production servers under faults, seed after seed.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use raft_checker::exit::Exit;
use raft_checker::search::Control;
use raft_conformance::conform;
use raft_conformance::linearizability::{
    Answer, History, KvModel, Limit, Operation, check, conflict,
};
use raft_conformance::simulate::shrink::shrink;
use raft_conformance::simulate::{self, Length, Outcome};
use raft_trace::ClusterTrace;
use serde_json::json;

use crate::failure::{Failure, write_new};

/// Run whole clusters of production servers, simulated disks and networks under faults.
///
/// Each seed is one run: things go wrong, then a majority is made whole and has to commit something new
/// within a bounded time, then all is made whole and all servers have to hold the same. The paper's
/// properties are checked at every step, and what clients saw must be linearizable.
///
/// A simulation is no proof: it says that nothing was found.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The seeds, as `A..B`; B is not among them.
    #[arg(long, default_value = "0..1000", value_parser = seeds)]
    seeds: Range<u64>,
    /// How many servers a cluster has.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=9))]
    servers: u64,
    /// How many runs at a time; by default one for each processor.
    #[arg(long)]
    jobs: Option<usize>,
    /// Begin no new run after this long.
    #[arg(long, value_parser = humantime::parse_duration)]
    time_limit: Option<Duration>,
    /// For how long things go wrong in each run, in simulated time.
    #[arg(long, default_value = "25s", value_parser = humantime::parse_duration)]
    chaos: Duration,
    /// Save what shows a failure here, cut down as far as possible: a trace, or if no server differs
    /// from the model and clients were told wrong things, the history of these.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Also print what each run came to: its hash is the same whenever the seed is.
    #[arg(long)]
    list: bool,
    /// Write the result as JSON; the file must not exist.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let bad = || format!("{text:?} is not of the form A..B");
    let (first, end) = text.split_once("..").ok_or_else(bad)?;
    let (first, end) = (first.parse().map_err(|_| bad())?, end.parse().map_err(|_| bad())?);
    if first < end { Ok(first..end) } else { Err(format!("there is no seed in {text}")) }
}

/// What all runs together came to.
#[derive(Default)]
struct Sum {
    runs: u64,
    simulated: Duration,
    steps: u64,
    answered: u64,
    elections: u64,
    crashes: u64,
    snapshots: u64,
    delivered: u64,
    failed: Vec<Outcome>,
    hashes: Vec<(u64, u64)>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let length = Length { chaos: args.chaos, ..Length::default() };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(processors).max(1);
    let bar = progress(args.seeds.end - args.seeds.start);
    let began = Instant::now();
    let (next, stop) = (AtomicU64::new(args.seeds.start), AtomicBool::new(false));
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let late = args.time_limit.is_some_and(|limit| began.elapsed() >= limit);
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if late || stop.load(Ordering::Relaxed) || seed >= args.seeds.end {
                        return;
                    }
                    let outcome = simulate::run(seed, args.servers, length, false);
                    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    sum.add(outcome);
                    // A few failures tell as much as many.
                    if sum.failed.len() >= 5 {
                        stop.store(true, Ordering::Relaxed);
                    }
                    bar.set_position(sum.runs);
                    let ratio = sum.simulated.as_secs_f64() / began.elapsed().as_secs_f64();
                    bar.set_message(format!("{ratio:.0} s/s, {} failed", sum.failed.len()));
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    sum.hashes.sort_unstable();
    sum.failed.sort_by_key(|outcome| outcome.variant.seed);
    let seconds = began.elapsed().as_secs_f64();
    print(args, &sum, seconds);
    if let Some(path) = &args.save {
        save(path, &sum.failed, length)?;
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&as_json(&sum, seconds)).unwrap_or_default();
        write_new(path, text.as_bytes(), "choose another name")?;
    }
    let all = sum.runs == args.seeds.end - args.seeds.start;
    Ok(match (sum.failed.is_empty(), all) {
        (false, _) => Exit::Violated,
        (true, false) => Exit::Incomplete,
        (true, true) => Exit::Fine,
    })
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        self.simulated += outcome.simulated;
        self.steps += outcome.steps;
        self.answered += outcome.answered;
        self.elections += outcome.elections;
        self.crashes += outcome.counters.crashes;
        self.snapshots += outcome.counters.snapshots;
        self.delivered += outcome.counters.delivered;
        self.hashes.push((outcome.variant.seed, outcome.hash));
        if outcome.broken.is_some() {
            self.failed.push(outcome);
        }
    }
}

/// What is shown and saved of a failure.
struct Kept {
    /// How many of what: `12 steps`.
    length: String,
    bytes: Vec<u8>,
    shown: String,
}

/// Looks for a smaller run than the seed that failed soonest, and keeps what shows the failure: what
/// leads one server to differ from the model; where none differs, the answers to clients that are in
/// conflict; or else the whole run.
fn save(path: &Path, failed: &[Outcome], length: Length) -> Result<(), Failure> {
    // The one that failed soonest has the shortest history.
    let Some(soonest) = failed.iter().min_by_key(|failed| failed.simulated) else { return Ok(()) };
    let smallest = shrink(soonest, length);
    println!("\n{}", describe(&smallest));
    let written = |source| Failure::Write { path: path.to_owned(), source };
    let kept = keep(path, &smallest).map_err(written)?;
    println!("\n{}", kept.shown);
    write_new(path, &kept.bytes, "choose another name")?;
    println!("Saved {} to {}.", kept.length, path.display());
    Ok(())
}

fn describe(smallest: &Outcome) -> String {
    let Outcome { variant, faults, simulated, steps, broken, .. } = smallest;
    let what = broken.as_ref().map_or("", |broken| broken.property);
    let names: Vec<String> = faults.iter().map(|fault| format!("{fault:?}")).collect();
    let faults = if names.is_empty() { "no faults".to_owned() } else { names.join(", ") };
    format!(
        "The smallest run like seed {} that breaks {what}: {} servers, {faults},\n{steps} steps in \
         {:.1} simulated seconds.",
        variant.seed,
        variant.servers,
        simulated.as_secs_f64(),
    )
}

fn keep(path: &Path, outcome: &Outcome) -> std::io::Result<Kept> {
    let whole = simulate::trace::trace(outcome);
    let held = conform::trace::hold(&whole, &Control::default(), &conform::Progress::default());
    let (trace, shown) = match held {
        Ok((_, Some(found))) => {
            let shown = conform::show::divergence(&whole.about, &found, &again(path));
            (ClusterTrace { about: whole.about, ..found.trace }, shown)
        }
        Ok((_, None)) => {
            if let Some(history) = &outcome.history {
                return keep_history(history);
            }
            let shown = "Each server does what the model does: the trace is the whole run, for \
                         raftcheck replay and raftcheck show.";
            (whole, shown.to_owned())
        }
        Err(error) => (whole, format!("The model cannot follow the run, so it is whole: {error}.")),
    };
    let mut bytes = Vec::new();
    trace.write(&mut bytes)?;
    Ok(Kept { length: format!("{} steps", trace.actions.len()), bytes, shown })
}

/// The answers in conflict.
fn keep_history(history: &History<Operation, Answer>) -> std::io::Result<Kept> {
    let report = check::<KvModel>(history, Limit::default());
    let Some(conflict) = conflict::<KvModel>(history, &report) else {
        let mut bytes = Vec::new();
        history.write(&mut bytes)?;
        let length = format!("{} operations", history.calls().len());
        return Ok(Kept { length, bytes, shown: report.to_string() });
    };
    let shown = format!(
        "Each server does what the model does; what clients were told shows the failure.\n\n{conflict}"
    );
    let length = format!("{} operations", conflict.calls.len());
    let mut bytes = Vec::new();
    History::new(conflict.calls).map_err(std::io::Error::other)?.write(&mut bytes)?;
    Ok(Kept { length, bytes, shown })
}

fn again(path: &Path) -> String {
    format!("raftgate conform --trace {}", path.display())
}

fn progress(runs: u64) -> ProgressBar {
    let bar = ProgressBar::new(runs);
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} runs, {elapsed}, {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn print(args: &Args, sum: &Sum, seconds: f64) {
    let simulated = sum.simulated.as_secs_f64();
    if args.list {
        for (seed, hash) in &sum.hashes {
            println!("seed {seed}  {hash:016x}");
        }
    }
    println!(
        "{} runs of {} servers: {simulated:.0} simulated seconds in {seconds:.1} s ({:.0} per second), \
         {} steps ({:.0} per second)",
        sum.runs,
        args.servers,
        simulated / seconds,
        sum.steps,
        sum.steps as f64 / seconds,
    );
    println!(
        "{} requests answered ({:.1} per simulated second), {} elections, {} crashes, {} snapshots sent, \
         {} messages",
        sum.answered,
        sum.answered as f64 / simulated,
        sum.elections,
        sum.crashes,
        sum.snapshots,
        sum.delivered,
    );
    for failed in &sum.failed {
        let Some(broken) = &failed.broken else { continue };
        println!("\nseed {} breaks {}:\n{}", failed.variant.seed, broken.property, broken.what);
        println!("  with {:?}", failed.faults);
        println!(
            "  again: raftgate simulate --seeds {}..{}",
            failed.variant.seed,
            failed.variant.seed + 1
        );
    }
    if sum.failed.is_empty() {
        println!("Nothing was found. That is no proof.");
    }
}

fn as_json(sum: &Sum, seconds: f64) -> serde_json::Value {
    let failed = sum.failed.iter().map(|failed| {
        let broken = failed.broken.as_ref();
        json!({
            "seed": failed.variant.seed,
            "property": broken.map(|broken| broken.property),
            "what": broken.map(|broken| &broken.what),
        })
    });
    json!({
        "runs": sum.runs,
        "seconds": seconds,
        "simulated_seconds": sum.simulated.as_secs_f64(),
        "steps": sum.steps,
        "answered": sum.answered,
        "elections": sum.elections,
        "crashes": sum.crashes,
        "snapshots": sum.snapshots,
        "failed": failed.collect::<Vec<_>>(),
        "hashes": sum.hashes.iter().map(|(seed, hash)| json!({"seed": seed, "hash": format!("{hash:016x}")})).collect::<Vec<_>>(),
    })
}
