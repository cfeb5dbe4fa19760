//! Tests of the column log: traces and node logs, complete and damaged.

mod cluster;
mod columns;
mod damage;
mod filters;
mod follow;
mod golden;
mod merge;
mod support;
mod trace;
