//! Explorations whose local transitions are compared with a baseline, or listed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use raft_checker::baseline::{Baseline, Changes, Entry};
use raft_checker::behaviour::{Behaviour, Step};
use raft_checker::check::{Options, Report, Verdict, check_and_look};
use raft_checker::config::BoundedConfig;
use raft_cli::file::Destination;

use crate::args::CheckArgs;
use crate::failure::{Failure, refuse_without_effect};
use crate::watch::Watch;

/// What a check is compared with, and what has been found so far.
pub(crate) struct Comparison {
    baseline: Option<(PathBuf, Baseline)>,
    transitions: Option<Destination>,
    lines: Vec<String>,
    changes: Vec<Changes>,
    compared: usize,
}

impl Comparison {
    /// Opens the files of the options, if they are given.
    pub(crate) fn open(args: &CheckArgs) -> Result<Option<Comparison>, Failure> {
        let CheckArgs { baseline, transitions, scale, .. } = args;
        if baseline.is_none() && transitions.is_none() {
            return Ok(None);
        }
        let option = if baseline.is_some() { "--baseline" } else { "--transitions" };
        let is_part = scale.hosts.is_some() || scale.resume.is_some() || scale.checkpoint.is_some();
        refuse_without_effect(is_part, option, "with --hosts or checkpoints")?;
        refuse_without_effect(args.no_symmetry, option, "with --no-symmetry")?;
        let new = |path: &PathBuf| Destination::new(path, false);
        let read = |path: &PathBuf| Ok::<_, Failure>((path.clone(), Baseline::read(path)?));
        Ok(Some(Comparison {
            baseline: baseline.as_ref().map(read).transpose()?,
            transitions: transitions.as_ref().map(new).transpose()?,
            lines: Vec::new(),
            changes: Vec::new(),
            compared: 0,
        }))
    }

    /// Explores a configuration, and compares it if it holds.
    pub(crate) fn explore(
        &mut self,
        config: &BoundedConfig,
        place: &str,
        options: Options,
        watch: &mut Watch<'_>,
    ) -> Report {
        let network = options.network.unwrap_or(config.network);
        let before =
            self.baseline.as_ref().and_then(|(_, baseline)| baseline.get(&config.name, network));
        let lists_all = self.transitions.is_some();
        let list =
            |step: &Step| lists_all || before.is_some_and(|entry| entry.has_example_like(step));
        let Compared { report, entry, listed } = explore(config, place, options, watch, &list);
        if let Some(entry) = entry.filter(|_| self.baseline.is_some()) {
            self.changes.extend(Changes::between(before, &entry, &listed));
            self.compared += 1;
        }
        if lists_all {
            self.lines.extend(listed.iter().map(|step| line(config, step)));
        }
        report
    }

    /// Returns the differences from the baseline.
    pub(crate) fn changes(&self) -> &[Changes] {
        &self.changes
    }

    /// Describes the differences; nothing if there is no baseline.
    pub(crate) fn show(&self) -> String {
        let Some((path, _)) = &self.baseline else { return String::new() };
        crate::changes::show(&self.changes, self.compared, path)
    }

    /// Writes the list of the transitions, if it is wanted.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let Some(file) = &self.transitions else { return Ok(()) };
        Ok(file.write(self.lines.concat().as_bytes())?)
    }
}

/// The result of an exploration. `entry` is none unless the configuration holds.
pub(crate) struct Compared {
    pub(crate) report: Report,
    pub(crate) entry: Option<Entry>,
    pub(crate) listed: BTreeSet<Step>,
}

/// Explores a configuration and lists the local transitions for which `list` returns true.
pub(crate) fn explore(
    config: &BoundedConfig,
    place: &str,
    options: Options,
    watch: &mut Watch<'_>,
    list: &(dyn Fn(&Step) -> bool + Sync),
) -> Compared {
    let ((report, behaviour), peak_bytes) = watch.run(place, None, |control| {
        let mut behaviour = Behaviour::default();
        let report = check_and_look(config, options, control, &mut |transitions| {
            behaviour = Behaviour::of(config, transitions, list);
        });
        (report, behaviour)
    });
    let report = Report { peak_bytes, ..report };
    let listed = behaviour.listed.clone();
    let entry = Entry::new(&report, behaviour).filter(|_| report.verdict == Verdict::Holds);
    Compared { report, entry, listed }
}

fn line(config: &BoundedConfig, step: &Step) -> String {
    format!("{}: {} | {} | {}\n", config.name, step.server, step.input, step.effect())
}
