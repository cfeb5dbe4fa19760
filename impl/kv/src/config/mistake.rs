//! The mistakes in a configuration, and their places in the file.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, TABLES, Table, of_table};

/// A key whose value cannot be used, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct KeyError {
    key: String,
    message: String,
}

impl KeyError {
    /// Creates an error for a key, such as `timing.heartbeat` or `members[2].peer` (the second
    /// member). `message` describes the mistake.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> KeyError {
        KeyError { key: key.into(), message: message.into() }
    }

    pub(super) fn refuse(
        key: impl Into<String>,
        message: impl Into<String>,
    ) -> Result<(), KeyError> {
        Err(KeyError::new(key, message))
    }

    /// Returns the same error with the place of the key in the configuration file `path`.
    pub fn in_file(&self, path: &Path) -> ConfigError {
        match std::fs::read_to_string(path) {
            Ok(text) => Source { path, text: &text }.mistake(self),
            Err(error) => ConfigError::Read { path: path.to_owned(), error },
        }
    }
}

/// The reason why a configuration cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {error}", path.display())]
    #[diagnostic(help("name the file with --config; `raftd run --help` shows what stands in it"))]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: std::io::Error,
    },
    /// The content of the file cannot be used.
    #[error("{message}")]
    Mistake {
        /// A description of the mistake.
        message: String,
        /// Advice on how to correct the mistake.
        #[help]
        help: String,
        /// The file's text.
        #[source_code]
        text: Arc<NamedSource<String>>,
        /// The place of the mistake in the text, if there is one.
        #[label("here")]
        place: Option<SourceSpan>,
    },
}

impl ConfigError {
    /// Returns the error in one line of text, with the name of the file and the number of the line.
    pub fn one_line(&self) -> String {
        let ConfigError::Mistake { message, help, text, place } = self else {
            return self.to_string();
        };
        let line = place.map_or(String::new(), |place| {
            let before = text.inner().as_bytes().iter().take(place.offset());
            format!(":{}", before.filter(|byte| **byte == b'\n').count() + 1)
        });
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{}{line}: {message} ({help})", text.name())
    }
}

/// The text of a configuration, in which the places of mistakes are found.
pub(super) struct Source<'t> {
    pub(super) path: &'t Path,
    pub(super) text: &'t str,
}

impl Source<'_> {
    /// Returns the error for a key whose value cannot be used.
    pub(super) fn mistake(&self, error: &KeyError) -> ConfigError {
        let help = "`raftd run --help` describes every key".to_owned();
        self.error(error.to_string(), help, self.place(&error.key))
    }

    /// Returns the error for a text that the parser rejects.
    pub(super) fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message().trim_end().to_owned();
        let misplaced = error.span().and_then(|span| self.misplaced(&message, span));
        if let Some((message, help)) = misplaced {
            return self.error(message, help, error.span());
        }
        let (help, place) = if message.starts_with("missing field") {
            // The place of this error would be the whole table.
            ("`raftd run --help` shows an example with every key that is required", None)
        } else {
            ("`raftd run --help` describes every key", error.span())
        };
        self.error(message, help.to_owned(), place)
    }

    fn error(&self, message: String, help: String, place: Option<Range<usize>>) -> ConfigError {
        let text = NamedSource::new(self.path.display().to_string(), self.text.to_owned());
        ConfigError::Mistake { message, help, text: Arc::new(text), place: place.map(Into::into) }
    }

    /// Returns the message and the advice for a key that belongs to another table, but was written
    /// after the header of this one.
    fn misplaced(&self, message: &str, span: Range<usize>) -> Option<(String, String)> {
        let (name, _) = message.strip_prefix("unknown field `")?.split_once('`')?;
        let here = self.table_of(&span)?;
        let key = KEYS.iter().find(|key| key.name == name && key.table != here.name)?;
        let home = TABLES.iter().find(|table| table.name == key.table)?;
        let others = of_table(here.name).map(|key| format!("`{}`", key.name));
        let others = others.collect::<Vec<_>>().join(", ");
        let inside = if here.name.is_empty() { "at the" } else { "inside the table" };
        let message = format!("`{name}` stands {inside} {}, which has only {others}", here.header);
        let help = match home.name {
            "" => format!("move `{name}` up, above the first line with a [table]"),
            _ => format!("move `{name}` into the table {}", home.header),
        };
        Some((message, help))
    }

    /// Returns the table that contains the key at this place.
    fn table_of(&self, span: &Range<usize>) -> Option<&'static Table> {
        let root = DeTable::parse(self.text).ok()?.into_inner();
        let holds = |table: &DeTable<'_>| table.keys().any(|key| key.span() == *span);
        let within = |value: &DeValue<'_>| match value {
            DeValue::Table(table) => holds(table),
            DeValue::Array(items) => {
                items.iter().any(|item| item.get_ref().as_table().is_some_and(holds))
            }
            _ => false,
        };
        let name = if holds(&root) {
            ""
        } else {
            root.iter().find(|(_, value)| within(value.get_ref()))?.0.get_ref().as_ref()
        };
        TABLES.iter().find(|table| table.name == name)
    }

    /// Returns the place of a key's value, if the file contains the key.
    fn place(&self, key: &str) -> Option<Range<usize>> {
        let root = DeTable::parse(self.text).ok()?.into_inner();
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        let table = match table.split_once('[') {
            None if table.is_empty() => &root,
            None => root.get(table)?.get_ref().as_table()?,
            Some((array, number)) => {
                let number: usize = number.strip_suffix(']')?.parse().ok()?;
                root.get(array)?.get_ref().as_array()?.get(number - 1)?.get_ref().as_table()?
            }
        };
        Some(table.get(name)?.span())
    }
}
