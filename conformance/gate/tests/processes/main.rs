//! Three `raftd` processes on loopback are killed, halted and cut off from each other. Their
//! guarantees are checked.
//!
//! Everything else in this crate runs the node inside of one process, with simulated time and
//! failures. Here, both are real: processes are killed by SIGKILL and halted by SIGSTOP,
//! connections go through [proxies](proxy) that stall and reset them, and time is the machine's. So
//! no run is like another one. The following must hold in each run:
//!
//! - The history of the clients is linearizable.
//! - The logs of all servers, over all their incarnations, are a behaviour of the model.
//! - No server ends by itself, and all servers catch up after the last failure.
//! - Enough events have happened for the run to be meaningful.

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
