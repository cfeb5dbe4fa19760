//! What `raftcheck`, `raftgate`, `raftd` and `raftctl` share on the command line, so that an option, a
//! number, a file and a signal mean the same in all of them.
//!
//! | to read | what it is |
//! | --- | --- |
//! | [`options`] | durations, seeds, threads, and names that were spelled wrong |
//! | [`quantity`] | counts and sizes for people |
//! | [`output`] | what a program prints, also where nobody reads it |
//! | [`mod@file`] | files that are known to be writable before the work begins |
//! | [`json`] | `--json FILE` |
//! | [`interrupt`] | Ctrl-C and SIGTERM |
//! | [`progress`] | how far the work is |

pub mod file;
pub mod interrupt;
pub mod json;
pub mod options;
pub mod output;
pub mod progress;
pub mod quantity;
