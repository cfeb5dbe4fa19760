//! `raftgate log`: cluster traces and node logs, one column for each server.

use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use raft_checker::exit_code::Exit;
use raft_checker::text_width::terminal_width;
use raft_cli::file::FileError;
use raft_cli::json::JsonArgs;
use raft_core::NodeId;
use raft_logs::column_log::{Filter, Form, Layout, Options, Span, Topic, show};

use crate::failure::Failure;

/// The interval at which growing logs are read.
const LOOK: Duration = Duration::from_millis(100);

/// Shows cluster traces and node logs in one column for each server
///
/// A cluster trace is replayed. Node logs, one of each server, are shown as one run: there is no
/// clock in them, so they are put together by what can only have happened before what. Events have
/// a topic, and those that change a server begin with what it is now: `L3 c7 a6` leads term 3,
/// knows entries up to 7 to be committed, and has applied them up to 6.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Cluster traces and node logs
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Go on when the node logs grow, and wait for those that do not exist yet
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    form: FormArgs,
}

#[derive(clap::Args)]
#[command(next_help_heading = "What is shown")]
struct FilterArgs {
    /// Only these topics, as in elec,cmit
    #[arg(long, value_delimiter = ',', value_name = "TOPICS", ignore_case = true)]
    topic: Vec<Topic>,
    /// None of these topics
    #[arg(long, value_delimiter = ',', value_name = "TOPICS", ignore_case = true)]
    #[arg(hide_possible_values = true)]
    not_topic: Vec<Topic>,
    /// Only events of these terms, as in 3 or 3..5
    #[arg(long, value_name = "TERMS")]
    term: Option<Span>,
    /// Only events that concern these log indexes, as in 7 or 7..9
    #[arg(long, value_name = "INDEXES")]
    index: Option<Span>,
    /// Only these servers, as in n1,n3
    #[arg(long, visible_alias = "server", value_delimiter = ',', value_name = "SERVERS")]
    #[arg(value_parser = server)]
    only: Vec<NodeId>,
    /// Only from this step on
    #[arg(long, value_name = "STEP")]
    from_step: Option<u64>,
    /// Only up to this step
    #[arg(long, value_name = "STEP")]
    to_step: Option<u64>,
    /// Only this step, which gets a mark, and those around it
    #[arg(long, value_name = "STEP")]
    around: Option<u64>,
    /// How many steps before and after it
    #[arg(long, value_name = "STEPS", default_value_t = 10, requires = "around")]
    context: u64,
}

#[derive(clap::Args)]
#[command(next_help_heading = "How it is shown")]
struct FormArgs {
    /// The width of the picture; what does not fit into a column goes on in the next line
    /// [default: that of the terminal, or 100]
    #[arg(long, value_name = "COLUMNS", conflicts_with_all = ["json", "stats"])]
    #[arg(value_parser = clap::value_parser!(u16).range(40..))]
    width: Option<u16>,
    /// Texts that do not fit are cut, with `..`, so that every event is one line
    #[arg(long, conflicts_with_all = ["json", "stats"])]
    cut: bool,
    /// Colours: if it is a terminal (and `NO_COLOR` is not set), always, or never
    #[arg(long, value_name = "WHEN", default_value = "auto", conflicts_with = "json")]
    color: Color,
    /// Instead of the picture, write one line of JSON for each event to a new file; - is standard
    /// output
    #[command(flatten)]
    json: JsonArgs,
    /// How many events there are, instead of the events
    #[arg(long, conflicts_with = "follow")]
    stats: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

fn server(text: &str) -> Result<NodeId, String> {
    let number = text.strip_prefix('n').unwrap_or(text).parse();
    number.map(NodeId).map_err(|_| "write n1, or 1".to_owned())
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let stdout = io::stdout();
    let choice = match args.form.color {
        Color::Auto => AutoStream::choice(&stdout),
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    let coloured = choice != ColorChoice::Never;
    let options =
        Options { filter: args.filter.filter(), form: args.form(coloured), follow: args.follow };
    let out: Box<dyn io::Write> = match args.form.json.stream()? {
        Some(file) => file,
        None => Box::new(AutoStream::new(stdout.lock(), choice)),
    };
    let out = BufWriter::new(out);
    let mut wait = || {
        std::thread::sleep(LOOK);
        true
    };
    match show(&args.files, &options, out, &mut wait) {
        Ok(errors) => fail_with_the_last(errors),
        // The reader of the output has closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Fine),
        Err(source) => Err(FileError::Write { path: PathBuf::from("the output"), source }.into()),
    }
}

/// Prints the errors of the files except for the last one, which it returns.
fn fail_with_the_last(errors: Vec<raft_logs::column_log::LogError>) -> Result<Exit, Failure> {
    let failure = |error: raft_logs::column_log::LogError| Failure::Input {
        what: error.to_string(),
        advice: error.advice().to_owned(),
    };
    let mut failures: Vec<Failure> = errors.into_iter().map(failure).collect();
    let Some(last) = failures.pop() else { return Ok(Exit::Fine) };
    failures.iter().for_each(Failure::print);
    Err(last)
}

impl Args {
    fn form(&self, coloured: bool) -> Form {
        match (self.form.stats, self.form.json.is_wanted()) {
            (true, true) => Form::JsonStats,
            (true, false) => Form::Stats,
            (false, true) => Form::Json,
            (false, false) => {
                let width = self.form.width.map_or_else(terminal_width, usize::from);
                Form::Columns(Layout {
                    width,
                    cut: self.form.cut,
                    coloured,
                    around: self.filter.around,
                })
            }
        }
    }
}

impl FilterArgs {
    fn filter(&self) -> Filter {
        let all = Span::default();
        let range = Span {
            first: self.from_step.unwrap_or(all.first),
            last: self.to_step.unwrap_or(all.last),
        };
        let around = self.around.map_or(all, |step| Span::around(step, self.context));
        Filter {
            topics: self.topic.iter().copied().collect(),
            not_topics: self.not_topic.iter().copied().collect(),
            terms: self.term,
            indexes: self.index,
            servers: self.only.iter().copied().collect(),
            steps: range.and(around),
        }
    }
}
