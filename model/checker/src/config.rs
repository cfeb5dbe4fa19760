//! Bounded configurations: small TOML files that say how large a cluster is explored, and what that
//! leaves out.

use std::path::{Path, PathBuf};

use raft_core::{Limits, Paper};
use raft_trace::{ApplyMode, DiskMode, Settings};
use serde::{Deserialize, Serialize};

use crate::cluster::budget::Bounds;
use crate::packed::{MAX_IN_FLIGHT, MAX_SERVERS};
use crate::script::{BadLine, Start};

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
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Smoke => "smoke",
            Tier::Nightly => "nightly",
            Tier::Deep => "deep",
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
    /// The cluster.
    pub settings: Settings,
    /// How much may happen.
    pub bounds: Bounds,
    /// Whether every state is asked whether every majority can recover from it.
    pub recover: bool,
    /// What happens before the search begins, line by line; empty if it begins with the first start
    /// of the cluster.
    pub script: Vec<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML of the right form.
    #[error("{path}: {message}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Its contents.
        text: String,
        /// Where in the contents the mistake is, in bytes.
        span: std::ops::Range<usize>,
        /// What is wrong.
        message: String,
    },
    /// Numbers that cannot be explored.
    #[error("{name}: {reason}")]
    Bounds {
        /// Which configuration.
        name: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A line of the script says nothing that could happen there.
    #[error(
        "{name}: step {step} of the script, {line:?}, is not possible; possible are: {possible}"
    )]
    Script {
        /// Which configuration.
        name: String,
        /// The line's place, counted from 1.
        step: usize,
        /// The line.
        line: String,
        /// What could happen instead.
        possible: String,
    },
    /// No configuration has this name.
    #[error("there is no configuration {name:?}")]
    Unknown {
        /// The name.
        name: String,
        /// Names that are spelled much the same.
        nearest: Vec<String>,
    },
    /// No configuration belongs to this tier.
    #[error("no configuration belongs to the tier {0}")]
    EmptyTier(&'static str),
    /// There are no configurations at all.
    #[error("no folder specs/configs here or above; name a folder with --configs")]
    NoFolder,
}

/// The file, word for word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    tier: Tier,
    about: String,
    #[serde(rename = "leaves-out")]
    leaves_out: String,
    servers: u64,
    batch: usize,
    window: usize,
    disk: DiskMode,
    apply: ApplyMode,
    #[serde(default)]
    recover: bool,
    #[serde(default)]
    script: Vec<String>,
    bounds: Bounds,
}

/// How many reads a leader of a bounded cluster keeps waiting; more than any bound on reads.
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
            settings: Settings {
                servers: file.servers,
                limits: Limits { batch: file.batch, window: file.window, reads: READS_WAITING },
                disk: file.disk,
                apply: file.apply,
            },
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
    /// [`ConfigError`], but not that the name is unknown.
    pub fn read(path: &Path) -> Result<BoundedConfig, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
        BoundedConfig::parse(path, &text)
    }

    /// Whether its script can happen with the transition functions as they are. Searches skip the
    /// lines that cannot, so that a change of the functions is searched all the same.
    ///
    /// # Errors
    ///
    /// The first line that is not possible.
    pub fn check_script(&self) -> Result<(), ConfigError> {
        self.try_script()
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
        } else {
            return Ok(());
        };
        Err(ConfigError::Bounds { name: self.name.clone(), reason })
    }
}

impl BoundedConfig {
    fn try_script(&self) -> Result<(), ConfigError> {
        let bad = |line: BadLine| ConfigError::Script {
            name: self.name.clone(),
            step: line.step,
            line: line.line,
            possible: line.possible.join("; "),
        };
        Start::check(self).map_err(bad)?;
        let waiting: usize = Start::of(self, &Paper).cluster.network.values().sum();
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

/// The configurations in a folder.
pub struct Catalog {
    configs: Vec<BoundedConfig>,
}

impl Catalog {
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
        let mut configs =
            paths.iter().map(|path| BoundedConfig::read(path)).collect::<Result<Vec<_>, _>>()?;
        configs.sort_by(|a, b| (a.tier, &a.name).cmp(&(b.tier, &b.name)));
        Ok(Catalog { configs })
    }

    /// Finds `specs/configs` here or in a folder above, and else in the sources that this program
    /// was built from.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoFolder`] if there is none.
    pub fn folder() -> Result<PathBuf, ConfigError> {
        let here = std::env::current_dir().unwrap_or_default();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = here.ancestors().chain(sources.ancestors());
        let mut candidates = folders.map(|folder| folder.join("specs/configs"));
        candidates.find(|folder| folder.is_dir()).ok_or(ConfigError::NoFolder)
    }

    /// All configurations, smoke first.
    pub fn all(&self) -> &[BoundedConfig] {
        &self.configs
    }

    /// The configurations of a tier.
    pub fn tier(&self, tier: Tier) -> Vec<BoundedConfig> {
        self.configs.iter().filter(|config| config.tier == tier).cloned().collect()
    }

    /// The configurations of these names, and those of a tier; those of the smoke tier if nothing is
    /// asked for.
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
            let of_tier = self.tier(tier);
            if of_tier.is_empty() {
                return Err(ConfigError::EmptyTier(tier.name()));
            }
            configs.extend(of_tier);
        }
        Ok(configs)
    }

    /// The configuration of that name, or the one in that file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unknown`] with the nearest names, or what is wrong with the file.
    pub fn find(&self, name: &str) -> Result<BoundedConfig, ConfigError> {
        if let Some(config) = self.configs.iter().find(|config| config.name == name) {
            return Ok(config.clone());
        }
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "toml") {
            return BoundedConfig::read(path);
        }
        let distance = |config: &BoundedConfig| strsim::damerau_levenshtein(name, &config.name);
        let mut nearest: Vec<_> =
            self.configs.iter().map(|config| (distance(config), config.name.clone())).collect();
        nearest.sort();
        let nearest = nearest.into_iter().take(3).map(|(_, name)| name).collect();
        Err(ConfigError::Unknown { name: name.to_owned(), nearest })
    }
}
