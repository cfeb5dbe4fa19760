//! The files of a log, and writes for the log.

use raft_core::{
    Bytes, Entry, Index, LogWrite, NodeId, Payload, PersistentState, Snapshot, Term, TermAt,
    VoteRecord, Write,
};
use raft_node::log_store::{Files, Identity, LogStore, LogStoreError, Sizes};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::disk::{Disk, Faults};

pub(crate) fn identity() -> Identity {
    let voters = [1, 2, 3].map(NodeId).into();
    Identity { cluster: "test".to_owned(), node: NodeId(1), voters, disk: 7 }
}

/// The two log files and the witness, on one disk.
#[derive(Clone)]
pub(crate) struct Disks {
    pub(crate) files: [Disk; 3],
    pub(crate) faults: Faults,
    pub(crate) sizes: Sizes,
}

impl Default for Disks {
    fn default() -> Disks {
        Disks::new(<[Disk; 3]>::default(), Sizes::default())
    }
}

impl Disks {
    pub(crate) fn new(files: [Disk; 3], sizes: Sizes) -> Disks {
        let faults = Faults::default();
        Disks { files: files.map(|file| file.on(&faults)), faults, sizes }
    }

    pub(crate) fn files(&self) -> Files {
        let [first, second, witness] = self.files.clone().map(|file| Box::new(file) as Box<_>);
        Files { logs: [first, second], witness }
    }

    pub(crate) fn open(&self) -> Result<(LogStore, PersistentState), LogStoreError> {
        self.open_with(1)
    }

    pub(crate) fn open_with(
        &self,
        seed: u64,
    ) -> Result<(LogStore, PersistentState), LogStoreError> {
        LogStore::open(self.files(), &identity(), seed, self.sizes)
    }

    /// Returns the files after a power loss, as [`Disk::after_power_loss`] does for one file.
    pub(crate) fn after_power_loss(&self, mut kept: impl FnMut() -> bool) -> Disks {
        let left = |file: &Disk| file.after_power_loss(&mut kept);
        Disks::new(self.files.each_ref().map(left), self.sizes)
    }

    /// Returns the files after the process was killed.
    pub(crate) fn after_kill(&self) -> Disks {
        Disks::new(self.files.each_ref().map(Disk::after_kill), self.sizes)
    }
}

/// Returns a write that a node with this state could issue, with values of up to `largest` bytes.
/// Changes `state` to the state after this write.
pub(crate) fn some_write(
    random: &mut StdRng,
    state: &mut PersistentState,
    largest: usize,
) -> Write {
    let (base, last) = (state.log.base(), state.log.last_index());
    let term = Term(state.current_term.0 + random.random_range(0..2)).max(Term(1));
    let entries = |random: &mut StdRng| -> Vec<Entry> {
        let entry = |random: &mut StdRng| {
            let most = if random.random_ratio(1, 8) { largest } else { 40 };
            let length = if random.random_ratio(1, 4) { 0 } else { random.random_range(0..=most) };
            Entry { term, payload: Payload::Command(Bytes::from(vec![b'x'; length])) }
        };
        (0..random.random_range(1..5)).map(|_| entry(random)).collect()
    };
    let snapshot = |index: Index, term: Term| Snapshot {
        last_included_index: index,
        last_included_term: term,
        handle: Bytes::from("a file"),
    };
    let log = match random.random_range(0..10) {
        0..6 => {
            let first = Index(random.random_range(base.index.0..=last.0) + 1);
            let first = if random.random_ratio(3, 4) { last.next() } else { first };
            Some(LogWrite::Append { first, entries: entries(random) })
        }
        6..8 if last > base.index => {
            let index = Index(random.random_range(base.index.0..last.0) + 1);
            let TermAt::Present(term) = state.log.term_at(index) else { panic!("gone") };
            Some(LogWrite::Compact(snapshot(index, term)))
        }
        8 => {
            let index = Index(last.0 + random.random_range(1..4));
            Some(LogWrite::Install(snapshot(index, term)))
        }
        _ => None,
    };
    let vote =
        VoteRecord { current_term: term, voted_for: Some(NodeId(random.random_range(1..4))) };
    let write = Write { vote: Some(vote), log };
    state.write(&write);
    write
}

pub(crate) fn append(state: &mut PersistentState, size: usize) -> Write {
    let entry = Entry { term: Term(1), payload: Payload::Command(Bytes::from(vec![b'y'; size])) };
    let first = state.log.last_index().next();
    let vote = Some(VoteRecord { current_term: Term(1), voted_for: None });
    let write = Write { vote, log: Some(LogWrite::Append { first, entries: vec![entry] }) };
    state.write(&write);
    write
}

pub(crate) fn compact(state: &mut PersistentState, index: u64) -> Write {
    let snapshot = Snapshot {
        last_included_index: Index(index),
        last_included_term: Term(1),
        handle: Bytes::from("a file"),
    };
    let write = Write { vote: None, log: Some(LogWrite::Compact(snapshot)) };
    state.write(&write);
    write
}
