//! Results of checks that passed, by the key of everything that they read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::results::{CheckResult, Status};

/// A folder with results.
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens a folder, which need not exist.
    pub(crate) fn new(folder: PathBuf) -> Cache {
        Cache { folder }
    }

    /// Returns the result of a check that passed before with everything as it is now.
    pub(crate) fn get(&self, name: &str, key: &str) -> Option<CheckResult> {
        let text = std::fs::read_to_string(self.path(name)).ok()?;
        // A result of another version of this program, or half a file, is no result.
        let result: CheckResult = serde_json::from_str(&text).ok()?;
        let is_same = result.name == name && result.key == key && result.status == Status::Passed;
        is_same.then_some(result)
    }

    /// Keeps a result if it passed. A result that cannot be kept is found again.
    pub(crate) fn put(&self, result: &CheckResult) {
        self.put_time(&result.name, result.seconds);
        if result.status == Status::Passed
            && let Ok(text) = serde_json::to_string(result)
        {
            replace(&self.path(&result.name), text.as_bytes());
        }
    }

    /// Returns the time that a check took last.
    pub(crate) fn time(&self, name: &str) -> Option<Duration> {
        self.times().get(name).map(|seconds| Duration::from_secs_f64(seconds.max(0.0)))
    }

    fn put_time(&self, name: &str, seconds: f64) {
        let mut times = self.times();
        times.insert(name.to_owned(), seconds);
        if let Ok(text) = serde_json::to_string(&times) {
            replace(&self.folder.join("times.json"), text.as_bytes());
        }
    }

    fn times(&self) -> BTreeMap<String, f64> {
        let text = std::fs::read_to_string(self.folder.join("times.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}.json", file_name(name)))
    }
}

/// Returns a name of a file for the name of a check.
pub(crate) fn file_name(name: &str) -> String {
    let letter = |letter: char| if letter.is_alphanumeric() { letter } else { '-' };
    name.chars().map(letter).collect()
}

/// Writes a file in one step. A reader sees the old one or the new one.
fn replace(path: &Path, contents: &[u8]) {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = written.and_then(|()| std::fs::write(&new, contents));
    if written.and_then(|()| std::fs::rename(&new, path)).is_err() {
        let _ = std::fs::remove_file(&new);
    }
}
