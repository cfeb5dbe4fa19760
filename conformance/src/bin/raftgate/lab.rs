//! `raftgate lab`: the course's lab suite in virtual time, over many seeds.

mod keep;
mod report;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use raft_checker::exit::Exit;
use raft_conformance::lab::{self, Level, Outcome, Test, UnknownTest};

use crate::failure::{Failure, write_new};

/// Run the tests of MIT 6.5840's Raft and key-value labs, in virtual time, over many seeds.
///
/// Each run is a cluster of production servers with simulated disks and a simulated network. The same
/// test with the same seed comes to the same. Ends with 0 if all demands are met, with 1 if one is not.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Tests by name, by its beginning, or by a pattern with `*` and `?`, in any case; without any,
    /// all of them.
    #[arg(value_name = "TEST")]
    tests: Vec<String>,
    /// Say what the tests are, and run none.
    #[arg(long)]
    list: bool,
    /// How many seeds each test is run with.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0)]
    first_seed: u64,
    /// How many runs at a time; by default one for each processor.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Run each failure again, and write the log of every server and the story into new files here.
    #[arg(long, value_name = "DIR")]
    keep_failures: Option<PathBuf>,
    /// Write the result as JSON; the file must not exist.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const ADVICE: &str = "name another file";

/// What all runs of a test came to.
struct Tally {
    test: &'static Test,
    runs: u64,
    simulated: Duration,
    wall: Duration,
    failed: Vec<Outcome>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let tests = lab::select(&args.tests).map_err(|error| unknown(&error))?;
    if args.list {
        say(&list(&tests));
        return Ok(Exit::Fine);
    }
    if let Some(path) = args.json.as_ref().filter(|path| path.exists()) {
        return Err(Failure::Exists { path: path.clone(), advice: ADVICE });
    }
    if args.first_seed.checked_add(args.seeds).is_none() {
        let what = format!("there are no {} seeds from {} on", args.seeds, args.first_seed);
        return Err(Failure::Input { what, advice: "begin with a smaller seed".to_owned() });
    }
    let began = Instant::now();
    let tallies = run_all(args, &tests);
    let seconds = began.elapsed();
    say(&report::show(&tallies, seconds));
    if let Some(path) = &args.json {
        let text = format!("{:#}\n", report::as_json(&tallies, args.first_seed, seconds));
        write_new(path, text.as_bytes(), ADVICE)?;
    }
    if let Some(directory) = &args.keep_failures {
        for tally in &tallies {
            tally.failed.iter().try_for_each(|failed| keep::keep(directory, tally.test, failed))?;
        }
    }
    let failed = tallies.iter().any(|tally| !tally.failed.is_empty());
    Ok(if failed { Exit::Violated } else { Exit::Fine })
}

fn unknown(unknown: &UnknownTest) -> Failure {
    let nearest = unknown.nearest.join(", ");
    let advice = format!("did you mean {nearest}? `raftgate lab --list` shows all");
    Failure::Input { what: unknown.to_string(), advice }
}

/// Prints, also where nobody reads on.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn list(tests: &[&Test]) -> String {
    let mut out = String::new();
    for (level, title) in [(Level::Raft, "Raft"), (Level::Service, "Key-value service")] {
        let chosen = || tests.iter().filter(|test| test.level == level);
        if chosen().next().is_some() {
            let _ = writeln!(out, "{title}");
        }
        for test in chosen() {
            let _ = writeln!(out, "  {}\n      {}", test.name, test.about);
        }
    }
    out
}

/// Runs every test with every seed, all tests of a seed before the next seed.
fn run_all(args: &Args, tests: &[&'static Test]) -> Vec<Tally> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(processors, usize::from);
    let seeds = usize::try_from(args.seeds).unwrap_or(usize::MAX);
    let runs = seeds.saturating_mul(tests.len());
    let bar = progress(runs);
    let new = |test: &&'static Test| Tally {
        test,
        runs: 0,
        simulated: Duration::ZERO,
        wall: Duration::ZERO,
        failed: Vec::new(),
    };
    let tallies = Mutex::new((tests.iter().map(new).collect::<Vec<_>>(), 0));
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= runs {
                return;
            }
            let (place, seed) =
                (number % tests.len(), args.first_seed + (number / tests.len()) as u64);
            let began = Instant::now();
            let outcome = lab::run(tests[place], seed, false);
            let wall = began.elapsed();
            let mut guard = tallies.lock().unwrap_or_else(PoisonError::into_inner);
            let (tallies, failed) = &mut *guard;
            *failed += u64::from(outcome.unmet.is_some());
            tallies[place].add(outcome, wall);
            bar.inc(1);
            bar.set_message(format!("{failed} failed"));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    let mut tallies = tallies.into_inner().unwrap_or_else(PoisonError::into_inner).0;
    for tally in &mut tallies {
        tally.failed.sort_by_key(|outcome| outcome.seed);
    }
    tallies
}

impl Tally {
    fn add(&mut self, outcome: Outcome, wall: Duration) {
        self.runs += 1;
        self.simulated += outcome.simulated;
        self.wall += wall;
        if outcome.unmet.is_some() {
            self.failed.push(outcome);
        }
    }
}

fn progress(runs: usize) -> ProgressBar {
    let bar = ProgressBar::new(runs as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} runs, {elapsed}, {msg}");
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}
