//! The cluster model: servers that may crash and lose writes, the network between them, and the
//! history that the properties need.
//!
//! [`Cluster`] is the plain form. It does one action after the other, without bounds. Replays,
//! tests and the Explorer use it. The checker explores the same servers with [`raft_explore`] (see
//! [`crate::bounded_cluster`]).

pub mod budget;
pub mod history;
mod impossible;
pub(crate) mod local_action;
pub mod rename;
pub mod server;
pub mod snapshot_data;

use std::collections::BTreeMap;

use raft_core::NodeId;
use raft_trace::{Envelope, Settings};

use crate::protocol::Protocol;
use history::History;
pub use impossible::Impossible;
use server::Server;

/// A cluster at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// The servers, n1 first.
    pub servers: Vec<Server>,
    /// The messages on the network and how many copies there are of each.
    pub network: BTreeMap<Envelope, usize>,
    /// The history of the run, as far as the properties need it.
    pub history: History,
}

impl Cluster {
    /// Makes a cluster whose servers start for the first time.
    pub fn boot<P: Protocol>(settings: &Settings, protocol: &P) -> Cluster {
        let ids = (1..=settings.servers).map(NodeId);
        Cluster {
            servers: ids.map(|id| Server::boot(settings, protocol, id)).collect(),
            network: BTreeMap::new(),
            history: History::default(),
        }
    }

    /// Returns the server with that id.
    pub fn server(&self, id: NodeId) -> Option<&Server> {
        self.servers.iter().find(|server| server.id == id)
    }

    pub(crate) fn server_mut(&mut self, id: NodeId) -> Result<&mut Server, Impossible> {
        let found = self.servers.iter_mut().find(|server| server.id == id);
        found.ok_or(Impossible::NoSuchServer(id))
    }

    /// Puts a copy of a message on the network.
    pub(crate) fn put(&mut self, envelope: Envelope) {
        *self.network.entry(envelope).or_default() += 1;
    }

    /// Takes a copy of a message off the network.
    pub(crate) fn take(&mut self, envelope: &Envelope) {
        if let Some(copies) = self.network.get_mut(envelope) {
            *copies -= 1;
            if *copies == 0 {
                self.network.remove(envelope);
            }
        }
    }
}
