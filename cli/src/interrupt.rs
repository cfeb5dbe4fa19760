//! Ctrl-C and SIGTERM as requests to end the program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// A flag for a request to end the program. The first signal sets the flag; the second one ends the
/// process at once.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches SIGINT and SIGTERM from now on. If the system does not allow that, these signals end
    /// the process at once, which is their default effect.
    pub fn listen() -> Interrupt {
        let interrupt = Interrupt::default();
        if let Err(error) = interrupt.register() {
            crate::output::complain(format_args!("signals cannot be caught: {error}"));
        }
        interrupt
    }

    fn register(&self) -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            // The order matters: at the first signal, the flag must not be set yet when it is
            // tested.
            flag::register_conditional_default(signal, Arc::clone(&self.0))?;
            flag::register(signal, Arc::clone(&self.0))?;
        }
        Ok(())
    }

    /// Asks the program to end, as a signal does.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether the program was asked to end.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
