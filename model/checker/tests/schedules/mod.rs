//! The plain cluster under random schedules: hundreds of actions in any order, with 3 and 5
//! servers, all disk and apply modes and no bounds. (The checker explores every order of a few
//! actions.) Figure 3 has to hold at each step, and every majority has to recover at the end.
//!
//! | module | content |
//! | --- | --- |
//! | [`choice`] | a random choice, and the action that it means in a state |
//! | [`run`] | doing actions, and recording the properties that they break |
//! | [`counterexample`] | a failing run: made smaller, saved as a trace |
//! | [`random`] | the test itself, and that it is not vacuous |
//! | [`mutants`] | a test that wrong rules are found, and that their traces replay |
//! | [`renaming`] | along the same schedules: servers behave alike under any names |

pub(crate) mod choice;
mod counterexample;
mod mutants;
mod random;
mod renaming;
mod run;
