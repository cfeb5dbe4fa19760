//! A flipped bit in the log of a server, and the checks of each server by itself after all faults
//! have ended.

use raft_core::NodeId;
use raft_node::start::{LOG_FILES, WITNESS_FILE};
use rand::RngExt;
use rand::seq::IndexedRandom as _;

use super::Cluster;
use super::host::{Host, Survives};
use super::network::place;
use crate::failure::Failure;
use crate::server::open_log;

impl Cluster {
    /// Kills a server, flips a bit in a copy of its log, and opens the copy like a start would. The
    /// start must fail, or have the same state. Does nothing if a transaction is on its way to the
    /// disk, because a flipped bit could then look like the end of an incomplete transaction.
    ///
    /// # Errors
    ///
    /// Fails if the simulation itself fails.
    pub fn flip_bit(&mut self, id: NodeId) -> Result<(), Failure> {
        let host = &self.hosts[place(id)];
        if host.running.is_none() || host.committing > 0 {
            return Ok(());
        }
        self.crash(id, Survives::All)?;
        let names = [LOG_FILES[0], LOG_FILES[1], WITNESS_FILE];
        let name = names.choose(&mut self.random).copied().unwrap_or(WITNESS_FILE);
        let host = &self.hosts[place(id)];
        let disk = host.disk.moment().after_kill();
        let file = disk.root().directory("node")?.open(name)?;
        let mut bytes = vec![0; usize::try_from(file.len()?)?];
        file.read(0, &mut bytes)?;
        // Most of a file may be empty space for later records.
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let Some(at) = used.choose(&mut self.random).copied() else { return Ok(()) };
        let flipped = bytes[at] ^ (1 << self.random.random_range(0..8));
        file.write(at as u64, &[flipped])?;
        drop(file);
        if let Ok((_, state)) = open_log(&disk, &host.setup)
            && state != host.left
        {
            let what = format!(
                "{id} starts with {state:?} after a bit at {at} of {name} flipped; it was {:?}",
                host.left
            );
            self.checks().complain("disk-is-fact", what);
        }
        Ok(())
    }

    /// Returns whether a client waits for the replica of a server that is up.
    pub fn owes_answers(&self) -> bool {
        self.hosts.iter().any(Host::owes_answers)
    }

    /// Compares each server's state machine with the state after the entries that it has applied.
    pub fn check_states(&self) {
        for what in self.hosts.iter().filter_map(|host| host.compare_state().err()) {
            self.checks().complain("state-machine-safety", what);
        }
    }

    /// Checks that servers draw a new election timeout each time (paper, section 5.2).
    pub fn check_timeouts(&self) {
        for what in self.hosts.iter().filter_map(|host| host.timeouts_vary().err()) {
            self.checks().complain("timeouts-vary", what);
        }
    }
}
