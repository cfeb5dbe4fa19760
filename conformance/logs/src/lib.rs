//! Reads the logs of real servers: checks them against the rules of Raft, and shows them to people.

pub mod column_log;
pub mod validate;
