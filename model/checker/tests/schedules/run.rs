//! Does actions, one after the other, and records the properties that they break and the witnesses
//! that they reach.

use raft_checker::cluster::{Cluster, Impossible};
use raft_checker::properties::{Property, PropertySet, Witness, WitnessSet, can_recover};
use raft_checker::protocol::Protocol;
use raft_trace::{Action, Envelope, Settings};

use super::choice::Schedule;

/// A run of a cluster, up to the first action that breaks something.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) settings: Settings,
    pub(crate) cluster: Cluster,
    /// The actions that were done.
    pub(crate) actions: Vec<Action>,
    /// The properties that the last action, or the end, broke.
    pub(crate) broken: PropertySet,
    pub(crate) witnessed: WitnessSet,
}

impl Run {
    /// Makes a run in which nothing has happened yet.
    pub(crate) fn begin<P: Protocol>(settings: &Settings, protocol: &P) -> Run {
        Run {
            settings: settings.clone(),
            cluster: Cluster::boot(settings, protocol),
            actions: Vec::new(),
            broken: PropertySet::default(),
            witnessed: WitnessSet::default(),
        }
    }

    /// Makes the run that a schedule means.
    pub(crate) fn of_schedule<P: Protocol>(schedule: &Schedule, protocol: &P) -> Run {
        let mut run = Run::begin(&schedule.settings, protocol);
        for choice in &schedule.choices {
            let done = run.actions.len();
            if let Some(action) = choice.action(&run.settings, &run.cluster, done) {
                // The oldest application may have to wait for the disk; nothing else is impossible.
                let _ = run.act(protocol, &action);
            }
        }
        run.end(protocol);
        run
    }

    /// Makes the run of those actions that are possible when their turn comes. An action that is
    /// not possible is replaced by the nearest one, if that is possible.
    pub(crate) fn of_actions<'a, P: Protocol>(
        settings: &Settings,
        protocol: &P,
        actions: impl IntoIterator<Item = &'a Action>,
    ) -> Run {
        let mut run = Run::begin(settings, protocol);
        for action in actions {
            let _ = run.act(protocol, action).or_else(|_| run.act(protocol, &run.nearest(action)));
        }
        run.end(protocol);
        run
    }

    /// Returns the same action with another message of the same kind between the same servers.
    fn nearest(&self, action: &Action) -> Action {
        let is_alike = |gone: &Envelope, other: &Envelope| {
            let kind = |envelope: &Envelope| std::mem::discriminant(&envelope.message);
            (gone.from, gone.to, kind(gone)) == (other.from, other.to, kind(other))
        };
        let mut nearest = action.clone();
        if let Action::Deliver(envelope) | Action::Drop(envelope) | Action::Duplicate(envelope) =
            &mut nearest
            && let Some(other) = self.cluster.network.keys().find(|other| is_alike(envelope, other))
        {
            *envelope = other.clone();
        }
        nearest
    }

    /// Does one action, unless something is broken already.
    pub(crate) fn act<P: Protocol>(
        &mut self,
        protocol: &P,
        action: &Action,
    ) -> Result<(), Impossible> {
        if self.broken.is_empty() {
            let seen = self.cluster.act(&self.settings, protocol, action)?;
            self.actions.push(action.clone());
            self.broken = seen.broken;
            self.witnessed.extend(seen.witnessed);
        }
        Ok(())
    }

    /// Checks whether every majority can recover from here.
    pub(crate) fn end<P: Protocol>(&mut self, protocol: &P) {
        if !self.broken.is_empty() {
            return;
        }
        match can_recover::check(&self.settings, protocol, &self.cluster) {
            Ok(true) => self.witnessed.insert(Witness::RecoveredWithoutLeader),
            Ok(false) => {}
            Err(_) => self.broken.insert(Property::CanRecover),
        }
    }
}
