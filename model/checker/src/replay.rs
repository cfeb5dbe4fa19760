//! Replays a trace on the plain, unbounded cluster, step by step, and collects the details of each
//! step for the reader.

use std::cell::RefCell;

use raft_core::{Handler, Index, Message, Paper, Rule, Rules};
use raft_trace::{Action, Envelope, Settings};

use crate::cluster::history::History;
use crate::cluster::{Cluster, Impossible};
use crate::properties::{Property, PropertySet, View, WitnessSet, can_recover};

/// A replayed run.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The cluster before the first step.
    pub start: Cluster,
    /// The steps.
    pub steps: Vec<Step>,
    /// The majority that cannot recover from the end of the run, if there is one.
    pub stuck: Option<can_recover::Stuck>,
}

/// One replayed step.
#[derive(Clone, Debug)]
pub struct Step {
    /// The action.
    pub action: Action,
    /// The cluster after it.
    pub after: Cluster,
    /// The messages that it put on the network.
    pub sent: Vec<Envelope>,
    /// The properties that it broke.
    pub broken: PropertySet,
    /// The witnesses that it reached.
    pub witnessed: WitnessSet,
    /// The rules that were asked, in order, each once, with the first answer.
    pub asked: Vec<(Rule, Answer)>,
}

/// The answer of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Whether its condition was fulfilled.
    Holds(bool),
    /// The number that it prescribed.
    Value(u64),
}

/// A trace that cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {step} is not possible: {reason}")]
pub struct ReplayError {
    /// The step, counted from 1.
    pub step: usize,
    /// The reason.
    pub reason: Impossible,
}

/// The paper's rules, which record their answers.
#[derive(Default)]
struct Listening {
    asked: RefCell<Vec<(Rule, Answer)>>,
}

impl Listening {
    fn note(&self, rule: Rule, answer: Answer) {
        let mut asked = self.asked.borrow_mut();
        if asked.iter().all(|(known, _)| *known != rule) {
            asked.push((rule, answer));
        }
    }
}

impl Rules for Listening {
    fn holds(&self, rule: Rule, answer: bool) -> bool {
        self.note(rule, Answer::Holds(answer));
        Paper.holds(rule, answer)
    }

    fn value(&self, rule: Rule, value: u64) -> u64 {
        self.note(rule, Answer::Value(value));
        Paper.value(rule, value)
    }
}

impl Replay {
    /// Replays a run from the first start of the cluster.
    ///
    /// # Errors
    ///
    /// [`ReplayError`] names the first step that is not possible.
    pub fn run(settings: &Settings, actions: &[Action]) -> Result<Replay, ReplayError> {
        let start = Cluster::boot(settings, &Paper);
        let mut cluster = start.clone();
        let mut steps = Vec::with_capacity(actions.len());
        for (place, action) in actions.iter().enumerate() {
            let rules = Listening::default();
            let observation = cluster
                .act(settings, &rules, action)
                .map_err(|reason| ReplayError { step: place + 1, reason })?;
            steps.push(Step {
                action: action.clone(),
                after: cluster.clone(),
                sent: observation.sent,
                broken: observation.broken,
                witnessed: observation.witnessed,
                asked: rules.asked.into_inner(),
            });
        }
        let stuck = can_recover::check(settings, &Paper, &cluster).err();
        Ok(Replay { start, steps, stuck })
    }

    /// Returns the first step that breaks a property, counted from 0, and the properties that it
    /// breaks. A rejection or a halt counts only if nothing else is broken.
    pub fn violation(&self) -> Option<(usize, PropertySet)> {
        let first = |wanted: fn(PropertySet) -> PropertySet| {
            let broken = |step: &Step| !wanted(step.broken).is_empty();
            let place = self.steps.iter().position(broken)?;
            Some((place, self.steps[place].broken))
        };
        let stuck = || {
            let last = self.steps.len().checked_sub(1)?;
            self.stuck.as_ref().map(|_| (last, [Property::CanRecover].into_iter().collect()))
        };
        first(PropertySet::that_end_search).or_else(stuck).or_else(|| first(|broken| broken))
    }

    /// Returns the earlier step, counted from 0, that the violation contradicts: the first of two
    /// elections, or the commitment of the missing entry.
    pub fn contradicted(&self) -> Option<usize> {
        let (place, broken) = self.violation()?;
        broken.iter().find_map(|property| self.contradicted_step(place, property))
    }

    fn contradicted_step(&self, violation: usize, property: Property) -> Option<usize> {
        let after = &self.steps[violation].after;
        let first = |happened: &dyn Fn(&History) -> bool| {
            let place = self.steps.iter().position(|step| happened(&step.after.history))?;
            (place < violation).then_some(place)
        };
        match property {
            Property::ElectionSafety => {
                let views: Vec<View> = after.servers.iter().map(View::of).collect();
                let term = views.iter().filter_map(|view| view.leads).max()?;
                first(&|history| history.terms_won.contains(&term))
            }
            Property::LeaderCompleteness
            | Property::StateMachineSafety
            | Property::CommittedOnMajority => {
                let index = self.missing(violation)?;
                first(&|history| history.decided.len() as u64 >= index.0)
            }
            _ => None,
        }
    }

    /// Returns the lowest decided index at which some server has another entry, or has none and
    /// leads.
    fn missing(&self, violation: usize) -> Option<Index> {
        let after = &self.steps[violation].after;
        let views: Vec<View> = after.servers.iter().map(View::of).collect();
        let decided = after.history.decided.iter().enumerate();
        let differs = |place: usize, entry: &raft_core::Entry| {
            views.iter().any(|view| match view.log.get(place) {
                Some(other) => other != entry,
                None => view.leads.is_some(),
            })
        };
        let found = decided.into_iter().find(|(place, decided)| differs(*place, &decided.entry));
        found.map(|(place, _)| Index(place as u64 + 1))
    }
}

impl Step {
    /// Returns the handler whose rules the step is about.
    pub fn handler(&self) -> Option<Handler> {
        match &self.action {
            Action::ElectionTimeout { .. } => Some(Handler::Election),
            Action::Heartbeat { .. } | Action::Propose { .. } => Some(Handler::Replication),
            Action::Read { .. } => Some(Handler::Read),
            Action::Sync { .. } => Some(Handler::Durable),
            Action::Apply { .. } | Action::StartSnapshot { .. } | Action::FinishSnapshot { .. } => {
                Some(Handler::StateMachine)
            }
            Action::Restart { .. } => Some(Handler::Restart),
            Action::Deliver(envelope) => Some(match envelope.message {
                Message::RequestVote(_) => Handler::RequestVote,
                Message::RequestVoteReply(_) => Handler::RequestVoteReply,
                Message::AppendEntries(_) => Handler::AppendEntries,
                Message::InstallSnapshot(_) => Handler::InstallSnapshot,
                Message::AppendEntriesReply(_) | Message::InstallSnapshotReply(_) => {
                    Handler::AppendEntriesReply
                }
            }),
            Action::Crash { .. } | Action::Drop(_) | Action::Duplicate(_) => None,
        }
    }

    /// Returns the rules that the table lists for the step's handler and that were not asked.
    pub fn not_asked(&self) -> Vec<Rule> {
        let Some(handler) = self.handler() else {
            return Vec::new();
        };
        let asked = |rule: &Rule| self.asked.iter().any(|(known, _)| known == rule);
        let listed = Rule::ALL.iter().copied();
        listed.filter(|rule| rule.text().handlers.contains(&handler) && !asked(rule)).collect()
    }
}
