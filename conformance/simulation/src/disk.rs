//! A simulated disk. It can lose its power between any two operations. Then data that was not
//! synced is kept, lost, or torn at a sector's edge. It can also be told to fail.
//!
//! It gives the guarantees of a real disk and file system, and no others. A sector is written
//! completely or not at all. A sync makes the earlier writes of a file durable. A sync of a
//! directory makes the names durable that were created, changed or removed in it. Without this
//! sync, a power loss keeps these changes up to some point, in their order. If the name of a
//! directory is lost, everything in the directory is lost, synced or not. After a failed sync of a
//! file, the data of that sync, including the length of the file, can still be read but will never
//! be durable, as on Linux.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use raft_node::directory::{Directory, File};
use redb::StorageBackend;

/// The unit in which a disk writes, in bytes.
const SECTOR: usize = 512;

/// The unit in which contents are shared between copies of a disk, in bytes.
const PAGE: usize = 4096;

type Page = [u8; PAGE];

static BLANK: LazyLock<Arc<Page>> = LazyLock::new(|| Arc::new([0; PAGE]));

/// The bytes of a file. Copies share their pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contents {
    pages: Arc<Vec<Arc<Page>>>,
    length: usize,
}

impl Contents {
    fn resize(&mut self, length: usize) {
        let tail = length % PAGE;
        let pages = Arc::make_mut(&mut self.pages);
        pages.resize(length.div_ceil(PAGE), BLANK.clone());
        if length < self.length && tail > 0 {
            Arc::make_mut(&mut pages[length / PAGE])[tail..].fill(0);
        }
        self.length = length;
    }

    fn write(&mut self, mut at: usize, mut data: &[u8]) {
        if at + data.len() > self.length {
            self.resize(at + data.len());
        }
        let pages = Arc::make_mut(&mut self.pages);
        while !data.is_empty() {
            let (page, start) = (at / PAGE, at % PAGE);
            let (now, later) = data.split_at(data.len().min(PAGE - start));
            if now.len() == PAGE && now.iter().all(|byte| *byte == 0) {
                pages[page] = BLANK.clone();
            } else {
                Arc::make_mut(&mut pages[page])[start..start + now.len()].copy_from_slice(now);
            }
            (at, data) = (at + now.len(), later);
        }
    }

    fn read(&self, mut at: usize, mut out: &mut [u8]) -> io::Result<()> {
        if at + out.len() > self.length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        while !out.is_empty() {
            let (page, start) = (at / PAGE, at % PAGE);
            let count = out.len().min(PAGE - start);
            let (now, later) = out.split_at_mut(count);
            now.copy_from_slice(&self.pages[page][start..start + count]);
            (at, out) = (at + count, later);
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Write(usize, Arc<[u8]>),
}

#[derive(Clone, Debug, Default)]
struct FileState {
    live: Contents,
    durable: Contents,
    /// Shared between copies of a disk, like the contents.
    unsynced: Arc<Vec<Change>>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Put(String, Named),
    Rename { from: String, to: String, file: usize },
    Remove(String),
}

/// The object that a name refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    File(usize),
    Directory,
}

impl Named {
    fn file(self) -> Option<usize> {
        match self {
            Named::File(number) => Some(number),
            Named::Directory => None,
        }
    }
}

/// The names in a directory, and the object of each.
#[derive(Clone, Debug, Default)]
struct Names {
    live: BTreeMap<String, Named>,
    durable: BTreeMap<String, Named>,
    unsynced: Vec<NameChange>,
}

impl Names {
    /// Returns the file of a name.
    fn file(&self, name: &str) -> Option<usize> {
        self.live.get(name).copied().and_then(Named::file)
    }

    /// Returns all files.
    fn files(&self) -> impl Iterator<Item = (&String, usize)> {
        self.live.iter().filter_map(|(name, entry)| Some((name, entry.file()?)))
    }
}

/// Returns the path of an entry of a directory.
fn inside(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

fn change(names: &mut BTreeMap<String, Named>, change: &NameChange) {
    match change {
        NameChange::Put(name, entry) => drop(names.insert(name.clone(), *entry)),
        NameChange::Rename { from, to, file } => {
            names.remove(from);
            names.insert(to.clone(), Named::File(*file));
        }
        NameChange::Remove(name) => drop(names.remove(name)),
    }
}

/// The operations that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Only the operation with this number. The next operation has number 0.
    Once(u64),
    /// The operation with this number, and all later ones.
    From(u64),
}

#[derive(Clone, Debug, Default)]
struct State {
    files: Vec<FileState>,
    /// The directories, by path; the root is "".
    directories: Arc<BTreeMap<String, Names>>,
    /// The number of operations so far that change something.
    operations: u64,
    /// The number of the operation that fails, and whether all later ones fail, too.
    fault: Option<(u64, bool)>,
    /// The number of operations that failed.
    failed: u64,
    /// The contents before each operation, while they are recorded.
    moments: Option<Vec<Moment>>,
}

/// A simulated disk. Clones refer to the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

/// The contents of a disk at some moment, synced or not.
#[derive(Clone, Debug)]
pub struct Moment(State);

impl Default for Disk {
    fn default() -> Disk {
        let mut state = State::default();
        Arc::make_mut(&mut state.directories).insert(String::new(), Names::default());
        Disk(Arc::new(Mutex::new(state)))
    }
}

impl Disk {
    /// Returns the root directory of the disk.
    pub fn root(&self) -> Arc<dyn Directory> {
        Arc::new(SimulatedDirectory { disk: self.clone(), path: String::new() })
    }

    /// Returns the current contents.
    pub fn moment(&self) -> Moment {
        let state = self.state();
        Moment(State { moments: None, fault: None, ..state.clone() })
    }

    /// Starts to record the contents before each operation.
    pub fn record(&self) {
        self.state().moments = Some(Vec::new());
    }

    /// Returns the contents before each operation since [`record`](Disk::record), and stops
    /// recording.
    pub fn recorded(&self) -> Vec<Moment> {
        self.state().moments.take().unwrap_or_default()
    }

    /// Returns the contents of the files of a directory. Equal results mean equal files. (Different
    /// results may also mean equal files.)
    pub fn contents(&self, directory: &str) -> DirectoryContents {
        let state = self.state();
        let files = state.directories.get(directory).into_iter().flat_map(Names::files);
        let files =
            files.map(|(name, number)| (name.clone(), state.files[number].live.pages.clone()));
        DirectoryContents(files.collect())
    }

    /// Replaces a directory by its contents at another moment, durably, as if it were restored from
    /// a backup. No file in it may be open.
    pub fn put_back(&self, directory: &str, saved: &Moment) {
        let mut state = self.state();
        let saved_names = saved.0.directories.get(directory);
        let mut names = BTreeMap::new();
        for (name, number) in saved_names.into_iter().flat_map(Names::files) {
            let contents = saved.0.files[number].live.clone();
            names.insert(name.clone(), Named::File(state.files.len()));
            let (live, durable) = (contents.clone(), contents);
            state.files.push(FileState { live, durable, unsynced: Arc::default() });
        }
        let names = Names { live: names.clone(), durable: names, unsynced: Vec::new() };
        let directories = Arc::make_mut(&mut state.directories);
        directories.insert(directory.to_owned(), names);
        // The name of the directory is durable, too.
        let (parent, name) = directory.rsplit_once('/').unwrap_or(("", directory));
        let above = directories.entry(parent.to_owned()).or_default();
        above.live.insert(name.to_owned(), Named::Directory);
        above.durable.insert(name.to_owned(), Named::Directory);
    }

    /// Returns the number of operations so far that change something.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Makes operations fail, or with `None` succeed again.
    pub fn fail(&self, fault: Option<Fault>) {
        let mut state = self.state();
        let now = state.operations;
        state.fault = fault.map(|fault| match fault {
            Fault::Once(after) => (now + after, false),
            Fault::From(after) => (now + after, true),
        });
        state.failed = 0;
    }

    /// Returns the number of operations that failed since [`fail`](Disk::fail).
    pub fn failed(&self) -> u64 {
        self.state().failed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does an operation that changes the disk, unless the operation is to fail.
    fn operate<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        state.before_operation()?;
        work(&mut state)
    }
}

/// The contents of the files of a directory.
#[derive(Clone, Debug)]
pub struct DirectoryContents(Vec<(String, Arc<Vec<Arc<Page>>>)>);

impl DirectoryContents {
    fn key(&self) -> impl Iterator<Item = (&str, usize)> {
        // As long as this value exists, no other pages can have these addresses.
        self.0.iter().map(|(name, pages)| (name.as_str(), Arc::as_ptr(pages).addr()))
    }
}

impl PartialEq for DirectoryContents {
    fn eq(&self, other: &DirectoryContents) -> bool {
        self.key().eq(other.key())
    }
}

impl Eq for DirectoryContents {}

impl Hash for DirectoryContents {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().for_each(|part| part.hash(state));
    }
}

impl Moment {
    /// Returns the disk after a kill of the process at that moment. All written data is kept.
    pub fn after_kill(&self) -> Disk {
        let mut state = self.0.clone();
        state.operations = 0;
        Disk(Arc::new(Mutex::new(state)))
    }

    /// Returns the disk after a power loss at that moment. All synced data is kept, and of the rest
    /// the parts for which `kept` returns `true`, sector by sector.
    pub fn after_power_loss(&self, mut kept: impl FnMut() -> bool) -> Disk {
        let mut state = State::default();
        for file in &self.0.files {
            let mut contents = file.durable.clone();
            for change in file.unsynced.iter() {
                contents.apply(change, &mut kept);
            }
            state.files.push(FileState {
                durable: contents.clone(),
                live: contents,
                unsynced: Arc::default(),
            });
        }
        let mut directories = BTreeMap::new();
        let mut there = vec![String::new()];
        while let Some(path) = there.pop() {
            // A directory without an entry here is empty.
            let names = self.0.directories.get(&path).cloned().unwrap_or_default();
            let mut left = names.durable;
            for done in names.unsynced.iter().take_while(|_| kept()) {
                change(&mut left, done);
            }
            let directory = left.iter().filter(|(_, entry)| **entry == Named::Directory);
            there.extend(directory.map(|(name, _)| inside(&path, name)));
            let names = Names { durable: left.clone(), live: left, unsynced: Vec::new() };
            directories.insert(path, names);
        }
        state.directories = Arc::new(directories);
        Disk(Arc::new(Mutex::new(state)))
    }

    /// Returns whether everything was durable, so that a power loss changes nothing.
    pub fn is_settled(&self) -> bool {
        // After a failed sync no change is pending, but the readable contents differ from the
        // durable ones.
        let settled = |file: &FileState| file.unsynced.is_empty() && file.live == file.durable;
        self.0.files.iter().all(settled)
            && self.0.directories.values().all(|names| names.unsynced.is_empty())
    }
}

impl Contents {
    /// Applies the sectors of a change for which `kept` returns `true`.
    fn apply(&mut self, change: &Change, kept: &mut impl FnMut() -> bool) {
        match change {
            Change::Length(length) => {
                if kept() {
                    self.resize(*length);
                }
            }
            Change::Write(offset, data) => {
                let mut at = *offset;
                let mut rest = &**data;
                while !rest.is_empty() {
                    let (sector, later) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                    if kept() {
                        self.write(at, sector);
                    }
                    (at, rest) = (at + sector.len(), later);
                }
            }
        }
    }
}

impl State {
    fn before_operation(&mut self) -> io::Result<()> {
        if self.moments.is_some() {
            let moment = Moment(State { moments: None, fault: None, ..self.clone_shallow() });
            self.moments.get_or_insert_default().push(moment);
        }
        let number = self.operations;
        self.operations += 1;
        let fails = self.fault.is_some_and(|(at, lasts)| number == at || lasts && number > at);
        if fails {
            self.failed += 1;
            return Err(io::Error::other("the simulated disk fails"));
        }
        Ok(())
    }

    fn clone_shallow(&mut self) -> State {
        let moments = self.moments.take();
        let copy = self.clone();
        self.moments = moments;
        copy
    }
}

#[derive(Clone, Debug)]
struct SimulatedDirectory {
    disk: Disk,
    path: String,
}

impl SimulatedDirectory {
    fn names<T>(&self, look: impl FnOnce(&Names) -> T) -> T {
        let state = self.disk.state();
        look(state.directories.get(&self.path).unwrap_or(&Names::default()))
    }

    fn change(&self, changes: impl FnOnce(&mut State, &str) -> io::Result<()>) -> io::Result<()> {
        self.disk.operate(|state| changes(state, &self.path))
    }

    fn file(&self, number: usize) -> File {
        Box::new(SimulatedFile { disk: self.disk.clone(), number })
    }
}

/// Returns the names in a directory. If there is no directory, creates it.
fn names<'s>(state: &'s mut State, path: &str) -> &'s mut Names {
    let directories = Arc::make_mut(&mut state.directories);
    directories.entry(path.to_owned()).or_default()
}

fn put_name(state: &mut State, path: &str, done: NameChange) {
    let names = names(state, path);
    change(&mut names.live, &done);
    names.unsynced.push(done);
}

impl Directory for SimulatedDirectory {
    fn open_alone(&self, name: &str) -> io::Result<File> {
        match self.open(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.create(name),
            opened => opened,
        }
    }

    fn open(&self, name: &str) -> io::Result<File> {
        let number = self.names(|names| names.file(name));
        number.map(|number| self.file(number)).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn create(&self, name: &str) -> io::Result<File> {
        if let Ok(file) = self.open(name) {
            file.set_len(0)?;
            return Ok(file);
        }
        let mut number = 0;
        self.change(|state, path| {
            number = state.files.len();
            state.files.push(FileState::default());
            put_name(state, path, NameChange::Put(name.to_owned(), Named::File(number)));
            Ok(())
        })?;
        Ok(self.file(number))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|state, path| {
            let found = state.directories.get(path).and_then(|names| names.file(from));
            let file = found.ok_or(ErrorKind::NotFound)?;
            let (from, to) = (from.to_owned(), to.to_owned());
            put_name(state, path, NameChange::Rename { from, to, file });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|state, path| {
            let names = names(state, path);
            if names.file(name).is_none() {
                return Err(ErrorKind::NotFound.into());
            }
            put_name(state, path, NameChange::Remove(name.to_owned()));
            Ok(())
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names(|names| names.live.keys().cloned().collect()))
    }

    fn sync(&self) -> io::Result<()> {
        self.change(|state, path| {
            let names = names(state, path);
            for done in std::mem::take(&mut names.unsynced) {
                change(&mut names.durable, &done);
            }
            Ok(())
        })
    }

    fn make_directory(&self, name: &str) -> io::Result<Arc<dyn Directory>> {
        let path = inside(&self.path, name);
        match self.names(|names| names.live.get(name).copied()) {
            Some(Named::Directory) => {}
            Some(Named::File(_)) => return Err(ErrorKind::AlreadyExists.into()),
            None => self.change(|state, above| {
                put_name(state, above, NameChange::Put(name.to_owned(), Named::Directory));
                names(state, &path);
                Ok(())
            })?,
        }
        Ok(Arc::new(SimulatedDirectory { disk: self.disk.clone(), path }))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(&self.path).join(name)
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: Disk,
    number: usize,
}

impl SimulatedFile {
    fn operate(&self, work: impl FnOnce(&mut FileState)) -> io::Result<()> {
        self.disk.operate(|state| {
            work(&mut state.files[self.number]);
            Ok(())
        })
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl StorageBackend for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.number].live.length as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.state().files[self.number].live.read(place(offset)?, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = place(length)?;
        self.operate(|file| {
            file.live.resize(length);
            Arc::make_mut(&mut file.unsynced).push(Change::Length(length));
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.operate(|file| {
            for change in std::mem::take(&mut file.unsynced).iter() {
                file.durable.apply(change, &mut || true);
            }
        });
        if synced.is_err() {
            // The pages count as clean from now on, and will never be written.
            self.disk.state().files[self.number].unsynced = Arc::default();
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = place(offset)?;
        self.operate(|file| {
            file.live.write(at, data);
            Arc::make_mut(&mut file.unsynced).push(Change::Write(at, data.into()));
        })
    }
}
