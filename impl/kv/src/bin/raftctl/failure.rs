//! The failures of the program, their messages, and the exit codes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use raft_cli::file::FileError;
pub(crate) use raft_cli::output::complain;
use raft_cli::output::{PrintError, complain_with_help};
use raft_kv::api::Outcome;
use raft_kv::client::{AddressError, Error};

/// The result with which the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Fine,
    /// The answer is negative: no such key, a conflict, or for `status`, no leader or a member that
    /// is silent, behind or refused.
    No,
    Usage,
    Unknown,
    Unavailable,
    Internal,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Unknown => 3,
            Exit::Unavailable => 4,
            Exit::Internal => 70,
        }
    }
}

/// The reason why the program stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] Error),
    #[error("RAFTCTL_SERVERS: {0}")]
    Variable(AddressError),
    #[error("{} exists already", path.display())]
    Exists { path: PathBuf },
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Print(#[from] PrintError),
    #[error("{option} has no effect {mode}")]
    NoEffect { option: &'static str, mode: &'static str },
    #[error("cannot read standard input: {0}")]
    Input(std::io::Error),
    #[error("cannot print: {0}")]
    Output(std::io::Error),
    /// The reader of the output has closed the pipe.
    #[error("nobody reads the output")]
    Closed,
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    #[error("there is no leader that a majority agrees on")]
    NoLeader,
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("a client of the benchmark cannot connect: {0}")]
    Connect(String),
    #[error("filling stops after {done} of {wanted} keys: {reason}")]
    Fill { done: u64, wanted: u64, reason: String },
    #[cfg(not(feature = "etcd"))]
    #[error("this raftctl was built without the client of etcd")]
    NoEtcd,
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Closed => Exit::Fine,
            Failure::Client(error) if error.outcome() == Outcome::Unknown => Exit::Unknown,
            Failure::Client(Error::Unavailable { .. } | Error::Refused { status: 500.., .. })
            | Failure::NoLeader
            | Failure::Connect(_)
            | Failure::Fill { .. } => Exit::Unavailable,
            _ => Exit::Usage,
        }
    }

    /// Prints the failure, and advice on what to do about it.
    pub(crate) fn print(&self) {
        if matches!(self, Failure::Closed) {
            return;
        }
        let help = match self {
            Failure::File(error) => error.help(),
            _ => self.help().map(str::to_owned),
        };
        complain_with_help(&self.to_string(), help);
    }

    fn help(&self) -> Option<&'static str> {
        Some(match self {
            Failure::Exists { .. } => "name another one, or say --force to overwrite it",
            Failure::NoEffect { .. } => "leave it out; nothing was done",
            Failure::NoLeader => "`raftctl status` shows what the servers say",
            Failure::Client(Error::NoAuthority(_)) => "name the authority's certificate with --ca",
            Failure::Client(Error::NotTls(_)) => "name it with http:// instead of https://",
            Failure::Client(Error::Refused { failure, .. }) if failure.error == "https_only" => {
                "name it with https:// instead of http://, and its authority with --ca"
            }
            Failure::Client(Error::Unavailable { .. }) => {
                "nothing was done; `raftctl status` shows who answers, --servers says whom to ask"
            }
            Failure::Client(Error::Unknown { .. }) => {
                "read the key before you write it again, or write with --session"
            }
            Failure::Client(Error::Protocol { .. }) => {
                "is that the address for clients, and the right one?"
            }
            #[cfg(not(feature = "etcd"))]
            Failure::NoEtcd => {
                "install protoc (on Debian: apt-get install protobuf-compiler), then \
                 cargo build --release -p raft-kv --features etcd"
            }
            _ => return None,
        })
    }
}

/// Fails early if a file exists, because [`write_file`] would refuse it after all the work.
pub(crate) fn refuse_existing(path: &Path, force: bool) -> Result<(), Failure> {
    if path.exists() && !force {
        return Err(Failure::Exists { path: path.to_owned() });
    }
    Ok(())
}

/// Writes a file. The file must not exist yet, unless `force` is set. Only its owner can access a
/// secret file.
pub(crate) fn write_file(
    path: &Path,
    contents: &[u8],
    force: bool,
    secret: bool,
) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    #[cfg(unix)]
    if secret {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let written = options.open(path).and_then(|mut file| {
        #[cfg(unix)]
        if secret {
            // An existing file keeps its mode when it is opened.
            use std::os::unix::fs::PermissionsExt as _;
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
        file.write_all(contents)
    });
    written.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::Exists { path: path.to_owned() },
        _ => Failure::Write { path: path.to_owned(), source },
    })
}
