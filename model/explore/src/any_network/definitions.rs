//! The contents behind numbers, for readers that have other numbers: another process, or the process
//! that goes on from a checkpoint.
//!
//! A writer sends each content once, before the first number that refers to it. A reader interns
//! the content and notes its own number for it. So states are compared as exactly as within one
//! process, and no hash stands for a content.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use super::state::{Messages, Tuple};
use crate::local::{HistoryId, Local, ServerId, UsedId};
use crate::message_set::{MessageId, SetId};
use crate::system::{MAX_SERVERS, System};

/// The contents of numbers, in the order in which they refer to each other.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Definitions<S: System> {
    messages: Vec<(MessageId, S::Message)>,
    sets: Vec<(SetId, Vec<MessageId>)>,
    servers: Vec<(ServerId, S::Server)>,
    used: Vec<(UsedId, S::Used)>,
    histories: Vec<(HistoryId, S::History)>,
}

impl<S: System> Default for Definitions<S> {
    fn default() -> Definitions<S> {
        Definitions {
            messages: Vec::new(),
            sets: Vec::new(),
            servers: Vec::new(),
            used: Vec::new(),
            histories: Vec::new(),
        }
    }
}

/// The numbers whose contents a reader has.
#[derive(Default)]
pub(crate) struct Defined {
    messages: FxHashSet<MessageId>,
    sets: FxHashSet<SetId>,
    servers: FxHashSet<ServerId>,
    used: FxHashSet<UsedId>,
    histories: FxHashSet<HistoryId>,
}

impl Defined {
    /// Adds what the reader needs for a tuple.
    pub(crate) fn tuple<S: System>(
        &mut self,
        local: &Local<S>,
        tuple: &Tuple,
        definitions: &mut Definitions<S>,
    ) {
        for id in tuple.servers.iter().take(local.server_count()) {
            if self.servers.insert(*id) {
                definitions.servers.push((*id, local.server(*id).clone()));
            }
        }
        if self.used.insert(tuple.used) {
            definitions.used.push((tuple.used, local.used(tuple.used)));
        }
        if self.histories.insert(tuple.history) {
            definitions.histories.push((tuple.history, local.history(tuple.history).clone()));
        }
    }

    /// Adds what the reader needs for messages.
    pub(crate) fn messages<S: System>(
        &mut self,
        local: &Local<S>,
        messages: &Messages,
        definitions: &mut Definitions<S>,
    ) {
        for set in messages.iter().take(local.server_count()) {
            if !self.sets.insert(*set) {
                continue;
            }
            let ids = local.sets.messages(*set);
            for id in ids {
                self.message(local, *id, definitions);
            }
            definitions.sets.push((*set, ids.to_vec()));
        }
    }

    /// Adds what the reader needs for one message.
    pub(crate) fn message<S: System>(
        &mut self,
        local: &Local<S>,
        id: MessageId,
        definitions: &mut Definitions<S>,
    ) {
        if self.messages.insert(id) {
            definitions.messages.push((id, local.message(id).clone()));
        }
    }
}

/// A writer's numbers, each with the reader's own.
#[derive(Default)]
pub(crate) struct Translation {
    messages: FxHashMap<MessageId, MessageId>,
    sets: FxHashMap<SetId, SetId>,
    servers: FxHashMap<ServerId, ServerId>,
    used: FxHashMap<UsedId, UsedId>,
    histories: FxHashMap<HistoryId, HistoryId>,
}

impl Translation {
    /// Interns contents and notes their numbers. Returns `None` if a set has a message without a
    /// content, or if a message has a receiver that does not exist.
    pub(crate) fn learn<S: System>(
        &mut self,
        local: &Local<S>,
        definitions: &Definitions<S>,
    ) -> Option<()> {
        for (id, message) in &definitions.messages {
            if local.system.receiver(message) >= local.server_count() {
                return None;
            }
            self.messages.insert(*id, local.intern_message(message));
        }
        for (id, messages) in &definitions.sets {
            let own: Option<Vec<MessageId>> = messages.iter().map(|id| self.message(*id)).collect();
            self.sets.insert(*id, local.set_of(own?.into_iter()));
        }
        for (id, server) in &definitions.servers {
            self.servers.insert(*id, local.intern_server(server));
        }
        for (id, used) in &definitions.used {
            self.used.insert(*id, local.intern_used(*used));
        }
        for (id, history) in &definitions.histories {
            self.histories.insert(*id, local.intern_history(history));
        }
        Some(())
    }

    /// Returns the reader's number of a message; none if the message has no content.
    pub(crate) fn message(&self, id: MessageId) -> Option<MessageId> {
        self.messages.get(&id).copied()
    }

    /// Returns a tuple of `count` servers in the reader's numbers; none if a part has no content.
    pub(crate) fn tuple(&self, tuple: &Tuple, count: usize) -> Option<Tuple> {
        let mut servers = [0; MAX_SERVERS];
        for (own, id) in servers.iter_mut().zip(&tuple.servers[..count]) {
            *own = *self.servers.get(id)?;
        }
        let (used, history) = (self.used.get(&tuple.used)?, self.histories.get(&tuple.history)?);
        Some(Tuple { servers, used: *used, history: *history })
    }

    /// Returns the messages to `count` servers in the reader's numbers; none if a part has no
    /// content.
    pub(crate) fn messages(&self, messages: &Messages, count: usize) -> Option<Messages> {
        let mut own = [SetId::EMPTY; MAX_SERVERS];
        for (own, set) in own.iter_mut().zip(&messages[..count]) {
            *own = *self.sets.get(set)?;
        }
        Some(own)
    }
}
