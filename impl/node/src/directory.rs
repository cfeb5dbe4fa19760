//! The directory in which a server keeps its files: a directory on a disk, or a simulated one that
//! can lose power between any two operations.

use std::fmt::Debug;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::FileBackend;

/// An open file. Written data may be lost in a power loss until it is synced.
pub type File = Box<dyn StorageBackend>;

/// A directory. A server accesses all of its files through this trait.
///
/// As on a real disk, a change of file names (a creation, renaming or removal) is durable after the
/// next [`sync`](Directory::sync) of the directory. A change of a file's contents is durable after
/// the next sync of the file.
pub trait Directory: Debug + Send + Sync {
    /// Opens a file and locks it for this process until it is closed. Creates the file if it does
    /// not exist.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ResourceBusy`] if another process has locked the file, and any error of the
    /// file system.
    fn open_alone(&self, name: &str) -> io::Result<File>;

    /// Opens an existing file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such file, and any error of the file system.
    fn open(&self, name: &str) -> io::Result<File>;

    /// Creates an empty file. An existing file of that name is truncated.
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    fn create(&self, name: &str) -> io::Result<File>;

    /// Renames a file. A file that already has the new name is replaced.
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. A process that has the file open can still use it.
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns the names of all files and directories in this directory, in no particular order.
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Returns whether there is a file or directory of that name.
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    fn contains(&self, name: &str) -> io::Result<bool> {
        Ok(self.list()?.iter().any(|found| found == name))
    }

    /// Makes changes of file names durable.
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    fn sync(&self) -> io::Result<()>;

    /// Returns a subdirectory, which is created if it does not exist. Its name, and with it
    /// everything inside, is durable only after the next [`sync`](Directory::sync).
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    fn make_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>>;

    /// Returns a subdirectory, which is created durably if it does not exist.
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    fn directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        let inside = self.make_directory(name)?;
        // An existing directory is synced, too: its creator may have ended before the sync.
        self.sync()?;
        Ok(inside)
    }

    /// Returns the path of a file, for messages to people.
    fn path(&self, name: &str) -> PathBuf;
}

/// A directory of the operating system.
#[derive(Clone, Debug)]
pub struct OsDirectory(PathBuf);

impl OsDirectory {
    /// Returns the directory at a path. If it does not exist, it is created durably, with its
    /// missing parents. Only the owner can access the directories that this creates, and the files
    /// inside.
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    pub fn at(path: &Path) -> io::Result<Arc<OsDirectory>> {
        make_durably(path)?;
        Ok(Arc::new(OsDirectory(path.to_owned())))
    }
}

/// Creates a directory that only the owner can access, unless it exists.
fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// Creates a directory and its missing parents. Each directory is durable before the next one is
/// created in it. So of the existing directories on the path, only the last may not be durable yet.
fn make_durably(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let is_new = !path.is_dir();
    if is_new {
        make_durably(parent)?;
        make(path)?;
    }
    match OsDirectory(parent.to_owned()).sync() {
        // A process that may not read the parent did not create this directory.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !is_new => Ok(()),
        synced => synced,
    }
}

/// Returns options for opening a file. If the file is created, only the owner can access it.
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
