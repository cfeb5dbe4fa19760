//! Where a server keeps its files: a directory on a disk, or a simulated one that loses its power
//! between any two operations.

use std::fmt::Debug;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::FileBackend;

/// An open file. What is written may be lost in a power loss until it was synced.
pub type File = Box<dyn StorageBackend>;

/// A directory, which everything that a server keeps goes through.
///
/// As on a real disk, what is done to names is durable after the next [`sync`](Directory::sync), and
/// what is done to the contents of a file after the file's own.
pub trait Directory: Debug + Send + Sync {
    /// Opens a file for this process alone, for as long as it is open, and makes it if it is not
    /// there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ResourceBusy`] if another process has it, and whatever the file system reports.
    fn open_alone(&self, name: &str) -> io::Result<File>;

    /// Opens a file that is there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], and whatever the file system reports.
    fn open(&self, name: &str) -> io::Result<File>;

    /// Makes a file, empty also if it was there.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn create(&self, name: &str) -> io::Result<File>;

    /// Gives a file another name, in place of whatever had that.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Whoever has it open still has it.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files and directories in it, in no particular order.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Whether there is a file or directory of that name.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn contains(&self, name: &str) -> io::Result<bool> {
        Ok(self.list()?.iter().any(|found| found == name))
    }

    /// Makes what was done to names durable.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn sync(&self) -> io::Result<()>;

    /// A directory inside, which is made if it is not there. Like the name of a file, its name, and
    /// with it everything inside, is durable after the next [`sync`](Directory::sync) only.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn make_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>>;

    /// A directory inside, which is made if it is not there, durably.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        let inside = self.make_directory(name)?;
        // Also if it was there: whoever made it may have ended before this.
        self.sync()?;
        Ok(inside)
    }

    /// What to call a file when talking to people.
    fn path(&self, name: &str) -> PathBuf;
}

/// A directory of the operating system.
#[derive(Clone, Debug)]
pub struct OsDirectory(PathBuf);

impl OsDirectory {
    /// The directory at a path; it is made, with those above it, if it is not there, durably. What is
    /// made in it, and it itself, is for the owner alone.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    pub fn at(path: &Path) -> io::Result<Arc<OsDirectory>> {
        make_durably(path)?;
        Ok(Arc::new(OsDirectory(path.to_owned())))
    }
}

/// Makes a directory, unless it is there, for the owner alone.
fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes a directory, and those above it that are not there. Each one is durable before the next is
/// made in it; so of those that are there, only the last may not be durable yet.
fn make_durably(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let is_new = !path.is_dir();
    if is_new {
        make_durably(parent)?;
        make(path)?;
    }
    match OsDirectory(parent.to_owned()).sync() {
        // Whoever may not read what is above did not make it.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !is_new => Ok(()),
        synced => synced,
    }
}

/// How to open a file which nobody but the owner may read if it is made.
pub(crate) fn for_the_owner_alone() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn backend(file: fs::File) -> io::Result<File> {
    Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
}

impl Directory for OsDirectory {
    fn open_alone(&self, name: &str) -> io::Result<File> {
        let mut options = for_the_owner_alone();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(self.path(name))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ErrorKind::ResourceBusy.into(),
            TryLockError::Error(error) => error,
        })?;
        backend(file)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        backend(OpenOptions::new().read(true).write(true).open(self.path(name))?)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let mut options = for_the_owner_alone();
        let options = options.read(true).write(true).create(true).truncate(true);
        backend(options.open(self.path(name))?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        fs::read_dir(&self.0)?.map(name).collect()
    }

    fn contains(&self, name: &str) -> io::Result<bool> {
        self.path(name).try_exists()
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.0)?.sync_all()
    }

    fn make_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        let path = self.path(name);
        make(&path)?;
        Ok(Arc::new(OsDirectory(path)))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
