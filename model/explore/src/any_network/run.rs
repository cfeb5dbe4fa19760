//! Construction of a run that breaks a property: a sequence of real steps, of which none can be
//! left out.
//!
//! The search stores only the parent of each state, up to renaming. It leaves out idle steps and
//! messages that make no difference. This module rebuilds the run from the initial state with all
//! messages, and then removes the steps that are not needed.

use std::collections::{BTreeMap, HashSet};

use super::inbox::Inboxes;
use super::state::{Canonical, State, StateStep, Tuple};
use crate::local::{HistoryId, Label, Local, ServerId, UsedId};
use crate::message_set::MessageId;
use crate::system::{Findings, Input, MAX_SERVERS, RunStep, System};

type Step = (usize, Label);

/// Returns a run along a chain of states, at whose end the property of this bit is broken or one
/// more step breaks it; none if that is not the case.
///
/// States of the chain are known up to renaming. A property may look at the names of servers, so the
/// run is tried under each renaming.
pub(crate) fn find<S: System>(
    inboxes: &Inboxes<S>,
    chain: &[State],
    broken: u64,
) -> Option<Vec<RunStep<S>>> {
    let local = &inboxes.local;
    let (run, state) = along(inboxes, chain)?;
    let breaking = |steps: &[Step]| {
        let renamings = 0..local.renamings.len();
        renamings.into_iter().find_map(|by| replay(local, &renamed(local, by, steps), broken))
    };
    let steps = breaking(&run.taken).or_else(|| {
        steps(inboxes, &state).iter().find_map(|step| {
            let mut run = run.clone();
            run.take_like(step);
            run.take_idle_steps();
            breaking(&run.taken)
        })
    })?;
    let step = |(place, label): Step| match local.input(label) {
        Input::Receive(message) => RunStep::Receive(message.clone()),
        Input::Act(action) => RunStep::Act(place, action),
    };
    Some(minimal(local, steps, broken).into_iter().map(step).collect())
}

/// Returns a run along a chain of canonical states, including idle steps, and the state at its end.
fn along<'a, S: System>(inboxes: &'a Inboxes<S>, chain: &[State]) -> Option<(Run<'a, S>, State)> {
    let mut known = Findings::default();
    let mut state = inboxes.initial(&mut known);
    let mut run = Run::new(&inboxes.local);
    run.take_idle_steps();
    for wanted in chain.iter().skip(1) {
        let wanted = inboxes.canonical(wanted);
        let (step, next) = steps(inboxes, &state).into_iter().find_map(|step| {
            let next = inboxes.after(&state, step, &mut known);
            same(&inboxes.canonical(&next), &wanted).then_some((step, next))
        })?;
        run.take_like(&step);
        run.take_idle_steps();
        state = next;
    }
    Some((run, state))
}

fn renamed<S: System>(local: &Local<S>, renaming: usize, steps: &[Step]) -> Vec<Step> {
    let step = |(place, label): &Step| {
        let label = match label.message() {
            Some(message) => Label::receive(local.rename_message(renaming, message)),
            None => *label,
        };
        (local.renamings[renaming][*place], label)
    };
    steps.iter().map(step).collect()
}

fn steps<S: System>(inboxes: &Inboxes<S>, state: &State) -> Vec<StateStep> {
    let mut steps = Vec::new();
    inboxes.steps(state, &mut Findings::default(), |step| steps.push(step));
    steps
}

/// Returns whether two canonical forms are of states that are equal up to renaming.
fn same(a: &Canonical, b: &Canonical) -> bool {
    a.tuple == b.tuple && a.variants == b.variants
}

/// Removes steps one by one, as long as the remaining steps still break the property.
fn minimal<S: System>(local: &Local<S>, mut steps: Vec<Step>, broken: u64) -> Vec<Step> {
    loop {
        let before = steps.len();
        let mut place = steps.len();
        while place > 0 {
            place = (place - 1).min(steps.len() - 1);
            let mut fewer = steps.clone();
            fewer.remove(place);
            if let Some(shorter) = replay(local, &fewer, broken) {
                steps = shorter;
            }
        }
        if steps.len() == before {
            return steps;
        }
    }
}

/// Takes the possible ones of the steps, up to the first that breaks the property. Returns the
/// steps taken; none if the property is not broken.
fn replay<S: System>(local: &Local<S>, steps: &[Step], broken: u64) -> Option<Vec<Step>> {
    let mut run = Run::new(local);
    for (place, label) in steps {
        run.take(*place, *label);
        if run.findings.broken & broken != 0 {
            return Some(run.taken);
        }
    }
    None
}

/// An unfinished run, with every message that was sent.
struct Run<'a, S: System> {
    local: &'a Local<S>,
    tuple: Tuple,
    sent: HashSet<MessageId>,
    /// The messages by receiver, in the order of their sending.
    inboxes: BTreeMap<usize, Vec<MessageId>>,
    taken: Vec<Step>,
    findings: Findings,
}

impl<S: System> Clone for Run<'_, S> {
    fn clone(&self) -> Self {
        Run {
            local: self.local,
            tuple: self.tuple,
            sent: self.sent.clone(),
            inboxes: self.inboxes.clone(),
            taken: self.taken.clone(),
            findings: self.findings,
        }
    }
}

impl<'a, S: System> Run<'a, S> {
    fn new(local: &'a Local<S>) -> Run<'a, S> {
        let initial = local.system.initial();
        let mut servers = [0; MAX_SERVERS];
        for (id, server) in servers.iter_mut().zip(&initial.servers) {
            *id = local.intern_server(server);
        }
        let used = local.intern_used(initial.used);
        let history = local.intern_history(&initial.history);
        let tuple = Tuple { servers, used, history };
        let mut run = Run {
            local,
            tuple,
            sent: HashSet::new(),
            inboxes: BTreeMap::new(),
            taken: Vec::new(),
            findings: initial.findings,
        };
        for message in initial.sent {
            run.send(local.intern_message(&message));
        }
        run.check();
        run
    }

    fn send(&mut self, message: MessageId) -> bool {
        let new = self.sent.insert(message);
        if new {
            let to = self.local.receiver(message);
            self.inboxes.entry(to).or_default().push(message);
        }
        new
    }

    /// Returns the budgets after a step; none if the message was not sent or the budgets do not
    /// allow the action.
    fn permits(&self, place: usize, label: Label) -> Option<UsedId> {
        match label.message() {
            Some(message) => self.sent.contains(&message).then_some(self.tuple.used),
            None => self.local.action_budgets(self.tuple.servers[place], self.tuple.used, label),
        }
    }

    /// Takes a step if it is possible.
    fn take(&mut self, place: usize, label: Label) {
        let Some(used) = self.permits(place, label) else {
            return;
        };
        let Some((server, history, findings, sent)) = self.outcome(place, label) else {
            return;
        };
        let changes = server != self.tuple.servers[place]
            || history != self.tuple.history
            || used != self.tuple.used;
        self.tuple.servers[place] = server;
        self.tuple.history = history;
        self.tuple.used = used;
        self.findings.extend(findings);
        let mut sends = false;
        for message in sent {
            sends |= self.send(message);
        }
        self.check();
        if changes || sends || findings.broken != 0 {
            self.taken.push((place, label));
        }
    }

    fn outcome(
        &self,
        place: usize,
        label: Label,
    ) -> Option<(ServerId, HistoryId, Findings, Vec<MessageId>)> {
        let (id, transition) = self.local.transition(self.tuple.servers[place], label);
        let transition = transition?;
        let (history, by_history) =
            self.local.history_step(self.tuple.history, id, &transition.facts);
        let mut findings = transition.findings;
        findings.extend(by_history);
        let sets = transition.sends.iter().map(|(_, set)| self.local.sets.messages(*set));
        Some((transition.server, history, findings, sets.flatten().copied().collect()))
    }

    /// Takes a step with the same effect as a step of the search: a possible delivery or action
    /// that changes the server and the history in the same way. The message of the search's step
    /// may be one that replaces others, and need not have been sent in this run.
    fn take_like(&mut self, step: &StateStep) {
        let wanted = self.local.listed_transition(step.transition);
        let (history, _) =
            self.local.history_step(self.tuple.history, step.transition, &wanted.facts);
        let wanted = (wanted.server, history);
        let server = self.tuple.servers[step.place];
        let inbox = self.inboxes.get(&step.place).into_iter().flatten().copied();
        let actions = self.local.action_labels(server, self.tuple.used);
        let possible: Vec<Label> = inbox
            .map(Label::receive)
            .chain(actions)
            .filter(|label| self.permits(step.place, *label) == Some(step.used))
            .collect();
        let is_same = |label: &&Label| self.local.transition(server, **label).0 == step.transition;
        let is_like = |label: &&Label| {
            self.outcome(step.place, **label).is_some_and(|o| (o.0, o.1) == wanted)
        };
        let like = possible.iter().find(is_same).or_else(|| possible.iter().find(is_like)).copied();
        if let Some(label) = like {
            self.take(step.place, label);
        }
    }

    /// Takes every idle step that sends something new.
    fn take_idle_steps(&mut self) {
        loop {
            let before = self.sent.len();
            for place in 0..self.local.renamings[0].len() {
                let inbox = self.inboxes.get(&place).cloned().unwrap_or_default();
                let arrivals = inbox.into_iter().map(Label::receive);
                let labels = self.local.action_labels(self.tuple.servers[place], self.tuple.used);
                for label in arrivals.chain(labels) {
                    if self.is_idle(place, label) {
                        self.take(place, label);
                    }
                }
            }
            if self.sent.len() == before {
                return;
            }
        }
    }

    fn is_idle(&self, place: usize, label: Label) -> bool {
        let server = self.tuple.servers[place];
        let (_, transition) = self.local.transition(server, label);
        transition.is_some_and(|t| t.server == server && t.facts.is_empty())
            && self.permits(place, label) == Some(self.tuple.used)
    }

    fn check(&mut self) {
        let servers = &self.tuple.servers[..self.local.renamings[0].len()];
        self.findings.extend(self.local.check_and_examine(servers, self.tuple.history));
    }
}
