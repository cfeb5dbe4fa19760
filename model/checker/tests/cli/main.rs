//! `raftcheck` as its users see it: verdicts, exit codes, and the messages about wrong input.

mod baselines;
#[cfg(target_os = "linux")]
mod checkpoints;
mod configurations;
mod files;
mod options;
mod output;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod signals;
mod support;
mod traces;
mod verdicts;
