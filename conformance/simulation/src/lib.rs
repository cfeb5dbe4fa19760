//! Production servers on simulated disks, networks and clocks, with clients and faults.

pub mod clients;
pub mod cluster;
pub mod disk;
pub mod failure;
pub mod lazy_store;
pub mod reference;
pub mod server;
pub mod simulate;
