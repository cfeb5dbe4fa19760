//! Threads and tasks whose panics end the node: none of them can be missing while the rest goes on.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Starts threads and tasks, and reports those that panic.
#[derive(Clone, Debug)]
pub(crate) struct Supervisor {
    panics: mpsc::Sender<String>,
}

impl Supervisor {
    /// A supervisor, and where it reports who panicked and why. The first report is enough.
    pub(crate) fn new() -> (Supervisor, mpsc::Receiver<String>) {
        let (panics, reports) = mpsc::channel(1);
        (Supervisor { panics }, reports)
    }

    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// The system has no room for one.
    pub(crate) fn thread(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let supervisor = self.clone();
        let guarded = move || {
            // Nothing that the closure touched is used again: the node stops.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                supervisor.report(name, &*panic);
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(guarded)
    }

    /// Starts a task. Must be called on a runtime.
    pub(crate) fn task(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let task = tokio::spawn(work);
        let abort = task.abort_handle();
        let supervisor = self.clone();
        tokio::spawn(async move {
            if let Err(error) = task.await
                && let Ok(panic) = error.try_into_panic()
            {
                supervisor.report(name, &*panic);
            }
        });
        abort
    }

    fn report(&self, name: &str, panic: &(dyn Any + Send)) {
        // If there is no room, an earlier report stops the node.
        let _ = self.panics.try_send(describe(name, panic));
    }
}

/// Who panicked, and why.
pub(crate) fn describe(name: &str, panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("{name} panicked ({})", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panic_of_a_thread_is_reported_with_its_reason() {
        let (supervisor, mut reports) = Supervisor::new();
        let thread = supervisor.thread("some-thread", || panic!("entry {} is missing", 7));
        thread.unwrap().join().unwrap();
        assert_eq!(reports.try_recv().unwrap(), "some-thread panicked (entry 7 is missing)");
    }

    #[tokio::test]
    async fn the_panic_of_a_task_is_reported_and_its_end_is_not() {
        let (supervisor, mut reports) = Supervisor::new();
        supervisor.task("good-task", async {});
        supervisor.task("aborted-task", std::future::pending()).abort();
        supervisor.task("bad-task", async { panic!("no answer") });
        assert_eq!(reports.recv().await.unwrap(), "bad-task panicked (no answer)");
        assert!(reports.try_recv().is_err());
    }
}
