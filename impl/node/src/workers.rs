//! The two threads that work for the owner of the node: one for the disk, one for the state
//! machine. Each executes one order at a time, and reports the result.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::Histogram;
use raft_core::{Mark, Write};
use tokio::sync::mpsc;

use crate::applier::{Applier, ApplyError, Done};
use crate::error::NodeError;
use crate::log_store::{Durable, LogStore};
use crate::metrics::{SnapshotOperation, disk_commits};
use crate::panic_supervisor::Supervisor;
use crate::shell::Task;
use crate::snapshot_store::{SnapshotName, SnapshotStore};
use crate::state_machine::SnapshotView;

/// A report of a thread to the owner.
pub(crate) enum Report {
    Durable(Durable),
    Applied(Done),
    View(Box<dyn SnapshotView>),
    SnapshotStored(SnapshotName),
    Failed(NodeError),
}

/// An order of the owner for the state machine's thread.
pub(crate) enum ApplyOrder {
    Run(Task),
    View,
    Sync,
}

/// A thread that executes orders. When this is dropped, the thread finishes the orders that it has,
/// and ends.
pub(crate) struct Worker<Order> {
    orders: SyncSender<Order>,
    thread: JoinHandle<()>,
}

impl<Order: Send + 'static> Worker<Order> {
    fn start(
        name: &'static str,
        supervisor: &Supervisor,
        run: impl FnOnce(Receiver<Order>) + Send + 'static,
    ) -> Worker<Order> {
        // The owner has at most one unfinished order of each kind.
        let (orders, inbox) = sync_channel(4);
        let thread = supervisor.thread(name, || run(inbox));
        let thread = thread.expect("the system has room for a thread");
        Worker { orders, thread }
    }

    /// Sends an order to the thread. A thread that has failed has reported its failure, and takes
    /// no more orders.
    pub(crate) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Waits until the thread has executed all of its orders.
    pub(crate) fn finish(self) {
        drop(self.orders);
        let _ = self.thread.join();
    }
}

/// The log, and a thread that makes writes durable in it, one transaction after the other.
pub(crate) struct Disk {
    store: Arc<Mutex<LogStore>>,
    worker: Worker<(Mark, Vec<Write>)>,
    commits: Histogram,
}

impl Disk {
    pub(crate) fn start(
        store: LogStore,
        supervisor: &Supervisor,
        reports: mpsc::Sender<Report>,
    ) -> Disk {
        let commits = disk_commits();
        let store = Arc::new(Mutex::new(store));
        let (shared, recorded) = (store.clone(), commits.clone());
        let worker = Worker::start("raft-disk", supervisor, move |orders| {
            for (mark, writes) in orders {
                let report = match commit(&shared, mark, writes, &recorded) {
                    Ok(durable) => Report::Durable(durable),
                    Err(error) => Report::Failed(error),
                };
                let failed = matches!(report, Report::Failed(_));
                if reports.blocking_send(report).is_err() || failed {
                    return;
                }
            }
        });
        Disk { store, worker, commits }
    }

    /// Orders the thread to make writes durable and to report that.
    pub(crate) fn order(&self, mark: Mark, writes: Vec<Write>) {
        self.worker.order((mark, writes));
    }

    /// Makes writes durable on the calling thread. The disk's thread must not have an unfinished
    /// order.
    pub(crate) fn commit(&self, mark: Mark, writes: Vec<Write>) -> Result<Durable, NodeError> {
        commit(&self.store, mark, writes, &self.commits)
    }

    pub(crate) fn finish(self) {
        self.worker.finish();
    }
}

fn commit(
    store: &Mutex<LogStore>,
    mark: Mark,
    writes: Vec<Write>,
    commits: &Histogram,
) -> Result<Durable, NodeError> {
    let began = Instant::now();
    // If a thread panicked while it held the lock, the node stops.
    let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
    let durable = store.commit_up_to(mark, writes).map_err(NodeError::Disk)?;
    commits.record(began.elapsed());
    Ok(durable)
}

/// The time for which the state machine must have been idle before it is made durable. The sync can
/// take seconds. During the sync nothing is applied, and the disk is slow for all other users. The
/// log and the snapshot make everything durable anyway, so a leader defers the sync while there is
/// other work.
const IDLE: Duration = Duration::from_secs(10);

/// The number of applied entries after which the state machine is made durable in any case.
const UNSYNCED: u64 = 5_000_000;

/// The maximum time that the state machine may take for a small task if the owner is to run the
/// next one itself.
const QUICK: Duration = Duration::from_millis(1);

/// The state machine, and a thread that runs its tasks.
pub(crate) struct Machine {
    applier: Arc<Mutex<Applier>>,
    worker: Worker<ApplyOrder>,
    /// False after a task that the owner ran itself took too long, until the thread gets a task.
    quick: bool,
}

impl Machine {
    pub(crate) fn start(
        applier: Applier,
        supervisor: &Supervisor,
        reports: mpsc::Sender<Report>,
    ) -> Machine {
        let applier = Arc::new(Mutex::new(applier));
        let shared = applier.clone();
        let worker = Worker::start("raft-apply", supervisor, move |orders| {
            do_tasks(&shared, &orders, &reports);
        });
        Machine { applier, worker, quick: true }
    }

    /// Sends an order to the thread.
    pub(crate) fn order(&self, order: ApplyOrder) {
        self.worker.order(order);
    }

    /// Runs a task on the calling thread if it is a single entry and `alone` is set: at most one
    /// client waits, and passing the task to the thread and back would take longer than applying
    /// it. Any other task is passed to the thread, and none is returned: under load, the disk may
    /// make the task slow, and the owner must send heartbeats. The thread must not have another
    /// unfinished task.
    pub(crate) fn run_or_order(
        &mut self,
        task: Task,
        alone: bool,
    ) -> Result<Option<Done>, NodeError> {
        let single = matches!(&task, Task::Apply { entries, .. } if entries.len() == 1);
        if single
            && alone
            && self.quick
            && let Ok(mut applier) = self.applier.try_lock()
        {
            let began = Instant::now();
            let done = applier.run(task)?;
            self.quick = began.elapsed() < QUICK;
            return Ok(Some(done));
        }
        self.quick = true;
        self.order(ApplyOrder::Run(task));
        Ok(None)
    }

    pub(crate) fn finish(self) {
        self.worker.finish();
    }
}

fn do_tasks(
    applier: &Mutex<Applier>,
    orders: &Receiver<ApplyOrder>,
    reports: &mpsc::Sender<Report>,
) {
    let lock = || applier.lock().unwrap_or_else(PoisonError::into_inner);
    let mut synced = lock().applied();
    let mut seen = synced;
    loop {
        let order = orders.recv_timeout(IDLE);
        let (timeout, asked) = (order.is_err(), matches!(order, Ok(ApplyOrder::Sync)));
        let report = match order {
            Ok(ApplyOrder::Run(task)) => lock().run(task).map(Report::Applied).map(Some),
            Ok(ApplyOrder::View) => lock().view().map(Report::View).map(Some),
            Ok(ApplyOrder::Sync) | Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if !deliver(reports, report) {
            return;
        }
        let reached = lock().applied();
        let idle = timeout && reached == seen;
        seen = reached;
        if ((idle || asked) && reached > synced) || reached.since(synced) > UNSYNCED {
            if !deliver(reports, lock().sync().map(|()| None)) {
                return;
            }
            synced = reached;
        }
    }
    let mut applier = lock();
    if applier.applied() > synced
        && let Err(error) = applier.sync()
    {
        tracing::warn!(%error, "the state machine was not synced; the next start takes longer");
    }
}

/// Sends a report to the owner, if there is one. Returns false if the thread must end.
fn deliver(reports: &mpsc::Sender<Report>, report: Result<Option<Report>, ApplyError>) -> bool {
    match report {
        Ok(None) => true,
        Ok(Some(report)) => reports.blocking_send(report).is_ok(),
        Err(error) => {
            let _ = reports.blocking_send(Report::Failed(NodeError::Apply(error)));
            false
        }
    }
}

/// Writes a snapshot on a new thread.
pub(crate) fn store_snapshot(
    view: Box<dyn SnapshotView>,
    term: raft_core::Term,
    store: SnapshotStore,
    supervisor: &Supervisor,
    reports: mpsc::Sender<Report>,
) {
    let work = move || {
        let began = Instant::now();
        let report = match store.store(view.as_ref(), term) {
            Ok(name) => {
                SnapshotOperation::Take.done(began, name.length);
                Report::SnapshotStored(name)
            }
            Err(error) => Report::Failed(NodeError::Snapshot(error)),
        };
        let _ = reports.blocking_send(report);
    };
    supervisor.thread("raft-snapshot", work).expect("the system has room for a thread");
}

/// Removes snapshots that are no longer needed, on a new thread. This may take long for large
/// files.
pub(crate) fn remove_snapshots(store: SnapshotStore, keep: SnapshotName, supervisor: &Supervisor) {
    let work = move || {
        if let Err(error) = store.keep_only(keep) {
            tracing::warn!(%error, "an old snapshot cannot be removed");
        }
    };
    if let Err(error) = supervisor.thread("raft-remove", work) {
        tracing::warn!(%error, "old snapshots were not removed");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::atomic::{AtomicU64, Ordering};

    use raft_core::{Bytes, Entry, Index, Payload, Term};

    use super::*;
    use crate::directory::OsDirectory;
    use crate::state_machine::{StateMachine, StateMachineError};

    /// A state machine that counts how often it is made durable.
    struct Counting {
        applied: Index,
        syncs: Arc<AtomicU64>,
    }

    impl StateMachine for Counting {
        fn applied(&self) -> Index {
            self.applied
        }

        fn apply(
            &mut self,
            first: Index,
            entries: &[Entry],
        ) -> Result<Vec<Bytes>, StateMachineError> {
            self.applied = first.prev().plus(entries.len());
            Ok(vec![Bytes::empty(); entries.len()])
        }

        fn snapshot(&self) -> Result<Box<dyn SnapshotView>, StateMachineError> {
            Err("it has no views".into())
        }

        fn restore(&mut self, _: Index, _: &mut dyn Read) -> Result<(), StateMachineError> {
            Err("it has no views".into())
        }

        fn sync(&mut self) -> Result<(), StateMachineError> {
            self.syncs.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn the_state_machine_is_made_durable_when_that_is_ordered_and_at_the_end() {
        let home = tempfile::tempdir().unwrap();
        let snapshots = SnapshotStore::new(OsDirectory::at(home.path()).unwrap(), u64::MAX);
        let syncs = Arc::new(AtomicU64::new(0));
        let counting = Counting { applied: Index(0), syncs: syncs.clone() };
        let (supervisor, _panics) = Supervisor::new();
        let (reports, mut inbox) = mpsc::channel(8);
        let applier = Applier::new(Box::new(counting), snapshots);
        let machine = Machine::start(applier, &supervisor, reports);
        let apply = |index| {
            let entries = vec![Entry { term: Term(1), payload: Payload::Noop }];
            ApplyOrder::Run(Task::Apply { first: Index(index), entries })
        };
        for order in [ApplyOrder::Sync, apply(1), ApplyOrder::Sync, ApplyOrder::Sync, apply(2)] {
            machine.order(order);
        }
        machine.finish();
        assert_eq!(syncs.load(Ordering::Relaxed), 2, "once for each entry, and not for nothing");
        for expected in [1, 2] {
            let report = inbox.try_recv();
            assert!(matches!(report, Ok(Report::Applied(done)) if done.index == Index(expected)));
        }
        assert!(inbox.try_recv().is_err(), "nobody waits for a sync");
    }
}
