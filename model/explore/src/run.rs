//! A run that breaks a property: real steps, one after the other, of which none can be left out.
//!
//! The search knows of each state only its parent, up to renaming, and leaves out idle steps and
//! messages that make no difference. Here the run is made again with all messages, from the first
//! state on, and then cut down.

use std::collections::{BTreeMap, HashSet};

use crate::local::{HistoryId, Label, Local, MessageId, ServerId, UsedId};
use crate::state::{Canonical, State, Tuple};
use crate::system::{Findings, Input, System};

/// A step of a run.
pub enum RunStep<S: System> {
    /// A server receives a message that was sent before.
    Receive(S::Message),
    /// The server at a place acts by itself.
    Act(usize, S::Action),
}

type Step = (usize, Label);

/// A run along a chain of states that ends by breaking the property of this bit; none if no run along
/// the chain does.
pub(crate) fn find<S: System>(
    local: &Local<'_, S>,
    chain: &[State],
    broken: u64,
) -> Option<Vec<RunStep<S>>> {
    let steps = along(local, chain, broken)?;
    let steps = minimal(local, steps, broken)?;
    let step = |(place, label): Step| match local.input(label) {
        Input::Receive(message) => RunStep::Receive(message.clone()),
        Input::Act(action) => RunStep::Act(place, action),
    };
    Some(steps.into_iter().map(step).collect())
}

/// The steps of a run along a chain of canonical states, idle ones included, and one more that breaks
/// the property.
fn along<S: System>(local: &Local<'_, S>, chain: &[State], broken: u64) -> Option<Vec<Step>> {
    let (mut state, _) = local.initial();
    let mut run = Run::new(local);
    run.take_idle_steps();
    for wanted in chain.iter().skip(1) {
        let wanted = local.canonical(wanted);
        let mut steps = local.steps(&state);
        let (place, label, used, next) = steps.find_map(|(place, label, used)| {
            let (next, _) = local.after(&state, place, label, used);
            same(&local.canonical(&next), &wanted).then_some((place, label, used, next))
        })?;
        run.take_like(place, label, used);
        run.take_idle_steps();
        state = next;
    }
    if run.findings.broken & broken != 0 {
        return Some(run.taken);
    }
    let last: Vec<_> = local.steps(&state).collect();
    last.into_iter().find_map(|(place, label, used)| {
        let mut run = run.clone();
        run.take_like(place, label, used);
        run.take_idle_steps();
        (run.findings.broken & broken != 0).then_some(run.taken)
    })
}

/// Whether two canonical states are one up to renaming.
fn same(a: &Canonical, b: &Canonical) -> bool {
    a.tuple == b.tuple && a.variants == b.variants
}

/// Leaves out steps as long as the rest breaks the property.
fn minimal<S: System>(local: &Local<'_, S>, steps: Vec<Step>, broken: u64) -> Option<Vec<Step>> {
    let mut steps = replay(local, &steps, broken)?;
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
            return Some(steps);
        }
    }
}

/// Takes those of the steps that are possible, up to the first that breaks the property.
fn replay<S: System>(local: &Local<'_, S>, steps: &[Step], broken: u64) -> Option<Vec<Step>> {
    let mut run = Run::new(local);
    for (place, label) in steps {
        run.take(*place, *label);
        if run.findings.broken & broken != 0 {
            return Some(run.taken);
        }
    }
    None
}

/// A run so far, with every message that was sent.
struct Run<'a, 's, S: System> {
    local: &'a Local<'s, S>,
    tuple: Tuple,
    sent: HashSet<MessageId>,
    /// The messages by receiver, in the order of their sending.
    inboxes: BTreeMap<usize, Vec<MessageId>>,
    taken: Vec<Step>,
    findings: Findings,
}

impl<S: System> Clone for Run<'_, '_, S> {
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

impl<'a, 's, S: System> Run<'a, 's, S> {
    fn new(local: &'a Local<'s, S>) -> Run<'a, 's, S> {
        let (State { tuple, .. }, _) = local.initial();
        let mut run = Run {
            local,
            tuple,
            sent: HashSet::new(),
            inboxes: BTreeMap::new(),
            taken: Vec::new(),
            findings: Findings::default(),
        };
        for message in local.system.initial().sent {
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

    /// The budgets after a step; none if it is not possible.
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

    /// Takes a step of the search. The message may be one that stands for others, or that the search
    /// has not removed while the run has another one of the same effect.
    fn take_like(&mut self, place: usize, label: Label, used: UsedId) {
        let Some(message) = label.message().filter(|message| !self.sent.contains(message)) else {
            self.take(place, label);
            return;
        };
        let wanted = self.outcome(place, Label::receive(message)).map(|o| (o.0, o.1));
        let inbox = self.inboxes.get(&place).into_iter().flatten().copied();
        let like = inbox.map(Label::receive).find(|label| {
            self.outcome(place, *label).map(|o| (o.0, o.1)) == wanted && used == self.tuple.used
        });
        if let Some(label) = like {
            self.take(place, label);
        }
    }

    /// Takes every idle step that sends something new.
    fn take_idle_steps(&mut self) {
        loop {
            let before = self.sent.len();
            for place in 0..self.local.count() {
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
        let servers = &self.tuple.servers[..self.local.count()];
        let servers: Vec<_> = servers.iter().map(|id| self.local.server(*id)).collect();
        let history = self.local.history(self.tuple.history);
        self.findings.extend(self.local.system.check(&servers, history));
    }
}
