//! `raftgate run`: the checks of a tier, before a push, before a merge, every night.

mod cache;
mod changed;
mod content_key;
mod counterexample;
mod junit;
mod markdown;
mod merge;
mod page;
mod plan;
mod report;
mod results;
mod runner;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use raft_checker::exit_code::Exit;
use raft_checker::text_width::wrap;
use raft_cli::interrupt::Interrupt;
use raft_cli::output::Output;
use raft_cli::progress::{Progress, Share};

use self::cache::{Cache, file_name};
use self::plan::{Check, PLAN, Plan, Tier};
use self::results::{Change, CheckResult, Results, SCHEMA, Shard, Status};
use self::runner::{Ended, Job};
use crate::failure::Failure;
pub(crate) use merge::{Args as MergeArgs, run as merge};

/// Run the checks of a tier, and write a report.
///
/// A check is skipped if it passed before and nothing has changed that it reads; comments and layout of
/// Rust sources do not count. Ends with 0 if every check passed; otherwise with the first of 70 a
/// program is broken, 2 a check cannot be run, 1 a property is violated or a test fails, 3 the server
/// differs from the model, 6 a budget was used up, 5 something was not exercised, 4 something differs
/// from the baseline.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How much time the run is worth
    #[arg(long, value_enum, value_name = "TIER", default_value = "smoke")]
    tier: Tier,
    /// Name the rules that have changed since a commit, and try their mutants first
    #[arg(long, value_name = "COMMIT")]
    since: Option<String>,
    /// Run checks that passed before as well
    #[arg(long)]
    no_cache: bool,
    /// Run one part of the checks: the I-th of N
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<Shard>,
    /// Where the report goes; files of an earlier one are replaced
    #[arg(long, value_name = "DIR", default_value = "target/raftgate/report")]
    report: PathBuf,
    /// Use the programs in this folder, and build nothing [default: build them]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Show which checks would run, and why, and run nothing
    #[arg(long)]
    list: bool,
}

fn shard(text: &str) -> Result<Shard, String> {
    let parsed = text.split_once('/').and_then(|(index, count)| {
        Some(Shard { index: index.parse().ok()?, count: count.parse().ok()? })
    });
    let is_possible = |shard: &Shard| (1..=shard.count).contains(&shard.index);
    parsed
        .filter(is_possible)
        .ok_or_else(|| "write the part and their number, as in 1/4".to_owned())
}

/// The programs of this project that checks run.
const PROGRAMS: [&str; 2] = ["raftcheck", "raftgate"];

/// The name of the check that tries the mutants of changed rules.
const CHANGED_RULES: &str = "mutants of the changed rules";

/// The time that the mutants of changed rules may take.
const CHANGED_RULES_BUDGET: Duration = Duration::from_mins(2);

/// A check with everything that is known about it before it runs.
struct Planned {
    check: Check,
    key: String,
    passed: Option<CheckResult>,
    /// The time that it took last.
    last: Option<Duration>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let began = Instant::now();
    let root = root()?;
    let plan = Plan::read(&root)?;
    let change = args.since.as_ref().map(|since| changed::since(&root, since)).transpose()?;
    let state = target(&root).join("raftgate");
    let cache = Cache::new(state.join("passed"));
    let (planned, key) = planned(args, &plan, &root, &cache, change.as_ref())?;
    let mut out = Output::stdout();
    if args.list {
        print_list(&mut out, &planned);
        out.finish()?;
        return Ok(Exit::Fine);
    }
    let needs_programs = planned.iter().any(|planned| planned.passed.is_none());
    let programs = match &args.programs {
        Some(folder) => root.join(folder),
        None if needs_programs => return Err(run_as_built(&root)),
        None => PathBuf::new(),
    };
    if let Some(change) = &change {
        print_change(&mut out, change);
    }
    let deadline = plan.budget(args.tier).map(|budget| began + budget);
    let interrupt = Interrupt::listen();
    let mut gate = Gate { root, programs, state, deadline, interrupt, out };
    let checks = gate.decide_all(planned, &plan, &cache)?;
    let Gate { root, mut out, .. } = gate;
    let verdict = Status::worst(checks.iter().map(|check| check.status));
    let results = Results {
        schema: SCHEMA,
        tier: args.tier,
        verdict,
        exit_code: verdict.exit().code(),
        commit: changed::commit(&root),
        key,
        shard: args.shard,
        change,
        seconds: began.elapsed().as_secs_f64(),
        budget_seconds: plan.budget(args.tier).map(|budget| budget.as_secs_f64()),
        checks,
    };
    report::write(&root.join(&args.report), &results)?;
    writeln!(out, "\n{}", wrap(&results.headline(), ""));
    writeln!(out, "The report is in {}.", args.report.display());
    out.finish()?;
    Ok(verdict.exit())
}

/// Returns the folder above this one that has a plan.
fn root() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir()
        .map_err(|source| Failure::Read { path: PathBuf::from("."), source })?;
    let root = here.ancestors().find(|folder| folder.join(PLAN).is_file());
    root.map(Path::to_owned).ok_or_else(|| Failure::Input {
        what: format!("there is no {PLAN} in {} or above", here.display()),
        advice: "run it in a clone of the repository; nothing was checked".to_owned(),
    })
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// Builds the programs, and goes on as the program that was built: this one may be of older sources.
/// Returns only if that fails. Builds with the profile of the tests: after a change, that takes seconds,
/// and the release profile minutes.
fn run_as_built(root: &Path) -> Failure {
    let failed = |what: String| Failure::Input {
        what,
        advice: "the messages of cargo are above; nothing was checked".to_owned(),
    };
    let build = ["build", "--locked", "-p", "raft-checker", "-p", "raft-gate"];
    match Command::new("cargo").args(build).current_dir(root).stdin(Stdio::null()).status() {
        Ok(status) if status.success() => {}
        Ok(_) => return failed("the programs cannot be built".to_owned()),
        Err(error) => return failed(format!("cargo cannot be started: {error}")),
    }
    let programs = target(root).join("debug");
    let arguments = std::env::args_os().skip(1);
    let mut again = Command::new(programs.join("raftgate"));
    let error = again.args(arguments).arg("--programs").arg(&programs).exec();
    failed(format!("{} cannot be started: {error}", programs.join("raftgate").display()))
}

/// Returns the checks to decide, those that fail soonest first, and a key for all of them.
fn planned(
    args: &Args,
    plan: &Plan,
    root: &Path,
    cache: &Cache,
    change: Option<&Change>,
) -> Result<(Vec<Planned>, String), Failure> {
    let mut keys = BTreeMap::new();
    for (name, paths) in &plan.sources {
        let key = content_key::of_files(root, paths).map_err(|error| Failure::Input {
            what: format!("the sources {name:?} of {PLAN}: {error}"),
            advice: "nothing was checked".to_owned(),
        })?;
        keys.insert(name.as_str(), key);
    }
    let build: Vec<PathBuf> = ["Cargo.toml", "Cargo.lock"].map(PathBuf::from).to_vec();
    let build = content_key::of_files(root, &build)
        .map_err(|source| Failure::Read { path: root.join("Cargo.lock"), source })?;
    let build = content_key::of_texts([build.as_str(), &toolchain()]);
    let of_tier = plan.of_tier(args.tier);
    let all =
        of_tier.iter().map(|check| check.name.as_str()).chain(keys.values().map(String::as_str));
    let key = content_key::of_texts(all.chain([args.tier.name(), build.as_str()]));
    let mut checks = in_shard(of_tier, args.shard);
    if args.shard.is_none_or(|shard| shard.index == 1) {
        checks.extend(change.and_then(of_changed_rules));
    }
    let decided = |check: Check| {
        let reads = check.reads.iter().filter_map(|name| keys.get(name.as_str()));
        let texts = reads.map(String::as_str).chain(check.command.iter().map(String::as_str));
        let key = content_key::of_texts(texts.chain([build.as_str()]));
        let passed = cache.get(&check.name, &key).filter(|_| !args.no_cache);
        Planned { last: cache.time(&check.name), check, key, passed }
    };
    let mut planned: Vec<Planned> = checks.into_iter().map(decided).collect();
    planned.sort_by_key(|planned| {
        let is_later = planned.check.name != CHANGED_RULES;
        (is_later, planned.passed.is_none(), planned.last.unwrap_or(planned.check.budget))
    });
    Ok((planned, key))
}

/// Returns the checks of a shard. All shards get about the same sum of budgets.
fn in_shard(checks: Vec<&Check>, shard: Option<Shard>) -> Vec<Check> {
    let Some(Shard { index, count }) = shard else {
        return checks.into_iter().cloned().collect();
    };
    let mut sorted = checks;
    sorted.sort_by(|a, b| (b.budget, &a.name).cmp(&(a.budget, &b.name)));
    let mut sums = vec![Duration::ZERO; count];
    let mut mine = Vec::new();
    for check in sorted {
        let least = (0..count).min_by_key(|place| sums[*place]).unwrap_or(0);
        sums[least] += check.budget;
        if least + 1 == index {
            mine.push(check.clone());
        }
    }
    mine
}

/// Returns the check that tries the mutants of changed rules; none if no rule has changed.
fn of_changed_rules(change: &Change) -> Option<Check> {
    let words = ["raftcheck", "mutants", "--tier", "smoke"].into_iter().map(str::to_owned);
    (!change.mutants.is_empty()).then(|| Check {
        name: CHANGED_RULES.to_owned(),
        about: format!(
            "The checks notice if one of these rules is missing: {}.",
            change.rules.join(", ")
        ),
        tiers: Vec::new(),
        budget: CHANGED_RULES_BUDGET,
        command: words.chain(change.mutants.iter().cloned()).collect(),
        reports: true,
        // It depends on what has changed. A run of it says little about the next one.
        reads: Vec::new(),
    })
}

/// Returns the version of the compiler and what else changes the programs.
fn toolchain() -> String {
    let output = Command::new("rustc").arg("-vV").output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    format!("{}{flags}", version.unwrap_or_default())
}

fn print_change(out: &mut Output, change: &Change) {
    let Change { since, files, functions, rules, mutants } = change;
    writeln!(out, "{} files have changed since {since}.", files.len());
    for (what, names) in
        [("Functions of raft-core", functions), ("Their rules", rules), ("Mutants", mutants)]
    {
        if !names.is_empty() {
            writeln!(out, "{}", wrap(&format!("{what}: {}", names.join(", ")), "    "));
        }
    }
    writeln!(out);
}

fn print_list(out: &mut Output, planned: &[Planned]) {
    for Planned { check, passed, last, .. } in planned {
        let will = match (passed, last) {
            (Some(_), _) => "passed before, unchanged".to_owned(),
            (None, Some(last)) => format!("runs; took {:.0} s last", last.as_secs_f64()),
            (None, None) => "runs".to_owned(),
        };
        writeln!(out, "{:40} {will}; budget {} s", check.name, check.budget.as_secs());
    }
}

/// A run of the gate.
struct Gate {
    root: PathBuf,
    /// The folder with the programs of this project.
    programs: PathBuf,
    /// The folder for logs and reports of checks.
    state: PathBuf,
    deadline: Option<Instant>,
    interrupt: Interrupt,
    out: Output,
}

impl Gate {
    /// Decides all checks. Returns the results in the order of the plan.
    fn decide_all(
        &mut self,
        planned: Vec<Planned>,
        plan: &Plan,
        cache: &Cache,
    ) -> Result<Vec<CheckResult>, Failure> {
        let mut results = Vec::new();
        let mut progress = Progress::new();
        let all = planned.len() as u64;
        for planned in planned {
            let share = Share { done: results.len() as u64, all };
            let result = match &planned.passed {
                Some(passed) => CheckResult { unchanged: true, ..passed.clone() },
                None => self.run_check(&planned, share, &mut progress)?,
            };
            progress.clear();
            self.print(&result);
            if !result.unchanged && planned.check.name != CHANGED_RULES {
                cache.put(&result);
            }
            results.push(result);
        }
        let place = |name: &str| plan.checks.iter().position(|check| check.name == name);
        results.sort_by_key(|result| place(&result.name));
        Ok(results)
    }

    fn run_check(
        &mut self,
        planned: &Planned,
        share: Share,
        progress: &mut Progress,
    ) -> Result<CheckResult, Failure> {
        let Planned { check, key, .. } = planned;
        let mut result = CheckResult {
            name: check.name.clone(),
            about: check.about.clone(),
            command: check.command.join(" ").replace("{out}", "target/raftgate/out"),
            status: Status::Incomplete,
            because: None,
            exit_code: None,
            unchanged: false,
            seconds: 0.0,
            budget_seconds: check.budget.as_secs_f64(),
            key: key.clone(),
            output: String::new(),
            report: None,
            counterexamples: Vec::new(),
        };
        let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            result.because = Some("not begun: the budget of the tier was used up".to_owned());
            return Ok(result);
        }
        if self.interrupt.requested() {
            result.because = Some("not begun: interrupted".to_owned());
            return Ok(result);
        }
        let files = self.files(&check.name)?;
        let budget = left.map_or(check.budget, |left| left.min(check.budget));
        let (program, is_ours) = self.program(&check.command[0]);
        let mut arguments: Vec<String> = check.command[1..]
            .iter()
            .map(|word| word.replace("{out}", &files.out.to_string_lossy()))
            .collect();
        if check.reports {
            let report = files.report.to_string_lossy().into_owned();
            arguments.extend(["--json".to_owned(), report, "--force".to_owned()]);
        }
        let (log, root) = (files.log.clone(), self.root.clone());
        let job = Job { program: &program, arguments: &arguments, folder: &root, log, budget };
        let finished = job.run(|elapsed| {
            progress.show(format!("{}  {} s", check.name, elapsed.as_secs()), Some(share));
            self.interrupt.requested()
        });
        let finished = match finished {
            Ok(finished) => finished,
            Err(error) => {
                result.status = Status::Unusable;
                result.because = Some(format!("{}: {error}", program.display()));
                return Ok(result);
            }
        };
        result.seconds = finished.took.as_secs_f64();
        result.output = finished.output;
        match finished.ended {
            Ended::ByItself(code) => {
                result.exit_code = code;
                result.status = Status::of_exit_code(code, is_ours);
            }
            Ended::OutOfBudget if budget < check.budget => {
                result.because = Some("the budget of the tier was used up".to_owned());
            }
            Ended::OutOfBudget => result.because = Some("its budget was used up".to_owned()),
            Ended::Interrupted => result.because = Some("interrupted".to_owned()),
        }
        if let Ok(text) = std::fs::read_to_string(&files.report) {
            result.report = serde_json::from_str(&text).ok();
            result.counterexamples =
                result.report.as_ref().map(counterexample::of_report).unwrap_or_default();
        }
        Ok(result)
    }

    /// Returns a program's path, and whether it is one of this project.
    fn program(&self, name: &str) -> (PathBuf, bool) {
        let is_ours = PROGRAMS.contains(&name);
        let path = if is_ours {
            self.programs.join(name)
        } else if name.contains('/') {
            self.root.join(name)
        } else {
            PathBuf::from(name)
        };
        (path, is_ours)
    }

    /// Makes the places for the files of a check, without those of an earlier run.
    fn files(&self, name: &str) -> Result<Files, Failure> {
        let name = file_name(name);
        let [logs, reports, out] = ["logs", "reports", "out"].map(|part| self.state.join(part));
        let files = Files {
            log: logs.join(format!("{name}.log")),
            report: reports.join(format!("{name}.json")),
            out: out.join(&name),
        };
        let _ = std::fs::remove_file(&files.report);
        let _ = std::fs::remove_dir_all(&files.out);
        for folder in [&logs, &reports, &files.out] {
            std::fs::create_dir_all(folder)
                .map_err(|source| Failure::Folder { path: folder.clone(), source })?;
        }
        Ok(files)
    }

    /// Prints the result of a check, with the end of its output unless it passed.
    fn print(&mut self, result: &CheckResult) {
        let CheckResult { name, status, seconds, .. } = result;
        let status = status.name();
        if result.unchanged {
            writeln!(self.out, "{status:10} {:>8}  {name}", "before");
            return;
        }
        writeln!(self.out, "{status:10} {seconds:>6.1} s  {name}");
        if let Some(because) = &result.because {
            writeln!(self.out, "{}", wrap(because, "    "));
        }
        if result.status != Status::Passed {
            for line in last_lines(&result.output, SHOWN_LINES) {
                writeln!(self.out, "    | {line}");
            }
            writeln!(self.out, "    Again: {}", result.command);
        }
    }
}

/// The places for the files of a check.
struct Files {
    log: PathBuf,
    report: PathBuf,
    out: PathBuf,
}

/// The most lines of the output of a check that are shown.
const SHOWN_LINES: usize = 60;

/// Returns the last lines of a text.
fn last_lines(text: &str, most: usize) -> impl Iterator<Item = &str> {
    text.lines().skip(text.lines().count().saturating_sub(most))
}
