//! Holds the production node to the model, in both directions.

pub mod clients;
pub mod cluster;
pub mod column_log;
pub mod conform;
pub mod disk;
pub mod failure;
pub mod lab;
pub mod lazy_store;
pub mod linearizability;
pub mod lockstep;
pub mod reference;
pub mod server;
pub mod simulate;
pub mod validate;
pub mod words;
