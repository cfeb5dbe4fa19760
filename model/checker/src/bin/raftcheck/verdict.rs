//! The joint verdict of several configurations: the properties that were tested, and whether they
//! hold.

use std::fmt::Write as _;

use raft_checker::baseline::Changes;
use raft_checker::check::{Report, Verdict};
use raft_checker::config::{BoundedConfig, Network};
use raft_checker::exit_code::Exit;
use raft_checker::properties::{Property, PropertySet, Witness};
use raft_checker::text_width::wrap;
use raft_cli::quantity::{bytes, count};
use serde::Serialize;

use crate::table;

/// The total of all reports.
pub(crate) struct Total<'a> {
    reports: &'a [Report],
    /// The configurations that were not begun, because the program was interrupted.
    not_begun: Vec<&'a str>,
    tested: PropertySet,
    missed: PropertySet,
    /// The differences from the baseline.
    changes: &'a [Changes],
}

/// The JSON report.
#[derive(Serialize)]
pub(crate) struct Json<'a> {
    verdict: Verdict,
    exit_code: u8,
    properties_tested: Vec<Property>,
    properties_not_tested: Vec<Property>,
    properties_missed: Vec<Property>,
    witnesses_missing: Vec<Witness>,
    configs_not_begun: &'a [&'a str],
    baseline_changes: &'a [Changes],
    configs: &'a [Report],
}

impl<'a> Total<'a> {
    /// Makes the total. `reports` are those of the first configurations.
    pub(crate) fn new(
        reports: &'a [Report],
        configs: &'a [BoundedConfig],
        changes: &'a [Changes],
    ) -> Total<'a> {
        let all =
            |of: fn(&Report) -> &Vec<Property>| reports.iter().flat_map(of).copied().collect();
        Total {
            reports,
            not_begun: configs[reports.len()..].iter().map(|c| c.name.as_str()).collect(),
            tested: all(|report| &report.properties_tested),
            missed: all(|report| &report.properties_missed),
            changes,
        }
    }

    /// Returns the worst of the verdicts.
    pub(crate) fn verdict(&self) -> Verdict {
        let any = |verdict| self.reports.iter().any(|report| report.verdict == verdict);
        if any(Verdict::Violated) {
            Verdict::Violated
        } else if any(Verdict::Incomplete) || !self.not_begun.is_empty() {
            Verdict::Incomplete
        } else if any(Verdict::Vacuous) {
            Verdict::Vacuous
        } else {
            Verdict::Holds
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self.verdict() {
            Verdict::Violated => Exit::Violated,
            Verdict::Incomplete => Exit::Incomplete,
            Verdict::Vacuous => Exit::Vacuous,
            Verdict::Holds if !self.changes.is_empty() => Exit::Changed,
            Verdict::Holds => Exit::Fine,
        }
    }

    fn not_tested(&self) -> PropertySet {
        PropertySet::all().without(self.tested)
    }

    pub(crate) fn json(&self) -> Json<'_> {
        Json {
            verdict: self.verdict(),
            exit_code: self.exit().code(),
            properties_tested: self.tested.iter().collect(),
            properties_not_tested: self.not_tested().iter().collect(),
            properties_missed: self.missed.iter().collect(),
            witnesses_missing: self.not_tested().iter().map(Property::witness).collect(),
            configs_not_begun: &self.not_begun,
            baseline_changes: self.changes,
            configs: self.reports,
        }
    }

    /// Returns the text with the numbers, the witnesses and the verdict, which comes last.
    pub(crate) fn show(&self, symmetry: bool) -> String {
        let mut out = self.numbers(symmetry);
        match self.verdict() {
            Verdict::Violated => out += "VIOLATED: see above.\n",
            Verdict::Incomplete => out += &self.incomplete(),
            Verdict::Vacuous => {
                let _ = writeln!(out, "\n{}", table::witnesses(self.reports));
                out += &self.vacuous();
            }
            Verdict::Holds => {
                let _ = writeln!(out, "\n{}", table::witnesses(self.reports));
                out += "What the bounds leave out is in `raftcheck list`.\n";
                out += &wrap(&format!("HOLDS: {}", self.what_was_tested()), "");
                out.push('\n');
            }
        }
        out
    }

    fn numbers(&self, symmetry: bool) -> String {
        let reports = self.reports;
        let sum = |field: fn(&Report) -> u64| reports.iter().map(field).sum::<u64>();
        let states = count(sum(|report| report.distinct_states));
        let unfolded = count(sum(|report| report.orbit_states));
        let peak = bytes(reports.iter().map(|report| report.peak_bytes).max().unwrap_or(0));
        let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
        let odds: f64 = reports.iter().map(|report| report.collision_odds).sum();
        let blocked = count(sum(|report| report.blocked_by_in_flight));
        let folded = if symmetry {
            format!("{unfolded} without folding renamed servers")
        } else {
            "none folded".to_owned()
        };
        let any = reports.iter().filter(|report| report.network == Network::Any).count();
        let mut out =
            format!("\n{states} states ({folded}) in {seconds:.1} s, at most {peak} of memory.\n");
        if any > 0 {
            let _ = writeln!(
                out,
                "{any} of {} with any network: messages lost, repeated and reordered without bounds.",
                reports.len()
            );
        }
        if any < reports.len() {
            let _ = writeln!(
                out,
                "{} with a bounded network, which blocked {blocked} actions when it was full; odds of a \
                 missed\nstate: {odds:.0e}.",
                reports.len() - any
            );
        }
        out
    }

    fn what_was_tested(&self) -> String {
        const WHERE: &str = "in every state within the bounds of these configurations";
        let all = Property::ALL.len();
        if self.not_tested().is_empty() {
            return format!("all {all} properties were tested, {WHERE}.");
        }
        format!(
            "{} of {all} properties were tested, {WHERE}: {}; not tested here (their witness did not \
             occur): {}.",
            self.tested.iter().count(),
            names(self.tested),
            names(self.not_tested()),
        )
    }

    fn incomplete(&self) -> String {
        let mut out = "INCOMPLETE: not every state was visited, so nothing is proven.\n".to_owned();
        for report in self.reports {
            if let Some(reason) = report.incomplete_because {
                let _ = writeln!(out, "    {}: {reason}", report.name);
            }
        }
        if !self.not_begun.is_empty() {
            let not_begun = format!("not begun: {}", self.not_begun.join(", "));
            let _ = writeln!(out, "{}", wrap(&not_begun, "    "));
        }
        out
    }

    fn vacuous(&self) -> String {
        let mut out = String::new();
        for report in self.reports.iter().filter(|report| !report.properties_missed.is_empty()) {
            let missed = || report.properties_missed.iter();
            let names = missed().map(|property| property.name()).collect::<Vec<_>>().join(", ");
            let witnesses = missed().map(|property| property.witness().name()).collect::<Vec<_>>();
            let line = format!(
                "VACUOUS: {} is for {names}, and did not test it, because this did not occur: {}.",
                report.name,
                witnesses.join(", "),
            );
            let _ = writeln!(out, "{}", wrap(&line, ""));
        }
        out
    }
}

fn names(properties: PropertySet) -> String {
    let names: Vec<&str> = properties.iter().map(Property::name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
