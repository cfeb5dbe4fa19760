//! What goes wrong outside of what is checked, said once and clearly.

use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme, MietteDiagnostic};
use raft_checker::config::ConfigError;
use raft_trace::TraceError;

/// A reason to stop that is not a verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}: {source}", path.display())]
    Trace { path: PathBuf, source: TraceError },
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{} exists already", path.display())]
    Exists { path: PathBuf, advice: &'static str },
    #[error("{what}")]
    Input { what: String, advice: String },
}

impl Failure {
    /// Prints what happened, where, and what to do.
    pub(crate) fn print(&self) {
        let mut diagnostic = MietteDiagnostic::new(self.to_string());
        diagnostic.help = self.help();
        let report = miette::Report::new(diagnostic);
        let mut out = String::new();
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::none()).with_width(100);
        match handler.render_report(&mut out, report.as_ref()) {
            Ok(()) => eprintln!("{}", out.trim_end()),
            Err(_) => eprintln!("error: {self}"),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Failure::Config(ConfigError::Unknown { nearest, .. }) => {
                Some(format!("did you mean {}?", nearest.join(", ")))
            }
            Failure::Exists { advice, .. } => Some((*advice).to_owned()),
            Failure::Input { advice, .. } => Some(advice.clone()),
            _ => None,
        }
    }
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
