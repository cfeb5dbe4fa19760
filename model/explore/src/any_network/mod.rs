//! Exploration over a network that loses, repeats and reorders messages without limit.
//!
//! A state has the *set* of all messages that were ever sent: a delivery does not remove the
//! message, a loss is a delivery that never happens, a repetition is another delivery. Properties
//! look at servers, steps and the history. [`System`](crate::System) gives them no access to the
//! network. Under these conditions, four reductions are exact:
//!
//! - *Maximal sets* (`antichains.rs`). A state can do everything that a state with the same servers
//!   and fewer messages can. So only the maximal message sets are kept for each tuple of servers.
//! - *Idle steps* (`state.rs`). A step that only sends messages is taken at once.
//! - *Relevant messages* ([`Relevance`](crate::Relevance)). A message is removed when it can no
//!   longer make a difference to its receiver.
//! - *Symmetry* (`state.rs`). Tuples that differ by a renaming of the servers count as one. If
//!   several renamings lead to the least tuple, messages are compared under each of them.
//!
//! The set of maximal states, closed under idle steps, is the same for any order of the search and
//! any number of threads and processes. `specs/any-network.md` has the argument in full.
//!
//! A search goes in rounds (`rounds.rs`), alone or with other processes (`peers.rs`), and can write a
//! checkpoint between two rounds (`checkpoint.rs`).

mod antichains;
mod checkpoint;
mod definitions;
mod expansion;
mod inbox;
mod peers;
mod removal_check;
mod rounds;
mod run;
mod search;
mod state;
mod summary;

pub use antichains::Kept;
pub use checkpoint::{CheckpointError, Checkpoints, Start};
pub use expansion::Order;
pub use peers::{Hosts, HostsError, MOST_PROCESSES, PeerError};
pub use rounds::SearchError;
pub use search::{
    Exploration, Options, Outcome, Scale, explore, explore_at_scale, search, search_at_scale,
};
