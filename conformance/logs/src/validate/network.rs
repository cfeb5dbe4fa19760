//! The messages that were sent, and which of them have arrived.
//!
//! The network of the model loses, repeats and reorders messages, so a message may arrive any
//! number of times once it has left. Messages are identified by 64-bit hashes, and their content is
//! not kept. Among a million messages, the probability that two have the same hash, so that a wrong
//! receipt may be missed, is 3 in 100 million.
//!
//! A transport may split an AppendEntries with many bytes into several messages. Each of these is a
//! message that the sender could have sent under a smaller batch limit. For an AppendEntries that
//! is large enough for this, the hash of each entry is kept, so that any contiguous part of it is
//! recognised.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use raft_core::{
    AppendEntries, Entry, Index, LogPosition, Message, NodeId, Payload, ReadRound, Term,
};

/// The number of bytes of commands from which on an AppendEntries may arrive in parts. Transports
/// that split messages have higher limits. A lower value would only need more memory.
const DIVISIBLE: usize = 64 << 10;

/// The hash of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u64);

impl Key {
    pub(super) fn of(message: &Message) -> Key {
        Key(hash(message))
    }
}

fn hash(value: &impl Hash) -> u64 {
    // The keys of this hasher are fixed, so equal runs print the same output.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The data that the network needs about a message that may leave its server.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) to: NodeId,
    pub(super) key: Key,
    divisible: Option<Box<Divisible>>,
}

impl Outgoing {
    pub(super) fn of(to: NodeId, message: &Message) -> Outgoing {
        let key = Key::of(message);
        let divisible = match message {
            Message::AppendEntries(append) if is_divisible(append) => {
                Some(Box::new(Divisible::of(append, key)))
            }
            _ => None,
        };
        Outgoing { to, key, divisible }
    }
}

/// Returns whether a sent message is the one that arrived, or contains it as a part.
pub(super) fn may_arrive_as(sent: &Message, arrived: &Message) -> bool {
    if sent == arrived {
        return true;
    }
    let (Message::AppendEntries(whole), Message::AppendEntries(part)) = (sent, arrived) else {
        return false;
    };
    // This distinguishes most messages without hashing their entries.
    let alike = (whole.term, whole.leader_commit, whole.read_round)
        == (part.term, part.leader_commit, part.read_round);
    alike && is_divisible(whole) && Divisible::of(whole, Key::of(sent)).contains(part)
}

fn is_divisible(append: &AppendEntries) -> bool {
    let bytes = |entry: &Entry| match &entry.payload {
        Payload::Noop => 0,
        Payload::Command(command) => command.as_slice().len(),
    };
    append.entries.len() > 1 && append.entries.iter().map(bytes).sum::<usize>() >= DIVISIBLE
}

/// A large AppendEntries.
#[derive(Debug)]
struct Divisible {
    whole: Key,
    term: Term,
    leader_commit: Index,
    read_round: ReadRound,
    prev_log: LogPosition,
    /// The term and the hash of each entry.
    entries: Vec<(Term, u64)>,
}

impl Divisible {
    fn of(append: &AppendEntries, whole: Key) -> Divisible {
        let AppendEntries { term, prev_log, entries, leader_commit, read_round } = append;
        let entries = entries.iter().map(|entry| (entry.term, hash(entry))).collect();
        let (term, prev_log) = (*term, *prev_log);
        let (leader_commit, read_round) = (*leader_commit, *read_round);
        Divisible { whole, term, leader_commit, read_round, prev_log, entries }
    }

    fn contains(&self, part: &AppendEntries) -> bool {
        let alike = (self.term, self.leader_commit, self.read_round)
            == (part.term, part.leader_commit, part.read_round);
        let offset = part.prev_log.index.0.checked_sub(self.prev_log.index.0);
        let Some(offset) = offset.and_then(|offset| usize::try_from(offset).ok()) else {
            return false;
        };
        let before = match offset.checked_sub(1) {
            None => Some(self.prev_log.term),
            Some(last) => self.entries.get(last).map(|(term, _)| *term),
        };
        let rest = self.entries.get(offset..).unwrap_or(&[]);
        alike
            && !part.entries.is_empty()
            && before == Some(part.prev_log.term)
            && part.entries.len() <= rest.len()
            && part.entries.iter().zip(rest).all(|(entry, (_, known))| hash(entry) == *known)
    }
}

/// The number of times that a message was sent and received.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    sent: u32,
    received: u32,
}

/// The messages from one server to another.
#[derive(Debug, Default)]
struct Link {
    traffic: HashMap<Key, Traffic>,
    divisible: Vec<Divisible>,
}

/// Counts of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MessageCounts {
    /// Messages that left their servers.
    pub sent: u64,
    /// Receipts of a message that had left.
    pub received: u64,
    /// Receipts beyond the number of times that a message had left.
    pub repeated: u64,
    /// Receipts of a part of a large message.
    pub parts: u64,
    /// Messages that left and were not received by the end of the logs.
    pub lost: u64,
    /// Messages that had to wait for a write that no log reports durable.
    pub never_left: u64,
}

/// All messages that were sent.
#[derive(Debug, Default)]
pub(super) struct Network {
    links: HashMap<(NodeId, NodeId), Link>,
    parts: u64,
}

impl Network {
    /// Records that a message leaves its server.
    pub(super) fn send(&mut self, from: NodeId, outgoing: Outgoing) {
        let link = self.links.entry((from, outgoing.to)).or_default();
        let traffic = link.traffic.entry(outgoing.key).or_default();
        traffic.sent = traffic.sent.saturating_add(1);
        link.divisible.extend(outgoing.divisible.map(|divisible| *divisible));
    }

    /// Records that a message arrives. Returns `false` if the message has not left its sender.
    pub(super) fn receive(
        &mut self,
        from: NodeId,
        to: NodeId,
        message: &Message,
        key: Key,
    ) -> bool {
        let Some(link) = self.links.get_mut(&(from, to)) else {
            return false;
        };
        if let Some(traffic) = link.traffic.get_mut(&key) {
            traffic.received = traffic.received.saturating_add(1);
            return true;
        }
        let Message::AppendEntries(part) = message else {
            return false;
        };
        // A message that arrives now probably left recently, so search the newest ones first.
        let Some(whole) = link.divisible.iter().rev().find(|whole| whole.contains(part)) else {
            return false;
        };
        if let Some(traffic) = link.traffic.get_mut(&whole.whole) {
            traffic.received = traffic.received.max(1);
        }
        self.parts += 1;
        true
    }

    /// Returns the counts so far.
    pub(super) fn counts(&self) -> MessageCounts {
        let mut counts = MessageCounts { parts: self.parts, ..MessageCounts::default() };
        for traffic in self.links.values().flat_map(|link| link.traffic.values()) {
            let (sent, received) = (u64::from(traffic.sent), u64::from(traffic.received));
            counts.sent += sent;
            counts.received += received;
            counts.repeated += received.saturating_sub(sent);
            counts.lost += sent.saturating_sub(received);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Bytes, RequestVoteReply};

    const ONE: NodeId = NodeId(1);
    const TWO: NodeId = NodeId(2);

    /// Returns a message with four entries of terms 1, 1, 2 and 3, after index 7 of term 1.
    fn append(size: usize) -> AppendEntries {
        let entry = |term: u64| Entry {
            term: Term(term),
            payload: Payload::Command(Bytes::from(vec![b'a'; size])),
        };
        AppendEntries {
            term: Term(3),
            prev_log: LogPosition { term: Term(1), index: Index(7) },
            entries: [1, 1, 2, 3].map(entry).to_vec(),
            leader_commit: Index(9),
            read_round: ReadRound(4),
        }
    }

    /// Returns the part of this message after a log position.
    fn part(size: usize, term: u64, index: u64, count: usize) -> AppendEntries {
        let whole = append(size);
        let offset = usize::try_from(index - 7).expect("it is inside");
        AppendEntries {
            prev_log: LogPosition { term: Term(term), index: Index(index) },
            entries: whole.entries[offset..offset + count].to_vec(),
            ..whole
        }
    }

    fn receives(network: &mut Network, message: &AppendEntries) -> bool {
        let message = Message::AppendEntries(message.clone());
        network.receive(ONE, TWO, &message, Key::of(&message))
    }

    fn sent(message: &Message) -> Network {
        let mut network = Network::default();
        network.send(ONE, Outgoing::of(TWO, message));
        network
    }

    #[test]
    fn any_contiguous_part_of_a_large_message_may_arrive() {
        let size = DIVISIBLE / 4;
        let mut network = sent(&Message::AppendEntries(append(size)));
        for (term, index, count) in [(1, 7, 2), (1, 8, 3), (1, 9, 1), (2, 10, 1)] {
            assert!(receives(&mut network, &part(size, term, index, count)), "{index}");
        }
        assert!(receives(&mut network, &append(size)));
        let counts = network.counts();
        assert_eq!((counts.sent, counts.parts, counts.lost), (1, 4, 0));
    }

    #[test]
    fn what_is_no_part_of_it_may_not() {
        let size = DIVISIBLE / 4;
        let mut network = sent(&Message::AppendEntries(append(size)));
        let good = part(size, 1, 8, 2);
        let other_term = LogPosition { term: Term(2), index: Index(8) };
        let beyond = LogPosition { term: Term(1), index: Index(40) };
        let mut skips = part(size, 1, 8, 2);
        skips.entries.remove(0);
        for wrong in [
            AppendEntries { prev_log: other_term, ..good.clone() },
            AppendEntries { prev_log: beyond, ..good.clone() },
            AppendEntries { prev_log: LogPosition::default(), ..good.clone() },
            AppendEntries { leader_commit: Index(8), ..good.clone() },
            AppendEntries { read_round: ReadRound(5), ..good.clone() },
            AppendEntries { entries: Vec::new(), ..good.clone() },
            AppendEntries { entries: append(size + 1).entries[1..3].to_vec(), ..good },
            skips,
        ] {
            assert!(!receives(&mut network, &wrong), "{wrong:?}");
        }
    }

    #[test]
    fn small_messages_arrive_whole_or_not_at_all() {
        let mut network = sent(&Message::AppendEntries(append(10)));
        assert!(!receives(&mut network, &part(10, 1, 8, 2)));
        assert!(receives(&mut network, &append(10)));
    }

    #[test]
    fn a_message_arrives_only_where_it_was_sent_to_and_as_often_as_one_likes() {
        let message = Message::RequestVoteReply(RequestVoteReply { term: Term(1), granted: true });
        let key = Key::of(&message);
        let mut network = sent(&message);
        assert!(!network.receive(TWO, ONE, &message, key));
        assert!(!network.receive(ONE, NodeId(3), &message, key));
        assert!((0..3).all(|_| network.receive(ONE, TWO, &message, key)));
        let counts = network.counts();
        assert_eq!((counts.sent, counts.received, counts.repeated), (1, 3, 2));
    }
}
