//! Traces and node logs in one column for each server.
