//! The linearizability checker: histories with a name, an oracle that tries every order, other
//! people's checkers, limits, and how histories are stored.

mod compare;
mod conflicts;
mod named;
mod oracle;
mod plain;
mod scale;
mod simulate;
mod stored;
