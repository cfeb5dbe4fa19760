//! Files that a program writes at its end. At its start it checks that they can be written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::output::is_closed;

/// The reason why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file exists, and the user has not allowed to overwrite it.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
        /// Whether the program has an option to overwrite it.
        can_force: bool,
    },
    /// The operating system refuses the operation.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// `--force` is given for standard output, where nothing can be overwritten.
    #[error("--force has no effect on standard output")]
    NothingToForce,
}

impl FileError {
    /// Returns advice for the user, if there is any.
    pub fn help(&self) -> Option<String> {
        match self {
            FileError::Exists { can_force: true, .. } => {
                Some("name another file, or say --force to overwrite it".to_owned())
            }
            FileError::Exists { .. } => Some("name another file".to_owned()),
            FileError::Write { .. } => None,
            FileError::NothingToForce => Some("leave it out".to_owned()),
        }
    }
}

/// The destination of the results of a long computation. There is no new file before the results
/// are written.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Stdout,
    /// A file that does not exist yet.
    New,
    /// A file that may be overwritten.
    Existing,
    /// An open device or pipe.
    Special(File),
}

impl Destination {
    /// Checks that the file can be written. `-` is standard output.
    ///
    /// # Errors
    ///
    /// [`FileError`]: the file exists and `force` is not set, `force` is set for standard output,
    /// or the operating system refuses the operation.
    pub fn new(path: &Path, force: bool) -> Result<Destination, FileError> {
        let failed = |source| FileError::Write { path: path.to_owned(), source };
        let kind = if path == Path::new("-") {
            if force {
                return Err(FileError::NothingToForce);
            }
            Kind::Stdout
        } else {
            match std::fs::metadata(path) {
                Ok(found) if found.is_file() || found.is_dir() => {
                    if !force {
                        return Err(FileError::Exists { path: path.to_owned(), can_force: false });
                    }
                    OpenOptions::new().write(true).open(path).map_err(failed)?;
                    Kind::Existing
                }
                Ok(_) => Kind::Special(OpenOptions::new().write(true).open(path).map_err(failed)?),
                Err(_) => {
                    write_new(path, b"")?;
                    std::fs::remove_file(path).map_err(failed)?;
                    Kind::New
                }
            }
        };
        Ok(Destination { path: path.to_owned(), kind })
    }

    /// Returns whether the destination is standard output.
    pub fn is_stdout(&self) -> bool {
        matches!(self.kind, Kind::Stdout)
    }

    /// Opens the destination for results that are written in several steps.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn stream(self) -> Result<Box<dyn Write>, FileError> {
        let path = self.path;
        let mut options = OpenOptions::new();
        let options = match self.kind {
            Kind::Stdout => return Ok(Box::new(io::stdout())),
            Kind::Special(file) => return Ok(Box::new(file)),
            Kind::New => options.write(true).create_new(true),
            Kind::Existing => options.write(true).truncate(true),
        };
        match options.open(&path) {
            Ok(file) => Ok(Box::new(file)),
            Err(source) => Err(FileError::Write { path, source }),
        }
    }

    /// Writes the results. A closed standard output is not an error.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn write(&self, contents: &[u8]) -> Result<(), FileError> {
        let written = match &self.kind {
            Kind::New => return write_new(&self.path, contents),
            Kind::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(contents).and_then(|()| out.flush())
            }
            Kind::Existing => std::fs::write(&self.path, contents),
            Kind::Special(file) => {
                let mut file = file;
                file.write_all(contents)
            }
        };
        match written {
            Err(error) if self.is_stdout() && is_closed(&error) => Ok(()),
            Err(source) => Err(FileError::Write { path: self.path.clone(), source }),
            Ok(()) => Ok(()),
        }
    }
}

/// Creates a file that must not exist yet, and writes it. An incomplete file is removed.
///
/// # Errors
///
/// [`FileError`].
pub fn write_new(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => {
            FileError::Exists { path: path.to_owned(), can_force: false }
        }
        _ => FileError::Write { path: path.to_owned(), source },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(contents).map_err(|source| {
        let _ = std::fs::remove_file(path);
        failed(source)
    })
}

/// Checks that files can be created in a folder, which need not exist yet. Leaves no files there.
///
/// # Errors
///
/// [`FileError::Write`] if files cannot be created.
pub fn probe_folder(folder: &Path) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: folder.to_owned(), source };
    let exists = |folder: &&Path| folder.as_os_str().is_empty() || folder.exists();
    let present = folder.ancestors().find(exists).unwrap_or(Path::new(""));
    let present = if present.as_os_str().is_empty() { Path::new(".") } else { present };
    if !present.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    let probe = present.join(format!(".probe-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&probe);
    made.and_then(|_| std::fs::remove_file(&probe)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_before_it_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new.json");
        let destination = Destination::new(&path, false).expect("it can be written");
        assert!(!path.exists());
        destination.write(b"results").expect("it is written");
        assert_eq!(std::fs::read(&path).expect("a file"), b"results");
    }

    #[test]
    fn an_existing_file_is_refused_and_kept_unless_forced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("old.json");
        std::fs::write(&path, "old").expect("the folder is ours");
        let refused = Destination::new(&path, false);
        assert!(matches!(refused, Err(FileError::Exists { .. })), "{refused:?}");
        let forced = Destination::new(&path, true).expect("it can be overwritten");
        assert_eq!(std::fs::read(&path).expect("a file"), b"old", "not before the end");
        forced.write(b"new").expect("it is written");
        assert_eq!(std::fs::read(&path).expect("a file"), b"new");
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new.json");
        let destination = Destination::new(&path, false).expect("it can be written");
        std::fs::write(&path, "somebody else's").expect("the folder is ours");
        let refused = destination.write(b"results");
        assert!(matches!(refused, Err(FileError::Exists { .. })), "{refused:?}");
        assert_eq!(std::fs::read(&path).expect("a file"), b"somebody else's");
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("the folder is ours");
        for path in [file.join("below.json"), folder.path().join("nowhere/a.json")] {
            let refused = Destination::new(&path, true);
            assert!(matches!(refused, Err(FileError::Write { .. })), "{refused:?}");
        }
        assert!(Destination::new(folder.path(), true).is_err(), "a folder is no file");
        assert!(probe_folder(&file.join("below")).is_err());
        probe_folder(&folder.path().join("a/b")).expect("it can be made");
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1, "probing leaves nothing");
    }
}
