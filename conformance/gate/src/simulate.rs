//! `raftgate simulate`: clusters of production servers under faults, seed after seed.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use raft_checker::control::{Control, StopReason};
use raft_checker::exit_code::Exit;
use raft_cli::file::Destination;
use raft_cli::interrupt::Interrupt;
use raft_cli::json::JsonArgs;
use raft_cli::options::{ThreadsArgs, duration, positive_duration, seeds, shell_word};
use raft_cli::output::Output;
use raft_cli::progress::{Progress, Share};
use raft_cli::quantity::count;
use raft_linearizability::{Answer, History, KvModel, Limit, Operation, check, conflict};
use raft_simulation::simulate::shrink::shrink;
use raft_simulation::simulate::{self, Length, Outcome};
use raft_trace::ClusterTrace;
use serde_json::json;

use crate::failure::Failure;
use crate::parallel_runs::{self, Next};

/// Run whole clusters of production servers, simulated disks and networks under faults.
///
/// Each seed is one run: things go wrong, then a majority is made whole and has to commit something new
/// within a bounded time, then all is made whole and all servers have to hold the same. The paper's
/// properties are checked at every step, and what clients saw must be linearizable.
///
/// A simulation is no proof: it says that nothing was found.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The seeds, as `A..B`, where B is not among them; a number N is 0..N.
    #[arg(long, value_name = "SEEDS", default_value = "0..1000", value_parser = seeds)]
    seeds: Range<u64>,
    /// How many servers a cluster has.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=9))]
    servers: u64,
    #[command(flatten)]
    threads: ThreadsArgs,
    /// Begin no new run after this time, for example 90s or 10m; a number alone is seconds.
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    time_limit: Option<Duration>,
    /// For how long things go wrong in each run, in simulated time.
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = duration)]
    chaos: Duration,
    /// Save what shows a failure here, cut down as far as possible: a trace, or if no server differs
    /// from the model and clients were told wrong things, the history of these.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Also print what each run came to: its hash is the same whenever the seed is.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    json: JsonArgs,
}

/// The number of failures after which no run is begun, because more failures would add little
/// information.
const FAILURES: usize = 5;

/// The results of all runs together.
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
    /// The reason why not all runs were done, unless it is the number of failures.
    stopped: Option<StopReason>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let (mut out, json) = args.json.open()?;
    let new = |path: &PathBuf| Destination::new(path, false);
    let file = args.save.as_ref().map(new).transpose()?;
    let interrupt = Interrupt::listen();
    let began = Instant::now();
    let sum = run_all(args, &interrupt, began);
    let seconds = began.elapsed().as_secs_f64();
    let exit = match (sum.failed.is_empty(), sum.stopped) {
        (false, _) => Exit::Violated,
        (true, Some(_)) => Exit::Incomplete,
        (true, None) => Exit::Fine,
    };
    let written = json.write(&as_json(args, &sum, exit, seconds));
    print(&mut out, args, &sum, seconds);
    if let (Some(path), Some(file)) = (&args.save, &file) {
        save(&mut out, path, file, &sum.failed, args, &interrupt)?;
    }
    written?;
    out.finish()?;
    Ok(exit)
}

fn length(args: &Args) -> Length {
    Length { chaos: args.chaos, ..Length::default() }
}

fn run_all(args: &Args, interrupt: &Interrupt, began: Instant) -> Sum {
    let (first, servers, length) = (args.seeds.start, args.servers, length(args));
    let all = args.seeds.end - first;
    let mut sum = Sum::default();
    let mut progress = Progress::new();
    let job = move |place| simulate::run(first + place, servers, length, false);
    parallel_runs::run(all, args.threads.number(), interrupt, job, |outcome| {
        if let Some(outcome) = outcome {
            sum.add(outcome);
        }
        let ratio = sum.simulated.as_secs_f64() / began.elapsed().as_secs_f64();
        let what = format!("{ratio:.0} s/s, {} failed, runs:", sum.failed.len());
        progress.show(what, Some(Share { done: sum.runs, all }));
        let late = args.time_limit.is_some_and(|limit| began.elapsed() >= limit);
        if late || sum.failed.len() >= FAILURES { Next::BeginNoMore } else { Next::Begin }
    });
    progress.clear();
    if sum.runs < all && (sum.failed.len() < FAILURES || interrupt.requested()) {
        let interrupted = interrupt.requested();
        sum.stopped =
            Some(if interrupted { StopReason::Interrupted } else { StopReason::TimeLimit });
    }
    sum.hashes.sort_unstable();
    sum.failed.sort_by_key(|outcome| outcome.variant.seed);
    sum
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

/// The part of a failure that is shown and saved.
struct Kept {
    /// The length with its unit, as in `12 steps`.
    length: String,
    bytes: Vec<u8>,
    shown: String,
}

/// Takes the run that failed soonest, looks for a smaller run with the same failure, and saves the
/// part that shows the failure: the trace that leads one server to differ from the model; if no
/// server differs, the answers to clients that are in conflict; or else the whole run.
fn save(
    out: &mut Output,
    path: &Path,
    file: &Destination,
    failed: &[Outcome],
    args: &Args,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    // The run that failed soonest has the shortest history.
    let Some(soonest) = failed.iter().min_by_key(|failed| failed.simulated) else { return Ok(()) };
    let (soonest, length) = (soonest.clone(), length(args));
    let again = format!("raftgate conform --trace {}", shell_word(&path.to_string_lossy()));
    let mut made = None;
    let job = move |_| {
        let smallest = shrink(&soonest, length);
        let kept = keep(&smallest, &again);
        (describe(&smallest), kept)
    };
    parallel_runs::run(1, 1, interrupt, job, |result| {
        made = result.or(made.take());
        Next::Begin
    });
    let Some((described, kept)) = made else {
        writeln!(out, "\nIt was interrupted before anything was saved.");
        return Ok(());
    };
    writeln!(out, "\n{described}\n\n{}", kept.shown);
    file.write(&kept.bytes)?;
    writeln!(out, "Saved {} to {}.", kept.length, path.display());
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

fn keep(outcome: &Outcome, again: &str) -> Kept {
    let whole = raft_conform::simulated_run::trace(outcome);
    let held =
        raft_conform::trace::hold(&whole, &Control::default(), &raft_conform::Progress::default());
    let (trace, shown) = match held {
        Ok((_, Some(found))) => {
            let shown = raft_conform::show::divergence(&whole.about, &found, again);
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
    trace.write(&mut bytes).expect("a vector takes everything");
    Kept { length: format!("{} steps", trace.actions.len()), bytes, shown }
}

/// Returns the answers in conflict, or the whole history if no conflict is found.
fn keep_history(history: &History<Operation, Answer>) -> Kept {
    let report = check::<KvModel>(history, Limit::default());
    let Some(conflict) = conflict::<KvModel>(history, &report) else {
        let mut bytes = Vec::new();
        history.write(&mut bytes).expect("a vector takes everything");
        let length = format!("{} operations", history.calls().len());
        return Kept { length, bytes, shown: report.to_string() };
    };
    let shown = format!(
        "Each server does what the model does; what clients were told shows the failure.\n\n{conflict}"
    );
    let length = format!("{} operations", conflict.calls.len());
    let mut bytes = Vec::new();
    let history = History::new(conflict.calls).expect("a part of a history is one");
    history.write(&mut bytes).expect("a vector takes everything");
    Kept { length, bytes, shown }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn print(out: &mut Output, args: &Args, sum: &Sum, seconds: f64) {
    // Without any run, the time is 0. It must not be a divisor.
    let simulated = sum.simulated.as_secs_f64().max(f64::MIN_POSITIVE);
    if args.list {
        for (seed, hash) in &sum.hashes {
            writeln!(out, "seed {seed}  {hash:016x}");
        }
    }
    writeln!(
        out,
        "{} runs of {} servers: {simulated:.0} simulated seconds in {seconds:.1} s ({:.0} per second), \
         {} steps ({:.0} per second)",
        sum.runs,
        args.servers,
        simulated / seconds,
        sum.steps,
        sum.steps as f64 / seconds,
    );
    writeln!(
        out,
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
        let seed = failed.variant.seed;
        writeln!(out, "\nseed {seed} breaks {}:\n{}", broken.property, broken.what);
        writeln!(out, "  with {:?}", failed.faults);
        writeln!(out, "  again: raftgate simulate --seeds {seed}..{}", seed + 1);
    }
    if let Some(reason) = sum.stopped {
        let (runs, all) = (count(sum.runs), count(args.seeds.end - args.seeds.start));
        writeln!(out, "INCOMPLETE: {runs} of {all} runs were done; {}.", reason.sentence());
    } else if sum.failed.is_empty() {
        writeln!(out, "Nothing was found. That is no proof.");
    }
}

fn as_json(args: &Args, sum: &Sum, exit: Exit, seconds: f64) -> serde_json::Value {
    let failed = sum.failed.iter().map(|failed| {
        let broken = failed.broken.as_ref();
        json!({
            "seed": failed.variant.seed,
            "property": broken.map(|broken| broken.property),
            "what": broken.map(|broken| &broken.what),
        })
    });
    json!({
        "verdict": match exit {
            Exit::Violated => "VIOLATED",
            Exit::Incomplete => "INCOMPLETE",
            _ => "NOTHING FOUND",
        },
        "exit_code": exit.code(),
        "stopped": sum.stopped,
        "runs": sum.runs,
        "runs_wanted": args.seeds.end - args.seeds.start,
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
