//! `raftctl watch`: shows the servers, live.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::args::WatchArgs;
use crate::cluster::{Agreement, Cluster, Observer, Seen, deficient, in_words};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::status::indexes;

/// The time after which a server without an answer counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) async fn run(cluster: &Cluster, args: &WatchArgs) -> Result<Exit, Failure> {
    let mut ticks = tokio::time::interval(args.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut view = View::new();
    let mut observer = Observer::new(cluster, PATIENCE);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let look = async {
            ticks.tick().await;
            observer.look().await
        };
        let seen = tokio::select! {
            seen = look => seen,
            _ = &mut interrupted => return Ok(Exit::Fine),
        };
        observer.add_members(&seen);
        view.show(&seen)?;
    }
}

/// The state of the display: the height of the text on the screen, or the last printed line.
struct View {
    started: Instant,
    redraw: bool,
    height: usize,
    last: String,
}

impl View {
    fn new() -> View {
        let redraw = std::io::stdout().is_terminal();
        View { started: Instant::now(), redraw, height: 0, last: String::new() }
    }

    fn show(&mut self, seen: &[Seen]) -> Result<(), Failure> {
        if self.redraw {
            let text = screen(seen);
            let mut out = String::new();
            if self.height > 0 {
                let _ = write!(out, "\x1b[{}A", self.height);
            }
            for line in text.lines() {
                // Only the rest of each line is cleared, so that nothing flickers.
                let _ = writeln!(out, "{line}\x1b[K");
            }
            out.push_str("\x1b[J");
            self.height = text.lines().count();
            return output::print(&out);
        }
        let text = line(seen);
        if text == self.last {
            return Ok(());
        }
        let time = self.started.elapsed().as_secs_f64();
        output::print(&format!("{time:8.2} s  {text}\n"))?;
        self.last = text;
        Ok(())
    }
}

/// Returns a table with a column for each server.
fn screen(seen: &[Seen]) -> String {
    let names: Vec<String> = seen.iter().map(Seen::name).collect();
    let mut columns = vec![""];
    columns.extend(names.iter().map(String::as_str));
    let numbers: Vec<usize> = (1..columns.len()).collect();
    let mut table = output::table(&columns, &numbers);
    let mut row = |name: &str, cell: &dyn Fn(&Seen) -> String| {
        let mut cells = vec![name.to_owned()];
        cells.extend(seen.iter().map(cell));
        table.add_row(cells);
    };
    row("role", &|server| server.role().to_owned());
    row("term", &|server| known(server, |status| status.term.to_string()));
    row("leader", &|server| {
        known(server, |status| status.leader.map_or("-".to_owned(), |id| format!("n{id}")))
    });
    for (place, name) in ["last", "commit", "applied", "snapshot"].into_iter().enumerate() {
        row(name, &|server| known(server, |status| output::count(indexes(status)[place])));
    }
    row("log", &|server| known(server, |status| output::bytes(status.log_bytes)));
    let agreement = match Agreement::of(seen) {
        Some(agreement) if agreement.is_majority() => {
            let Agreement { leader, agreeing, servers, .. } = agreement;
            let lost = agreement.leader_of(seen).map(|leader| in_words(&deficient(seen, leader)));
            let lost = lost.filter(|lost| !lost.is_empty()).map(|lost| format!("; {lost}"));
            let lost = lost.unwrap_or_default();
            format!("n{leader} leads; {agreeing} of {servers} agree{lost}. Ctrl-C ends.")
        }
        _ => "No leader that a majority agrees on. Ctrl-C ends.".to_owned(),
    };
    format!("{}\n {agreement}\n", output::lines(&table))
}

/// Returns one line for all servers. The part of a server, such as `n1 leader t3 9/9/9 s0`,
/// contains its name, role and term, its last, committed and applied index, and the index of its
/// snapshot.
fn line(seen: &[Seen]) -> String {
    let server = |server: &Seen| match &server.status {
        Err(_) => format!("{} unreachable", server.name()),
        Ok(status) => {
            let [last, commit, applied, snapshot] = indexes(status);
            let (name, role, term) = (server.name(), server.role(), status.term);
            format!("{name} {role} t{term} {last}/{commit}/{applied} s{snapshot}")
        }
    };
    seen.iter().map(server).collect::<Vec<_>>().join(" | ")
}

fn known(server: &Seen, text: impl Fn(&raft_kv::api::Status) -> String) -> String {
    server.status.as_ref().map_or_else(|_| "-".to_owned(), text)
}
