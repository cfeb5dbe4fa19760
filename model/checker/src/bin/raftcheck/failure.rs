//! What goes wrong outside the model, said once and clearly.

use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};
use raft_checker::config::ConfigError;
use raft_checker::replay::ReplayError;
use raft_trace::TraceError;

/// A reason to stop that is not a verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}: {source}", path.display())]
    Trace { path: PathBuf, source: TraceError },
    #[error("{}: {source}", path.display())]
    Replay { path: PathBuf, source: ReplayError },
    #[error("there is no mutant {id:?}; the nearest is {nearest}")]
    UnknownMutant { id: String, nearest: String },
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("there is no witness {name:?}")]
    UnknownWitness { name: String, nearest: Vec<String> },
    #[error("{} exists already", path.display())]
    Exists { path: PathBuf, advice: &'static str },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot serve at {address}: {source}")]
    Serve { address: std::net::SocketAddr, source: std::io::Error },
}

impl Failure {
    /// Prints what happened, where, and what to do.
    pub(crate) fn print(&self) {
        let mut diagnostic = MietteDiagnostic::new(self.to_string());
        diagnostic.help = self.help();
        let mut report = None;
        if let Failure::Config(ConfigError::Syntax { path, text, span, message }) = self {
            let (line, column) = line_and_column(text, span.start);
            let place = format!("{}:{line}:{column}: {message}", path.display());
            let label = LabeledSpan::at(span.clone(), "here");
            diagnostic = MietteDiagnostic::new(place).with_label(label);
            let source = NamedSource::new(path.display().to_string(), text.clone());
            report = Some(miette::Report::new(diagnostic.clone()).with_source_code(source));
        }
        let report = report.unwrap_or_else(|| miette::Report::new(diagnostic));
        let mut out = String::new();
        let theme = GraphicalTheme::none();
        let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
        match handler.render_report(&mut out, report.as_ref()) {
            Ok(()) => eprintln!("{}", out.trim_end()),
            Err(_) => eprintln!("error: {self}"),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Failure::Config(ConfigError::Unknown { nearest, .. })
            | Failure::UnknownWitness { nearest, .. } => {
                Some(format!("did you mean {}?", nearest.join(", ")))
            }
            Failure::Config(ConfigError::Bounds { .. }) => {
                Some("change the numbers in the file; nothing was explored".to_owned())
            }
            Failure::Exists { advice, .. } => Some((*advice).to_owned()),
            Failure::Trace { source: TraceError::Truncated { .. }, .. } => {
                Some("copy the whole file again; nothing was replayed".to_owned())
            }
            _ => None,
        }
    }
}

/// The line and the column, from 1, of a place in a text.
fn line_and_column(text: &str, place: usize) -> (usize, usize) {
    let before = text.get(..place).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// Creates a file that must not exist yet, and writes it.
pub(crate) fn write_new(path: &Path, contents: &[u8], advice: &'static str) -> Result<(), Failure> {
    use std::io::Write as _;
    let created = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let written = created.and_then(|mut file| file.write_all(contents));
    written.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::Exists { path: path.to_owned(), advice },
        _ => Failure::Write { path: path.to_owned(), source },
    })
}
