//! Three `raftd` processes on loopback: killed, halted, cut off from each other, and held to what
//! they promise.
//!
//! Everything else in this crate runs the node inside of one process, where time and failures are
//! made up. Here nothing is: processes die by SIGKILL and stand still by SIGSTOP, connections go
//! through [proxies](proxy) that stall and reset them, and time is the machine's. So no run is like
//! another one, and what is checked is what must hold of each:
//!
//! - what clients were told is linearizable,
//! - the logs of all servers, over all their incarnations, are a behaviour of the model,
//! - no server has ended by itself, and after the last failure all of them catch up,
//! - and enough has happened for this to mean something.

mod clients;
mod cluster;
mod cuts;
mod kills;
mod mixed;
mod program;
mod proxy;
mod server;
mod snapshots;
mod tampered;
mod verdict;
