//! skeleton
pub mod api;
pub mod command;
pub mod store;
pub mod client;
pub mod config;
pub mod server;
