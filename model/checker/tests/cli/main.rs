//! `raftcheck` as people and scripts meet it: verdicts, exit codes, and what it says when something
//! is wrong with the input.

mod configurations;
mod files;
mod options;
mod output;
#[cfg(target_os = "linux")]
mod signals;
mod support;
mod traces;
mod verdicts;
