//! The common parts of the command lines of `raftcheck`, `raftgate`, `raftd` and `raftctl`. Because
//! of them, an option, a number, a file and a signal have the same meaning in all programs.
//!
//! | module | content |
//! | --- | --- |
//! | [`options`] | durations, seeds, threads, and suggestions for misspelled names |
//! | [`quantity`] | counts and sizes for people |
//! | [`output`] | the text that a program prints, even if nobody reads it |
//! | [`mod@file`] | files that are checked to be writable before the work begins |
//! | [`json`] | `--json FILE` |
//! | [`interrupt`] | Ctrl-C and SIGTERM |
//! | [`progress`] | the progress of the work |

pub mod file;
pub mod interrupt;
pub mod json;
pub mod options;
pub mod output;
pub mod progress;
pub mod quantity;
