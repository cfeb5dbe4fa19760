//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use raft_cli::json::JsonArgs;
use raft_cli::options::{duration, positive_duration};
use raft_kv::client::Address;

/// Reads and writes keys of a cluster of raftd, shows what it does, and measures it.
#[derive(Debug, Parser)]
#[command(name = "raftctl", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 no such key, a conflict, or for `status`, no leader that a majority agrees on,
or a member that is silent, behind or refused; 2 wrong usage, a file that cannot be used, or a
request that the servers refuse; 3 nobody knows whether the write was done; 4 no server took the
request, and it will not be done; 70 internal error.";

const BENCH: &str = "\
A closed loop: every client has one request outstanding, on a connection of its own to the leader.
Latencies are of requests that begin within the measured time, rates of those that end within it.
Puts have no session, gets are linearizable. Measuring etcd needs a build with --features etcd.
It leaves keys behind in the cluster that it measures, named bench-0000000000 and so on.";

const SERVERS: &str = "\
Servers, with commas between them [default: $RAFTCTL_SERVERS, else those of `raftd dev`: \
http://127.0.0.1:7101 and the ports 7102 and 7103]";

const CAS: &str = "raftctl cas [OPTIONS] <KEY> <VALUE|-|--file FILE> <--expect VERSION|--absent>";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Servers")]
pub(crate) struct ClusterArgs {
    /// Servers, with commas between them
    #[arg(long, global = true, value_name = "URLS", value_delimiter = ',', help = SERVERS)]
    pub(crate) servers: Option<Vec<Address>>,

    /// The certificate of the authority to believe, for https
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// This client's certificate, for servers that ask for it
    #[arg(long, global = true, value_name = "FILE", requires_all = ["client_key", "ca"])]
    pub(crate) client_cert: Option<PathBuf>,

    /// The key of this client's certificate
    #[arg(long, global = true, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,

    /// How long to try to read or write a key [default: 10s]
    #[arg(long, global = true, value_name = "TIME", value_parser = positive_duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask every server how it sees itself and the cluster
    Status(StatusArgs),
    /// Watch the servers, live
    Watch(WatchArgs),
    /// Read the value of a key
    Get(GetArgs),
    /// Write the value of a key
    #[command(override_usage = "raftctl put [OPTIONS] <KEY> <VALUE|-|--file FILE>")]
    Put(PutArgs),
    /// Append to the value of a key
    #[command(override_usage = "raftctl append [OPTIONS] <KEY> <VALUE|-|--file FILE>")]
    Append(PutArgs),
    /// Delete a key
    Delete(DeleteArgs),
    /// Write the value of a key if its version is the expected one
    #[command(override_usage = CAS)]
    Cas(CasArgs),
    /// Have the leader take a snapshot
    Snapshot(SnapshotArgs),
    /// Make certificates for tests
    Cert(CertArgs),
    /// Measure how fast the cluster is
    #[command(after_help = BENCH)]
    Bench(BenchArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = positive_duration)]
    pub(crate) interval: Duration,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// The key
    pub(crate) key: OsString,

    /// Print the version instead of the value, for `cas --expect`
    #[arg(long)]
    pub(crate) version: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PutArgs {
    /// The key
    pub(crate) key: OsString,

    #[command(flatten)]
    pub(crate) value: ValueArgs,

    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ValueArgs {
    /// The value; - reads it from standard input
    pub(crate) value: Option<OsString>,

    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SessionArgs {
    /// Open a session first, so that the write can be repeated safely if its outcome is unknown
    #[arg(long)]
    pub(crate) session: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// The key
    pub(crate) key: OsString,

    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CasArgs {
    /// The key
    pub(crate) key: OsString,

    #[command(flatten)]
    pub(crate) value: ValueArgs,

    #[command(flatten)]
    pub(crate) expected: ExpectedArgs,

    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ExpectedArgs {
    /// The version that must be there
    #[arg(long, value_name = "VERSION")]
    pub(crate) expect: Option<u64>,

    /// The key must not exist
    #[arg(long)]
    pub(crate) absent: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SnapshotArgs {
    /// Ask all servers, not only the leader
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CertArgs {
    /// The folder to write to
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// How many servers need one
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    pub(crate) nodes: u16,

    /// A further name or IP address under which the servers are reached; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,

    /// Overwrite existing files
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// How many clients; several numbers are measured one after the other
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "1,64,256")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) clients: Vec<u16>,

    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_duration)]
    pub(crate) duration: Duration,

    /// How long to wait before that, under load
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) warm_up: Duration,

    /// The size of the values
    #[arg(long, value_name = "SIZE", default_value = "256", value_parser = value_size)]
    pub(crate) value_size: usize,

    /// How many different keys are written and read
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=9_999_999_999))]
    pub(crate) keys: u64,

    /// How many of 100 requests read, linearizably
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) reads: u8,

    /// First write different keys until that much is stored, for example 100MB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) fill: Option<u64>,

    /// Measure these servers of etcd instead
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    #[arg(conflicts_with_all = ["servers", "ca", "client_cert"])]
    pub(crate) etcd: Option<Vec<String>>,

    /// Print how the latencies are distributed
    #[arg(long)]
    pub(crate) histogram: bool,

    /// On how many threads the clients run
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,

    /// Where the choice of keys begins to differ
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// Parses a number of bytes, such as `4096`, `100MB` or `64KiB`.
fn size(text: &str) -> Result<u64, String> {
    let number_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        _ => return Err("it must be a number of bytes, such as 4096, 100MB or 64KiB".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "it must begin with a number".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "it is too large".to_owned())
}

fn value_size(text: &str) -> Result<usize, String> {
    const LARGEST: u64 = 16 << 20;
    match size(text)? {
        size if size > LARGEST => Err("a value has at most 16 MiB".to_owned()),
        size => usize::try_from(size).map_err(|_| "it is too large".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(size("256"), Ok(256));
        assert_eq!(size("100MB"), Ok(100_000_000));
        assert_eq!(size("64 KiB"), Ok(65_536));
        for wrong in ["", "MB", "-1", "1.5MB", "1XB", "99999999999999999999", "99999999999GB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
