//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Parser, Subcommand, ValueEnum};
use raft_checker::config::{Network, Tier};
use raft_checker::diagram::Theme;
use raft_checker::text_width::terminal_width;
use raft_cli::json::JsonArgs;
use raft_cli::options::{ThreadsArgs, positive_duration};
use serde::{Deserialize, Serialize};

/// Explores bounded Raft clusters exhaustively, with the transition functions that production runs,
/// and says whether the properties of the Raft paper hold. Without a command: checks the smoke tier.
#[derive(Debug, Parser)]
#[command(name = "raftcheck", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// A folder with bounded configurations [default: those that the program carries]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) configs: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 everything holds; 1 a property is violated; 2 wrong usage, configuration or trace;
4 something differs from the baseline; 5 a configuration did not test a property that it is for, a
rule is not exercised, or a mutant survives; 6 incomplete or interrupted; 70 internal error. Of
several, the first of 70, 2, 1, 6, 5, 4.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check configurations
    Check(CheckArgs),
    /// Accept what is explored as the baseline
    Bless(BlessArgs),
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
    /// Measure the engines, side by side
    Bench(BenchArgs),
}

impl Default for Command {
    fn default() -> Command {
        Command::Check(CheckArgs::default())
    }
}

#[derive(Debug, Default, clap::Args)]
pub(crate) struct CheckArgs {
    /// Names of configurations, or paths of TOML files [default: the smoke tier]
    #[arg(value_name = "CONFIG")]
    pub(crate) names: Vec<String>,

    /// All configurations of a tier
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<TierArg>,

    /// The network between the servers [default: the one that the configuration names]
    #[arg(long, value_enum)]
    pub(crate) network: Option<NetworkArg>,

    /// How to go through the states of a bounded network [default: dfs]. What is found is looked for
    /// again in level order, for a shortest run
    #[arg(long, value_enum)]
    pub(crate) strategy: Option<StrategyArg>,

    /// Where random runs begin to differ, with --strategy simulation [default: 0]
    #[arg(long, value_name = "SEED")]
    pub(crate) seed: Option<u64>,

    /// Count states that differ by a renaming of the servers as different
    #[arg(long)]
    pub(crate) no_symmetry: bool,

    #[command(flatten)]
    pub(crate) search: SearchArgs,

    #[command(flatten)]
    pub(crate) scale: ScaleArgs,

    #[command(flatten)]
    pub(crate) json: JsonArgs,

    /// Where traces of violations are written [default: raftcheck-traces]
    #[arg(long, value_name = "DIR")]
    pub(crate) traces: Option<PathBuf>,

    /// Compare counts, rules and local transitions with a baseline, for example specs/baseline.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,

    /// Write every local transition to a new file, a line each, to compare two versions of Raft
    #[arg(long, value_name = "FILE")]
    pub(crate) transitions: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BlessArgs {
    /// Names of configurations, or paths of TOML files [default: the smoke tier]
    #[arg(value_name = "CONFIG")]
    pub(crate) names: Vec<String>,

    /// All configurations of a tier
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<TierArg>,

    /// The baseline
    #[arg(long, value_name = "FILE", default_value = "specs/baseline.toml")]
    pub(crate) baseline: PathBuf,

    #[command(flatten)]
    pub(crate) search: SearchArgs,
}

/// What every search takes.
#[derive(Debug, Default, Clone, clap::Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) threads: ThreadsArgs,

    /// Give up on a configuration (or a mutant) after this time, for example 90s or 10m; a number alone
    /// is seconds
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub(crate) time_limit: Option<Duration>,

    /// Give up when the process holds this much memory, for example 4GB
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<ByteSize>,
}

/// What an exploration over any network takes that is long, or too large for one machine.
#[derive(Debug, Default, Clone, clap::Args)]
#[command(next_help_heading = "Long explorations: one configuration, over any network")]
pub(crate) struct ScaleArgs {
    /// Write checkpoints to this folder
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) checkpoint: Option<PathBuf>,

    /// Go on from the checkpoint in this folder, and write more
    #[arg(long, value_name = "DIR")]
    pub(crate) resume: Option<PathBuf>,

    /// With --checkpoint: go on from the checkpoint in the folder, if there is one
    #[arg(long, requires = "checkpoint")]
    pub(crate) or_resume: bool,

    /// The time between two checkpoints [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub(crate) checkpoint_every: Option<Duration>,

    /// Give up when the checkpoints of this process take more than this, for example 20GB
    #[arg(long, value_name = "SIZE")]
    pub(crate) disk_limit: Option<ByteSize>,

    /// Explore with other processes: a file with the address of each, one host:port on a line
    #[arg(long, value_name = "FILE", requires = "process")]
    pub(crate) hosts: Option<PathBuf>,

    /// Which of the hosts this process is, from 0 on
    #[arg(long, value_name = "I", requires = "hosts")]
    pub(crate) process: Option<usize>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkArg {
    /// Messages are lost, repeated and reordered without bounds
    Any,
    /// As the bounds of the configuration say
    Bounded,
}

impl From<NetworkArg> for Network {
    fn from(network: NetworkArg) -> Network {
        match network {
            NetworkArg::Any => Network::Any,
            NetworkArg::Bounded => Network::Bounded,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyArg {
    /// Our own, level by level: knows depths, finds shortest traces
    Level,
    /// Stateright's breadth-first search
    Bfs,
    /// Stateright's depth-first search: least time and memory
    #[default]
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
    #[arg(long, conflicts_with = "tier")]
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

    /// List the mutants instead of running them
    #[arg(long, exclusive = true)]
    pub(crate) list: bool,

    /// Only what configurations of the smoke tier decide
    #[arg(long, value_name = "TIER")]
    pub(crate) tier: Option<SmokeArg>,

    /// Write the kill matrix, over an earlier one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ids", "tier"])]
    pub(crate) write: Option<PathBuf>,

    /// Compare with the smoke part of a kill matrix
    #[arg(long, value_name = "FILE", conflicts_with = "ids")]
    pub(crate) check: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) json: JsonArgs,

    #[command(flatten)]
    pub(crate) search: SearchArgs,
}

/// The only tier that makes a difference to mutants: without it, each tries all its configurations.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SmokeArg {
    Smoke,
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

    /// Count states that differ by a renaming of the servers as different
    #[arg(long)]
    pub(crate) no_symmetry: bool,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    #[command(flatten)]
    pub(crate) diagrams: DiagramArgs,

    #[command(flatten)]
    pub(crate) search: SearchArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Names of configurations, or paths of TOML files [default: replication-3 and snapshot-3]
    #[arg(value_name = "CONFIG")]
    pub(crate) names: Vec<String>,

    /// Write a page with the table, over an earlier one
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,

    /// Write a plot of the states over time as SVG, over an earlier one
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Measure only this engine, on one configuration, and print the numbers as JSON
    #[arg(long, value_enum, hide = true, conflicts_with_all = ["write", "svg", "json"])]
    pub(crate) engine: Option<EngineArg>,

    /// The threads of that engine
    #[arg(long, hide = true, requires = "engine")]
    pub(crate) threads: Option<usize>,

    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// The ways to explore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EngineArg {
    Any,
    Level,
    Dfs,
    Bfs,
}

impl EngineArg {
    /// Returns its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            EngineArg::Any => "any",
            EngineArg::Level => "level",
            EngineArg::Dfs => "dfs",
            EngineArg::Bfs => "bfs",
        }
    }

    /// Returns its name in tables.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            EngineArg::Any => "any network",
            EngineArg::Level => "bounded, level order",
            EngineArg::Dfs => "bounded, stateright DFS",
            EngineArg::Bfs => "bounded, stateright BFS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }
}
