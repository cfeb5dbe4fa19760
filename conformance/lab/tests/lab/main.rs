//! The course's lab suite, each test with a few seeds; and that its tests can fail.

mod choice;
mod failing;
mod same;
mod suite;
