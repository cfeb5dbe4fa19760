//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Parser, Subcommand, ValueEnum};
use raft_checker::config::Tier;
use raft_checker::diagram::Theme;
use raft_checker::view::terminal_width;

/// Explores bounded Raft clusters exhaustively, with the transition functions that production runs,
/// and says whether the properties of the Raft paper hold. Without a command: checks the smoke tier.
#[derive(Debug, Parser)]
#[command(name = "raftcheck", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The folder with the bounded configurations [default: specs/configs, here or above]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) configs: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 everything holds; 1 a property is violated; 2 wrong usage, configuration or trace;
5 a property held without its witness, a rule is not exercised, or a mutant survives; 6 incomplete; 70 internal error.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check configurations
    Check(CheckArgs),
    /// List the configurations, with what their bounds leave out
    List(ListArgs),
    /// Replay a trace and explain it
    Replay(ReplayArgs),
    /// Walk through a configuration by hand, in a browser
    Explore(ExploreArgs),
    /// Show which rules made a difference in what is explored
    Coverage(CoverageArgs),
    /// Run Raft with mistakes in it, and show what finds them
    Mutants(MutantArgs),
    /// Show a shortest run that reaches a situation
    Trace(TraceArgs),
}

impl Default for Command {
    fn default() -> Command {
        Command::Check(CheckArgs::default())
    }
}

#[derive(Debug, Default, clap::Args)]
pub(crate) struct CheckArgs {
    /// Names of configurations, or paths of TOML files [default: the smoke tier]
    pub(crate) names: Vec<String>,

    /// All configurations of a tier
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<TierArg>,

    /// How to go through the states
    #[arg(long, value_enum, default_value_t)]
    pub(crate) strategy: StrategyArg,

    /// Where random runs begin to differ, with --strategy simulation
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) search: SearchArgs,

    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Overwrite an existing JSON file
    #[arg(long)]
    pub(crate) force: bool,

    /// Where traces of violations are written
    #[arg(long, value_name = "DIR", default_value = "raftcheck-traces")]
    pub(crate) traces: Option<PathBuf>,
}

/// What every search takes.
#[derive(Debug, Default, Clone, clap::Args)]
pub(crate) struct SearchArgs {
    /// How many threads explore [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// Count states that differ by a renaming of the servers as different
    #[arg(long)]
    pub(crate) no_symmetry: bool,

    /// Give up on a configuration after this time, for example 90s or 10m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) time_limit: Option<Duration>,

    /// Give up when the process holds this much memory, for example 4GB
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<ByteSize>,
}

impl SearchArgs {
    pub(crate) fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, usize::from)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TierArg {
    Smoke,
    Nightly,
    Deep,
}

impl From<TierArg> for Tier {
    fn from(tier: TierArg) -> Tier {
        match tier {
            TierArg::Smoke => Tier::Smoke,
            TierArg::Nightly => Tier::Nightly,
            TierArg::Deep => Tier::Deep,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyArg {
    /// Our own, level by level: knows depths, finds shortest traces
    #[default]
    Level,
    /// Stateright's breadth-first search
    Bfs,
    /// Stateright's depth-first search: least memory
    Dfs,
    /// Stateright's random runs, for 10 s unless --time-limit says otherwise; never HOLDS
    Simulation,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only the configurations of a tier
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<TierArg>,

    /// List the properties and their witnesses instead
    #[arg(long)]
    pub(crate) properties: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// The trace
    pub(crate) trace: PathBuf,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    #[command(flatten)]
    pub(crate) diagrams: DiagramArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CoverageArgs {
    /// The configurations of which tier [default: smoke]
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<TierArg>,

    /// Write the rule map, over an earlier one
    #[arg(long, value_name = "FILE", conflicts_with = "tier")]
    pub(crate) write: Option<PathBuf>,

    /// Compare with a rule map
    #[arg(long, value_name = "FILE", conflicts_with = "tier")]
    pub(crate) check: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) search: SearchArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MutantArgs {
    /// Which mutants, for example EL-04 or commit-own-term-only [default: all]
    pub(crate) ids: Vec<String>,

    /// Only what configurations of the smoke tier decide
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<TierArg>,

    /// Write the kill matrix, over an earlier one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ids", "tier"])]
    pub(crate) write: Option<PathBuf>,

    /// Compare with the smoke part of a kill matrix
    #[arg(long, value_name = "FILE", conflicts_with = "ids")]
    pub(crate) check: Option<PathBuf>,

    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) search: SearchArgs,
}

impl MutantArgs {
    pub(crate) fn is_smoke(&self) -> bool {
        matches!(self.tier, Some(TierArg::Smoke))
    }
}

/// Pictures of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct DiagramArgs {
    /// Write a sequence diagram as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Write a sequence diagram in Mermaid's language
    #[arg(long, value_name = "FILE")]
    pub(crate) mermaid: Option<PathBuf>,

    /// The colours of the SVG picture
    #[arg(long, value_enum, value_name = "THEME", default_value_t, requires = "svg")]
    pub(crate) theme: ThemeArg,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ThemeArg {
    /// As the reader's system prefers
    #[default]
    Auto,
    Light,
    Dark,
}

impl From<ThemeArg> for Theme {
    fn from(theme: ThemeArg) -> Theme {
        match theme {
            ThemeArg::Auto => Theme::Auto,
            ThemeArg::Light => Theme::Light,
            ThemeArg::Dark => Theme::Dark,
        }
    }
}

/// The table of a run.
#[derive(Debug, clap::Args)]
pub(crate) struct TableArgs {
    /// The width of the table; what does not fit into a column goes on in the next line
    /// [default: that of the terminal, or 100]
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(40..))]
    width: Option<u16>,
}

impl TableArgs {
    pub(crate) fn width(&self) -> usize {
        self.width.map_or_else(terminal_width, usize::from)
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExploreArgs {
    /// The configuration
    pub(crate) config: String,

    /// Where to serve
    #[arg(long, default_value = "127.0.0.1:3000")]
    pub(crate) address: std::net::SocketAddr,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TraceArgs {
    /// The configuration
    pub(crate) config: String,

    /// The situation to reach; `raftcheck list --properties` names them
    #[arg(long, value_name = "NAME")]
    pub(crate) witness: String,

    /// Write the run as a trace file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    #[command(flatten)]
    pub(crate) diagrams: DiagramArgs,

    #[command(flatten)]
    pub(crate) search: SearchArgs,
}
