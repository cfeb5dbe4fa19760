//! Bounded configurations: small TOML files that define the cluster to explore, and describe the
//! cases that it leaves out.

use std::path::{Path, PathBuf};

use raft_core::{Limits, Paper};
use raft_explore::MAX_SERVERS;
use raft_trace::{ApplyMode, DiskMode, Settings};
use serde::{Deserialize, Serialize};

use raft_explore::bounded_network::MAX_IN_FLIGHT;

use crate::cluster::budget::Bounds;
use crate::properties::{Property, PropertySet};
use crate::script::{BadLine, Script};

/// How much time a configuration is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// All together at most a minute on two cores: for every change.
    Smoke,
    /// All together at most half an hour.
    Nightly,
    /// As long as it takes.
    Deep,
}

impl Tier {
    /// Returns its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Smoke => "smoke",
            Tier::Nightly => "nightly",
            Tier::Deep => "deep",
        }
    }
}

/// The network between the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Any number of messages in flight, each lost and repeated at will, and any number of heartbeats.
    Any,
    /// As the bounds say.
    #[default]
    Bounded,
}

impl Network {
    /// Returns its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Network::Any => "any",
            Network::Bounded => "bounded",
        }
    }
}

/// A cluster, its bounds and what they leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundedConfig {
    /// Its name, which is that of its file.
    pub name: String,
    /// How much time it is worth.
    pub tier: Tier,
    /// What it is for.
    pub about: String,
    /// What its bounds leave out, in words.
    pub leaves_out: String,
    /// The properties that it is for: to explore it without testing one of them is a failure. None if
    /// the file does not say.
    pub properties: Option<PropertySet>,
    /// The cluster.
    pub settings: Settings,
    /// The network that a check explores. The bounds on messages and heartbeats then hold for runs
    /// that have to be shortest ones, and for mutants.
    pub network: Network,
    /// The tier in which a check explores any network as well, if the network has bounds.
    pub any_network_in: Option<Tier>,
    /// How much may happen.
    pub bounds: Bounds,
    /// Whether every state is asked whether every majority can recover from it.
    pub recover: bool,
    /// What happens before the search begins, line by line; empty if it begins with the first start
    /// of the cluster.
    pub script: Vec<String>,
}

/// The reason why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not TOML of the right form.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Its contents.
        text: String,
        /// The place of the mistake in the contents, in bytes.
        span: std::ops::Range<usize>,
        /// The mistake.
        message: String,
    },
    /// Numbers that cannot be explored.
    #[error("{name}: {reason}")]
    Bounds {
        /// The configuration.
        name: String,
        /// The mistake in the numbers.
        reason: String,
    },
    /// A line of the script names no action that is possible there.
    #[error(
        "{name}: step {step} of the script, {line:?}, is not possible; possible are: {possible}"
    )]
    Script {
        /// The configuration.
        name: String,
        /// The line's place, counted from 1.
        step: usize,
        /// The line.
        line: String,
        /// The actions that are possible there.
        possible: String,
    },
    /// No configuration has this name.
    #[error("there is no configuration {name:?}")]
    Unknown {
        /// The name.
        name: String,
        /// Names with a similar spelling, if there are any.
        nearest: Vec<String>,
    },
    /// No configuration belongs to this tier.
    #[error("no configuration belongs to the tier {0}")]
    EmptyTier(&'static str),
}

/// The file, word for word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    tier: Tier,
    about: String,
    #[serde(rename = "leaves-out")]
    leaves_out: String,
    properties: Option<Vec<Property>>,
    servers: u64,
    batch: usize,
    window: usize,
    disk: DiskMode,
    apply: ApplyMode,
    #[serde(default)]
    network: Network,
    any_network_in: Option<Tier>,
    #[serde(default)]
    recover: bool,
    #[serde(default)]
    script: Vec<String>,
    bounds: Bounds,
}

/// The number of reads that a leader of a bounded cluster keeps waiting at most; higher than any
/// bound on reads.
const READS_WAITING: usize = 1024;

impl BoundedConfig {
    /// Reads a configuration from the text of its file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Syntax`] or [`ConfigError::Bounds`].
    pub fn parse(path: &Path, text: &str) -> Result<BoundedConfig, ConfigError> {
        let file: File = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            text: text.to_owned(),
            span: error.span().unwrap_or(0..0),
            message: error.message().to_owned(),
        })?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let config = BoundedConfig {
            name: name.unwrap_or_default(),
            tier: file.tier,
            about: file.about,
            leaves_out: file.leaves_out,
            properties: file.properties.map(|properties| properties.into_iter().collect()),
            settings: Settings {
                servers: file.servers,
                limits: Limits { batch: file.batch, window: file.window, reads: READS_WAITING },
                disk: file.disk,
                apply: file.apply,
            },
            network: file.network,
            any_network_in: file.any_network_in,
            bounds: file.bounds,
            recover: file.recover,
            script: file.script,
        };
        config.check()?;
        Ok(config)
    }

    /// Reads a configuration from a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], except [`ConfigError::Unknown`].
    pub fn read(path: &Path) -> Result<BoundedConfig, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
        BoundedConfig::parse(path, &text)
    }

    /// Checks whether every line of its script is possible with the transition functions as they
    /// are. A search skips the lines that are not, so that changed functions can be explored as
    /// well.
    ///
    /// # Errors
    ///
    /// The first line that is not possible.
    pub fn check_script(&self) -> Result<(), ConfigError> {
        self.try_script()
    }

    /// Returns whether the file says that it is for this property.
    fn is_for(&self, property: Property) -> bool {
        self.properties.is_some_and(|properties| properties.contains(property))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Settings { servers, limits, .. } = &self.settings;
        let in_flight = self.bounds.in_flight;
        let others = usize::try_from(*servers).unwrap_or(usize::MAX).saturating_sub(1);
        let reason = if *servers == 0 || *servers > MAX_SERVERS as u64 {
            format!("servers = {servers}; between 1 and {MAX_SERVERS} can be explored")
        } else if limits.batch == 0 || limits.window == 0 {
            "batch and window must be at least 1, or nothing is ever replicated".to_owned()
        } else if self.bounds.max_term == 0 || self.bounds.max_term > 64 {
            format!("max_term = {}; it must be between 1 and 64", self.bounds.max_term)
        } else if in_flight < others || in_flight > MAX_IN_FLIGHT {
            format!(
                "in_flight = {in_flight}; it must be at least {others}, so that a candidate can ask \
                 everybody at once, and at most {MAX_IN_FLIGHT}"
            )
        } else if self.leaves_out.trim().is_empty() {
            "leaves-out must say what the bounds leave out".to_owned()
        } else if self.any_network_in.is_some() && self.network == Network::Any {
            "any-network-in is for a configuration with a bounded network".to_owned()
        } else if self.is_for(Property::CanRecover) && !self.recover {
            "it is for can-recover, which needs recover = true".to_owned()
        } else {
            return Ok(());
        };
        Err(ConfigError::Bounds { name: self.name.clone(), reason })
    }
}

impl BoundedConfig {
    /// Returns the script that leads to the start of the search.
    pub(crate) fn script(&self) -> Script<'_> {
        Script { settings: &self.settings, bounds: &self.bounds, lines: &self.script }
    }

    fn try_script(&self) -> Result<(), ConfigError> {
        let bad = |line: BadLine| ConfigError::Script {
            name: self.name.clone(),
            step: line.step,
            line: line.line,
            possible: line.possible.join("; "),
        };
        self.script().check().map_err(bad)?;
        let waiting: usize = self.script().start(&Paper).cluster.network.values().sum();
        if waiting > self.bounds.in_flight {
            let reason = format!(
                "the script ends with {waiting} messages on the network, and in_flight = {}",
                self.bounds.in_flight
            );
            return Err(ConfigError::Bounds { name: self.name.clone(), reason });
        }
        Ok(())
    }
}

/// Configurations to choose from.
pub struct Catalog {
    configs: Vec<BoundedConfig>,
}

impl Catalog {
    /// Opens the configurations in a folder, or those that the program carries.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] of the first file that cannot be used.
    pub fn open(folder: Option<&Path>) -> Result<Catalog, ConfigError> {
        folder.map_or_else(Catalog::embedded, Catalog::read)
    }

    /// Returns the configurations of `specs/configs` as they were when the program was built.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] of the first one that cannot be used.
    pub fn embedded() -> Result<Catalog, ConfigError> {
        let parse = |(name, text): &(&str, &str)| {
            BoundedConfig::parse(Path::new(&format!("specs/configs/{name}.toml")), text)
        };
        EMBEDDED.iter().map(parse).collect::<Result<Vec<_>, _>>().map(Catalog::sorted)
    }

    /// Reads all `*.toml` files of a folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] of the first file that cannot be used.
    pub fn read(folder: &Path) -> Result<Catalog, ConfigError> {
        let io = |source| ConfigError::Io { path: folder.to_owned(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        let configs = paths.iter().map(|path| BoundedConfig::read(path));
        configs.collect::<Result<Vec<_>, _>>().map(Catalog::sorted)
    }

    fn sorted(mut configs: Vec<BoundedConfig>) -> Catalog {
        configs.sort_by(|a, b| (a.tier, &a.name).cmp(&(b.tier, &b.name)));
        Catalog { configs }
    }

    /// Returns all configurations, smoke first.
    pub fn all(&self) -> &[BoundedConfig] {
        &self.configs
    }

    /// Returns the configurations of a tier.
    pub fn tier(&self, tier: Tier) -> Vec<BoundedConfig> {
        self.configs.iter().filter(|config| config.tier == tier).cloned().collect()
    }

    /// Returns the configurations with these names and those of a tier, each once. Without names
    /// and without a tier, returns those of the smoke tier. A configuration that belongs to the tier
    /// over any network only has this network.
    ///
    /// # Errors
    ///
    /// As for [`find`](Catalog::find), and [`ConfigError::EmptyTier`].
    pub fn choose(
        &self,
        names: &[String],
        tier: Option<Tier>,
    ) -> Result<Vec<BoundedConfig>, ConfigError> {
        let mut configs = Vec::new();
        for name in names {
            configs.push(self.find(name)?);
        }
        if let Some(tier) = tier.or(names.is_empty().then_some(Tier::Smoke)) {
            let mut of_tier = self.tier(tier);
            let also = self.configs.iter().filter(|config| config.any_network_in == Some(tier));
            of_tier.extend(also.map(|config| BoundedConfig {
                network: Network::Any,
                any_network_in: None,
                ..config.clone()
            }));
            if of_tier.is_empty() {
                return Err(ConfigError::EmptyTier(tier.name()));
            }
            configs.extend(of_tier);
        }
        let mut once = Vec::new();
        for config in configs {
            if !once.contains(&config) {
                once.push(config);
            }
        }
        Ok(once)
    }

    /// Returns the configuration with that name, or the one in that file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unknown`] with the nearest names, or the error of the file.
    pub fn find(&self, name: &str) -> Result<BoundedConfig, ConfigError> {
        if let Some(config) = self.configs.iter().find(|config| config.name == name) {
            return Ok(config.clone());
        }
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "toml") {
            return BoundedConfig::read(path);
        }
        let names = self.configs.iter().map(|config| config.name.as_str());
        let nearest = raft_cli::options::similar(name, names);
        Err(ConfigError::Unknown { name: name.to_owned(), nearest })
    }
}

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../specs/configs/", $name, ".toml")))),*]
    };
}

/// Names and texts of the files of `specs/configs`.
const EMBEDDED: &[(&str, &str)] = &embedded![
    "commit-3",
    "commit-3-commands",
    "election-2",
    "election-3",
    "election-3-terms",
    "election-4",
    "election-4-votes",
    "election-5",
    "everything-3",
    "figure-8-3",
    "figure-8-end-3",
    "old-answer-5",
    "old-match-5",
    "persistence-2",
    "persistence-3",
    "persistence-3-commands",
    "persistence-3-repeats",
    "persistence-3-terms",
    "reads-3",
    "reads-3-rounds",
    "reads-3-terms",
    "reads-crash-3",
    "reads-queue-3",
    "reads-snapshot-crash-3",
    "recover-2-snapshot",
    "recover-3",
    "recover-3-queue",
    "recover-3-snapshot",
    "replication-3",
    "replication-3-batches",
    "replication-3-wide",
    "replication-5",
    "restore-3-queue",
    "snapshot-2",
    "snapshot-3",
    "snapshot-3-terms",
    "snapshot-3-two",
    "snapshot-5",
    "snapshot-crash-3",
    "snapshot-crash-3-commands",
    "snapshot-crash-3-terms",
    "snapshot-late-3",
    "snapshot-queue-3",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_specs_configs_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/configs");
        let files = std::fs::read_dir(folder).expect("the folder is there");
        let names: BTreeSet<String> = files
            .map(|file| file.expect("a file").path().with_extension(""))
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect();
        let embedded: BTreeSet<String> =
            EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(embedded, names);
    }

    #[test]
    fn each_embedded_configuration_says_what_it_is_for_and_smoke_is_for_everything() {
        let catalog = Catalog::embedded().expect("they are sound");
        let mut smoke = PropertySet::default();
        for config in catalog.all() {
            let properties = config.properties.unwrap_or_default();
            assert!(!properties.is_empty(), "{} is for nothing", config.name);
            if config.tier == Tier::Smoke {
                smoke.extend(properties);
            }
        }
        assert_eq!(smoke, PropertySet::all());
    }
}
