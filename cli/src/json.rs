//! `--json FILE`, the same in every program.

use std::path::PathBuf;

use serde::Serialize;

use crate::file::{Destination, FileError};
use crate::output::Output;

/// Results for programs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct JsonArgs {
    /// Write the results to a new file, as JSON; - is standard output, and the text goes to standard
    /// error then
    #[arg(long = "json", value_name = "FILE", id = "json")]
    path: Option<PathBuf>,

    /// Overwrite an existing JSON file
    #[arg(long, requires = "json")]
    force: bool,
}

impl JsonArgs {
    /// Finds out whether the results can be written, before the work begins, and says where the text
    /// for people goes.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn open(&self) -> Result<(Output, JsonFile), FileError> {
        let new = |path: &PathBuf| Destination::new(path, self.force);
        let file = JsonFile(self.path.as_ref().map(new).transpose()?);
        let to_stdout = file.0.as_ref().is_some_and(Destination::is_stdout);
        Ok((if to_stdout { Output::stderr() } else { Output::stdout() }, file))
    }
}

/// Where the results go, if they are wanted.
#[derive(Debug)]
pub struct JsonFile(Option<Destination>);

impl JsonFile {
    /// Writes the results, if they are wanted.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn write(&self, results: &impl Serialize) -> Result<(), FileError> {
        let Some(destination) = &self.0 else { return Ok(()) };
        let text = serde_json::to_string_pretty(results).expect("results are plain data");
        destination.write((text + "\n").as_bytes())
    }
}
