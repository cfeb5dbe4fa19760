//! Production servers do what the model does, and where they do not, it is found and said.

mod bad_traces;
mod configurations;
mod corpus;
mod differences;
mod log_store;
mod overtaken;
mod service;
mod simulated_runs;
mod starts;
mod support;
mod transfers;
