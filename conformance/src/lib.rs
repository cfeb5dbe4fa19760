//! Holds the production node to the model, in both directions.

pub mod column_log;
pub mod linearizability;
pub mod validate;
