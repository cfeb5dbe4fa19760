//! Shows files: finds out the kind of each file, and writes its events.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};

use raft_checker::text_width::wrap_to;
use raft_core::NodeId;
use raft_trace::{ClusterTrace, NODE_LOG_SCHEMA, SCHEMA, TraceError};
use serde::{Deserialize, Serialize};

use super::columns::{Columns, Layout};
use super::error::LogError;
use super::event::{Event, Flag};
use super::event_builder::EventBuilder;
use super::filter::Filter;
use super::merge::{Merge, Next};
use super::node_log::NodeLog;
use super::stats::Stats;
use super::trace::{MOST_SERVERS, Replayed};

/// The value of the first field of the first line of `--json`.
pub const COLUMN_LOG_SCHEMA: &str = "raft-column-log";

/// The version of that schema.
pub const COLUMN_LOG_VERSION: u64 = 1;

/// The number of times that growing logs are read again before a receipt is shown without its
/// sending.
const PATIENCE: u32 = 10;

/// Which events are shown, and in which form.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The events that are shown.
    pub filter: Filter,
    /// The form in which they are shown.
    pub form: Form,
    /// Whether node logs are still growing.
    pub follow: bool,
}

/// The form in which events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One column for each server.
    Columns(Layout),
    /// One line of JSON for each event.
    Json,
    /// The number of events.
    Stats,
    /// The number of events, as one line of JSON.
    JsonStats,
}

impl Default for Form {
    fn default() -> Form {
        Form::Columns(Layout::default())
    }
}

/// Shows files: first each cluster trace by itself, in order, then all node logs as one run. `wait`
/// is called when growing logs have nothing new. It returns whether to look again.
///
/// Returns the errors in the files. All parts that could be read were shown.
///
/// # Errors
///
/// Returns the errors of `out`.
pub fn show(
    files: &[PathBuf],
    options: &Options,
    mut out: impl Write,
    wait: &mut dyn FnMut() -> bool,
) -> io::Result<Vec<LogError>> {
    let mut errors = Vec::new();
    let mut logs = Vec::new();
    let mut traces = Vec::new();
    for path in files {
        match Kind::of(path, options.follow) {
            Ok(Kind::GrowingLog) => logs.push(NodeLog::growing(path)),
            Ok(Kind::Log(file)) => logs.push(NodeLog::new(path, Box::new(BufReader::new(file)))),
            Ok(Kind::Trace) => traces.push(path),
            Err(error) => errors.push(error),
        }
    }
    let pictures = traces.len() + usize::from(!logs.is_empty());
    for path in traces {
        let printer = Printer::new(options, pictures > 1);
        errors.extend(show_trace(path, printer, &mut out)?);
    }
    if !logs.is_empty() {
        let printer = Printer::new(options, pictures > 1);
        errors.extend(show_logs(logs, printer, &mut out, wait)?);
    }
    out.flush()?;
    Ok(errors)
}

/// The kind of a file.
enum Kind {
    Trace,
    Log(File),
    GrowingLog,
}

impl Kind {
    /// Finds out the kind from the first line.
    fn of(path: &Path, follow: bool) -> Result<Kind, LogError> {
        #[derive(Deserialize)]
        struct Header {
            schema: String,
        }
        let failed = |source| LogError::Read { path: path.to_owned(), source };
        let file = match File::open(path) {
            Err(error) if follow && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Kind::GrowingLog);
            }
            file => file.map_err(failed)?,
        };
        let mut line = Vec::new();
        BufReader::new(file).read_until(b'\n', &mut line).map_err(failed)?;
        if follow && !line.ends_with(b"\n") {
            return Ok(Kind::GrowingLog);
        }
        let header: Result<Header, _> = serde_json::from_slice(&line);
        let other = |reason: String| LogError::OtherSchema { path: path.to_owned(), reason };
        match header.as_ref().map(|header| header.schema.as_str()) {
            Ok(SCHEMA) if follow => Err(LogError::CannotFollow { path: path.to_owned() }),
            Ok(SCHEMA) => Ok(Kind::Trace),
            Ok(NODE_LOG_SCHEMA) if follow => Ok(Kind::GrowingLog),
            Ok(NODE_LOG_SCHEMA) => Ok(Kind::Log(File::open(path).map_err(failed)?)),
            Ok(schema) => Err(other(format!("it names {schema:?}"))),
            Err(_) if line.is_empty() => Err(other("the file is empty".to_owned())),
            Err(_) => Err(other("it names no schema".to_owned())),
        }
    }
}

fn show_trace(path: &Path, mut printer: Printer, mut out: impl Write) -> io::Result<Vec<LogError>> {
    let (trace, error) = read_trace(path);
    let mut errors: Vec<LogError> = error.into_iter().collect();
    let Some(trace) = trace else { return Ok(errors) };
    let servers = trace.settings.servers;
    if servers > MOST_SERVERS {
        let reason = format!("{servers} servers; traces are shown of {MOST_SERVERS} at most");
        errors.push(LogError::Damaged { path: path.to_owned(), line: 1, reason });
        return Ok(errors);
    }
    let mut replayed = Replayed::new(trace);
    printer.begin(&[path.to_owned()], Some(replayed.about()), replayed.servers(), &mut out)?;
    loop {
        match replayed.next_step() {
            Ok(Some(events)) => printer.print(&events, &mut out)?,
            Ok(None) => break,
            Err(stuck) => {
                let (step, reason) = (stuck.step, stuck.reason.to_string());
                errors.push(LogError::Impossible { path: path.to_owned(), step, reason });
                break;
            }
        }
    }
    printer.end(&mut out)?;
    Ok(errors)
}

/// Reads a trace. Of a damaged trace, returns the part before the damage, and the error.
fn read_trace(path: &Path) -> (Option<ClusterTrace>, Option<LogError>) {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(source) => return (None, Some(LogError::Read { path: path.to_owned(), source })),
    };
    let source = match ClusterTrace::read(text.as_slice()) {
        Ok(trace) => return (Some(trace), None),
        Err(source) => source,
    };
    let steps = match &source {
        TraceError::BadLine { line, .. } => line.saturating_sub(2),
        TraceError::Truncated { steps } => *steps,
        _ => 0,
    };
    // Read the steps before the damage as a complete trace.
    let good = text.split_inclusive(|byte| *byte == b'\n').take(steps + 1);
    let mut good: Vec<u8> = good.flatten().copied().collect();
    good.extend(format!("{{\"end\":{{\"steps\":{steps}}}}}\n").bytes());
    let trace = ClusterTrace::read(good.as_slice()).ok();
    let path = path.to_owned();
    let error = match source {
        TraceError::BadLine { line, reason, .. } => {
            LogError::Damaged { path, line: line as u64, reason }
        }
        source => LogError::Trace { path, source },
    };
    (trace, Some(error))
}

fn show_logs(
    logs: Vec<NodeLog>,
    mut printer: Printer,
    mut out: impl Write,
    wait: &mut dyn FnMut() -> bool,
) -> io::Result<Vec<LogError>> {
    let paths: Vec<PathBuf> = logs.iter().map(|log| log.path().to_owned()).collect();
    let mut merge = Merge::new(logs);
    let mut builders: BTreeMap<NodeId, EventBuilder> = BTreeMap::new();
    printer.begin(&paths, None, merge.servers(), &mut out)?;
    let (mut step, mut waited) = (0, 0);
    loop {
        match merge.next_record(waited < PATIENCE) {
            Next::Record(merged) => {
                (step, waited) = (step + 1, 0);
                let new = || EventBuilder::new(merged.server);
                let builder = builders.entry(merged.server).or_insert_with(new);
                printer.print(&builder.events(step, &merged.record, merged.flag), &mut out)?;
            }
            Next::Wait => {
                out.flush()?;
                waited = waited.saturating_add(1);
                // Stop at an error, so that a user who follows the logs sees it at once.
                if merge.has_errors() || !wait() {
                    break;
                }
            }
            Next::End => break,
        }
    }
    printer.end(&mut out)?;
    Ok(merge.take_errors())
}

/// A writer of events in the requested form.
struct Printer<'a> {
    filter: &'a Filter,
    form: Form,
    /// Whether there are several pictures. If so, each has a title.
    titled: bool,
    columns: Columns,
    stats: Stats,
    end: End,
}

/// The numbers that are written at the end.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct End {
    shown: u64,
    hidden: u64,
    repeated: u64,
    unsent: u64,
}

#[derive(Serialize)]
struct Begin<'a> {
    schema: &'a str,
    version: u64,
    files: &'a [PathBuf],
    about: Option<&'a str>,
    servers: &'a [NodeId],
}

impl Printer<'_> {
    fn new(options: &Options, titled: bool) -> Printer<'_> {
        let layout = match options.form {
            Form::Columns(layout) => layout,
            _ => Layout::default(),
        };
        Printer {
            filter: &options.filter,
            form: options.form,
            titled,
            columns: Columns::new(Vec::new(), layout),
            stats: Stats::default(),
            end: End::default(),
        }
    }

    fn begin(
        &mut self,
        files: &[PathBuf],
        about: Option<&str>,
        mut servers: Vec<NodeId>,
        mut out: impl Write,
    ) -> io::Result<()> {
        servers.retain(|server| self.filter.shows_server(*server));
        match self.form {
            Form::Columns(_) | Form::Stats => {
                if self.titled {
                    for file in files {
                        writeln!(out, "== {}", file.display())?;
                    }
                }
                if let Some(about) = about {
                    let about = about.replace(char::is_control, " ");
                    writeln!(out, "{}\n", wrap_to(&about, "", self.columns.width()))?;
                }
            }
            Form::Json | Form::JsonStats => {
                let (schema, version) = (COLUMN_LOG_SCHEMA, COLUMN_LOG_VERSION);
                let begin = Begin { schema, version, files, about, servers: &servers };
                write_json(&begin, &mut out)?;
            }
        }
        if let Form::Columns(layout) = self.form {
            self.columns = Columns::new(servers, layout);
        }
        Ok(())
    }

    fn print(&mut self, events: &[Event], mut out: impl Write) -> io::Result<()> {
        for event in events {
            if !self.filter.passes(event) {
                self.end.hidden += 1;
                continue;
            }
            self.end.shown += 1;
            self.end.repeated += u64::from(event.flag == Flag::Repeated);
            self.end.unsent += u64::from(event.flag == Flag::Unsent);
            match self.form {
                Form::Columns(_) => self.columns.write(event, &mut out)?,
                Form::Json => write_json(event, &mut out)?,
                Form::Stats | Form::JsonStats => self.stats.note(event),
            }
        }
        Ok(())
    }

    fn end(&self, mut out: impl Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Last {
            end: End,
        }
        if self.form == Form::JsonStats {
            write_json(&self.stats, &mut out)?;
        }
        if matches!(self.form, Form::Json | Form::JsonStats) {
            return write_json(&Last { end: self.end }, &mut out);
        }
        if self.form == Form::Stats {
            write!(out, "{}", self.stats)?;
        }
        let End { shown, hidden, repeated, unsent } = self.end;
        let hidden = match hidden {
            0 => String::new(),
            _ => format!("; the filters hide {hidden} more"),
        };
        writeln!(out, "\n{} shown{hidden}.", count(shown, "event"))?;
        if repeated > 0 {
            writeln!(out, "{}, marked =, came a second time.", count(repeated, "message"))?;
        }
        if unsent > 0 {
            let messages = count(unsent, "message");
            writeln!(out, "{messages}, marked ?, are not known to be sent by these logs.")?;
        }
        if self.titled {
            writeln!(out)?;
        }
        Ok(())
    }
}

fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn write_json(value: &impl Serialize, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")
}
