//! The column log: what it shows of traces and node logs, and what it does with damaged ones.

mod cluster;
mod columns;
mod damage;
mod filters;
mod follow;
mod golden;
mod merge;
mod support;
mod trace;
