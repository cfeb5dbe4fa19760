//! Merges several node logs into one run.
//!
//! The logs have no clock, and they need none. The records of one server are in order, and a
//! message is received after it was sent. Every order that respects both is as good as the true
//! one, because no server could observe a difference. This merge follows chains of causes: it stays
//! with one server until that server waits for a message, and then continues with the sender of the
//! message. The order depends only on the logs.
//!
//! Equal messages are counted: the second receipt waits for the second sending. If no other record
//! can come next, either the network has repeated the message ([`Flag::Repeated`]), or the log of
//! its sender lacks it ([`Flag::Unsent`]). If several receipts wait, the choice of the repeated one
//! is a guess. If there is no log of the sender, its messages count as sent.
//!
//! The merge holds one record of each log in memory and, for the last [`SENT`] different messages,
//! the number of times that they were sent and received.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use raft_core::{Input, Message, NodeId};
use raft_trace::NodeRecord;

use super::error::LogError;
use super::event::Flag;
use super::node_log::{Located, NodeLog};
use super::waiting_messages::Outbox;

/// The number of different messages for which the merge remembers that they were sent.
pub const SENT: usize = 1 << 20;

/// A merge of several node logs into one run.
pub struct Merge {
    lanes: Vec<Lane>,
    /// The lane whose record was taken last.
    current: Option<usize>,
    sent: Sent,
    errors: Vec<LogError>,
}

struct Lane {
    log: NodeLog,
    head: Option<Head>,
    ended: bool,
    outbox: Outbox<u64>,
}

struct Head {
    located: Located,
    /// The sender and the key of the message, if the record receives one.
    receives: Option<(NodeId, u64)>,
}

/// A record at its place in the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The server of the record.
    pub server: NodeId,
    /// Its line in that server's log.
    pub line: u64,
    /// The record.
    pub record: NodeRecord,
    /// The problem with the message that the record receives.
    pub flag: Flag,
}

/// The next item of the merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A record.
    Record(Box<Merged>),
    /// Nothing yet: the logs have to grow first.
    Wait,
    /// Nothing any more: all logs have ended.
    End,
}

/// The answer whether a record can come next.
enum Ready {
    Yes(Flag),
    /// Not before the log in this lane has continued.
    After(usize),
    /// Not yet, because a log whose server is still unknown may belong to the sender.
    AfterUnknown,
}

impl Merge {
    /// Creates a merge of logs.
    pub fn new(logs: Vec<NodeLog>) -> Merge {
        let lane = |log| Lane { log, head: None, ended: false, outbox: Outbox::default() };
        let lanes = logs.into_iter().map(lane).collect();
        Merge { lanes, current: None, sent: Sent::default(), errors: Vec::new() }
    }

    /// Returns the servers whose logs have begun, sorted.
    pub fn servers(&mut self) -> Vec<NodeId> {
        self.fill();
        let mut servers: Vec<NodeId> = self.lanes.iter().filter_map(Lane::server).collect();
        servers.sort_unstable();
        servers
    }

    /// Returns whether there are errors that were not taken yet.
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Returns the errors in the logs since the last call. A damaged log ends at the damage, and
    /// the others continue.
    pub fn take_errors(&mut self) -> Vec<LogError> {
        std::mem::take(&mut self.errors)
    }

    /// Returns the next record. With `patient`, a record that waits for a message is held back as
    /// long as a log may still grow. Without it, the record is returned as it is.
    pub fn next_record(&mut self, patient: bool) -> Next {
        self.fill();
        if let Some((place, flag)) = self.choose() {
            return self.take(place, flag);
        }
        let waits = self.lanes.iter().any(|lane| lane.head.is_none() && !lane.ended);
        if waits && patient {
            return Next::Wait;
        }
        match self.unblock() {
            Some((place, flag)) => self.take(place, flag),
            None if waits => Next::Wait,
            None => Next::End,
        }
    }

    /// Reads the next record of each log that has none in memory.
    fn fill(&mut self) {
        for place in 0..self.lanes.len() {
            let lane = &mut self.lanes[place];
            if lane.head.is_some() || lane.ended {
                continue;
            }
            match lane.log.next_record() {
                Ok(Some(located)) => {
                    let receives = received(lane.log.server(), &located.record);
                    lane.head = Some(Head { located, receives });
                }
                Ok(None) => lane.ended = !lane.log.grows(),
                Err(error) => {
                    lane.ended = true;
                    self.errors.push(error);
                }
            }
            self.refuse_a_second_log(place);
        }
    }

    fn refuse_a_second_log(&mut self, place: usize) {
        let path = |lane: &Lane| lane.log.path().to_owned();
        let Some(server) = self.lanes[place].server().filter(|_| self.lanes[place].head.is_some())
        else {
            return;
        };
        let mut others = self.lanes.iter().enumerate().filter(|(other, _)| *other != place);
        let Some(first) = others.find(|(_, lane)| lane.server() == Some(server)) else { return };
        let (first, second) = (path(first.1), path(&self.lanes[place]));
        self.lanes[place].ended = true;
        self.lanes[place].head = None;
        self.lanes[place].log.disown();
        self.errors.push(LogError::SameServer { server, first, second });
    }

    /// Stays with the current server, or continues with the server that it waits for.
    fn choose(&self) -> Option<(usize, Flag)> {
        let mut next = self.current;
        for _ in 0..self.lanes.len() {
            let Some(place) = next else { break };
            next = match self.ready(place) {
                Some(Ready::Yes(flag)) => return Some((place, flag)),
                Some(Ready::After(sender)) => Some(sender),
                Some(Ready::AfterUnknown) | None => None,
            };
        }
        self.lowest(|lane| match self.ready(lane)? {
            Ready::Yes(flag) => Some(flag),
            Ready::After(_) | Ready::AfterUnknown => None,
        })
    }

    /// Chooses a record when all servers wait. One of them waits for a message that was repeated,
    /// or that was never sent.
    fn unblock(&self) -> Option<(usize, Flag)> {
        let was_sent = |place: usize| {
            let (_, message) = self.lanes[place].head.as_ref()?.receives?;
            self.sent.ever(message).then_some(Flag::Repeated)
        };
        let waits = |place: usize| self.lanes[place].head.as_ref().map(|_| Flag::Unsent);
        self.lowest(was_sent).or_else(|| self.lowest(waits))
    }

    /// Returns the answer of the server with the lowest id among those that have an answer.
    fn lowest(&self, answer: impl Fn(usize) -> Option<Flag>) -> Option<(usize, Flag)> {
        let places = 0..self.lanes.len();
        let answered = places.filter_map(|place| Some((place, answer(place)?)));
        answered.min_by_key(|(place, _)| self.lanes[*place].server())
    }

    fn ready(&self, place: usize) -> Option<Ready> {
        let head = self.lanes.get(place)?.head.as_ref()?;
        let Some((from, message)) = head.receives else { return Some(Ready::Yes(Flag::None)) };
        if self.lanes.len() == 1 || self.sent.awaits(message) {
            return Some(Ready::Yes(Flag::None));
        }
        let sender = self.lanes.iter().position(|lane| lane.server() == Some(from));
        Some(match sender {
            Some(sender) if self.lanes[sender].has_more() => Ready::After(sender),
            Some(_) if self.sent.ever(message) => Ready::Yes(Flag::Repeated),
            Some(_) => Ready::Yes(Flag::Unsent),
            None if self.lanes.iter().any(Lane::is_unknown) => Ready::AfterUnknown,
            None => Ready::Yes(Flag::None),
        })
    }

    fn take(&mut self, place: usize, flag: Flag) -> Next {
        let lanes = self.lanes.len();
        let lane = &mut self.lanes[place];
        let (Some(server), Some(head)) = (lane.server(), lane.head.take()) else {
            return Next::End;
        };
        let Head { located: Located { line, record }, receives } = head;
        if lanes > 1 {
            if let Some((_, message)) = receives {
                self.sent.receive(message);
            }
            let key = |to, message: &Message| key(server, to, message);
            for message in lane.outbox.pass(&record, key) {
                self.sent.send(message);
            }
        }
        self.current = Some(place);
        Next::Record(Box::new(Merged { server, line, record, flag }))
    }
}

impl Lane {
    fn server(&self) -> Option<NodeId> {
        self.log.server()
    }

    fn has_more(&self) -> bool {
        self.head.is_some() || !self.ended
    }

    /// Returns whether the server of this log is not known yet.
    fn is_unknown(&self) -> bool {
        self.server().is_none() && !self.ended
    }
}

fn received(server: Option<NodeId>, record: &NodeRecord) -> Option<(NodeId, u64)> {
    match record {
        NodeRecord::Step { input: Input::Receive { from, message }, .. } => {
            Some((*from, key(*from, server?, message)))
        }
        _ => None,
    }
}

fn key(from: NodeId, to: NodeId, message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    (from, to, message).hash(&mut hasher);
    hasher.finish()
}

/// The number of times that messages were sent and received. The oldest messages are dropped.
#[derive(Default)]
struct Sent {
    counts: HashMap<u64, Count>,
    order: VecDeque<u64>,
}

#[derive(Default)]
struct Count {
    sent: u64,
    received: u64,
}

impl Sent {
    fn send(&mut self, message: u64) {
        let count = self.counts.entry(message).or_insert_with(|| {
            self.order.push_back(message);
            Count::default()
        });
        count.sent += 1;
        if self.order.len() > SENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
    }

    fn receive(&mut self, message: u64) {
        if let Some(count) = self.counts.get_mut(&message) {
            // A repeated receipt does not use up a later sending.
            count.received = count.sent.min(count.received + 1);
        }
    }

    /// Returns whether the message was sent more often than it was received.
    fn awaits(&self, message: u64) -> bool {
        self.counts.get(&message).is_some_and(|count| count.sent > count.received)
    }

    fn ever(&self, message: u64) -> bool {
        self.counts.contains_key(&message)
    }
}
