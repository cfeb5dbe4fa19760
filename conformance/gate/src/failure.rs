//! Errors outside of the checks, such as unreadable files, and their messages.

use std::path::PathBuf;

use miette::{LabeledSpan, MietteDiagnostic, NamedSource};
use raft_checker::config::ConfigError;
use raft_cli::file::FileError;
use raft_cli::options::did_you_mean;
use raft_cli::output::{PrintError, complain_with_help, complain_with_source};
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
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Print(#[from] PrintError),
    #[error("cannot write {}: {source}", path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", path.display())]
    Mistake { path: PathBuf, text: String, span: std::ops::Range<usize>, message: String },
    #[error("{what}")]
    Input { what: String, advice: String },
}

impl Failure {
    /// Prints the error, its place, and advice.
    pub(crate) fn print(&self) {
        if let Failure::Mistake { path, text, span, message } = self {
            let label = LabeledSpan::at(span.clone(), "here");
            let diagnostic = MietteDiagnostic::new(message.clone()).with_label(label);
            let source = NamedSource::new(path.display().to_string(), text.clone());
            complain_with_source(&miette::Report::new(diagnostic).with_source_code(source));
        } else {
            complain_with_help(&self.to_string(), self.help());
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Failure::Config(ConfigError::Unknown { nearest, .. }) => {
                Some(did_you_mean(nearest, "no name is like it; `raftcheck list` shows all"))
            }
            Failure::File(error) => error.help(),
            Failure::Input { advice, .. } => Some(advice.clone()),
            _ => None,
        }
    }
}
