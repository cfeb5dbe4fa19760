//! The report of `raftgate conform`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use raft_checker::control::StopReason;
use raft_checker::coverage::ACTIONS;
use raft_checker::exit_code::Exit;
use raft_checker::notation::describe_action;
use raft_checker::text_width::wrap;
use raft_cli::quantity::count;
use raft_conform::first_start::FirstStarts;
use raft_conform::lockstep::Divergence;
use raft_conform::log_store::LogStores;
use raft_conform::snapshot_transfer::Scenario;
use raft_conform::trace::Held;
use raft_conform::{Conformed, Found, Transfers, show};
use raft_trace::ClusterTrace;
use serde_json::{Value, json};

/// The aspects that the check does not cover.
const OUTSIDE: &str = "Outside of this: sessions, limits on sizes and on \
                       what is under way, several commands in one step, threads and sockets, and real \
                       time. The argument is that of the configurations: what their bounds leave out \
                       is in `raftcheck list`.";

/// The roles, as columns.
const ROLES: [&str; 4] = ["follower", "candidate", "leader", "down"];

/// The results of all parts of the check.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) threads: usize,
    pub(crate) start: Option<Result<FirstStarts, Divergence>>,
    pub(crate) log_stores: Option<Result<LogStores, Divergence>>,
    /// Transfers of generated snapshots.
    pub(crate) transfers: Transfers,
    pub(crate) scenario: Option<Scenario>,
    pub(crate) configs: Vec<(Conformed, Duration)>,
    /// The number of configurations that were not begun.
    pub(crate) left_out: usize,
    pub(crate) stopped: Option<StopReason>,
    pub(crate) seconds: f64,
}

impl Run {
    pub(crate) fn add(&mut self, conformed: Conformed, time: Duration) {
        self.configs.push((conformed, time));
    }

    pub(crate) fn diverged(&self) -> bool {
        matches!(self.start, Some(Err(_)))
            || matches!(self.log_stores, Some(Err(_)))
            || self.scenario.is_some()
            || self.configs.iter().any(|(config, _)| config.diverged())
    }

    /// Returns the first difference that was found in a configuration, with the configuration's
    /// name.
    pub(crate) fn found(&self) -> Option<(&str, &Found)> {
        self.configs.iter().find_map(|(config, _)| {
            config.divergence.as_ref().map(|found| (config.config.as_str(), found))
        })
    }

    pub(crate) fn exit(&self) -> Exit {
        if self.diverged() {
            Exit::Diverged
        } else if self.stopped.is_some()
            || self.left_out > 0
            || self.configs.iter().any(|(config, _)| !config.complete)
        {
            Exit::Incomplete
        } else {
            Exit::Fine
        }
    }

    fn sum(&self, of: impl Fn(&Conformed) -> u64) -> u64 {
        self.configs.iter().map(|(config, _)| of(config)).sum()
    }

    /// Returns the whole report as text.
    pub(crate) fn show(&self, again: &str) -> String {
        let mut out = String::new();
        if !self.configs.is_empty() {
            let _ = writeln!(out, "{}\n{}", self.configurations(), self.actions());
        }
        out.push_str(&self.beside());
        let _ = writeln!(out, "\n{}\n", wrap(OUTSIDE, ""));
        out.push_str(&self.differences(again));
        out.push_str(&self.verdict());
        out
    }

    fn configurations(&self) -> String {
        let header = [
            "configuration",
            "states",
            "covered",
            "any net",
            "crashes",
            "disks",
            "faults",
            "batches",
            "2nd ways",
            "walks",
            "time",
        ];
        let mut table = new(&header);
        for (config, time) in &self.configs {
            table.add_row(vec![
                config.config.clone(),
                count(config.states),
                share(config.covered(), config.known()),
                count(config.over_any_network),
                count(config.crash_points),
                count(config.disks),
                count(config.faults),
                count(config.batches),
                count(config.second_ways),
                count(config.walks.steps),
                format!("{:.1} s", time.as_secs_f64()),
            ]);
        }
        lines(&table)
    }

    /// Returns a table of the transitions that were tried, out of those that are known, by kind of
    /// action and role.
    fn actions(&self) -> String {
        let sum =
            |of: fn(&Conformed) -> &BTreeMap<(&'static str, &'static str), u64>, action, role| {
                self.sum(|config| of(config).get(&(action, role)).copied().unwrap_or(0))
            };
        let header: Vec<&str> = std::iter::once("action").chain(ROLES).collect();
        let mut table = new(&header);
        for (action, _) in ACTIONS {
            let cells = ROLES.iter().map(|role| {
                let known = sum(|config| &config.known, *action, *role);
                let covered = sum(|config| &config.covered, *action, *role);
                if known == 0 { "-".to_owned() } else { share(covered, known) }
            });
            table.add_row(std::iter::once((*action).to_owned()).chain(cells).collect::<Vec<_>>());
        }
        lines(&table)
    }

    /// Returns the numbers of all other tests.
    fn beside(&self) -> String {
        let sum = |of: fn(&Conformed) -> u64| count(self.sum(of));
        let all = |of: fn(&Transfers) -> u64| {
            count(of(&self.transfers) + self.sum(|config| of(&config.transfers)))
        };
        let mut lines = vec![
            format!(
                "{} second ways into states that had been reached: {} hidden-state collisions \
                 ({} steps after them, and their batches).",
                sum(|config| config.second_ways),
                sum(Conformed::collisions),
                sum(|config| config.followed),
            ),
            format!(
                "{} batches of two steps, {} longer ones; {} questions what would be accepted.",
                sum(|config| config.batches - config.longer),
                sum(|config| config.longer),
                sum(|config| config.asked),
            ),
            format!(
                "{} random runs of the cluster, {} steps of servers.",
                sum(|config| config.walks.runs),
                sum(|config| config.walks.steps),
            ),
            format!(
                "{} snapshots transferred: {} transfers disturbed, {} crashes, {} faults; \
                 {} of {} connections refused.",
                all(|transfers| transfers.snapshots),
                all(|transfers| transfers.disturbed),
                all(|transfers| transfers.crash_points),
                all(|transfers| transfers.faults),
                all(|transfers| transfers.refused),
                all(|transfers| transfers.connections),
            ),
        ];
        if let Some(Ok(start)) = &self.start {
            lines.push(format!(
                "First start: {} crashes, {} disks, {} crashes of the start after that, {} faults.",
                count(start.crash_points),
                count(start.disks),
                count(start.again),
                count(start.faults),
            ));
        }
        if let Some(Ok(log)) = &self.log_stores {
            lines.push(format!(
                "Log store: {} failing or last operations, {} disks, {} failing starts after that, \
                 {} runs to a power loss at the end.",
                count(log.operations),
                count(log.disks),
                count(log.failed_starts),
                count(log.runs),
            ));
        }
        lines.iter().map(|line| wrap(line, "") + "\n").collect()
    }

    fn differences(&self, again: &str) -> String {
        let mut out = String::new();
        if let Some(Err(divergence)) = &self.start {
            let _ = writeln!(out, "the first start DIVERGED\n{}", show::values(divergence));
        }
        if let Some(Err(divergence)) = &self.log_stores {
            let _ = writeln!(out, "the log store DIVERGED\n{}", show::values(divergence));
        }
        if let Some(scenario) = &self.scenario {
            let _ = writeln!(out, "{}", show::transfer("a generated snapshot", scenario));
        }
        for (config, _) in &self.configs {
            if let Some(found) = &config.divergence {
                let _ = writeln!(out, "{}", show::divergence(&config.config, found, again));
            }
            if let Some(scenario) = &config.bad_transfer {
                let _ = writeln!(out, "{}", show::transfer(&config.config, scenario));
            }
        }
        out
    }

    fn verdict(&self) -> String {
        let (covered, known) = (self.sum(Conformed::covered), self.sum(Conformed::known));
        let seconds = self.seconds;
        match self.exit() {
            Exit::Diverged => "DIVERGED: see above.\n".to_owned(),
            Exit::Fine => format!(
                "CONFORMS: all {} local transitions, in {seconds:.1} s. Production does what the model \
                 does.\n{} of them are reached over any network only (any net); {} were tried before.\n",
                count(known),
                count(self.sum(|config| config.over_any_network)),
                count(self.sum(|config| config.tried_before))
            ),
            _ => {
                let mut out = format!(
                    "INCOMPLETE: {} of {} known transitions were tried, in {seconds:.1} s.\n",
                    count(covered),
                    count(known)
                );
                if let Some(reason) = self.stopped {
                    let _ = writeln!(out, "    {}", reason.sentence());
                }
                if self.left_out > 0 {
                    let _ =
                        writeln!(out, "    configurations that were not begun: {}", self.left_out);
                }
                for (config, _) in self.configs.iter().filter(|(config, _)| config.unreached > 0) {
                    let (name, unreached) = (&config.config, config.unreached);
                    let _ = writeln!(out, "    {name}: no path to {unreached} transitions");
                }
                out
            }
        }
    }

    /// Returns the whole report as JSON.
    pub(crate) fn to_json(&self, exit: Exit) -> Value {
        let configs = self.configs.iter().map(|(config, time)| config_json(config, *time));
        let start = match &self.start {
            Some(Ok(start)) => json!({
                "crash_points": start.crash_points,
                "disks": start.disks,
                "again": start.again,
                "faults": start.faults,
            }),
            Some(Err(divergence)) => json!({ "divergence": divergence_json(divergence) }),
            None => Value::Null,
        };
        let log_stores = match &self.log_stores {
            Some(Ok(log)) => json!({
                "operations": log.operations,
                "disks": log.disks,
                "failed_starts": log.failed_starts,
                "runs": log.runs,
            }),
            Some(Err(divergence)) => json!({ "divergence": divergence_json(divergence) }),
            None => Value::Null,
        };
        json!({
            "verdict": verdict(exit),
            "exit_code": exit.code(),
            "seconds": self.seconds,
            "threads": self.threads,
            "covered": self.sum(Conformed::covered),
            "known": self.sum(Conformed::known),
            "hidden_state_collisions": self.sum(Conformed::collisions),
            "stopped": self.stopped,
            "configs_not_begun": self.left_out,
            "first_start": start,
            "log_store": log_stores,
            "transfers": transfers_json(&self.transfers, self.scenario.as_ref()),
            "configs": configs.collect::<Vec<_>>(),
        })
    }
}

fn verdict(exit: Exit) -> &'static str {
    match exit {
        Exit::Diverged => "DIVERGED",
        Exit::Fine => "CONFORMS",
        _ => "INCOMPLETE",
    }
}

fn config_json(config: &Conformed, time: Duration) -> Value {
    let actions = config.known.iter().map(|((action, role), known)| {
        let covered = config.covered.get(&(*action, *role)).copied().unwrap_or(0);
        json!({ "action": action, "role": role, "known": known, "covered": covered })
    });
    json!({
        "name": config.config,
        "complete": config.complete,
        "states": config.states,
        "known": config.known(),
        "covered": config.covered(),
        "over_any_network_only": config.over_any_network,
        "tried_before": config.tried_before,
        "unreached": config.unreached,
        "crash_points": config.crash_points,
        "disks": config.disks,
        "faults": config.faults,
        "batches": config.batches,
        "longer_batches": config.longer,
        "asked": config.asked,
        "second_ways": config.second_ways,
        "steps_after_second_ways": config.followed,
        "hidden_state_collisions": config.collisions(),
        "walks": { "runs": config.walks.runs, "steps": config.walks.steps },
        "transfers": transfers_json(&config.transfers, config.bad_transfer.as_ref()),
        "actions": actions.collect::<Vec<_>>(),
        "divergence": config.divergence.as_ref().map(found_json),
        "seconds": time.as_secs_f64(),
    })
}

fn transfers_json(transfers: &Transfers, scenario: Option<&Scenario>) -> Value {
    json!({
        "snapshots": transfers.snapshots,
        "disturbed": transfers.disturbed,
        "connections": transfers.connections,
        "refused": transfers.refused,
        "crash_points": transfers.crash_points,
        "faults": transfers.faults,
        "divergence": scenario.map(|scenario| json!({
            "snapshot": scenario.name,
            "disturbance": scenario.disturbance,
            "differs": divergence_json(&scenario.divergence),
        })),
    })
}

fn found_json(found: &Found) -> Value {
    let steps = found.trace.actions.iter().map(describe_action);
    json!({
        "server": found.server.0,
        "circumstance": found.variant.to_string(),
        "differs": divergence_json(&found.divergence),
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn divergence_json(divergence: &Divergence) -> Value {
    json!({ "field": divergence.field, "model": divergence.model, "node": divergence.node })
}

/// Returns the report of a trace as text.
pub(crate) fn trace(
    trace: &ClusterTrace,
    held: Held,
    exit: Exit,
    stopped: Option<StopReason>,
    time: Duration,
) -> String {
    let mut out = format!("{}\n\n", wrap(&trace.about, ""));
    let _ = writeln!(
        out,
        "{} steps of {} servers: {} crash points, {} disks, {} faults, {} batches, {} questions.",
        count(held.steps),
        trace.settings.servers,
        count(held.crash_points),
        count(held.disks),
        count(held.faults),
        count(held.batches),
        count(held.asked),
    );
    let seconds = time.as_secs_f64();
    let _ = match exit {
        Exit::Fine => {
            writeln!(out, "CONFORMS: production does what the model does, in {seconds:.1} s.")
        }
        Exit::Diverged => writeln!(out, "DIVERGED, in {seconds:.1} s."),
        _ => {
            let reason = stopped.map_or("not everything was tried", StopReason::sentence);
            writeln!(out, "INCOMPLETE: {reason}.")
        }
    };
    out
}

/// Returns the report of a trace as JSON.
pub(crate) fn trace_json(held: Held, found: Option<&Found>, exit: Exit) -> Value {
    json!({
        "verdict": verdict(exit),
        "exit_code": exit.code(),
        "steps": held.steps,
        "crash_points": held.crash_points,
        "disks": held.disks,
        "faults": held.faults,
        "batches": held.batches,
        "asked": held.asked,
        "divergence": found.map(found_json),
    })
}

fn new(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for (place, column) in table.column_iter_mut().enumerate() {
        let side = if place == 0 { CellAlignment::Left } else { CellAlignment::Right };
        column.set_cell_alignment(side);
        column.set_padding((u16::from(place > 0), u16::from(place == 0)));
    }
    table
}

fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Returns a single number if everything was covered, or else both numbers.
fn share(covered: u64, known: u64) -> String {
    if covered == known { count(known) } else { format!("{}/{}", count(covered), count(known)) }
}
