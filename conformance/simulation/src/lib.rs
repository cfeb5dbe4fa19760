//! Production servers on simulated disks, networks and clocks, with clients and faults.

pub mod clients;
pub mod cluster;
pub mod disk;
pub mod failure;
pub mod lazily_opened_store;
pub mod reference_store;
pub mod server;
pub mod simulate;
