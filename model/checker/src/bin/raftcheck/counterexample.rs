//! Shows a violation, and stores its run as a trace.

use std::path::{Path, PathBuf};

use raft_checker::check::{Report, Verdict};
use raft_checker::config::Network;
use raft_checker::explanation;
use raft_checker::properties::Property;
use raft_checker::replay::Replay;
use raft_checker::run_table::table;
use raft_checker::text_width;
use raft_cli::file::{FileError, probe_folder, write_new};
use raft_cli::options::shell_word;
use raft_cli::output::Output;
use raft_core::Rule;
use raft_trace::ClusterTrace;

use crate::failure::Failure;

/// The folder for runs, if the user names none.
const FOLDER: &str = "raftcheck-traces";

/// The folder in which runs of violations are stored, or the error if there is none.
pub(crate) struct Traces(Result<PathBuf, FileError>);

impl Traces {
    /// Checks before the search begins whether runs can be stored. A folder that the user has named
    /// has to be writable. If the usual folder is not writable, runs are shown but not stored.
    pub(crate) fn open(named: Option<&Path>) -> Result<Traces, Failure> {
        let folder = named.unwrap_or(Path::new(FOLDER));
        match probe_folder(folder) {
            Err(error) if named.is_some() => Err(error.into()),
            probed => Ok(Traces(probed.map(|()| folder.to_owned()))),
        }
    }

    /// Writes the run of a violation to a file of its own. It never overwrites a file.
    pub(crate) fn store(&self, report: &mut Report) -> Result<(), Failure> {
        let (Some(violation), Some(property)) = (&report.violation, report.property) else {
            return Ok(());
        };
        let Ok(folder) = &self.0 else { return Ok(()) };
        let failed = |source| FileError::Write { path: folder.clone(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut text = Vec::new();
        violation.trace.write(&mut text).map_err(failed)?;
        let name = format!("{}-{}", report.name, property.name());
        let path = place(folder, &name, &text)?;
        report.trace = Some(path.display().to_string());
        Ok(())
    }
}

/// Writes the text to the first free file name, unless an equal file exists. Returns the path.
fn place(folder: &Path, name: &str, text: &[u8]) -> Result<PathBuf, Failure> {
    for number in 1.. {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("{name}{suffix}.jsonl"));
        if std::fs::read(&path).is_ok_and(|existing| existing == text) {
            return Ok(path);
        }
        if !path.exists() {
            write_new(&path, text)?;
            return Ok(path);
        }
    }
    unreachable!("there is always a free number");
}

/// Shows the shortest of the runs that were found, names the others, and lists the rules that were
/// never asked: a change may have removed one of them.
pub(crate) fn print(
    out: &mut Output,
    reports: &[Report],
    traces: &Traces,
    by_name: &dyn Fn(&str) -> String,
) {
    let violated = || reports.iter().filter(|report| report.verdict == Verdict::Violated);
    let steps = |report: &&Report| {
        report.violation.as_ref().map_or(usize::MAX, |violation| violation.trace.actions.len())
    };
    // A run that loses data is more useful than a shorter one that gets stuck.
    let order = |report: &&Report| (report.property == Some(Property::CanRecover), steps(report));
    let Some(shortest) = violated().min_by_key(order) else {
        return;
    };
    print_run(out, shortest, by_name);
    if let Err(error) = &traces.0 {
        writeln!(out, "\nNo run was kept: {error}. Name a folder with --traces.");
    }
    let others: Vec<&Report> = violated().filter(|other| !std::ptr::eq(*other, shortest)).collect();
    if !others.is_empty() {
        writeln!(out, "\nOther configurations find it too, or something else:");
    }
    for report in others {
        let property = report.property.map_or("?", Property::name);
        let trace = report.trace.as_deref().unwrap_or("without a trace");
        writeln!(out, "    {property}, {} steps: {trace}", steps(&report));
    }
    print_never_asked(out, reports);
}

fn print_never_asked(out: &mut Output, reports: &[Report]) {
    let known: Option<Vec<_>> = reports.iter().map(|report| report.rules_asked.as_ref()).collect();
    let Some(known) = known else { return };
    let asked = |rule: &Rule| known.iter().any(|asked| asked.contains(rule));
    let never: Vec<Rule> = Rule::ALL.iter().copied().filter(|rule| !asked(rule)).collect();
    if never.is_empty() {
        writeln!(
            out,
            "\nEvery rule was asked in some explored step; what broke is one that is asked."
        );
        return;
    }
    writeln!(out, "\nRules that no explored step asked:");
    for rule in never {
        writeln!(out, "    {}  ({})", rule.name(), rule.text().source);
        writeln!(out, "{}", text_width::wrap(rule.text().sentence, "        "));
    }
}

fn print_run(out: &mut Output, report: &Report, by_name: &dyn Fn(&str) -> String) {
    writeln!(out, "\n{} is VIOLATED", report.name);
    let Some(violation) = &report.violation else {
        writeln!(out, "    The limits left no time to make a trace; run again with more.");
        return;
    };
    match (violation.shortest, report.network) {
        (true, _) => {}
        (false, Network::Any) => writeln!(
            out,
            "    It needs more of the network than the bounds of the configuration allow. No step can\n    \
             be left out of this run, but it need not be a shortest one."
        ),
        (false, Network::Bounded) => writeln!(
            out,
            "    This run need not be a shortest one; the limits left no time for that."
        ),
    }
    writeln!(out);
    match Replay::run(&violation.trace.settings, &violation.trace.actions) {
        Ok(replay) => out.print(&show(&replay, text_width::terminal_width())),
        Err(error) => writeln!(out, "    The trace does not replay: {error}. Please report this."),
    }
    for property in &report.also_broken {
        writeln!(out, "Also broken on the way: {}", property.name());
    }
    if let Some(trace) = &report.trace {
        let trace = shell_word(trace);
        writeln!(out, "\nGo on with");
        writeln!(out, "    raftcheck replay {trace}");
        writeln!(out, "    raftcheck replay {trace} --svg run.svg");
        writeln!(out, "    raftcheck explore {}", by_name(&report.name));
    }
}

/// Returns a run with its violation, if it has one, in a table of at most this width.
pub(crate) fn show(replay: &Replay, width: usize) -> String {
    format!("{}\n{}", table(replay, width), explanation::explain(replay, width))
}

/// Reads a trace from a file and replays it.
pub(crate) fn load(path: &Path) -> Result<(ClusterTrace, Replay), Failure> {
    let failed = |source| Failure::Trace { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(|error| failed(error.into()))?;
    let trace = ClusterTrace::read(std::io::BufReader::new(file)).map_err(failed)?;
    let replay = Replay::run(&trace.settings, &trace.actions)
        .map_err(|source| Failure::Replay { path: path.to_owned(), source })?;
    Ok((trace, replay))
}
