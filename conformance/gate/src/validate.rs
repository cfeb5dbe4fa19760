//! `raftgate validate`.

use std::fmt::Write as _;
use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};
use raft_checker::exit_code::Exit;
use raft_checker::text_width::wrap;
use raft_cli::json::JsonArgs;
use raft_cli::progress::Share;
use raft_cli::quantity::count;
use raft_logs::validate::{Options, Progress, Report, validate};

use crate::failure::Failure;

/// Looks for an explanation of the logs of a cluster: a run of the model that is like them.
///
/// The logs are those that servers write with a trace log, one file for each server. Ends with 0 if
/// every line is explained, with 3 if the model refuses a line, with 2 if a file cannot be read.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The log of each server.
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// The logs begin in the middle of the cluster's life: believe the first start of each.
    #[arg(long)]
    resumed: bool,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let (mut out, json) = args.json.open()?;
    let mut shown = raft_cli::progress::Progress::new();
    let result = validate(&args.logs, Options { resumed: args.resumed }, &mut |progress| {
        let Progress { records, bytes, total } = progress;
        let what = format_args!("{} records, bytes:", count(records)).to_string();
        shown.show(what, Some(Share { done: bytes, all: total }));
    });
    shown.clear();
    let report = result.map_err(|error| Failure::Input {
        what: error.to_string(),
        advice: "give the whole trace log of each server, one file for each".to_owned(),
    })?;
    let written = json.write(&report.to_json());
    out.print(&show(&report));
    written?;
    out.finish()?;
    Ok(if report.is_explained() { Exit::Fine } else { Exit::Diverged })
}

fn show(report: &Report) -> String {
    let mut out = servers(report);
    out.push('\n');
    if report.is_explained() {
        out.push_str(&summary(report));
        return out;
    }
    let explained = count(report.steps());
    let _ = writeln!(
        out,
        "REFUSED: after {explained} steps no order of the rest is a run of the model."
    );
    let _ = writeln!(out, "The next record of each server that is not explained:\n");
    out.push_str(&report.explain());
    out
}

/// Returns a table of the explained part of each log.
fn servers(report: &Report) -> String {
    let header = ["server", "log", "explained", "steps", "starts", "cut lines"];
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for place in [3, 4, 5] {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for server in &report.servers {
        let explained = match &server.incomplete {
            None => "all".to_owned(),
            Some(incomplete) => format!("up to line {}", incomplete.line.saturating_sub(1)),
        };
        table.add_row(vec![
            server.id.to_string(),
            server.path.display().to_string(),
            explained,
            count(server.steps),
            count(server.incarnations),
            count(server.cut_lines.len() as u64),
        ]);
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

fn summary(report: &Report) -> String {
    let messages = report.messages;
    let sum = |of: fn(&raft_logs::validate::ServerReport) -> u64| {
        count(report.servers.iter().map(of).sum())
    };
    let lines = [
        format!(
            "{} messages left, {} receipts ({} of parts), {} of them repeated, {} messages lost.",
            count(messages.sent),
            count(messages.received + messages.parts),
            count(messages.parts),
            count(messages.repeated),
            count(messages.lost),
        ),
        format!("{} messages had to wait for writes and never left.", count(messages.never_left)),
        format!(
            "{} elections won, {} entries committed, {} reads served.",
            count(report.elections),
            count(report.committed),
            sum(|server| server.reads_served),
        ),
        format!(
            "{} snapshots taken, {} installed; at restarts {} unreported writes were there, {} not.",
            sum(|server| server.snapshots_taken),
            sum(|server| server.snapshots_installed),
            sum(|server| server.kept_writes),
            sum(|server| server.lost_writes),
        ),
    ];
    let verdict = format!("EXPLAINED: all {} steps are a run of the model.", count(report.steps()));
    let means = "Each step is the model's, each message was sent before it was received, disks and \
                 state machines kept to their rules, and the properties held along a global order.";
    let means_not = "That says nothing about what clients were told, about what state machines and \
                     snapshots contain, about lines that a kill took away before anybody saw anything \
                     of them, or about other runs.";
    let mut out = lines.join("\n");
    let _ = writeln!(out, "\n\n{verdict}\n{}\n{}", wrap(means, ""), wrap(means_not, ""));
    out
}
