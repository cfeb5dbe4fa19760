//! The exit codes of the programs.

/// The end of a program. Ordered by precedence: if several apply, the first one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// The program itself is broken.
    Internal,
    /// Wrong usage, configuration or file.
    Usage,
    /// A property is violated.
    Violated,
    /// The node differs from the model.
    Diverged,
    /// A limit was reached first.
    Incomplete,
    /// Something holds only because it was not exercised.
    Vacuous,
    /// Everything holds, and something differs from the baseline.
    Changed,
    /// Everything holds.
    Fine,
}

impl Exit {
    /// Returns the exit code.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Internal => 70,
            Exit::Usage => 2,
            Exit::Violated => 1,
            Exit::Diverged => 3,
            Exit::Incomplete => 6,
            Exit::Vacuous => 5,
            Exit::Changed => 4,
            Exit::Fine => 0,
        }
    }
}
