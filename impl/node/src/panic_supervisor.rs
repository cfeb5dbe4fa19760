//! Threads and tasks whose panics stop the node, so that the node never continues without one of
//! them.

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
    /// Creates a supervisor, and the channel for its reports. A report contains the name of the
    /// thread or task and the panic message. The channel holds one report, because the first one is
    /// enough.
    pub(crate) fn new() -> (Supervisor, mpsc::Receiver<String>) {
        let (panics, reports) = mpsc::channel(1);
        (Supervisor { panics }, reports)
    }

    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// The system cannot start another thread.
    pub(crate) fn thread(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let supervisor = self.clone();
        let guarded = move || {
            // The node stops, so nothing that the closure touched is used again.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                supervisor.report(name, &*panic);
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(guarded)
    }

    /// Starts a task. Must be called on a Tokio runtime.
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
        // If the channel is full, an earlier report already stops the node.
        let _ = self.panics.try_send(describe(name, panic));
    }
}

/// Describes a panic, with the name of the thread or task and the panic message.
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
