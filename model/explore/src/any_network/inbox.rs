//! Inboxes and their numbers. An inbox is a server together with the messages that it may receive.
//!
//! The possible deliveries to a server depend only on its inbox, and its actions only on the server
//! and the budgets. States share inboxes. So each list of steps is computed once, with the inbox
//! after each delivery.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::hash::content_hash;
use crate::intern::{Interner, number, pair};
use crate::local::{Label, Local, Sends, ServerId, UsedId};
use crate::message_set::SetId;
use crate::system::{Findings, System};
use crate::table::Table;

/// The number of an inbox.
pub(crate) type InboxId = u32;

/// A server, and the messages that it may receive and that can make a difference to it.
pub(crate) struct Inbox {
    pub(crate) server: ServerId,
    pub(crate) messages: SetId,
    /// The messages that the idle arrivals send.
    idle_sends: SendsId,
    /// The number of the list of its arrivals; [`UNKNOWN`] until somebody asks for it.
    arrivals: AtomicU32,
}

/// The number of a list of messages to send.
type SendsId = u32;

const UNKNOWN: u32 = u32::MAX;

/// The arrival of a message that changes the server or adds facts to the history.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) transition: u32,
    /// The inbox after the arrival.
    pub(crate) next: InboxId,
}

/// The actions that a server can take by itself.
pub(crate) struct Actions {
    /// The messages that its idle actions send.
    pub(crate) idle_sends: Sends,
    /// The other actions, each with the budgets after it.
    pub(crate) steps: Box<[(Label, UsedId)]>,
}

pub(crate) struct Inboxes<S: System> {
    pub(crate) local: Local<S>,
    ids: Table,
    items: boxcar::Vec<Inbox>,
    sends: Interner<Sends>,
    arrivals: boxcar::Vec<Box<[Arrival]>>,
    /// The inbox after messages were sent to it.
    additions: Table,
    /// The inbox after an action.
    after_actions: Table,
    action_ids: Table,
    actions: boxcar::Vec<Actions>,
}

impl<S: System> Inboxes<S> {
    pub(crate) fn new(local: Local<S>) -> Inboxes<S> {
        Inboxes {
            local,
            ids: Table::new(),
            items: boxcar::Vec::new(),
            sends: Interner::new(),
            arrivals: boxcar::Vec::new(),
            additions: Table::new(),
            after_actions: Table::new(),
            action_ids: Table::new(),
            actions: boxcar::Vec::new(),
        }
    }

    /// Frees the memory of tables that have been replaced by larger ones.
    pub(crate) fn free_old_tables(&mut self) {
        let own =
            [&mut self.ids, &mut self.additions, &mut self.after_actions, &mut self.action_ids];
        own.into_iter().for_each(Table::free_old);
        self.sends.free_old_tables();
        self.local.free_old_tables();
    }

    pub(crate) fn get(&self, id: InboxId) -> &Inbox {
        &self.items[id as usize]
    }

    /// Returns the inbox of a server with the messages that were sent to it.
    ///
    /// Adds the findings of messages that make no difference to `findings`, and those of idle
    /// messages when the inbox is made, which is the first time that they matter.
    pub(crate) fn of(&self, server: ServerId, sent: SetId, findings: &mut Findings) -> InboxId {
        let messages = self.local.relevant(server, sent, findings);
        self.of_relevant(server, messages, findings)
    }

    /// Returns the inbox of a server with messages that can all make a difference.
    pub(crate) fn of_relevant(
        &self,
        server: ServerId,
        messages: SetId,
        findings: &mut Findings,
    ) -> InboxId {
        self.ids.get_or_compute(pair(server, messages.0), || {
            let labels = self.local.sets.messages(messages).iter().map(|id| Label::receive(*id));
            let idle_sends = self.idle_sends(Vec::new(), server, labels, findings);
            self.push(server, messages, &idle_sends)
        })
    }

    /// The inbox after messages were sent to it.
    pub(crate) fn add(&self, id: InboxId, sent: SetId, findings: &mut Findings) -> InboxId {
        self.additions.get_or_compute(pair(id, sent.0), || {
            let inbox = self.get(id);
            let server = inbox.server;
            let sent = self.local.relevant(server, sent, findings);
            let messages = self.local.union(inbox.messages, sent);
            if messages == inbox.messages {
                return id;
            }
            self.ids.get_or_compute(pair(server, messages.0), || {
                let sent = self.local.sets.messages(sent).iter().map(|id| Label::receive(*id));
                let before = self.idle_sends_of(inbox).to_vec();
                let idle_sends = self.idle_sends(before, server, sent, findings);
                self.push(server, messages, &idle_sends)
            })
        })
    }

    fn push(&self, server: ServerId, messages: SetId, idle_sends: &Sends) -> u32 {
        let same = |sends: &Sends| sends == idle_sends;
        let idle_sends = self.sends.intern(content_hash(idle_sends), same, || idle_sends.clone());
        let arrivals = AtomicU32::new(UNKNOWN);
        number(self.items.push(Inbox { server, messages, idle_sends, arrivals }))
    }

    /// Returns the messages that the idle arrivals of an inbox send.
    pub(crate) fn idle_sends_of(&self, inbox: &Inbox) -> &Sends {
        self.sends.get(inbox.idle_sends)
    }

    /// Returns the arrivals that are not idle.
    pub(crate) fn arrivals(&self, id: InboxId, findings: &mut Findings) -> &[Arrival] {
        let inbox = self.get(id);
        // Acquire and release: who sees the number also sees the list.
        let mut list = inbox.arrivals.load(Ordering::Acquire);
        if list == UNKNOWN {
            let messages = self.local.sets.messages(inbox.messages).iter();
            let arrival = |message: &u32| {
                let label = Label::receive(*message);
                let (id, known) = self.local.known(inbox.server, label);
                let transition = known.transition.as_ref().filter(|_| !known.is_idle)?;
                let next = self.of(transition.server, inbox.messages, findings);
                Some(Arrival { transition: id, next })
            };
            list = number(self.arrivals.push(messages.filter_map(arrival).collect()));
            inbox.arrivals.store(list, Ordering::Release);
        }
        &self.arrivals[list as usize]
    }

    /// Returns the actions that a server can take within the bounds.
    pub(crate) fn actions(
        &self,
        server: ServerId,
        used: UsedId,
        findings: &mut Findings,
    ) -> &Actions {
        let id = self.action_ids.get_or_compute(pair(server, used), || {
            let possible = self.local.action_list(server, used).into_iter();
            let (idle, steps): (Vec<_>, Vec<_>) = possible
                .filter_map(|(label, after)| {
                    let known = self.local.known(server, label).1;
                    known.transition.as_ref()?;
                    let idle = after == used && known.is_idle;
                    Some((idle, (label, after)))
                })
                .partition(|(idle, _)| *idle);
            let idle = idle.into_iter().map(|(_, (label, _))| label);
            let idle_sends = self.idle_sends(Vec::new(), server, idle, findings);
            let steps = steps.into_iter().map(|(_, step)| step).collect();
            number(self.actions.push(Actions { idle_sends, steps }))
        });
        &self.actions[id as usize]
    }

    /// Returns the transition of an action, and the inbox after it.
    pub(crate) fn after_action(
        &self,
        id: InboxId,
        label: Label,
        findings: &mut Findings,
    ) -> (u32, InboxId) {
        let &Inbox { server, messages, .. } = self.get(id);
        let (transition, outcome) = self.local.transition(server, label);
        let after = outcome.map_or(server, |outcome| outcome.server);
        let next = self
            .after_actions
            .get_or_compute(pair(id, after), || self.of(after, messages, findings));
        (transition, next)
    }

    /// Adds the messages that the idle ones of the inputs send.
    fn idle_sends(
        &self,
        mut sends: Vec<(u8, SetId)>,
        server: ServerId,
        labels: impl Iterator<Item = Label>,
        findings: &mut Findings,
    ) -> Sends {
        for label in labels {
            let (_, known) = self.local.known(server, label);
            let Some(transition) = known.transition.as_ref().filter(|_| known.is_idle) else {
                continue;
            };
            findings.extend(transition.findings);
            for (to, sent) in &transition.sends {
                match sends.iter_mut().find(|(place, _)| place == to) {
                    Some((_, set)) => *set = self.local.union(*set, *sent),
                    None => sends.push((*to, *sent)),
                }
            }
        }
        sends.sort_unstable();
        sends.into()
    }
}
