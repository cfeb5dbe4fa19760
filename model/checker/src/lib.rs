//! Explores bounded Raft clusters exhaustively and checks the properties of the paper's Figure 3.
//!
//! | module | content |
//! | --- | --- |
//! | [`properties`] | the properties, each with its exact meaning and its witness |
//! | [`property_checks`] | the checks of each property after each step |
//! | [`cluster`] | the cluster model: the actions of servers, disks and messages |
//! | [`behaviour`] | what servers did in an exploration, in classes |
//! | [`baseline`] | the behaviour that was accepted last, and the differences from it |
//! | [`coverage`] | the rules that made a difference in the explored states |
//! | [`mutants`] | versions of Raft with a mistake, and the checks that find it |
//! | [`protocol`] | the protocol that runs on the servers of the model |
//! | [`config`] | bounded configurations, with the cases that they leave out |
//! | [`bounded_cluster`] | the cluster of a configuration as a system for [`raft_explore`] |
//! | [`check`] | one configuration from start to verdict |
//! | [`replay`] | a run, step by step |
//! | [`run_table`], [`explanation`], [`diagram`] | a run for people: table, words, pictures |
//! | [`plain`] | the plain model, for stateright's Explorer |

pub mod baseline;
pub mod behaviour;
pub mod bounded_cluster;
pub mod check;
pub mod cluster;
pub mod config;
pub mod coverage;
pub mod diagram;
pub mod exit_code;
pub mod explanation;
pub mod mutants;
pub mod notation;
pub mod plain;
pub mod properties;
pub mod property_checks;
pub mod protocol;
pub mod replay;
pub mod rule_map;
pub mod run_table;
mod script;
pub mod text_width;

pub use raft_explore::{any_network, bounded_network, control};
