//! `raftgate lab`: the lab suite of MIT 6.5840 in virtual time, over many seeds.

mod failure_logs;
mod report;

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use raft_checker::exit_code::Exit;
use raft_cli::file::probe_folder;
use raft_cli::interrupt::Interrupt;
use raft_cli::json::JsonArgs;
use raft_cli::options::{ThreadsArgs, seeds};
use raft_cli::output::Output;
use raft_cli::progress::{Progress, Share};
use raft_cli::quantity::count;
use raft_lab::{Level, Outcome, Test, UnknownTest};

use crate::failure::Failure;
use crate::parallel_runs::{self, Next};

/// Run the tests of MIT 6.5840's Raft and key-value labs, in virtual time, over many seeds.
///
/// Each run is a cluster of production servers with simulated disks and a simulated network. The same
/// test with the same seed comes to the same. Ends with 0 if all demands are met, with 1 if one is not,
/// with 6 if it was interrupted.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Tests by name, by its beginning, or by a pattern with `*` and `?`, in any case; without any,
    /// all of them.
    #[arg(value_name = "TEST")]
    tests: Vec<String>,
    /// Say what the tests are, and run none.
    #[arg(long, conflicts_with_all = ["seeds", "threads", "keep_failures", "json"])]
    list: bool,
    /// The seeds of each test, as `A..B`, where B is not among them; a number N is 0..N.
    #[arg(long, value_name = "SEEDS", default_value = "10", value_parser = seeds)]
    seeds: Range<u64>,
    #[command(flatten)]
    threads: ThreadsArgs,
    /// Run each failure again, and write the log of every server and the story into new files here.
    #[arg(long, value_name = "DIR")]
    keep_failures: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArgs,
}

/// The results of all runs of a test.
struct Tally {
    test: &'static Test,
    runs: u64,
    simulated: Duration,
    wall: Duration,
    failed: Vec<Outcome>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let tests = raft_lab::select(&args.tests).map_err(|error| unknown(&error))?;
    if args.list {
        let mut out = Output::stdout();
        out.print(&list(&tests));
        out.finish()?;
        return Ok(Exit::Fine);
    }
    let (mut out, json) = args.json.open()?;
    args.keep_failures.as_deref().map(probe_folder).transpose()?;
    let interrupt = Interrupt::listen();
    let began = Instant::now();
    let wanted = (args.seeds.end - args.seeds.start).saturating_mul(tests.len() as u64);
    let tallies = run_all(args, &tests, wanted, &interrupt);
    let seconds = began.elapsed();
    let runs: u64 = tallies.iter().map(|tally| tally.runs).sum();
    let exit = if tallies.iter().any(|tally| !tally.failed.is_empty()) {
        Exit::Violated
    } else if runs < wanted {
        Exit::Incomplete
    } else {
        Exit::Fine
    };
    let written = json.write(&report::as_json(&tallies, &args.seeds, exit, seconds));
    out.print(&report::show(&tallies, seconds));
    if runs < wanted {
        let (runs, wanted) = (count(runs), count(wanted));
        writeln!(out, "INCOMPLETE: {runs} of {wanted} runs were done; it was interrupted.");
    }
    if let Some(directory) = args.keep_failures.as_ref().filter(|_| !interrupt.requested()) {
        for tally in &tallies {
            for failed in &tally.failed {
                failure_logs::keep(&mut out, directory, tally.test, failed)?;
            }
        }
    }
    written?;
    out.finish()?;
    Ok(exit)
}

fn unknown(unknown: &UnknownTest) -> Failure {
    let nearest = unknown.nearest.join(", ");
    let advice = format!("did you mean {nearest}? `raftgate lab --list` shows all");
    Failure::Input { what: unknown.to_string(), advice }
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
fn run_all(args: &Args, tests: &[&'static Test], wanted: u64, interrupt: &Interrupt) -> Vec<Tally> {
    let new = |test: &&'static Test| Tally {
        test,
        runs: 0,
        simulated: Duration::ZERO,
        wall: Duration::ZERO,
        failed: Vec::new(),
    };
    let mut tallies: Vec<Tally> = tests.iter().map(new).collect();
    let mut progress = Progress::new();
    let (mut done, mut failed) = (0, 0_u64);
    let (tests, first) = (tests.to_vec(), args.seeds.start);
    let job = move |number: u64| {
        let count = tests.len() as u64;
        let place = usize::try_from(number % count).unwrap_or_default();
        let began = Instant::now();
        let outcome = raft_lab::run(tests[place], first + number / count, false);
        (place, outcome, began.elapsed())
    };
    parallel_runs::run(wanted, args.threads.number(), interrupt, job, |result| {
        if let Some((place, outcome, wall)) = result {
            done += 1;
            failed += u64::from(outcome.unmet.is_some());
            tallies[place].add(outcome, wall);
        }
        progress.show(format!("{failed} failed, runs:"), Some(Share { done, all: wanted }));
        Next::Begin
    });
    progress.clear();
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
