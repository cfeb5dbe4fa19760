//! Runs each test of the lab suite with a few seeds, and checks that the tests can fail.

mod choice;
mod failing;
mod same;
mod suite;
