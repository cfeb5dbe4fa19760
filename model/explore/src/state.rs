//! States over any network: servers, budgets, history, and the messages that were sent, by receiver.

use crate::local::{HistoryId, Label, Local, ServerId, UsedId};
use crate::message_set::SetId;
use crate::system::{Findings, MAX_SERVERS, System};

/// Everything in a state but its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    /// The servers by place; unused places are 0.
    pub(crate) servers: [ServerId; MAX_SERVERS],
    pub(crate) used: UsedId,
    pub(crate) history: HistoryId,
}

/// The messages that were sent and can still make a difference, by the place of their receiver.
pub(crate) type Messages = [SetId; MAX_SERVERS];

/// A state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) tuple: Tuple,
    pub(crate) messages: Messages,
}

/// A tuple in its canonical form: the least one under all renamings.
pub(crate) struct Canonical {
    pub(crate) tuple: Tuple,
    /// The messages under each of the renamings that lead to this tuple, which are several if servers
    /// are alike.
    pub(crate) variants: Vec<Messages>,
    /// How many renamings lead to this tuple.
    pub(crate) alike: usize,
}

impl<S: System> Local<'_, S> {
    /// The number of servers.
    pub(crate) fn count(&self) -> usize {
        self.renamings[0].len()
    }

    /// The state in which the search begins, closed under idle steps.
    pub(crate) fn initial(&self) -> (State, Findings) {
        let initial = self.system.initial();
        let mut servers = [0; MAX_SERVERS];
        for (id, server) in servers.iter_mut().zip(&initial.servers) {
            *id = self.intern_server(server);
        }
        let used = self.intern_used(initial.used);
        let history = self.intern_history(&initial.history);
        let mut messages = [SetId::EMPTY; MAX_SERVERS];
        let sent: Vec<_> =
            initial.sent.iter().map(|message| self.intern_message(message)).collect();
        for (to, set) in self.by_receiver(&sent) {
            messages[usize::from(to)] = set;
        }
        let mut state = State { tuple: Tuple { servers, used, history }, messages };
        let mut findings = initial.findings;
        let all = (1 << self.count()) - 1;
        findings.extend(self.close(&mut state, all, all));
        (state, findings)
    }

    /// Takes every idle step: one that only sends, and changes neither server nor history nor budgets.
    /// The state afterwards can do all that the state before it could.
    ///
    /// `changed` has a bit for each place whose server or messages have changed since the state was
    /// closed, and `act` one for each whose actions may have.
    fn close(&self, state: &mut State, changed: u32, act: u32) -> Findings {
        let places = 0..self.count();
        let Tuple { servers, used, .. } = state.tuple;
        let messages = &mut state.messages;
        let mut findings = Findings::default();
        for place in places.clone().filter(|place| changed & 1 << place != 0) {
            let (relevant, shown) = self.relevant(servers[place], messages[place]);
            messages[place] = relevant;
            findings.extend(shown);
        }
        let (mut changed, mut act) = (changed, act);
        while changed | act != 0 {
            let (arrive, now_act) = (changed, act);
            (changed, act) = (0, 0);
            for place in places.clone() {
                let arrivals = (arrive & 1 << place != 0)
                    .then(|| self.arrivals(servers[place], messages[place]));
                let actions =
                    (now_act & 1 << place != 0).then(|| self.actions(servers[place], used));
                for options in [arrivals, actions].into_iter().flatten() {
                    findings.extend(options.idle_findings);
                    for (to, sent) in &options.idle_sends {
                        let to = usize::from(*to);
                        let union = self.union(messages[to], *sent);
                        if union == messages[to] {
                            continue;
                        }
                        let (relevant, shown) = self.relevant(servers[to], union);
                        findings.extend(shown);
                        if relevant != messages[to] {
                            messages[to] = relevant;
                            changed |= 1 << to;
                        }
                    }
                }
            }
        }
        findings
    }

    /// The steps of a state that are not idle: the place of the server, its input, and the budgets
    /// afterwards.
    pub(crate) fn steps(&self, state: &State) -> impl Iterator<Item = (usize, Label, UsedId)> + '_ {
        let State { tuple, messages } = *state;
        (0..self.count()).flat_map(move |place| {
            let server = tuple.servers[place];
            let arrivals = self.arrivals(server, messages[place]).steps.iter();
            let arrivals = arrivals.map(move |(label, _)| (place, *label, tuple.used));
            let actions = self.actions(server, tuple.used).steps.iter();
            arrivals.chain(actions.map(move |(label, used)| (place, *label, *used)))
        })
    }

    /// The state after a step, closed under idle steps; and what the step and those showed.
    pub(crate) fn after(
        &self,
        state: &State,
        place: usize,
        label: Label,
        used: UsedId,
    ) -> (State, Findings) {
        let mut next = *state;
        let (id, transition) = self.transition(state.tuple.servers[place], label);
        let transition = transition.expect("only steps that a server can take are tried");
        let (history, by_history) = self.history_step(state.tuple.history, id, &transition.facts);
        next.tuple.servers[place] = transition.server;
        next.tuple.used = used;
        next.tuple.history = history;
        let mut changed = 1 << place;
        for (to, sent) in &transition.sends {
            let messages = &mut next.messages[usize::from(*to)];
            *messages = self.union(*messages, *sent);
            changed |= 1 << to;
        }
        // The budgets are everybody's.
        let all = (1 << self.count()) - 1;
        let act = if used == state.tuple.used { 1 << place } else { all };
        let mut findings = transition.findings;
        findings.extend(by_history);
        findings.extend(self.close(&mut next, changed, act));
        (next, findings)
    }

    /// The canonical form of a state.
    pub(crate) fn canonical(&self, state: &State) -> Canonical {
        let State { tuple, messages } = state;
        let mut least = None;
        let mut tied: Vec<usize> = Vec::new();
        for (renaming, places) in self.renamings.iter().enumerate() {
            let mut hashes = [0; MAX_SERVERS];
            for (place, to) in places.iter().enumerate() {
                hashes[*to] = self.server_hash(tuple.servers[place], renaming);
            }
            match least.map(|least| hashes.cmp(&least)) {
                Some(std::cmp::Ordering::Greater) => {}
                Some(std::cmp::Ordering::Equal) => tied.push(renaming),
                Some(std::cmp::Ordering::Less) | None => {
                    least = Some(hashes);
                    tied = vec![renaming];
                }
            }
        }
        let servers = |renaming: usize| {
            let mut servers = [0; MAX_SERVERS];
            for (place, to) in self.renamings[renaming].iter().enumerate() {
                servers[*to] = self.rename_server(renaming, tuple.servers[place]);
            }
            servers
        };
        let canonical = Tuple { servers: servers(tied[0]), ..*tuple };
        // Two servers of one hash are not alike, but only look so.
        tied.retain(|renaming| servers(*renaming) == canonical.servers);
        let rename = |renaming: &usize| {
            let mut renamed = [SetId::EMPTY; MAX_SERVERS];
            for (place, to) in self.renamings[*renaming].iter().enumerate() {
                renamed[*to] = self.rename_set(*renaming, messages[place]);
            }
            renamed
        };
        let mut variants: Vec<Messages> = tied.iter().map(rename).collect();
        variants.sort_unstable();
        variants.dedup();
        Canonical { tuple: canonical, variants, alike: tied.len() }
    }

    /// Whether every message of one state was sent in the other.
    pub(crate) fn is_part(&self, part: &Messages, whole: &Messages) -> bool {
        part.iter().zip(whole).all(|(part, whole)| self.sets.is_subset(*part, *whole))
    }

    /// A hash of the contents of a tuple and its messages, the same for every variant.
    pub(crate) fn state_hash(&self, tuple: &Tuple, variants: &[Messages]) -> u64 {
        let count = self.count();
        let hash = |messages: &Messages| {
            messages[..count]
                .iter()
                .fold(0, |hash, set| crate::hash::mix(hash ^ self.sets.hash(*set)))
        };
        let least = variants.iter().map(hash).min().unwrap_or_default();
        crate::hash::mix(
            self.tuple_hash(&tuple.servers[..count], tuple.used, tuple.history) ^ least,
        )
    }
}
