//! Explores bounded Raft clusters exhaustively and checks the properties of the paper's Figure 3.
//!
//! | to read | what it is |
//! | --- | --- |
//! | [`properties`] | what must hold, each with its exact meaning and its witness |
//! | [`property_checks`] | where each property is asked |
//! | [`cluster`] | the cluster model: what can happen to servers, disks and messages |
//! | [`coverage`] | which rules made a difference in what was explored |
//! | [`mutants`] | Raft with a mistake in it, and what finds it |
//! | [`protocol`] | what runs on its servers |
//! | [`config`] | bounded configurations, and what they leave out |
//! | [`packed`] | the same model, interned and cached, to explore millions of states |
//! | [`search`] | level order for shortest traces and depths; stateright's strategies |
//! | [`check`] | one configuration from start to verdict |
//! | [`replay`] | a run, step by step |
//! | [`run_table`], [`explanation`], [`diagram`] | a run for people: table, words, pictures |
//! | [`plain`] | the plain model, for stateright's Explorer |

pub mod check;
pub mod cluster;
pub mod config;
pub mod coverage;
pub mod diagram;
pub mod exit_code;
pub mod explanation;
pub mod mutants;
pub mod notation;
pub mod packed;
pub mod plain;
pub mod properties;
pub mod property_checks;
pub mod protocol;
pub mod replay;
pub mod rule_map;
pub mod run_table;
mod script;
pub mod search;
pub mod text_width;
