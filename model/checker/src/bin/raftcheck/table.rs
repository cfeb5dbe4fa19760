//! Numbers and tables for people: at most 100 columns wide, without colour.

use comfy_table::{CellAlignment, Table, presets};
use raft_checker::check::Report;
use raft_checker::cluster::budget::Bounds;
use raft_checker::config::{BoundedConfig, Network};
use raft_checker::properties::Property;
use raft_checker::text_width::wrap;
use raft_cli::quantity::count;

use crate::measurement::Measurement;

/// Returns the transitions per second, as text.
pub(crate) fn rate(transitions: u64, seconds: f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rate needs two digits")]
    let rate = transitions as f64 / seconds.max(1e-9) / 1e6;
    format!("{rate:.1} M/s")
}

fn new(columns: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.to_vec());
    for (place, column) in table.column_iter_mut().enumerate() {
        let right = numbers.contains(&place);
        column.set_cell_alignment(if right { CellAlignment::Right } else { CellAlignment::Left });
    }
    table
}

/// Returns the table of what was explored, with a line for each configuration.
pub(crate) fn results(reports: &[Report]) -> String {
    let columns = [
        "configuration",
        "network",
        "verdict",
        "states",
        "unfolded",
        "transitions",
        "local",
        "depth",
        "time",
    ];
    let mut table = new(&columns, &[3, 4, 5, 6, 7, 8]);
    for report in reports {
        table.add_row(vec![
            report.name.clone(),
            match report.network {
                Network::Any => "any".to_owned(),
                Network::Bounded => "bounded".to_owned(),
            },
            report.verdict.name().to_owned(),
            count(report.distinct_states),
            count(report.orbit_states),
            count(report.transitions),
            count(report.local_transitions),
            report.depth.map_or("-".to_owned(), |depth| depth.to_string()),
            format!("{:.1} s", report.seconds),
        ]);
    }
    trim(&table)
}

/// Returns the table of the engines.
pub(crate) fn measurements(all: &[Measurement]) -> String {
    let columns = [
        "configuration",
        "engine",
        "threads",
        "states",
        "steps",
        "time",
        "M steps/s",
        "k states/s",
        "B/state",
    ];
    let mut table = new(&columns, &[2, 3, 4, 5, 6, 7, 8]);
    for measured in all {
        let engine = measured.engine.name().to_owned();
        let mut row = vec![measured.config.clone(), engine, measured.threads.to_string()];
        row.extend(measured.numbers());
        table.add_row(row);
    }
    trim(&table)
}

/// Returns the table of the properties, with the witness of each and the configurations that
/// reached it.
pub(crate) fn witnesses(reports: &[Report]) -> String {
    let mut table = new(&["property", "witness", "reached in"], &[]);
    for property in Property::ALL {
        let witness = property.witness();
        let reached = reports.iter().filter(|report| report.witnesses.contains(&witness));
        let names: Vec<&str> = reached.map(|report| report.name.as_str()).collect();
        let reached = match names.as_slice() {
            [] => "NOWHERE".to_owned(),
            [name] => (*name).to_owned(),
            [name, others @ ..] => format!("{name} and {} more", others.len()),
        };
        table.add_row(vec![property.name().to_owned(), witness.name().to_owned(), reached]);
    }
    trim(&table)
}

/// Describes the configurations and the cases that they leave out.
pub(crate) fn configs(configs: &[BoundedConfig]) -> String {
    let describe = |config: &BoundedConfig| {
        let about = wrap(&config.about, INDENT);
        let leaves_out = wrap(&format!("Leaves out: {}", config.leaves_out), INDENT);
        let properties = match config.properties {
            None => "does not say".to_owned(),
            Some(all) => all.iter().map(Property::name).collect::<Vec<_>>().join(", "),
        };
        let properties = wrap(&format!("Is for: {properties}"), INDENT);
        let network = match config.network {
            Network::Any => format!("{INDENT}Network: any"),
            Network::Bounded => {
                let also = config.any_network_in.map(|tier| format!("; any, in {}", tier.name()));
                let bounded = bounded_network(&config.bounds) + &also.unwrap_or_default();
                wrap(&bounded, INDENT)
            }
        };
        let (name, tier) = (&config.name, config.tier.name());
        format!("{name}  ({tier})\n{about}\n{network}\n{leaves_out}\n{properties}\n")
    };
    configs.iter().map(describe).collect::<Vec<_>>().join("\n")
}

fn bounded_network(bounds: &Bounds) -> String {
    let Bounds { in_flight, duplicates, heartbeats, .. } = bounds;
    format!(
        "Network: bounded; messages in flight: {in_flight}, repeated: {duplicates}, heartbeats: \
         {heartbeats}"
    )
}

/// Describes the properties, with their sentences and witnesses.
pub(crate) fn properties() -> String {
    let describe = |property: Property| {
        let sentence = wrap(property.sentence(), INDENT);
        let witness = property.witness().name();
        format!("{}\n{sentence}\n{INDENT}Witness: {witness}\n", property.name())
    };
    Property::ALL.map(describe).join("\n")
}

const INDENT: &str = "    ";

fn trim(table: &Table) -> String {
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}
