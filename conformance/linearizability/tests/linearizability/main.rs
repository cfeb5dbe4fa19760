//! Tests of the linearizability checker: small named histories, an oracle that tries every order,
//! other checkers, limits, and the storage of histories.

mod compare;
mod conflicts;
mod named;
mod oracle;
mod plain;
mod scale;
mod simulate;
mod stored;
