//! The cluster model: servers in a harsh world, the network between them, and the history that the
//! properties need.
//!
//! [`Cluster`] is the plain form: it does one action after the other, without bounds, and is what
//! replays, tests and the Explorer use. The checker explores the same servers in packed form (see
//! [`crate::packed`]).

pub mod budget;
pub mod history;
pub(crate) mod local_action;
pub mod rename;
pub mod server;
pub mod snapshot_data;

use std::collections::BTreeMap;

use raft_core::NodeId;
use raft_trace::{Action, Envelope, Settings};

use crate::properties::{self, PropertySet, View, WitnessSet};
use crate::protocol::Protocol;
use history::History;
pub use server::Impossible;
use server::{Reaction, Server};

/// A cluster at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// The servers, n1 first.
    pub servers: Vec<Server>,
    /// The messages on the network and how many copies there are of each.
    pub network: BTreeMap<Envelope, usize>,
    /// What has happened, as far as the properties need it.
    pub history: History,
}

/// What an action showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Messages that it put on the network.
    pub sent: Vec<Envelope>,
    /// Properties that it broke.
    pub broken: PropertySet,
    /// Witnesses that it reached.
    pub witnessed: WitnessSet,
}

impl Cluster {
    /// A cluster whose servers start for the first time.
    pub fn boot<P: Protocol>(settings: &Settings, protocol: &P) -> Cluster {
        let ids = (1..=settings.servers).map(NodeId);
        Cluster {
            servers: ids.map(|id| Server::boot(settings, protocol, id)).collect(),
            network: BTreeMap::new(),
            history: History::default(),
        }
    }

    /// Does one action and checks every property but [`properties::can_recover`].
    ///
    /// # Errors
    ///
    /// [`Impossible`], with the cluster as it was, if the action cannot be done now.
    pub fn act<P: Protocol>(
        &mut self,
        settings: &Settings,
        protocol: &P,
        action: &Action,
    ) -> Result<Observation, Impossible> {
        if let Action::Deliver(envelope) | Action::Drop(envelope) | Action::Duplicate(envelope) =
            action
            && !self.network.contains_key(envelope)
        {
            return Err(Impossible::NoSuchMessage);
        }
        let mut reaction = Reaction::default();
        if let Some(id) = action.server() {
            reaction = self.server_mut(id)?.act(settings, protocol, action)?;
        }
        match action {
            Action::Deliver(envelope) | Action::Drop(envelope) => self.take(envelope),
            Action::Duplicate(envelope) => self.put(envelope.clone()),
            _ => {}
        }
        reaction.sent.iter().for_each(|envelope| self.put(envelope.clone()));
        for fact in &reaction.facts {
            reaction.broken.extend(self.history.record(fact));
        }
        let views: Vec<View> = self.servers.iter().map(View::of).collect();
        let views: Vec<&View> = views.iter().collect();
        let (broken, witnessed) = properties::check_cluster(&views, &self.history);
        reaction.broken.extend(broken);
        reaction.witnessed.extend(witnessed);
        let Reaction { sent, broken, witnessed, .. } = reaction;
        Ok(Observation { sent, broken, witnessed })
    }

    /// The server of that id.
    pub fn server(&self, id: NodeId) -> Option<&Server> {
        self.servers.iter().find(|server| server.id == id)
    }

    fn server_mut(&mut self, id: NodeId) -> Result<&mut Server, Impossible> {
        let found = self.servers.iter_mut().find(|server| server.id == id);
        found.ok_or(Impossible::NoSuchServer(id))
    }

    fn put(&mut self, envelope: Envelope) {
        *self.network.entry(envelope).or_default() += 1;
    }

    fn take(&mut self, envelope: &Envelope) {
        if let Some(copies) = self.network.get_mut(envelope) {
            *copies -= 1;
            if *copies == 0 {
                self.network.remove(envelope);
            }
        }
    }
}
