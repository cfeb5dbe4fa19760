//! Production servers behave like the model, and differences are found and reported.

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
