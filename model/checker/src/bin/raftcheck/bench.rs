//! `raftcheck bench`: the engines side by side.
//!
//! Every exploration runs in a process of its own, so that its memory is its own.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use itertools::Itertools as _;
use raft_checker::bounded_network::stateright;
use raft_checker::check::{Options, Strategy, Verdict, check};
use raft_checker::config::{BoundedConfig, Catalog, Network};
use raft_checker::diagram::curve_plot::{Curve, Panel, svg};
use raft_checker::exit_code::Exit;
use raft_cli::file::FileError;
use raft_cli::interrupt::Interrupt;
use raft_cli::output::Output;
use raft_cli::progress::{Progress, Share};

use crate::args::{BenchArgs, EngineArg, SearchArgs};
use crate::failure::Failure;
use crate::measurement::Measurement;
use crate::table;
use crate::watch::Watch;

/// The configurations that are explored if the user names none.
const CONFIGS: [&str; 2] = ["replication-3", "snapshot-3"];

const ENGINES: [EngineArg; 4] = [EngineArg::Any, EngineArg::Level, EngineArg::Dfs, EngineArg::Bfs];

const THREADS: [usize; 2] = [1, 2];

pub(crate) fn run(folder: Option<&Path>, args: &BenchArgs) -> Result<Exit, Failure> {
    let mut names = args.names.clone();
    if names.is_empty() {
        names = CONFIGS.map(str::to_owned).to_vec();
    }
    let configs = Catalog::open(folder)?.choose(&names, None)?;
    if let (Some(engine), [config]) = (args.engine, &configs[..]) {
        return measure_here(config, engine, args.threads.unwrap_or(1));
    }
    let (mut out, json) = args.json.open()?;
    let (all, complete) = measure_all(folder, &names)?;
    let written = json.write(&all);
    out.print(&table::measurements(&all));
    written?;
    if !complete {
        out.print("INCOMPLETE: it was interrupted\n");
        out.finish()?;
        return Ok(Exit::Incomplete);
    }
    if let Some(path) = &args.write {
        write(path, &markdown(&all, args.svg.as_deref()))?;
    }
    if let Some(path) = &args.svg {
        write(path, &svg(&panels(&all)))?;
    }
    out.finish()?;
    Ok(Exit::Fine)
}

/// Explores in this process, and prints the measurement as JSON.
fn measure_here(
    config: &BoundedConfig,
    engine: EngineArg,
    threads: usize,
) -> Result<Exit, Failure> {
    let limits = SearchArgs::default();
    let mut watch = Watch::new(&limits);
    let (report, peak_bytes) =
        watch.run(&config.name, None, |control| check(config, options(engine, threads), control));
    let samples = watch.samples().to_vec();
    let measurement = Measurement::of(&report, engine, threads, peak_bytes, samples);
    let mut out = Output::stdout();
    out.print(&serde_json::to_string(&measurement).expect("numbers and names are JSON"));
    out.finish()?;
    Ok(Exit::Fine)
}

/// Measures every engine on every configuration. Returns whether there was time for all.
fn measure_all(
    folder: Option<&Path>,
    names: &[String],
) -> Result<(Vec<Measurement>, bool), Failure> {
    let runs: Vec<_> = names.iter().cartesian_product(ENGINES).cartesian_product(THREADS).collect();
    let (interrupt, mut progress) = (Interrupt::listen(), Progress::new());
    let mut all = Vec::new();
    for (done, ((name, engine), threads)) in runs.iter().enumerate() {
        let share = Share { done: done as u64, all: runs.len() as u64 };
        let title = format!("{name}, {}, threads: {threads}", engine.title());
        progress.show(&title, Some(share));
        let measured = measure(folder, name, *engine, *threads);
        if interrupt.requested() {
            progress.clear();
            return Ok((all, false));
        }
        all.push(measured?);
    }
    progress.clear();
    Ok((all, true))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|source| FileError::Write { path: path.to_owned(), source }.into())
}

fn options(engine: EngineArg, threads: usize) -> Options {
    let (network, strategy) = match engine {
        EngineArg::Any => (Network::Any, Strategy::Level),
        EngineArg::Level => (Network::Bounded, Strategy::Level),
        EngineArg::Dfs => (Network::Bounded, Strategy::Stateright(stateright::Strategy::Dfs)),
        EngineArg::Bfs => (Network::Bounded, Strategy::Stateright(stateright::Strategy::Bfs)),
    };
    Options { strategy, threads, symmetry: true, network: Some(network) }
}

/// Explores in a process of its own.
fn measure(
    folder: Option<&Path>,
    name: &str,
    engine: EngineArg,
    threads: usize,
) -> Result<Measurement, Failure> {
    let program = std::env::current_exe().unwrap_or_else(|_| "raftcheck".into());
    let failed = |source| Failure::Read { path: program.clone(), source };
    let mut command = Command::new(&program);
    if let Some(folder) = folder {
        command.arg("--configs").arg(folder);
    }
    command.args(["bench", name, "--engine", engine.name(), "--threads", &threads.to_string()]);
    let output = command.stderr(Stdio::inherit()).output().map_err(failed)?;
    let measured: Option<Measurement> = serde_json::from_slice(&output.stdout).ok();
    let explored =
        |measured: &Measurement| matches!(measured.verdict, Verdict::Holds | Verdict::Vacuous);
    let (config, engine) = (name.to_owned(), engine.title());
    measured.filter(explored).ok_or(Failure::NotMeasured { config, engine })
}

fn panels(all: &[Measurement]) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for measured in all.iter().filter(|measured| measured.threads == 2) {
        let title = format!("{}: states over time, two threads", measured.config);
        if panels.last().is_none_or(|panel| panel.title != title) {
            panels.push(Panel { title, curves: Vec::new() });
        }
        let points = measured.samples.iter().map(|sample| (sample.seconds, sample.states));
        #[expect(clippy::cast_precision_loss, reason = "a picture has few digits")]
        let points =
            points.chain([(measured.seconds, measured.states)]).map(|(s, n)| (s, n as f64));
        let name = measured.engine.title().to_owned();
        let curve = Curve { name, points: points.collect() };
        panels.last_mut().expect("one was added").curves.push(curve);
    }
    panels
}

fn markdown(all: &[Measurement], picture: Option<&Path>) -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut out = format!(
        "# Engines side by side\n\n\
         Made by `raftcheck bench --write model/BENCHMARKS.md --svg model/benchmarks.svg` on a machine with \
         {processors}\nprocessors. All numbers are of one run, so only their ratios say something. Every \
         exploration ran in a\nprocess of its own.\n\n\
         A state over any network stands for all states with fewer messages, so it needs fewer states and\n\
         more bytes for each. In the plot their number falls at the end: states that became part of \
         others are not\ncounted. Over the bounded network, all engines visit the same states.\n"
    );
    let mut last = "";
    for measured in all {
        if measured.config != last {
            last = &measured.config;
            let _ = write!(
                out,
                "\n## {last}\n\n\
                 | engine | threads | states | steps | time | million steps/s | thousand states/s | bytes per \
                 state |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
            );
        }
        let [states, steps, time, step_rate, state_rate, bytes] = measured.numbers();
        let (engine, threads) = (measured.engine.title(), measured.threads);
        let _ = writeln!(
            out,
            "| {engine} | {threads} | {states} | {steps} | {time} | {step_rate} | {state_rate} | {bytes} |"
        );
    }
    if let Some(name) = picture.and_then(Path::file_name) {
        let _ = writeln!(out, "\n![States over time]({})", name.to_string_lossy());
    }
    out
}
