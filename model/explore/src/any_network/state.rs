//! States over any network: servers, budgets, history, and the sent messages by receiver.

use serde::{Deserialize, Serialize};

use super::inbox::{InboxId, Inboxes};
use crate::hash::mix;
use crate::local::{HistoryId, ServerId, UsedId};
use crate::message_set::SetId;
use crate::system::{Findings, MAX_SERVERS, System};

/// Everything in a state except its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Tuple {
    /// The servers by place; unused places are 0.
    pub(crate) servers: [ServerId; MAX_SERVERS],
    pub(crate) used: UsedId,
    pub(crate) history: HistoryId,
}

/// The sent messages that can still make a difference, by the place of their receiver.
pub(crate) type Messages = [SetId; MAX_SERVERS];

/// A state: servers with their messages, budgets and history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) inboxes: [InboxId; MAX_SERVERS],
    pub(crate) used: UsedId,
    pub(crate) history: HistoryId,
}

/// A step of one server that is not idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateStep {
    pub(crate) place: usize,
    pub(crate) transition: u32,
    /// The inbox of the server after the step, without messages that the step sends.
    next: InboxId,
    /// The budgets after the step.
    pub(crate) used: UsedId,
}

/// A tuple in its canonical form: the least one under all renamings.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Canonical {
    pub(crate) tuple: Tuple,
    /// A hash of the tuple's contents, which is the same in every process.
    pub(crate) hash: u64,
    /// The messages under each of the renamings that lead to this tuple, without duplicates.
    /// Several renamings lead to the same tuple if servers are alike.
    pub(crate) variants: Vec<Messages>,
    /// The number of renamings that lead to this tuple.
    pub(crate) alike: usize,
}

impl<S: System> Inboxes<S> {
    /// Returns the number of servers.
    pub(crate) fn count(&self) -> usize {
        self.local.server_count()
    }

    /// Returns the initial state, closed under idle steps.
    pub(crate) fn initial(&self, findings: &mut Findings) -> State {
        let initial = self.local.system.initial();
        findings.extend(initial.findings);
        let sent = initial.sent.iter().map(|message| self.local.intern_message(message));
        let mut messages = [SetId::EMPTY; MAX_SERVERS];
        for (to, set) in self.local.by_receiver(&sent.collect::<Vec<_>>()) {
            messages[usize::from(to)] = set;
        }
        let mut inboxes = [0; MAX_SERVERS];
        for (place, server) in initial.servers.iter().enumerate() {
            inboxes[place] = self.of(self.local.intern_server(server), messages[place], findings);
        }
        let used = self.local.intern_used(initial.used);
        let history = self.local.intern_history(&initial.history);
        let mut state = State { inboxes, used, history };
        let all = (1 << self.count()) - 1;
        self.close(&mut state, &[], (all, all), findings);
        state
    }

    /// Returns the state of a tuple with these messages.
    pub(crate) fn state(&self, tuple: &Tuple, messages: &Messages) -> State {
        let mut inboxes = [0; MAX_SERVERS];
        let known = &mut Findings::default();
        let parts = tuple.servers.iter().zip(messages).take(self.count());
        for (inbox, (server, messages)) in inboxes.iter_mut().zip(parts) {
            *inbox = self.of_relevant(*server, *messages, known);
        }
        State { inboxes, used: tuple.used, history: tuple.history }
    }

    /// Adds messages to a state, and takes every idle step. An idle step only sends messages; it
    /// changes neither server nor history nor budgets. So every step that was possible before is
    /// still possible after it.
    ///
    /// `arrive` has a bit for each place whose inbox has changed since the last closure. `act` has a
    /// bit for each place whose possible actions may have changed.
    fn close(
        &self,
        state: &mut State,
        sent: &[(u8, SetId)],
        (mut arrive, mut act): (u32, u32),
        findings: &mut Findings,
    ) {
        let State { inboxes, used, .. } = state;
        let mut pending = [SetId::EMPTY; MAX_SERVERS];
        self.send(&mut pending, sent);
        loop {
            for (place, inbox) in inboxes.iter().enumerate().take(self.count()) {
                let inbox = self.get(*inbox);
                if arrive & 1 << place != 0 {
                    self.send(&mut pending, self.idle_sends_of(inbox));
                }
                if act & 1 << place != 0 {
                    let actions = self.actions(inbox.server, *used, findings);
                    self.send(&mut pending, &actions.idle_sends);
                }
            }
            (arrive, act) = (0, 0);
            for (place, (inbox, sent)) in inboxes.iter_mut().zip(&mut pending).enumerate() {
                if *sent != SetId::EMPTY {
                    let next = self.add(*inbox, std::mem::take(sent), findings);
                    arrive |= u32::from(next != *inbox) << place;
                    *inbox = next;
                }
            }
            if arrive == 0 {
                return;
            }
        }
    }

    fn send(&self, pending: &mut Messages, sent: &[(u8, SetId)]) {
        for (to, sent) in sent {
            let pending = &mut pending[usize::from(*to)];
            *pending = self.local.union(*pending, *sent);
        }
    }

    /// Calls `take` with every step of a state that is not idle.
    pub(crate) fn steps(
        &self,
        state: &State,
        findings: &mut Findings,
        mut take: impl FnMut(StateStep),
    ) {
        for place in 0..self.count() {
            let id = state.inboxes[place];
            let used = state.used;
            for arrival in self.arrivals(id, findings) {
                let (transition, next) = (arrival.transition, arrival.next);
                take(StateStep { place, transition, next, used });
            }
            for (label, used) in &self.actions(self.get(id).server, used, findings).steps {
                let (transition, next) = self.after_action(id, *label, findings);
                take(StateStep { place, transition, next, used: *used });
            }
        }
    }

    /// Returns the state after a step, closed under idle steps.
    pub(crate) fn after(&self, state: &State, step: StateStep, findings: &mut Findings) -> State {
        let StateStep { place, transition: id, next, used } = step;
        let transition = self.local.listed_transition(id);
        let (history, by_history) = self.local.history_step(state.history, id, &transition.facts);
        findings.extend(transition.findings);
        findings.extend(by_history);
        let mut after = State { used, history, ..*state };
        after.inboxes[place] = next;
        // All servers share the budgets: a change can affect the actions of every server.
        let all = (1 << self.count()) - 1;
        let act = if used == state.used { 1 << place } else { all };
        self.close(&mut after, &transition.sends, (1 << place, act), findings);
        after
    }

    /// Returns the canonical form of a state.
    pub(crate) fn canonical(&self, state: &State) -> Canonical {
        let local = &self.local;
        let count = self.count();
        let mut inboxes = [None; MAX_SERVERS];
        for (inbox, id) in inboxes.iter_mut().zip(&state.inboxes[..count]) {
            *inbox = Some(self.get(*id));
        }
        let inboxes = || inboxes.iter().flatten();
        let mut least = [u64::MAX; MAX_SERVERS];
        let mut tied: Vec<usize> = Vec::with_capacity(2);
        for (renaming, places) in local.renamings.iter().enumerate() {
            let mut hashes = [0; MAX_SERVERS];
            for (inbox, to) in inboxes().zip(places) {
                hashes[*to] = local.server_hashes(inbox.server)[renaming];
            }
            if hashes <= least {
                if hashes < least {
                    least = hashes;
                    tied.clear();
                }
                tied.push(renaming);
            }
        }
        let servers = |renaming: usize| {
            let mut servers = [0; MAX_SERVERS];
            for (inbox, to) in inboxes().zip(&local.renamings[renaming]) {
                servers[*to] = local.rename_server(renaming, inbox.server);
            }
            servers
        };
        let (used, history) = (state.used, state.history);
        let tuple = Tuple { servers: servers(tied[0]), used, history };
        // Different servers can have the same hash, so the servers themselves are compared as well.
        tied.retain(|renaming| servers(*renaming) == tuple.servers);
        let rename = |renaming: &usize| {
            let mut renamed = [SetId::EMPTY; MAX_SERVERS];
            for (inbox, to) in inboxes().zip(&local.renamings[*renaming]) {
                renamed[*to] = local.rename_set(*renaming, inbox.messages);
            }
            renamed
        };
        let mut variants: Vec<Messages> = tied.iter().map(rename).collect();
        variants.sort_unstable();
        variants.dedup();
        let hash = local.tuple_hash(&tuple.servers[..count], used, history);
        Canonical { tuple, hash, variants, alike: tied.len() }
    }

    /// Returns a hash that decides which process owns a tuple. It depends only on a part of the tuple,
    /// which most steps leave as it is. So most states after a step belong to the same process.
    pub(crate) fn partition(&self, tuple: &Tuple) -> u64 {
        mix(self.local.tuple_hash(&tuple.servers[..1], tuple.used, tuple.history))
    }

    /// Returns whether every message of `part` is also in `whole`.
    pub(crate) fn is_part(&self, part: &Messages, whole: &Messages) -> bool {
        part.iter().zip(whole).all(|(part, whole)| self.local.sets.is_subset(*part, *whole))
    }

    /// Returns a hash of the contents of a state. The hash is the same for every variant.
    pub(crate) fn state_hash(&self, canonical: &Canonical) -> u64 {
        let count = self.count();
        let hash = |messages: &Messages| {
            let sets = messages[..count].iter();
            sets.fold(0, |hash, set| mix(hash ^ self.local.sets.hash(*set)))
        };
        let least = canonical.variants.iter().map(hash).min().unwrap_or_default();
        mix(canonical.hash ^ least)
    }
}
