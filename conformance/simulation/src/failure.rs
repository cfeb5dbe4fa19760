//! Why a server on a simulated disk stops, or a simulation cannot go on.

use std::error::Error;

/// What went wrong, in whatever part.
pub type Failure = Box<dyn Error + Send + Sync>;
