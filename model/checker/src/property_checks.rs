//! The checks of every step. Servers and the history report events, and this module finds the
//! properties that they break and the witnesses that they reach.
//!
//! The cluster model and the properties do not depend on each other. Only this module checks each
//! property whenever it could be broken: by an event inside a step ([`Event`]), by the step of one
//! server, by a finding of the history ([`Finding`]), and by all servers together.

use itertools::Itertools;
use raft_trace::{Action, Envelope, Settings};

use crate::cluster::history::{Fact, Finding, History};
use crate::cluster::server::{Event, Observer, Reaction, Server};
use crate::cluster::{Cluster, Impossible};
use crate::properties::{
    Property, PropertySet, View, Witness, WitnessSet, commit_is_fact, commit_not_stalled,
    committed_on_majority, disk_is_fact, election_safety, leader_append_only, leader_completeness,
    log_matching, match_is_fact, monotonic, nothing_rejected, own_term_commit, promise_is_durable,
    reads, snapshot_prefix, state_machine_safety, vote_once, votes_are_facts,
};
use crate::protocol::Protocol;

/// The observations about an action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Messages that it put on the network.
    pub sent: Vec<Envelope>,
    /// Properties that it broke.
    pub broken: PropertySet,
    /// Witnesses that it reached.
    pub witnessed: WitnessSet,
}

/// The results of an action of one server, with the properties that it broke and the witnesses that
/// it reached, as far as one server can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedAction {
    /// The reaction of the server.
    pub reaction: Reaction,
    /// Properties that it broke.
    pub broken: PropertySet,
    /// Witnesses that it reached.
    pub witnessed: WitnessSet,
}

impl Server {
    /// Does an action of this server and checks every property that one server can break.
    ///
    /// # Errors
    ///
    /// [`Impossible`], with the server as it was, if the action cannot be done now.
    pub fn act<P: Protocol>(
        &mut self,
        settings: &Settings,
        protocol: &P,
        action: &Action,
    ) -> Result<CheckedAction, Impossible> {
        let before = self.clone();
        let mut checked = CheckedAction::default();
        checked.reaction = self.run_observed(settings, protocol, action, &mut checked.broken)?;
        check_step(&before, self, action, &mut checked);
        Ok(checked)
    }
}

impl Cluster {
    /// Does one action and checks every property but
    /// [`can_recover`](crate::properties::can_recover).
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
        let mut checked = CheckedAction::default();
        if let Some(id) = action.server() {
            checked = self.server_mut(id)?.act(settings, protocol, action)?;
        }
        let CheckedAction { reaction, mut broken, mut witnessed } = checked;
        match action {
            Action::Deliver(envelope) | Action::Drop(envelope) => self.take(envelope),
            Action::Duplicate(envelope) => self.put(envelope.clone()),
            _ => {}
        }
        reaction.sent.iter().for_each(|envelope| self.put(envelope.clone()));
        for fact in &reaction.facts {
            broken.extend(broken_by(self.history.record(fact)));
        }
        let views: Vec<View> = self.servers.iter().map(View::of).collect();
        let views: Vec<&View> = views.iter().collect();
        let (by_cluster, reached) = check_cluster(&views, &self.history);
        broken.extend(by_cluster);
        witnessed.extend(reached);
        Ok(Observation { sent: reaction.sent, broken, witnessed })
    }
}

impl Observer for PropertySet {
    fn observe(&mut self, event: Event<'_>) {
        let (property, broken) = match event {
            Event::SnapshotOffered { snapshot, commit_before, node } => (
                Property::SnapshotIsPrefix,
                snapshot_prefix::broken_by_install(snapshot, commit_before, node),
            ),
            Event::MessageLeaves { envelope, disk, process } => {
                let broken = promise_is_durable::broken_by(envelope, disk, process);
                (Property::PromiseIsDurable, broken)
            }
            Event::VoteReleased { before, term, candidate } => {
                (Property::VoteOnce, vote_once::broken_by(before, term, candidate))
            }
            Event::Restores(snapshot) => {
                (Property::SnapshotIsPrefix, snapshot_prefix::broken_by_contents(snapshot))
            }
            Event::AppliesOutOfOrder => (Property::StateMachineSafety, true),
            Event::Rejects => (Property::NothingRejected, true),
            Event::Halts => (Property::NobodyHalts, true),
        };
        if broken {
            self.insert(property);
        }
    }
}

/// Returns the property that a finding of the history breaks.
pub(crate) fn broken_by(finding: Option<Finding>) -> PropertySet {
    let property = match finding {
        Some(Finding::TermWonBefore) => Some(Property::ElectionSafety),
        Some(Finding::DecidedOtherwise) => Some(Property::StateMachineSafety),
        Some(Finding::ReadServed { committed, applied }) => {
            reads::broken(committed, applied).then_some(Property::Reads)
        }
        None => None,
    };
    property.into_iter().collect()
}

/// Checks the properties that one server can break in one step.
fn check_step(before: &Server, after: &Server, action: &Action, checked: &mut CheckedAction) {
    let nodes = match (&before.process, &after.process) {
        (Some(before), Some(after)) => Some((&before.node, &after.node)),
        _ => None,
    };
    let forgotten = reads::forgotten(before, after, &checked.reaction.facts);
    let mut check = |property: Property, broken: bool| {
        if broken {
            checked.broken.insert(property);
        }
    };
    check(Property::Monotonic, monotonic::disk_broken(&before.disk, &after.disk));
    check(Property::Reads, forgotten);
    check(Property::DiskIsFact, disk_is_fact::broken(after));
    check(Property::SnapshotIsPrefix, snapshot_prefix::broken_at_base(&after.disk.log));
    if let Some((before, after_node)) = nodes {
        check(Property::LeaderAppendOnly, leader_append_only::broken(before, after_node));
        check(Property::OwnTermCommit, own_term_commit::broken(before, after_node));
        check(Property::CommitNotStalled, commit_not_stalled::broken(after_node, &after.disk));
        check(Property::Monotonic, monotonic::broken(before, after_node));
    }

    let served = checked.reaction.facts.iter().any(|fact| matches!(fact, Fact::ReadServed(..)));
    let mut witness = |witness: Witness, reached: bool| {
        if reached {
            checked.witnessed.insert(witness);
        }
    };
    if let Some((before, after)) = nodes {
        use Witness as W;
        witness(W::LeaderBuildsOnOlderEntry, leader_append_only::witnessed(before, after, action));
        witness(W::ConflictTruncated, log_matching::witnessed(before, after));
        witness(W::OlderTermHeldBack, own_term_commit::witnessed(after));
        witness(W::SeveralCommittedAtOnce, commit_not_stalled::witnessed(before, after));
        witness(W::LateAcknowledgement, monotonic::witnessed(before, action));
        witness(W::SecondVoteRefused, vote_once::witnessed(before, action));
        witness(W::SnapshotInstalled, snapshot_prefix::witnessed(before, after, action));
        witness(W::LateLeaderAnswered, nothing_rejected::witnessed(before, action));
    }
    witness(Witness::ReadServed, served);
    witness(Witness::MessageWaited, promise_is_durable::witnessed(before, after, action));
    witness(Witness::LogWriteWaits, disk_is_fact::witnessed(after));
    if let Action::Restart { .. } = action {
        witness(Witness::RestartedWithLog, after.disk.log.last_index().0 > 0);
    }
}

/// Checks the properties of all servers together, with the history of the run.
pub fn check_cluster(views: &[&View], history: &History) -> (PropertySet, WitnessSet) {
    let mut broken = PropertySet::default();
    let pairs = || views.iter().array_combinations();
    if pairs().any(|[a, b]| election_safety::broken(a, b)) {
        broken.insert(Property::ElectionSafety);
    }
    if pairs().any(|[a, b]| log_matching::broken(a, b)) {
        broken.insert(Property::LogMatching);
    }
    if views.iter().any(|view| leader_completeness::broken(view, history)) {
        broken.insert(Property::LeaderCompleteness);
    }
    if committed_on_majority::broken(views, history) {
        broken.insert(Property::CommittedOnMajority);
    }
    if votes_are_facts::broken(views) {
        broken.insert(Property::VotesAreFacts);
    }
    if views.iter().any(|view| match_is_fact::broken(view, views)) {
        broken.insert(Property::MatchIsFact);
    }
    if views.iter().any(|view| commit_is_fact::broken(view, history)) {
        broken.insert(Property::CommitIsFact);
    }
    let witnessed = cluster_witnesses(views, history);
    (broken, witnessed)
}

fn cluster_witnesses(views: &[&View], history: &History) -> WitnessSet {
    let mut witnessed = WitnessSet::default();
    let mut witness = |witness: Witness, reached: bool| {
        if reached {
            witnessed.insert(witness);
        }
    };
    let two = |[a, b]: [&&View; 2]| election_safety::witnessed(a, b);
    witness(Witness::TwoLeadersOfDifferentTerms, views.iter().array_combinations().any(two));
    let any = |reached: &dyn Fn(&View) -> bool| views.iter().any(|view| reached(view));
    witness(Witness::LeaderAfterCommit, any(&|v| leader_completeness::witnessed(v, history)));
    witness(Witness::AppliedEverywhere, state_machine_safety::witnessed(views));
    witness(Witness::CommittedWithoutOne, committed_on_majority::witnessed(views, history));
    witness(Witness::LeaderLeftBehind, votes_are_facts::witnessed(views));
    witness(Witness::MatchKnown, any(&match_is_fact::witnessed));
    witness(Witness::CommitLearned, any(&commit_is_fact::witnessed));
    witnessed
}
