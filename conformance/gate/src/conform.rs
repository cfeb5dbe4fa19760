//! `raftgate conform`.

mod report;

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use raft_checker::config::{BoundedConfig, Catalog, Tier};
use raft_checker::control::{Control, StopReason};
use raft_checker::exit_code::Exit;
use raft_cli::file::Destination;
use raft_cli::interrupt::Interrupt;
use raft_cli::json::{JsonArgs, JsonFile};
use raft_cli::options::{ThreadsArgs, positive_duration, shell_word};
use raft_cli::output::Output;
use raft_cli::progress::{INTERVAL, Share};
use raft_conform::trace::{BadTrace, hold};
use raft_conform::{
    Found, Progress, Tried, conform, first_start, log_store, show, snapshot_transfer,
};
use raft_trace::ClusterTrace;

use crate::failure::Failure;
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
    #[arg(value_name = "CONFIG")]
    names: Vec<String>,
    /// All configurations of a tier
    #[arg(long, value_name = "TIER")]
    tier: Option<TierArg>,
    /// The folder with the bounded configurations [default: those that the program carries]
    #[arg(long, value_name = "DIR")]
    configs: Option<PathBuf>,
    /// Hold production to a trace of a cluster instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["names", "tier", "configs", "threads"])]
    trace: Option<PathBuf>,
    #[command(flatten)]
    threads: ThreadsArgs,
    /// Give up after this time, for example 90s or 10m; a number alone is seconds
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    time_limit: Option<Duration>,
    #[command(flatten)]
    json: JsonArgs,
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

/// The outputs that are opened before the work begins.
struct Files {
    out: Output,
    json: JsonFile,
    save: Option<Destination>,
}

impl Files {
    fn open(args: &Args) -> Result<Files, Failure> {
        let (out, json) = args.json.open()?;
        let new = |path: &PathBuf| Destination::new(path, false);
        Ok(Files { out, json, save: args.save.as_ref().map(new).transpose()? })
    }

    fn save(&self, found: &Found) -> Result<(), Failure> {
        let Some(file) = &self.save else { return Ok(()) };
        let mut bytes = Vec::new();
        found.trace.write(&mut bytes).expect("a vector takes everything");
        Ok(file.write(&bytes)?)
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    if let Some(path) = &args.trace {
        return run_trace(args, path);
    }
    let configs = choose(args)?;
    let mut files = Files::open(args)?;
    let mut watch = Watch::new(args.time_limit);
    let mut run = Run { threads: args.threads.number(), ..Run::default() };
    run.start = Some(watch.run("the first start", |_, _| first_start::try_all()));
    run.log_stores = Some(watch.run("the log store", |control, _| log_store::try_all(control)));
    (run.transfers, run.scenario) = watch.run("transfers", |control, _| {
        snapshot_transfer::try_all(&snapshot_transfer::generated(), control)
    });
    let tried = Tried::default();
    for (place, config) in (1..).zip(&configs) {
        if run.diverged() || watch.control.stopped().is_some() {
            break;
        }
        let started = Instant::now();
        let name = format!("{} ({place} of {})", config.name, configs.len());
        let threads = run.threads;
        let conformed = watch
            .run(&name, |control, progress| conform(config, &tried, threads, control, progress));
        run.add(conformed, started.elapsed());
    }
    run.left_out = configs.len() - run.configs.len();
    run.stopped = watch.control.stopped();
    run.seconds = watch.began.elapsed().as_secs_f64();
    let exit = run.exit();
    let saved = run.found().map_or(Ok(()), |(_, found)| files.save(found));
    let written = files.json.write(&run.to_json(exit));
    files.out.print(&run.show(&replay_advice(args)));
    saved?;
    written?;
    files.out.finish()?;
    Ok(exit)
}

fn run_trace(args: &Args, path: &Path) -> Result<Exit, Failure> {
    let file = std::fs::File::open(path);
    let file = file.map_err(|source| Failure::Read { path: path.to_owned(), source })?;
    let trace = ClusterTrace::read(BufReader::new(file));
    let trace = trace.map_err(|source| Failure::Trace { path: path.to_owned(), source })?;
    let mut files = Files::open(args)?;
    let mut watch = Watch::new(args.time_limit);
    let held = watch.run("the trace", |control, progress| hold(&trace, control, progress));
    let (held, found) = held.map_err(|bad| bad_trace(path, &bad))?;
    let stopped = watch.control.stopped();
    let exit = match (&found, stopped) {
        (Some(_), _) => Exit::Diverged,
        (None, Some(_)) => Exit::Incomplete,
        (None, None) => Exit::Fine,
    };
    let saved = found.as_ref().map_or(Ok(()), |found| files.save(found));
    let written = files.json.write(&report::trace_json(held, found.as_ref(), exit));
    files.out.print(&report::trace(&trace, held, exit, stopped, watch.began.elapsed()));
    if let Some(found) = &found {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let shown = show::divergence(&name, found, &replay_advice(args));
        files.out.print(&format!("\n{shown}"));
    }
    saved?;
    written?;
    files.out.finish()?;
    Ok(exit)
}

fn bad_trace(path: &Path, bad: &BadTrace) -> Failure {
    Failure::Input {
        what: format!("{}: {bad}", path.display()),
        advice: "nothing was tried; raftcheck replay shows what the model does with a whole trace"
            .to_owned(),
    }
}

fn choose(args: &Args) -> Result<Vec<BoundedConfig>, Failure> {
    let catalog = Catalog::open(args.configs.as_deref())?;
    Ok(catalog.choose(&args.names, args.tier.map(Tier::from))?)
}

/// Runs one part of the work after the other, and watches the time limit, signals and the progress.
struct Watch {
    time_limit: Option<Duration>,
    interrupt: Interrupt,
    control: Control,
    began: Instant,
    shown: raft_cli::progress::Progress,
}

impl Watch {
    fn new(time_limit: Option<Duration>) -> Watch {
        Watch {
            time_limit,
            interrupt: Interrupt::listen(),
            control: Control::default(),
            began: Instant::now(),
            shown: raft_cli::progress::Progress::new(),
        }
    }

    /// Runs one part of the work and shows its progress. Tells it to stop on an interrupt or at the
    /// time limit.
    fn run<T: Send>(
        &mut self,
        name: &str,
        work: impl FnOnce(&Control, &Progress) -> T + Send,
    ) -> T {
        let progress = Progress::default();
        let (done, finished) = mpsc::channel::<()>();
        let Watch { time_limit, interrupt, control, began, shown } = self;
        let watch = |control: &Control, progress: &Progress| {
            if interrupt.requested() {
                control.stop(StopReason::Interrupted);
            }
            if time_limit.is_some_and(|limit| began.elapsed() >= limit) {
                control.stop(StopReason::TimeLimit);
            }
            let known = progress.known.load(Ordering::Relaxed);
            let share = Share { done: progress.tried.load(Ordering::Relaxed), all: known };
            shown.show(name, (known > 0).then_some(share));
        };
        let (control, progress) = (&*control, &progress);
        let result = std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut watch = watch;
                while finished.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
                    watch(control, progress);
                }
            });
            let result = work(control, progress);
            // The watching thread ends when the sender is dropped, also if the work panics.
            drop(done);
            result
        });
        self.shown.clear();
        result
    }
}

/// Returns advice on how to reproduce a difference.
fn replay_advice(args: &Args) -> String {
    match &args.save {
        Some(path) => {
            format!("Again: raftgate conform --trace {}", shell_word(&path.to_string_lossy()))
        }
        None => "Again: say --save FILE, and then raftgate conform --trace FILE".to_owned(),
    }
}
