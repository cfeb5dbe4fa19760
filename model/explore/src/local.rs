//! Numbers for servers, messages and histories, and the local transitions of servers.
//!
//! A step depends only on the server and its input. So every local transition is computed once and
//! looked up afterwards (SPIN's collapse mode and the transition caching of `LTSmin`).

use std::collections::HashSet;
use std::sync::Arc;

use crate::hash::{content_hash, mix};
use crate::intern::{Interner, number, pair};
use crate::message_set::{MessageId, MessageSets, SetId};
use crate::system::{Findings, Input, Relevance, Step, System};
use crate::table::Table;

/// The number of a server's state.
pub(crate) type ServerId = u32;
/// The number of the used budgets.
pub(crate) type UsedId = u32;
/// The number of a history.
pub(crate) type HistoryId = u32;

/// An input of a server, in one word: the number of a message or of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(u32);

impl Label {
    const ACTION: u32 = 1 << 31;

    pub(crate) fn receive(message: MessageId) -> Label {
        assert!(message < Label::ACTION, "fewer than 2^31 messages fit in memory");
        Label(message)
    }

    fn act(action: u32) -> Label {
        assert!(action < Label::ACTION, "fewer than 2^31 actions fit in memory");
        Label(Label::ACTION | action)
    }

    /// Returns the message that arrives; none if the input is an action.
    pub(crate) fn message(self) -> Option<MessageId> {
        (self.0 & Label::ACTION == 0).then_some(self.0)
    }
}

/// A server, and its input.
pub(crate) type LocalTransition = (ServerId, Label);

/// Stands for no message.
const DEAD: MessageId = MessageId::MAX;

/// Messages to send: sets of them, each with the place of its receiver.
pub(crate) type Sends = Box<[(u8, SetId)]>;

/// A local transition: the result of one server's step at one input.
pub(crate) struct Transition<S: System> {
    pub(crate) server: ServerId,
    /// The messages that it sends, in order.
    pub(crate) sent: Box<[MessageId]>,
    /// The same messages by receiver.
    pub(crate) sends: Sends,
    pub(crate) facts: Box<[S::Fact]>,
    pub(crate) findings: Findings,
    /// Whether [`System::check`] can return other findings after it.
    pub(crate) affects_check: bool,
}

/// The stored facts about one server and one input.
pub(crate) struct KnownTransition<S: System> {
    from: ServerId,
    label: Label,
    /// None if the server cannot take the input.
    pub(crate) transition: Option<Transition<S>>,
    /// Whether the transition only sends messages: it changes neither the server nor the history.
    pub(crate) is_idle: bool,
}

struct KnownServer<S: System> {
    server: S::Server,
    /// Its hash under each renaming.
    hashes: Box<[u64]>,
}

struct KnownMessage<S: System> {
    message: S::Message,
    /// Its hash under each renaming.
    hashes: Box<[u64]>,
    to: u8,
}

/// The parts of all states of a system, and its local transitions.
pub(crate) struct Local<S: System> {
    pub(crate) system: Arc<S>,
    /// The renamings, each with the new place of the server at every place. Without symmetry, only
    /// the first renaming, which moves nothing.
    pub(crate) renamings: Vec<Vec<usize>>,
    /// Whether messages that cannot make a difference are removed.
    prune: bool,
    servers: Interner<KnownServer<S>>,
    messages: Interner<KnownMessage<S>>,
    histories: Interner<(S::History, u64)>,
    used: Interner<(S::Used, u64)>,
    actions: Interner<S::Action>,
    pub(crate) sets: MessageSets,
    transition_ids: Table,
    transitions: boxcar::Vec<KnownTransition<S>>,
    /// By server and message: the message, or the one that replaces it; [`DEAD`] if it makes no
    /// difference.
    relevant: Table,
    history_step_ids: Table,
    history_steps: boxcar::Vec<(HistoryId, Findings)>,
    renamed_servers: Table,
    renamed_messages: Table,
    renamed_sets: Table,
}

impl<S: System> Local<S> {
    pub(crate) fn new(system: Arc<S>, symmetry: bool, prune: bool) -> Local<S> {
        let mut renamings = system.renamings();
        renamings.truncate(if symmetry { renamings.len() } else { 1 });
        Local {
            system,
            renamings,
            prune,
            servers: Interner::new(),
            messages: Interner::new(),
            histories: Interner::new(),
            used: Interner::new(),
            actions: Interner::new(),
            sets: MessageSets::new(),
            transition_ids: Table::new(),
            relevant: Table::new(),
            transitions: boxcar::Vec::new(),
            history_step_ids: Table::new(),
            history_steps: boxcar::Vec::new(),
            renamed_servers: Table::new(),
            renamed_messages: Table::new(),
            renamed_sets: Table::new(),
        }
    }

    /// Returns the number of servers.
    pub(crate) fn server_count(&self) -> usize {
        self.renamings[0].len()
    }

    /// Frees the memory of tables that have been replaced by larger ones.
    pub(crate) fn free_old_tables(&mut self) {
        self.servers.free_old_tables();
        self.messages.free_old_tables();
        self.histories.free_old_tables();
        self.sets.free_old_tables();
        let own = [
            &mut self.transition_ids,
            &mut self.relevant,
            &mut self.history_step_ids,
            &mut self.renamed_servers,
            &mut self.renamed_messages,
            &mut self.renamed_sets,
        ];
        own.into_iter().for_each(Table::free_old);
    }

    pub(crate) fn intern_server(&self, server: &S::Server) -> ServerId {
        let same = |known: &KnownServer<S>| known.server == *server;
        self.servers.intern(content_hash(server), same, || {
            let renamed = (1..self.renamings.len())
                .map(|renaming| content_hash(&self.system.rename_server(renaming, server)));
            let hashes = std::iter::once(content_hash(server)).chain(renamed).collect();
            KnownServer { server: server.clone(), hashes }
        })
    }

    pub(crate) fn intern_message(&self, message: &S::Message) -> MessageId {
        let hash = content_hash(message);
        let same = |known: &KnownMessage<S>| known.message == *message;
        self.messages.intern(hash, same, || {
            let to = u8::try_from(self.system.receiver(message)).expect("few servers");
            let renamed = (1..self.renamings.len())
                .map(|renaming| content_hash(&self.system.rename_message(renaming, message)));
            let hashes = std::iter::once(hash).chain(renamed).collect();
            KnownMessage { message: message.clone(), hashes, to }
        })
    }

    pub(crate) fn intern_history(&self, history: &S::History) -> HistoryId {
        let hash = content_hash(history);
        self.histories.intern(hash, |known| known.0 == *history, || (history.clone(), hash))
    }

    pub(crate) fn intern_used(&self, used: S::Used) -> UsedId {
        let hash = content_hash(&used);
        self.used.intern(hash, |known| known.0 == used, || (used, hash))
    }

    pub(crate) fn server(&self, id: ServerId) -> &S::Server {
        &self.servers.get(id).server
    }

    pub(crate) fn message(&self, id: MessageId) -> &S::Message {
        &self.messages.get(id).message
    }

    pub(crate) fn receiver(&self, id: MessageId) -> usize {
        usize::from(self.messages.get(id).to)
    }

    pub(crate) fn history(&self, id: HistoryId) -> &S::History {
        &self.histories.get(id).0
    }

    pub(crate) fn used(&self, id: UsedId) -> S::Used {
        self.used.get(id).0
    }

    /// Returns the input of a label.
    pub(crate) fn input(&self, label: Label) -> Input<'_, S> {
        match label.message() {
            Some(message) => Input::Receive(self.message(message)),
            None => Input::Act(*self.actions.get(label.0 & !Label::ACTION)),
        }
    }

    /// Returns a hash of the contents of servers, budgets and history.
    pub(crate) fn tuple_hash(&self, servers: &[ServerId], used: UsedId, history: HistoryId) -> u64 {
        let rest = self.used.get(used).1 ^ mix(self.histories.get(history).1);
        servers.iter().fold(rest, |hash, id| mix(hash ^ self.servers.get(*id).hashes[0]))
    }

    /// Returns the hashes of a server's content, one for each renaming.
    pub(crate) fn server_hashes(&self, id: ServerId) -> &[u64] {
        &self.servers.get(id).hashes
    }

    /// Returns the hashes of a message's content, one for each renaming.
    pub(crate) fn message_hashes(&self, id: MessageId) -> &[u64] {
        &self.messages.get(id).hashes
    }

    /// Returns the hash of a history's content.
    pub(crate) fn history_hash(&self, id: HistoryId) -> u64 {
        self.histories.get(id).1
    }

    /// Returns the hash of used budgets.
    pub(crate) fn used_hash(&self, id: UsedId) -> u64 {
        self.used.get(id).1
    }

    pub(crate) fn rename_server(&self, renaming: usize, id: ServerId) -> ServerId {
        if renaming == 0 {
            return id;
        }
        self.renamed_servers.get_or_compute(pair(id, number(renaming)), || {
            self.intern_server(&self.system.rename_server(renaming, self.server(id)))
        })
    }

    pub(crate) fn rename_set(&self, renaming: usize, id: SetId) -> SetId {
        if renaming == 0 || id == SetId::EMPTY {
            return id;
        }
        let key = pair(id.0, number(renaming));
        SetId(self.renamed_sets.get_or_compute(key, || {
            let messages = self.sets.messages(id).iter();
            self.set_of(messages.map(|message| self.rename_message(renaming, *message))).0
        }))
    }

    pub(crate) fn rename_message(&self, renaming: usize, id: MessageId) -> MessageId {
        if renaming == 0 {
            return id;
        }
        self.renamed_messages.get_or_compute(pair(id, number(renaming)), || {
            self.intern_message(&self.system.rename_message(renaming, self.message(id)))
        })
    }

    /// Returns the set of these messages.
    pub(crate) fn set_of(&self, messages: impl Iterator<Item = MessageId>) -> SetId {
        self.sets.of(messages.collect(), |id| self.messages.get(id).hashes[0])
    }

    /// Returns the union of two sets.
    pub(crate) fn union(&self, a: SetId, b: SetId) -> SetId {
        self.sets.union(a, b, |id| self.messages.get(id).hashes[0])
    }

    /// Returns the messages of a set that can still make a difference to a server. Adds the
    /// findings of one last delivery of every other message to `findings`.
    pub(crate) fn relevant(&self, server: ServerId, set: SetId, findings: &mut Findings) -> SetId {
        if !self.prune || set == SetId::EMPTY {
            return set;
        }
        let relevant = self.sets.messages(set).iter().filter_map(|id| {
            let relevant = self.relevant.get_or_compute(pair(server, *id), || {
                self.if_relevant(server, *id).unwrap_or(DEAD)
            });
            if relevant != *id {
                let (_, transition) = self.transition(server, Label::receive(*id));
                findings.extend(transition.map_or_else(Findings::default, |t| t.findings));
            }
            (relevant != DEAD).then_some(relevant)
        });
        self.set_of(relevant)
    }

    /// Returns the message, or another one that replaces it, if the message can make a difference. A
    /// message that would change the server now is never removed, whatever [`System::relevance`]
    /// returns.
    fn if_relevant(&self, server: ServerId, id: MessageId) -> Option<MessageId> {
        let (_, known) = self.known(server, Label::receive(id));
        if known.transition.is_some() && !known.is_idle {
            return Some(id);
        }
        match self.system.relevance(self.message(id), self.server(server)) {
            Relevance::Live => Some(id),
            Relevance::Like(other) => Some(self.intern_message(&other)),
            Relevance::Dead => None,
        }
    }

    /// Returns the transition of a server at an input, with its number. Computes the transition at
    /// the first call.
    pub(crate) fn known(&self, server: ServerId, label: Label) -> (u32, &KnownTransition<S>) {
        let id = self.transition_ids.get_or_compute(pair(server, label.0), || {
            number(self.transitions.push(self.compute_known(server, label)))
        });
        (id, &self.transitions[id as usize])
    }

    /// Calls `look` with the transition of a server at an input. A transition that is not known is
    /// computed and not stored.
    pub(crate) fn look_at<R>(
        &self,
        server: ServerId,
        label: Label,
        look: impl FnOnce(&KnownTransition<S>) -> R,
    ) -> R {
        match self.transition_ids.get(pair(server, label.0)) {
            Some(id) => look(&self.transitions[id as usize]),
            None => look(&self.compute_known(server, label)),
        }
    }

    fn compute_known(&self, from: ServerId, label: Label) -> KnownTransition<S> {
        let transition = self.compute(from, label);
        let stays = |t: &Transition<S>| t.server == from && t.facts.is_empty();
        let is_idle = transition.as_ref().is_some_and(stays);
        KnownTransition { from, label, transition, is_idle }
    }

    /// Returns the transition of a server at an input, with its number; none if the server cannot
    /// take the input.
    pub(crate) fn transition(
        &self,
        server: ServerId,
        label: Label,
    ) -> (u32, Option<&Transition<S>>) {
        let (id, known) = self.known(server, label);
        (id, known.transition.as_ref())
    }

    fn compute(&self, from: ServerId, label: Label) -> Option<Transition<S>> {
        let Step { server, sent, facts, findings } =
            self.system.step(self.server(from), self.input(label))?;
        let affects_check =
            !facts.is_empty() || self.system.affects_check(self.server(from), &server);
        let sent: Vec<MessageId> =
            sent.iter().map(|message| self.intern_message(message)).collect();
        Some(Transition {
            affects_check,
            server: self.intern_server(&server),
            sends: self.by_receiver(&sent),
            sent: sent.into(),
            facts: facts.into(),
            findings,
        })
    }

    /// Groups messages by receiver, as one set for each.
    pub(crate) fn by_receiver(&self, messages: &[MessageId]) -> Sends {
        let to = |id: &MessageId| self.messages.get(*id).to;
        let mut places: Vec<u8> = messages.iter().map(to).collect();
        places.sort_unstable();
        places.dedup();
        let set =
            |place: u8| (place, self.set_of(messages.iter().copied().filter(|id| to(id) == place)));
        places.into_iter().map(set).collect()
    }

    /// Returns the history after it has recorded the facts of a transition, and the findings of
    /// this.
    pub(crate) fn history_step(
        &self,
        history: HistoryId,
        transition: u32,
        facts: &[S::Fact],
    ) -> (HistoryId, Findings) {
        if facts.is_empty() {
            return (history, Findings::default());
        }
        let step = self.history_step_ids.get_or_compute(pair(history, transition), || {
            let mut after = self.history(history).clone();
            let mut findings = Findings::default();
            for fact in facts {
                findings.extend(self.system.record(&mut after, fact));
            }
            number(self.history_steps.push((self.intern_history(&after), findings)))
        });
        self.history_steps[step as usize]
    }

    /// Returns the findings in all servers together and the history, if the network has lost every
    /// message.
    pub(crate) fn check_and_examine(&self, servers: &[ServerId], history: HistoryId) -> Findings {
        let servers: Vec<&S::Server> = servers.iter().map(|id| self.server(*id)).collect();
        let history = self.history(history);
        let mut findings = self.system.check(&servers, history);
        if self.system.examines() {
            findings.extend(self.system.examine(&servers, &[], history));
        }
        findings
    }

    /// Returns the actions of a server within the bounds.
    pub(crate) fn action_labels(&self, server: ServerId, used: UsedId) -> Vec<Label> {
        self.action_list(server, used).into_iter().map(|(label, _)| label).collect()
    }

    /// Returns the budgets after an action; none if the server cannot take it within the bounds.
    pub(crate) fn action_budgets(
        &self,
        server: ServerId,
        used: UsedId,
        label: Label,
    ) -> Option<UsedId> {
        let mut actions = self.action_list(server, used).into_iter();
        actions.find_map(|(action, after)| (action == label).then_some(after))
    }

    pub(crate) fn action_list(&self, server: ServerId, used: UsedId) -> Vec<(Label, UsedId)> {
        let actions = self.system.actions(self.server(server), self.used(used)).into_iter();
        let labelled = actions.map(|(action, after)| {
            let id = self.actions.intern(content_hash(&action), |a| *a == action, || action);
            (Label::act(id), self.intern_used(after))
        });
        labelled.collect()
    }

    /// Returns the transition of a number.
    ///
    /// # Panics
    ///
    /// If the server cannot take the input. The steps of an inbox never include such a transition.
    pub(crate) fn listed_transition(&self, id: u32) -> &Transition<S> {
        self.transitions[id as usize].transition.as_ref().expect("only possible steps are listed")
    }

    /// Returns the numbers of all messages.
    pub(crate) fn message_ids(&self) -> std::ops::Range<MessageId> {
        0..number(self.messages.count())
    }

    /// Returns the servers before and after every known transition that changes its server.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (ServerId, ServerId)> + '_ {
        let known = self.transitions.iter().map(|(_, known)| known);
        known.filter_map(|known| {
            let after = known.transition.as_ref()?.server;
            (after != known.from).then_some((known.from, after))
        })
    }

    /// Returns one local transition of each class, with the number of the class. Transitions that
    /// differ only by a renaming are one class. The order of the threads decides which of them it is.
    pub(crate) fn classes(&self) -> Vec<(u64, LocalTransition)> {
        let mut classes = HashSet::new();
        let possible = self.inputs().filter(|known| known.transition.is_some());
        let numbered =
            possible.map(|known| (self.class(known.from, known.label), (known.from, known.label)));
        numbered.filter(|(class, _)| classes.insert(*class)).collect()
    }

    /// Returns all servers with their inputs. A message that makes no difference is no input: how
    /// long it is carried along depends on the order of the search.
    fn inputs(&self) -> impl Iterator<Item = &KnownTransition<S>> {
        let is_input = |(number, known): &(usize, &KnownTransition<S>)| {
            let KnownTransition { from, label, .. } = known;
            let stored = self.transition_ids.get(pair(*from, label.0));
            // Two threads may have computed a transition; one of them is stored.
            let is_stored = stored.is_some_and(|stored| stored as usize == *number);
            let relevant = label.message().and_then(|id| self.relevant.get(pair(*from, id)));
            is_stored && relevant.is_none_or(|other| label.message() == Some(other))
        };
        self.transitions.iter().filter(is_input).map(|(_, known)| known)
    }

    /// Returns a number that is the same for pairs of a server and an input that differ only by a
    /// renaming.
    fn class(&self, server: ServerId, label: Label) -> u64 {
        let input = |renaming: usize| match label.message() {
            None => content_hash(self.actions.get(label.0 & !Label::ACTION)),
            Some(message) => self.message_hashes(message)[renaming],
        };
        let hashes = self.server_hashes(server).iter().enumerate();
        let renamed = hashes.map(|(renaming, hash)| mix(hash.wrapping_add(mix(input(renaming)))));
        renamed.fold(0, u64::wrapping_add)
    }
}
