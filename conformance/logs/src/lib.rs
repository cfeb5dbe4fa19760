//! The logs of real servers: held to the rules of Raft, and shown to people.

pub mod column_log;
pub mod validate;
