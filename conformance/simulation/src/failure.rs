//! Errors that stop a server on a simulated disk, or a simulation.

use std::error::Error;

/// An error of any part.
pub type Failure = Box<dyn Error + Send + Sync>;
