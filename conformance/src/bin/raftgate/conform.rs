//! `raftgate conform`.

mod report;

use std::io::BufReader;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use raft_checker::config::{BoundedConfig, Catalog, Tier};
use raft_checker::exit::Exit;
use raft_checker::search::{Control, StopReason};
use raft_checker::view::count;
use raft_conformance::conform::trace::{BadTrace, hold};
use raft_conformance::conform::{Found, Progress, conform, first_start, show, transfer};
use raft_trace::ClusterTrace;

use crate::failure::{Failure, write_new};
use report::Run;

/// Does to production servers everything that the checker found to happen to a server, and compares.
///
/// Every local transition of the configurations, each reached from a first start, with crashes and
/// failing disks inside it; consecutive ones as one batch; random runs of the cluster; snapshots over
/// breaking connections. Or the steps of a trace. Ends with 0 if production does what the model does,
/// with 3 if it does something else, with 6 if not everything was tried, with 2 if something cannot be
/// read.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Names of configurations, or paths of TOML files [default: the smoke tier]
    names: Vec<String>,
    /// All configurations of a tier
    #[arg(long, value_name = "TIER")]
    tier: Option<TierArg>,
    /// The folder with the bounded configurations [default: specs/configs, here or above]
    #[arg(long, value_name = "DIR")]
    configs: Option<PathBuf>,
    /// Hold production to a trace of a cluster instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["names", "tier", "configs"])]
    trace: Option<PathBuf>,
    /// How many threads work [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Give up after this time, for example 90s or 10m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    time_limit: Option<Duration>,
    /// Write the result to a new file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the trace of a difference to a new file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TierArg {
    Smoke,
    Nightly,
    Deep,
}

impl From<TierArg> for Tier {
    fn from(tier: TierArg) -> Tier {
        match tier {
            TierArg::Smoke => Tier::Smoke,
            TierArg::Nightly => Tier::Nightly,
            TierArg::Deep => Tier::Deep,
        }
    }
}

const ADVICE: &str = "name another file";

/// How often limits are looked at and progress is drawn.
const INTERVAL: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut written = args.json.iter().chain(&args.save);
    if let Some(path) = written.find(|path| path.exists()) {
        return Err(Failure::Exists { path: path.clone(), advice: ADVICE });
    }
    if let Some(path) = &args.trace {
        return run_trace(args, path);
    }
    let configs = choose(args)?;
    let began = Instant::now();
    let control = Control::default();
    let mut run = Run { threads: threads(args), ..Run::default() };
    run.start = Some(watch(args, "the first start", &control, began, |_| first_start::try_all()));
    let (transfers, story) = watch(args, "transfers", &control, began, |_| {
        transfer::try_all(&transfer::generated(), &control)
    });
    (run.transfers, run.story) = (transfers, story);
    for config in &configs {
        if run.diverged() || control.stopped().is_some() {
            break;
        }
        let started = Instant::now();
        let conformed = watch(args, &config.name, &control, began, |progress| {
            conform(config, run.threads, &control, progress)
        });
        run.add(conformed, started.elapsed());
    }
    run.left_out = configs.len() - run.configs.len();
    run.stopped = control.stopped().is_some();
    run.seconds = began.elapsed().as_secs_f64();
    let exit = run.exit();
    print!("{}", run.show(&replay_advice(args)));
    if let Some((_, found)) = run.found() {
        save(args, found)?;
    }
    write_json(args, &run.to_json(exit))?;
    Ok(exit)
}

fn run_trace(args: &Args, path: &PathBuf) -> Result<Exit, Failure> {
    let file = std::fs::File::open(path);
    let file = file.map_err(|source| Failure::Read { path: path.clone(), source })?;
    let trace = ClusterTrace::read(BufReader::new(file));
    let trace = trace.map_err(|source| Failure::Trace { path: path.clone(), source })?;
    let began = Instant::now();
    let control = Control::default();
    let held =
        watch(args, "the trace", &control, began, |progress| hold(&trace, &control, progress));
    let (held, found) = held.map_err(|bad| bad_trace(path, &bad))?;
    let stopped = control.stopped().is_some();
    let exit = match (&found, stopped) {
        (Some(_), _) => Exit::Diverged,
        (None, true) => Exit::Incomplete,
        (None, false) => Exit::Fine,
    };
    print!("{}", report::trace(&trace, held, exit, began.elapsed()));
    if let Some(found) = &found {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        print!("\n{}", show::divergence(&name, found, &replay_advice(args)));
        save(args, found)?;
    }
    write_json(args, &report::trace_json(held, found.as_ref(), exit))?;
    Ok(exit)
}

fn bad_trace(path: &std::path::Path, bad: &BadTrace) -> Failure {
    Failure::Input {
        what: format!("{}: {bad}", path.display()),
        advice: "nothing was tried; raftcheck replay shows what the model does with a whole trace"
            .to_owned(),
    }
}

fn choose(args: &Args) -> Result<Vec<BoundedConfig>, Failure> {
    let catalog = Catalog::read(&args.configs.clone().map_or_else(Catalog::folder, Ok)?)?;
    Ok(catalog.choose(&args.names, args.tier.map(Tier::from))?)
}

fn threads(args: &Args) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    args.threads.map_or_else(cores, usize::from)
}

/// Does something and shows how far it is, until it is done or the time is over.
fn watch<T: Send>(
    args: &Args,
    name: &str,
    control: &Control,
    began: Instant,
    work: impl FnOnce(&Progress) -> T + Send,
) -> T {
    let progress = Progress::default();
    let (done, finished) = mpsc::channel();
    std::thread::scope(|scope| {
        let progress = &progress;
        scope.spawn(move || observe(args, name, control, began, progress, &finished));
        let result = work(progress);
        // The watcher ends when the sender is gone, also if the work panics.
        drop(done);
        result
    })
}

fn observe(
    args: &Args,
    name: &str,
    control: &Control,
    began: Instant,
    progress: &Progress,
    finished: &mpsc::Receiver<()>,
) {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    while finished.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
        if args.time_limit.is_some_and(|limit| began.elapsed() >= limit) {
            control.stop(StopReason::TimeLimit);
        }
        let load = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        let (tried, known) = (load(&progress.tried), load(&progress.known));
        let seconds = began.elapsed().as_secs();
        bar.set_message(match known {
            0 => format!("{name}  {seconds} s"),
            _ => format!("{name}  {} of {} transitions  {seconds} s", count(tried), count(known)),
        });
        bar.tick();
    }
    bar.finish_and_clear();
}

/// How to see a difference again.
fn replay_advice(args: &Args) -> String {
    match &args.save {
        Some(path) => format!("Again: raftgate conform --trace {}", path.display()),
        None => "Again: say --save FILE, and then raftgate conform --trace FILE".to_owned(),
    }
}

fn save(args: &Args, found: &Found) -> Result<(), Failure> {
    let Some(path) = &args.save else { return Ok(()) };
    let mut bytes = Vec::new();
    let written = found.trace.write(&mut bytes);
    written.map_err(|source| Failure::Write { path: path.clone(), source })?;
    write_new(path, &bytes, ADVICE)?;
    println!("Saved {} steps to {}.", found.trace.actions.len(), path.display());
    Ok(())
}

fn write_json(args: &Args, json: &serde_json::Value) -> Result<(), Failure> {
    let Some(path) = &args.json else { return Ok(()) };
    write_new(path, format!("{json:#}\n").as_bytes(), ADVICE)
}
