//! The option `--json FILE`, which is the same in every program.

use std::io::Write;
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
    /// Returns whether there is a file to write.
    pub fn is_wanted(&self) -> bool {
        self.path.is_some()
    }

    /// Checks before the work begins that the results can be written. Returns the output for the
    /// text for people, and the file for the results.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn open(&self) -> Result<(Output, JsonFile), FileError> {
        let file = self.destination()?;
        let to_stdout = file.as_ref().is_some_and(Destination::is_stdout);
        let out = if to_stdout { Output::stderr() } else { Output::stdout() };
        Ok((out, JsonFile(file)))
    }

    /// Opens the file, if one is given, for results that are written in several steps.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn stream(&self) -> Result<Option<Box<dyn Write>>, FileError> {
        self.destination()?.map(Destination::stream).transpose()
    }

    fn destination(&self) -> Result<Option<Destination>, FileError> {
        let new = |path: &PathBuf| {
            Destination::new(path, self.force).map_err(|error| match error {
                FileError::Exists { path, .. } => FileError::Exists { path, can_force: true },
                error => error,
            })
        };
        self.path.as_ref().map(new).transpose()
    }
}

/// The destination of the results, if they are wanted.
#[derive(Debug)]
pub struct JsonFile(Option<Destination>);

impl JsonFile {
    /// Writes the results, if they are wanted.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    ///
    /// # Panics
    ///
    /// If the results cannot be written as JSON, for example because the keys of a map are not
    /// strings.
    pub fn write(&self, results: &impl Serialize) -> Result<(), FileError> {
        let Some(destination) = &self.0 else { return Ok(()) };
        let text = serde_json::to_string_pretty(results).expect("results are plain data");
        destination.write((text + "\n").as_bytes())
    }
}
