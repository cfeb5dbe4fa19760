//! A test of the log store alone. The store changes over from one file to the other while a disk
//! operation fails or the process ends. The next start is disturbed as well. More transactions
//! follow, and at the end a power loss.
//!
//! The test checks three claims about every disk that is left. A start succeeds. It reads all
//! acknowledged transactions, with or without the transaction that failed. After a start has
//! succeeded, no power loss removes anything that it has read.

use raft_checker::control::Control;
use raft_core::{
    Bytes, Entry, Index, LogWrite, NodeId, Payload, PersistentState, Snapshot, Term, TermAt,
    VoteRecord, Write,
};
use raft_node::log_store::{LogStore, Sizes};

use crate::lockstep::Divergence;
use raft_simulation::disk::{Disk, Fault, Moment};
use raft_simulation::failure::Failure;
use raft_simulation::server::{identity, open_log_as};

/// The file sizes that are tried: the parts of a new file have one sector, a few sectors, or the
/// size of the whole state.
const SIZES: [Sizes; 3] = [
    Sizes { growth: (512, 2 << 10), part: 512, worthwhile: 1 << 10 },
    Sizes { growth: (4 << 10, 8 << 10), part: 2 << 10, worthwhile: 1 << 10 },
    Sizes { growth: (8 << 10, 16 << 10), part: 16 << 10, worthwhile: 4 << 10 },
];

/// The most unsynced changes for which all choices of surviving changes are tried. For more
/// changes, representative choices are tried.
const CHOICES: u32 = 4;

/// The server that owns the log.
const ID: NodeId = NodeId(1);

/// The numbers of cases that were tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStores {
    /// Disk operations of the first process that failed, or before which the process ended.
    pub operations: u64,
    /// Disks after that, each followed by a start.
    pub disks: u64,
    /// Starts in which a disk operation failed.
    pub failed_starts: u64,
    /// Runs, each with a power loss at its end.
    pub runs: u64,
}

impl LogStores {
    fn add(&mut self, other: LogStores) {
        self.operations += other.operations;
        self.disks += other.disks;
        self.failed_starts += other.failed_starts;
        self.runs += other.runs;
    }
}

/// Runs the test with all sizes, until something goes wrong or the test is stopped.
///
/// # Errors
///
/// The first run in which a claim does not hold.
pub fn try_all(control: &Control) -> Result<LogStores, Divergence> {
    let tried = std::thread::scope(|scope| {
        let tries = SIZES.map(|sizes| scope.spawn(move || try_sizes(sizes, control)));
        tries.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut sum = LogStores::default();
    for tried in tried {
        sum.add(tried?);
    }
    Ok(sum)
}

/// The states that a disk may have. `state` has all acknowledged transactions. `perhaps` also has
/// the transaction that was not acknowledged.
#[derive(Clone)]
struct Expected {
    state: PersistentState,
    perhaps: Option<PersistentState>,
}

/// A description of the events so far.
#[derive(Clone)]
struct Scenario(String);

impl Scenario {
    fn then(&self, what: &str) -> Scenario {
        Scenario(format!("{}, {what}", self.0))
    }

    fn differs(&self, model: impl std::fmt::Debug, node: impl std::fmt::Debug) -> Divergence {
        Divergence::of(&format!("the log after {}", self.0), model, node)
    }
}

fn try_sizes(sizes: Sizes, control: &Control) -> Result<LogStores, Divergence> {
    let Sizes { part, worthwhile, .. } = sizes;
    let scenario = Scenario(format!("files with part {part} and worthwhile {worthwhile}"));
    let mut tried = LogStores::default();
    let disk = Disk::default();
    disk.record();
    let points = work(&disk, sizes);
    let points = points.map_err(|(_, error)| scenario.differs("goes on", error.to_string()))?;
    let moments = disk.recorded();
    for (operation, moment) in moments.iter().enumerate() {
        if control.stopped().is_some() {
            break;
        }
        tried.operations += 2;
        let number = operation as u64;
        // The process ends before the operation.
        let done = points.partition_point(|(operations, _)| *operations <= number);
        let expected = |done: usize| {
            let state = done.checked_sub(1).map(|last| points[last].1.clone());
            let perhaps = points.get(done).map(|(_, state)| state.clone());
            Expected { state: state.unwrap_or_default(), perhaps }
        };
        let ended = scenario.then(&format!("the end before operation {}", number + 1));
        go_on_from_all(moment, &expected(done), sizes, &ended, &mut tried)?;
        // Or the operation fails, and then the process ends.
        let disk = Disk::default();
        disk.fail(Some(Fault::Once(number)));
        let failed = scenario.then(&format!("operation {} failed", number + 1));
        let Err((done, _)) = work(&disk, sizes) else {
            return Err(failed.differs("the store stops", "it goes on"));
        };
        go_on_from_all(&disk.moment(), &expected(done), sizes, &failed, &mut tried)?;
    }
    Ok(tried)
}

/// The number of operations and the state after each transaction.
type Points = Vec<(u64, PersistentState)>;

/// Opens a new log and commits the first process's transactions. If the store fails, returns the
/// number of acknowledged transactions.
fn work(disk: &Disk, sizes: Sizes) -> Result<Points, (usize, Failure)> {
    let (mut store, mut state) = open(disk, sizes, 1).map_err(|error| (0, error))?;
    let mut points = Vec::new();
    for write in script() {
        state.write(&write);
        store.commit(vec![write]).map_err(|error| (points.len(), error.into()))?;
        points.push((disk.operations(), state.clone()));
    }
    Ok(points)
}

fn open(disk: &Disk, sizes: Sizes, seed: u64) -> Result<(LogStore, PersistentState), Failure> {
    open_log_as(disk, &identity(ID, &[ID].into()), sizes, seed)
}

/// Starts from the disks that a crash at this moment may leave. Then makes each operation of that
/// start fail, and starts from the disks that a second crash may leave.
fn go_on_from_all(
    moment: &Moment,
    expected: &Expected,
    sizes: Sizes,
    scenario: &Scenario,
    tried: &mut LogStores,
) -> Result<(), Divergence> {
    for (what, left) in all_left(moment) {
        tried.disks += 1;
        let scenario = scenario.then(&what);
        let left = left.moment();
        let operations = go_on(&left.after_kill(), expected, sizes, &scenario, tried)?;
        for operation in 0..operations {
            tried.failed_starts += 1;
            let scenario =
                scenario.then(&format!("operation {} of the start failed", operation + 1));
            let disk = left.after_kill();
            disk.fail(Some(Fault::Once(operation)));
            if open(&disk, sizes, 2).is_ok() {
                return Err(scenario.differs("the start fails", "it goes on"));
            }
            let second = disk.moment();
            let losses = [false, true].map(|kept| second.after_power_loss(|| kept));
            for (disk, what) in losses.iter().chain([&second.after_kill()]).zip(SECOND) {
                go_on(disk, expected, sizes, &scenario.then(what), tried)?;
            }
        }
    }
    Ok(())
}

/// The ways in which the second process ends.
const SECOND: [&str; 3] =
    ["the power goes", "the power goes and what was written is there", "a kill"];

/// Starts, commits more transactions, and simulates a power loss. Returns the number of disk
/// operations of the start.
fn go_on(
    disk: &Disk,
    expected: &Expected,
    sizes: Sizes,
    scenario: &Scenario,
    tried: &mut LogStores,
) -> Result<u64, Divergence> {
    tried.runs += 1;
    let read = |disk: &Disk, scenario: &Scenario| {
        open(disk, sizes, 4).map_err(|error| scenario.differs("it starts", error.to_string()))
    };
    let opened = open(disk, sizes, 3);
    let (mut log, mut state) =
        opened.map_err(|error| scenario.differs("it starts", error.to_string()))?;
    let operations = disk.operations();
    if state != expected.state && expected.perhaps.as_ref() != Some(&state) {
        return Err(scenario.differs(&expected.state, &state));
    }
    let loss = scenario.then("a start, a power loss");
    let (_, left) = read(&disk.moment().after_power_loss(|| false), &loss)?;
    if left != state {
        return Err(loss.differs(&state, &left));
    }
    for write in later_script(&state) {
        state.write(&write);
        log.commit(vec![write]).map_err(|error| scenario.differs("goes on", error.to_string()))?;
    }
    let loss = scenario.then("a start, more transactions, a power loss");
    for kept in [false, true] {
        let (_, left) = read(&disk.moment().after_power_loss(|| kept), &loss)?;
        if left != state {
            return Err(loss.differs(&state, &left));
        }
    }
    Ok(operations)
}

/// Returns disks that a crash at this moment may leave, each with a description.
fn all_left(moment: &Moment) -> Vec<(String, Disk)> {
    let mut left = vec![("the power went".to_owned(), moment.after_power_loss(|| false))];
    if !moment.is_settled() {
        left.push(("a kill".to_owned(), moment.after_kill()));
    }
    let mut count = 0;
    moment.after_power_loss(|| {
        count += 1;
        true
    });
    for choice in choices(count) {
        let mut places = 0..count;
        let disk = moment.after_power_loss(|| places.next().is_some_and(&choice));
        let kept: Vec<u32> = (0..count).filter(|place| choice(*place)).collect();
        left.push((format!("the power went and left {kept:?} of {count} changes"), disk));
    }
    left
}

type Choice = Box<dyn Fn(u32) -> bool>;

/// Returns choices of the changes that survive a power loss, out of `count` changes: all choices
/// except the empty one, or some of them.
fn choices(count: u32) -> Vec<Choice> {
    if count <= CHOICES {
        let choice = |bits: u32| -> Choice { Box::new(move |place| bits >> place & 1 == 1) };
        return (1..1 << count).map(choice).collect();
    }
    vec![
        Box::new(|_| true),
        Box::new(|place| place == 0),
        Box::new(|place| place > 0),
        Box::new(move |place| place == count - 1),
        Box::new(move |place| place < count - 1),
        Box::new(move |place| place < count / 2),
        Box::new(move |place| place >= count / 2),
        Box::new(|place| place % 2 == 0),
        Box::new(|place| place % 2 == 1),
    ]
}

/// Returns the transactions of the first process: values that are empty, or shorter or longer than
/// a sector; votes, compactions and an installed snapshot. Enough transactions follow each of these
/// for the store to change over to its other file.
fn script() -> Vec<Write> {
    let mut author = Author::default();
    author.vote(1);
    author.append(&[0]);
    author.append(&[40, 0, 1500]);
    author.append(&[3000]);
    author.vote(2);
    author.compact(1);
    author.append(&[40]);
    author.append(&[1100]);
    author.append(&[0]);
    author.compact(0);
    author.append(&[700]);
    author.vote(3);
    author.append(&[1600]);
    author.install();
    author.append(&[30]);
    author.append(&[600]);
    author.writes
}

/// Returns the transactions after a start that has read this state.
fn later_script(state: &PersistentState) -> Vec<Write> {
    let mut author = Author { state: state.clone(), writes: Vec::new() };
    author.append(&[900, 0]);
    author.compact(1);
    author.append(&[10]);
    author.append(&[1200]);
    author.vote(9);
    author.writes
}

/// A list of transactions, with the state after them.
#[derive(Default)]
struct Author {
    state: PersistentState,
    writes: Vec<Write>,
}

impl Author {
    fn write(&mut self, write: Write) {
        self.state.write(&write);
        self.writes.push(write);
    }

    fn vote(&mut self, term: u64) {
        let vote = VoteRecord { current_term: Term(term), voted_for: Some(ID) };
        self.write(Write { vote: Some(vote), log: None });
    }

    fn append(&mut self, sizes: &[usize]) {
        let term = self.state.current_term;
        let first = self.state.log.last_index().next();
        let entry = |(place, size): (usize, &usize)| {
            let letter = b'a' + u8::try_from((first.0 + place as u64) % 26).unwrap_or(0);
            Entry { term, payload: Payload::Command(Bytes::from(vec![letter; *size])) }
        };
        let entries = sizes.iter().enumerate().map(entry).collect();
        self.write(Write { vote: None, log: Some(LogWrite::Append { first, entries }) });
    }

    /// Compacts the log except for its last `rest` entries.
    fn compact(&mut self, rest: u64) {
        let log = &self.state.log;
        let index = Index(log.last_index().0.saturating_sub(rest)).max(log.base().index);
        if let TermAt::Present(term) = log.term_at(index)
            && index > log.base().index
        {
            self.write(Write { vote: None, log: Some(LogWrite::Compact(snapshot(index, term))) });
        }
    }

    /// Installs a snapshot that ends after the end of the log.
    fn install(&mut self) {
        let index = Index(self.state.log.last_index().0 + 3);
        let snapshot = snapshot(index, self.state.current_term);
        self.write(Write { vote: None, log: Some(LogWrite::Install(snapshot)) });
    }
}

fn snapshot(index: Index, term: Term) -> Snapshot {
    let handle = Bytes::from("a snapshot");
    Snapshot { last_included_index: index, last_included_term: term, handle }
}
