//! How the programs end.

/// How a program ends. Ordered by precedence: of several, the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// The program itself is broken.
    Internal,
    /// Wrong usage, configuration or file.
    Usage,
    /// A property is violated.
    Violated,
    /// The node does not do what the model does.
    Diverged,
    /// A limit was reached first.
    Incomplete,
    /// Something was held without being exercised.
    Vacuous,
    /// Everything holds.
    Fine,
}

impl Exit {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Internal => 70,
            Exit::Usage => 2,
            Exit::Violated => 1,
            Exit::Diverged => 3,
            Exit::Incomplete => 6,
            Exit::Vacuous => 5,
            Exit::Fine => 0,
        }
    }
}
