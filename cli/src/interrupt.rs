//! Ctrl-C and SIGTERM as a request to come to an end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether somebody wants the program to end. The first signal is noted here; the second one ends the
/// process at once.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM from now on. If the system does not allow that, they end the
    /// process at once, as they do without this.
    pub fn listen() -> Interrupt {
        let interrupt = Interrupt::default();
        if let Err(error) = interrupt.register() {
            crate::output::complain(format_args!("signals cannot be caught: {error}"));
        }
        interrupt
    }

    fn register(&self) -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal finds the flag not set yet.
            flag::register_conditional_default(signal, Arc::clone(&self.0))?;
            flag::register(signal, Arc::clone(&self.0))?;
        }
        Ok(())
    }

    /// Asks the program to end, as a signal does.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has asked.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
