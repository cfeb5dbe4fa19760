//! The two threads beside the owner of the node: one for the disk, one for the state machine. Each
//! does one thing at a time, and reports.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use raft_core::{Mark, Write};
use tokio::sync::mpsc;

use crate::applier::{Applier, ApplyError, Done};
use crate::log_store::LogStore;
use crate::node::NodeError;
use crate::shell::Task;
use crate::snapshot_store::{SnapshotName, SnapshotStore};
use crate::state_machine::SnapshotView;

/// What the threads report to the owner.
pub(crate) enum Report {
    Durable(Mark),
    Applied(Done),
    View(Box<dyn SnapshotView>),
    SnapshotStored(SnapshotName),
    Failed(NodeError),
}

/// What the owner asks of the state machine's thread.
pub(crate) enum ApplyOrder {
    Run(Task),
    View,
}

/// A thread that takes orders; dropping it lets the thread finish what it has.
pub(crate) struct Worker<Order> {
    orders: SyncSender<Order>,
    thread: JoinHandle<()>,
}

impl<Order: Send + 'static> Worker<Order> {
    fn start(
        name: &'static str,
        reports: mpsc::Sender<Report>,
        run: impl FnOnce(Receiver<Order>) + Send + 'static,
    ) -> Worker<Order> {
        // The owner has at most one order of each kind under way.
        let (orders, inbox) = sync_channel(4);
        let guarded = move || {
            // Nothing that the closure touched is used again: the node stops.
            if catch_unwind(AssertUnwindSafe(|| run(inbox))).is_err() {
                let _ = reports.blocking_send(Report::Failed(NodeError::Panicked(name.to_owned())));
            }
        };
        let builder = thread::Builder::new().name(name.to_owned());
        let thread = builder.spawn(guarded).expect("the system has room for a thread");
        Worker { orders, thread }
    }

    /// Gives an order. A thread that has failed has reported so, and takes no more.
    pub(crate) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Waits until the thread has done all of its orders.
    pub(crate) fn finish(self) {
        drop(self.orders);
        let _ = self.thread.join();
    }
}

/// The thread that makes writes durable, one transaction after the other.
pub(crate) fn disk(
    mut store: LogStore,
    reports: mpsc::Sender<Report>,
) -> Worker<(Mark, Vec<Write>)> {
    let commits = metrics::histogram!("raft_disk_commit_seconds");
    Worker::start("raft-disk", reports.clone(), move |orders| {
        for (mark, writes) in orders {
            let began = Instant::now();
            let report = match store.commit(writes) {
                Ok(()) => Report::Durable(mark),
                Err(error) => Report::Failed(NodeError::Disk(error)),
            };
            commits.record(began.elapsed());
            let failed = matches!(report, Report::Failed(_));
            if reports.blocking_send(report).is_err() || failed {
                return;
            }
        }
    })
}

/// How long the state machine must have had nothing to do before it is made durable. It can take a
/// second, during which nothing is applied; the log and the snapshot make everything durable
/// anyway, so under load it is put off.
const IDLE: Duration = Duration::from_secs(1);

/// After how many entries it is made durable even under load.
const ENTRIES_UNSYNCED: u64 = 5_000_000;

/// The thread that owns the state machine.
pub(crate) fn applier(mut applier: Applier, reports: mpsc::Sender<Report>) -> Worker<ApplyOrder> {
    Worker::start("raft-apply", reports.clone(), move |orders| {
        let mut synced = applier.applied();
        loop {
            let report = match orders.recv_timeout(IDLE) {
                Ok(ApplyOrder::Run(task)) => applier.run(task).map(Report::Applied).map(Some),
                Ok(ApplyOrder::View) => applier.view().map(Report::View).map(Some),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let idle = matches!(report, Ok(None));
            if !deliver(&reports, report) {
                return;
            }
            if idle || applier.applied().since(synced) > ENTRIES_UNSYNCED {
                if !deliver(&reports, applier.sync_since(synced).map(|()| None)) {
                    return;
                }
                synced = applier.applied();
            }
        }
        if let Err(error) = applier.sync_since(synced) {
            tracing::warn!(%error, "the state machine was not synced; the next start takes longer");
        }
    })
}

/// Reports what there is to report; false if that was the last thing.
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

/// Writes a snapshot on a thread of its own.
pub(crate) fn store_snapshot(
    view: Box<dyn SnapshotView>,
    term: raft_core::Term,
    store: SnapshotStore,
    reports: mpsc::Sender<Report>,
) {
    let work = move || {
        let report = match store.store(view.as_ref(), term) {
            Ok(name) => Report::SnapshotStored(name),
            Err(error) => Report::Failed(NodeError::Snapshot(error)),
        };
        let _ = reports.blocking_send(report);
    };
    thread::Builder::new()
        .name("raft-snapshot".to_owned())
        .spawn(work)
        .expect("the system has room for a thread");
}

/// Removes snapshots that are no longer needed. It may take long for large files, and nobody waits.
pub(crate) fn remove_snapshots(store: SnapshotStore, keep: SnapshotName) {
    let work = move || {
        if let Err(error) = store.keep_only(Some(keep)) {
            tracing::warn!(%error, "an old snapshot cannot be removed");
        }
    };
    if let Err(error) = thread::Builder::new().name("raft-remove".to_owned()).spawn(work) {
        tracing::warn!(%error, "old snapshots were not removed");
    }
}
