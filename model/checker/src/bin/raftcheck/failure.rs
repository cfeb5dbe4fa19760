//! Failures outside the model, and their messages.

use std::path::{Path, PathBuf};

use miette::{LabeledSpan, MietteDiagnostic, NamedSource};
use raft_checker::any_network::{CheckpointError, HostsError, PeerError, SearchError};
use raft_checker::baseline::BaselineError;
use raft_checker::config::ConfigError;
use raft_checker::exit_code::Exit;
use raft_checker::replay::ReplayError;
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
    #[error("{}: {source}", path.display())]
    Replay { path: PathBuf, source: ReplayError },
    #[error("there is no mutant {id:?}")]
    UnknownMutant { id: String, similar: Vec<String> },
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("there is no witness {name:?}")]
    UnknownWitness { name: String, similar: Vec<String> },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Print(#[from] PrintError),
    #[error("cannot serve at {address}: {source}")]
    Serve { address: std::net::SocketAddr, source: std::io::Error },
    #[error("{option} has no effect {mode}")]
    NoEffect { option: &'static str, mode: &'static str },
    #[error("{config} was not explored to its end with {engine}")]
    NotMeasured { config: String, engine: &'static str },
    #[error("{option} is for one configuration, over any network")]
    NotForAll { option: &'static str },
    #[error("{}: {source}", path.display())]
    Hosts { path: PathBuf, source: HostsError },
    #[error(transparent)]
    Search(#[from] SearchError),
    #[error(transparent)]
    Baseline(#[from] BaselineError),
}

impl Failure {
    /// Prints the failure, its place, and advice.
    pub(crate) fn print(&self) {
        if let Failure::Config(ConfigError::Syntax { path, text, span, message })
        | Failure::Baseline(BaselineError::Syntax { path, text, span, message }) = self
        {
            let (line, column) = line_and_column(text, span.start);
            let place = format!("{}:{line}:{column}: {message}", path.display());
            let label = LabeledSpan::at(span.clone(), "here");
            let diagnostic = MietteDiagnostic::new(place).with_label(label);
            let source = NamedSource::new(path.display().to_string(), text.clone());
            complain_with_source(&miette::Report::new(diagnostic).with_source_code(source));
        } else {
            complain_with_help(&self.to_string(), self.help());
        }
    }

    /// Returns the exit code of a program that ends with this failure.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Search(SearchError::Peer(
                PeerError::Lost { .. } | PeerError::Stopped { .. },
            )) => Exit::Incomplete,
            _ => Exit::Usage,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Failure::Config(ConfigError::Unknown { nearest, .. }) => {
                did_you_mean(nearest, "no name is like it; `raftcheck list` shows all")
            }
            Failure::UnknownWitness { similar, .. } => {
                did_you_mean(similar, "no name is like it; `raftcheck list --properties` shows all")
            }
            Failure::UnknownMutant { similar, .. } => {
                did_you_mean(similar, "no id is like it; `raftcheck mutants --list` shows all")
            }
            Failure::Config(ConfigError::Bounds { .. }) => {
                "change the numbers in the file; nothing was explored".to_owned()
            }
            Failure::File(error) => return error.help(),
            Failure::Search(error) => help_with_search(error).to_owned(),
            Failure::Baseline(BaselineError::Schema { .. }) => {
                "write it again with `raftcheck bless`; nothing was explored".to_owned()
            }
            Failure::NotForAll { .. } => {
                "name one, and add --network any; nothing was explored".to_owned()
            }
            Failure::NoEffect { .. } => "leave it out; nothing was done".to_owned(),
            Failure::Trace { source: TraceError::Truncated { .. }, .. } => {
                "copy the whole file again; nothing was replayed".to_owned()
            }
            _ => return None,
        })
    }
}

fn help_with_search(error: &SearchError) -> &'static str {
    match error {
        SearchError::Checkpoint(error) => match error {
            CheckpointError::Exists { .. } => {
                "go on from it with --resume, or name another folder; nothing was explored"
            }
            CheckpointError::Missing { .. } => {
                "name the folder of an earlier --checkpoint; nothing was explored"
            }
            CheckpointError::NoCommonRound | CheckpointError::Damaged { .. } => {
                "begin again with --checkpoint and another folder; nothing was explored"
            }
            CheckpointError::Foreign { .. } => {
                "run the same program with the same configuration and options, or begin again with \
                 --checkpoint and another folder; nothing was explored"
            }
            CheckpointError::InUse { .. } => "wait for it, or name another folder",
            CheckpointError::Io { .. } | CheckpointError::NoSpace { .. } => {
                "the checkpoint before it, if there was one, is intact"
            }
        },
        SearchError::Peer(error) => match error {
            PeerError::Lost { .. } => {
                "INCOMPLETE: start all processes again, with --resume if they wrote checkpoints"
            }
            PeerError::Stopped { .. } => "INCOMPLETE: nothing was explored",
            PeerError::Foreign { .. } => {
                "start all with the same program, configuration, options and hosts"
            }
            PeerError::Listen { .. } => "the hosts file names the address of this process",
        },
    }
}

/// Refuses an option that would be ignored.
pub(crate) fn refuse_without_effect(
    given: bool,
    option: &'static str,
    mode: &'static str,
) -> Result<(), Failure> {
    if given { Err(Failure::NoEffect { option, mode }) } else { Ok(()) }
}

/// Reads the text of a file.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|source| Failure::Read { path: path.to_owned(), source })
}

/// Returns the line and the column, from 1, of a place in a text.
fn line_and_column(text: &str, place: usize) -> (usize, usize) {
    let before = text.get(..place).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}
