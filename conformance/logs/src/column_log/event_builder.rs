//! Makes events from the records of one server.
//!
//! A step becomes its cause, then the changes in the server, then the effects, then the messages
//! that left. A message is shown in the step in which it *leaves*. If it waits for a write, this is
//! the step that reports the write durable. The text of a change begins with the server's new
//! [`State`].

use std::collections::VecDeque;
use std::fmt::Write as _;

use raft_core::{Effect, Index, Input, LogWrite, Mark, Message, NodeId, PersistentState, Term};
use raft_trace::{NodeDigest, NodeRecord};

use super::event::{Event, Flag, State};
use super::event_text::{self, MessageText};
use super::event_topic::Topic;
use super::waiting_messages::Outbox;

/// Makes events from the records of one server, record by record.
#[derive(Debug)]
pub struct EventBuilder {
    server: NodeId,
    /// The number of other servers.
    others: usize,
    before: Option<NodeDigest>,
    outbox: Outbox<(NodeId, Message)>,
    writes: VecDeque<WaitingWrite>,
}

#[derive(Debug)]
struct WaitingWrite {
    mark: Mark,
    text: String,
    indexes: Option<(Index, Index)>,
}

impl EventBuilder {
    /// Creates a builder for a server that has no records yet.
    pub fn new(server: NodeId) -> EventBuilder {
        let (outbox, writes) = (Outbox::default(), VecDeque::new());
        EventBuilder { server, others: 0, before: None, outbox, writes }
    }

    /// Returns the events of the next record, in order. There is at least one. `flag` marks a
    /// problem with the message that the record receives.
    pub fn events(&mut self, step: u64, record: &NodeRecord, flag: Flag) -> Vec<Event> {
        let left = self.outbox.pass(record, |to, message| (to, message.clone()));
        let mut events = match record {
            NodeRecord::Start { config, state, applied } => {
                self.others = config.voters.len().saturating_sub(1);
                self.start(step, state, *applied)
            }
            NodeRecord::Step { input, effects, after, .. } => {
                self.step(step, input, effects, after, flag)
            }
        };
        events.extend(self.sends(step, &left));
        events
    }

    /// Returns the events of messages that leave.
    pub(super) fn sends(&self, step: u64, left: &[(NodeId, Message)]) -> Vec<Event> {
        let mut groups: Vec<(&Message, MessageText, Vec<NodeId>)> = Vec::new();
        for (to, message) in left {
            let message_text = MessageText::of(message);
            match groups.iter_mut().find(|(_, other, _)| other.text == message_text.text) {
                Some((_, _, receivers)) => receivers.push(*to),
                None => groups.push((message, message_text, vec![*to])),
            }
        }
        let event = |(message, message_text, to): (&Message, MessageText, Vec<NodeId>)| {
            let text =
                format!("-> {} {}", event_text::receivers(&to, self.others), message_text.text);
            self.event(step, message_text.topic, Some(message.term()), message_text.indexes, text)
        };
        groups.into_iter().map(event).collect()
    }

    /// Creates an event with the current state of this server.
    pub(super) fn event(
        &self,
        step: u64,
        topic: Topic,
        term: Option<Term>,
        indexes: Option<(Index, Index)>,
        text: String,
    ) -> Event {
        let state = self.before.as_ref().map(State::of);
        let term = term.or(state.map(|state| state.term));
        Event { step, server: self.server, topic, term, indexes, state, flag: Flag::None, text }
    }

    /// Forgets the state of the server, which has stopped, and its writes that are not durable.
    pub(super) fn stop(&mut self) {
        self.before = None;
        self.writes.clear();
    }

    /// Renumbers the writes that are not durable, so that the first write after `base` has number
    /// 1.
    pub(super) fn renumber(&mut self, base: Mark) {
        for write in &mut self.writes {
            write.mark.0 = write.mark.0.saturating_sub(base.0);
        }
    }

    fn start(&mut self, step: u64, state: &PersistentState, applied: Index) -> Vec<Event> {
        let (base, last) = (state.log.base(), state.log.last());
        let digest = NodeDigest {
            role: 'f',
            term: state.current_term,
            vote: state.voted_for,
            last,
            base,
            durable: last.index,
            // Applied entries were committed.
            commit: applied,
            applied,
        };
        self.stop();
        let mut text = format!("{} starts", State::of(&digest));
        if base.index > Index::ZERO {
            let _ = write!(text, ", snapshot {}", base.index);
        }
        if last.index > base.index {
            let _ = write!(text, ", log {}", event_text::span((base.index.next(), last.index)));
        }
        self.before = Some(digest);
        vec![self.event(step, Topic::Boot, None, None, text)]
    }

    fn step(
        &mut self,
        step: u64,
        input: &Input,
        effects: &[Effect],
        after: &NodeDigest,
        flag: Flag,
    ) -> Vec<Event> {
        let before = self.before.replace(after.clone()).unwrap_or_else(|| after.clone());
        let mut events = vec![Event { flag, ..self.cause(step, input, effects, &before) }];
        events.extend(self.changes(step, &before, after));
        for effect in effects {
            events.extend(self.consequence(step, effect, &before));
        }
        events
    }

    fn cause(
        &mut self,
        step: u64,
        input: &Input,
        effects: &[Effect],
        before: &NodeDigest,
    ) -> Event {
        match input {
            Input::ElectionTimeout => {
                self.event(step, Topic::Timr, None, None, "election timeout".to_owned())
            }
            Input::Heartbeat => {
                self.event(step, Topic::Timr, None, None, "heartbeat timer".to_owned())
            }
            Input::Propose { commands } => self.proposal(step, commands, effects),
            Input::Read { id } => {
                self.event(step, Topic::Read, None, None, format!("client: read {}", id.0))
            }
            Input::Receive { from, message } => {
                let message_text = MessageText::of(message);
                let text = format!("<- {from} {}", message_text.text);
                self.event(
                    step,
                    message_text.topic,
                    Some(message.term()),
                    message_text.indexes,
                    text,
                )
            }
            Input::Durable { mark } => self.durable(step, *mark),
            Input::Applied { index } => {
                let indexes = (before.applied.next().min(*index), *index);
                let text = format!("{} applied {}", self.state_text(), event_text::span(indexes));
                self.event(step, Topic::Appl, None, Some(indexes), text)
            }
            Input::SnapshotTaken { index, .. } => {
                let text = format!("stored snapshot {index}");
                self.event(step, Topic::Snap, None, Some((Index(1), *index)), text)
            }
        }
    }

    fn proposal(&self, step: u64, commands: &[raft_core::Bytes], effects: &[Effect]) -> Event {
        let spelled = event_text::commands(commands);
        let answer = effects.iter().find_map(|effect| match effect {
            Effect::Proposed { first, term } => {
                let indexes = (*first, first.prev().plus(commands.len()));
                let text = format!("proposes {}: {spelled}", event_text::span(indexes));
                Some((Some(*term), Some(indexes), text))
            }
            Effect::ProposalRefused { leader } => {
                Some((None, None, format!("refuses {spelled}: {}", event_text::ask(*leader))))
            }
            _ => None,
        });
        let (term, indexes, text) =
            answer.unwrap_or_else(|| (None, None, format!("client: {spelled}")));
        self.event(step, Topic::Clnt, term, indexes, text)
    }

    fn durable(&mut self, step: u64, mark: Mark) -> Event {
        let mut texts = Vec::new();
        let mut indexes: Option<(Index, Index)> = None;
        while let Some(write) = self.writes.pop_front_if(|write| write.mark <= mark) {
            texts.push(write.text);
            if let Some((first, last)) = write.indexes {
                let (lowest, highest) = indexes.unwrap_or((first, last));
                indexes = Some((lowest.min(first), highest.max(last)));
            }
        }
        let what = if texts.is_empty() { "nothing new".to_owned() } else { texts.join("; ") };
        self.event(step, Topic::Disk, None, indexes, format!("durable: {what}"))
    }

    /// Returns the events of the changes in the server.
    fn changes(&self, step: u64, before: &NodeDigest, after: &NodeDigest) -> Vec<Event> {
        let now = self.state_text();
        let mut events = Vec::new();
        let mut tell = |topic, indexes, text: String| {
            events.push(self.event(step, topic, None, indexes, format!("{now} {text}")));
        };
        if after.term != before.term {
            tell(Topic::Term, None, format!("term {}, was {}", after.term, before.term));
        }
        if after.role != before.role {
            let role = match after.role {
                'l' => "leads",
                'c' => "campaigns",
                _ => "follows",
            };
            tell(Topic::Elec, None, role.to_owned());
        }
        if after.commit != before.commit {
            let indexes = (before.commit.next().min(after.commit), after.commit);
            tell(Topic::Cmit, Some(indexes), format!("commits {}", event_text::span(indexes)));
        }
        if after.base != before.base {
            let indexes = (Index(1), after.base.index);
            tell(Topic::Snap, Some(indexes), format!("log begins after {}", after.base.index));
        }
        if let Some(candidate) = after.vote.filter(|vote| *vote != self.server)
            && (after.vote, after.term) != (before.vote, before.term)
        {
            let text = format!("votes for {candidate}");
            events.push(self.event(step, Topic::Elec, None, None, text));
        }
        events
    }

    /// Returns the events of an effect that are not changes in the server. Messages are shown
    /// later, when they leave.
    fn consequence(&mut self, step: u64, effect: &Effect, before: &NodeDigest) -> Vec<Event> {
        let (topic, indexes, text) = match effect {
            Effect::Persist { mark, write } => return self.write(step, *mark, write, before),
            Effect::Restore { snapshot, .. } => {
                let last = snapshot.last_included_index;
                (Topic::Snap, Some((Index(1), last)), format!("restores snapshot {last}"))
            }
            Effect::ReadReady { id, read_index } => {
                (Topic::Read, None, format!("serves read {} at {read_index}", id.0))
            }
            Effect::ReadRefused { id, reason } => {
                let why = event_text::read_refusal(*reason);
                (Topic::Read, None, format!("refuses read {}: {why}", id.0))
            }
            Effect::Rejected(rejection) => {
                (Topic::Drop, None, format!("rejected: {}", event_text::variant(rejection)))
            }
            Effect::Halt(reason) => {
                (Topic::Halt, None, format!("HALT: {}", event_text::variant(reason)))
            }
            Effect::Apply { .. }
            | Effect::Send { .. }
            | Effect::ResetElectionTimer
            | Effect::Proposed { .. }
            | Effect::ProposalRefused { .. } => return Vec::new(),
        };
        vec![self.event(step, topic, None, indexes, text)]
    }

    fn write(
        &mut self,
        step: u64,
        mark: Mark,
        write: &raft_core::Write,
        before: &NodeDigest,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let last = before.last.index;
        let dropped = match &write.log {
            Some(LogWrite::Append { first, .. }) => Some((*first, last)),
            Some(LogWrite::Install(_)) => Some((before.base.index.next(), last)),
            _ => None,
        };
        if let Some(dropped) = dropped.filter(|(first, last)| first <= last) {
            let text = format!("drops {}", event_text::span(dropped));
            events.push(self.event(step, Topic::Log, None, Some(dropped), text));
        }
        let (text, indexes) =
            (event_text::write(write), write.log.as_ref().and_then(event_text::log_indexes));
        let words = format!("writes {text}");
        events.push(self.event(step, Topic::Disk, None, indexes, words));
        self.writes.push_back(WaitingWrite { mark, text, indexes });
        events
    }

    fn state_text(&self) -> String {
        self.before.as_ref().map(|digest| State::of(digest).to_string()).unwrap_or_default()
    }
}
