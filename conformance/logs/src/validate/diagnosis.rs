//! Finds out why a server waits for a message forever.
//!
//! The explained records show only that the message has not left. Its sender may never ask to send
//! it, may hold it back, or may send it later. To find out, the sender's log is read once more.

use raft_core::{Effect, Input, Mark, Message, NodeId};
use raft_trace::NodeRecord;

use super::explained_prefix::ExplainedPrefix;
use super::log_reader::{Located, LogReader};
use super::network::may_arrive_as;
use super::refusal::{Dependence, Refusal};
use super::replica::Replica;

/// A receipt that is not explained.
struct Receipt<'a> {
    from: NodeId,
    to: NodeId,
    message: &'a Message,
}

/// Gives a refusal to each server that waits, with the reason why it waits.
pub(super) fn diagnose(readings: &mut [ExplainedPrefix], replicas: &[Replica]) {
    let place_of = |id: NodeId| replicas.iter().position(|replica| replica.id == id);
    let find_out = |receiver: usize| {
        let receipt = receipt(&readings[receiver], replicas[receiver].id)?;
        Some(match place_of(receipt.from) {
            Some(sender) => {
                let found = look_for(&readings[sender], &receipt);
                // The error in the sender's log may be the reason why the message is missing.
                let blameless = readings[sender].refusal.is_none() || !found.is_contradiction();
                if blameless { found } else { Refusal::Waits { from: receipt.from, line: None } }
            }
            None => Refusal::NeverSent { from: receipt.from, has_log: false },
        })
    };
    let found: Vec<Option<Refusal>> = (0..readings.len()).map(find_out).collect();
    for (reading, found) in readings.iter_mut().zip(found) {
        reading.refusal = reading.refusal.take().or(found);
    }
    let circles: Vec<Option<Refusal>> =
        (0..readings.len()).map(|place| circle(readings, replicas, place)).collect();
    for (reading, circle) in readings.iter_mut().zip(circles) {
        reading.refusal = circle.or(reading.refusal.take());
    }
}

fn receipt(reading: &ExplainedPrefix, to: NodeId) -> Option<Receipt<'_>> {
    match &reading.next.as_ref()?.record {
        NodeRecord::Step { input: Input::Receive { from, message }, .. }
            if reading.refusal.is_none() =>
        {
            Some(Receipt { from: *from, to, message })
        }
        _ => None,
    }
}

/// A message that its sender holds back, and the write for which it waits.
#[derive(Clone, Copy)]
struct Held {
    line: u64,
    after: Mark,
    durable: Mark,
}

/// Looks for a message in the log of its sender.
fn look_for(sender: &ExplainedPrefix, receipt: &Receipt<'_>) -> Refusal {
    let Receipt { from, to, message, .. } = *receipt;
    let asked_for = |effect: &Effect| match effect {
        Effect::Send { to: receiver, message: sent, after } if *receiver == to => {
            may_arrive_as(sent, message).then_some(after.unwrap_or_default())
        }
        _ => None,
    };
    let (mut durable, mut held, mut died) = (Mark::default(), None::<Held>, None);
    // A part that cannot be read now could not be read before, either.
    let mut log = LogReader::open(sender.log.path()).ok();
    while let Some(Ok(Some(Located { line, record }))) = log.as_mut().map(LogReader::next) {
        let NodeRecord::Step { input, effects, .. } = record else {
            died = held.take().or(died);
            durable = Mark::default();
            continue;
        };
        if let Input::Durable { mark } = input {
            durable = mark;
        }
        if let Some(after) = effects.iter().find_map(asked_for) {
            held = held.or(Some(Held { line, after, durable }));
        }
        if let Some(held) = &mut held {
            held.durable = durable;
            if held.after <= durable {
                return Refusal::Waits { from, line: Some(line) };
            }
        }
    }
    match held.or(died) {
        Some(Held { line, after, durable }) => {
            Refusal::NotReleased { from, line, write: after.0, durable: durable.0 }
        }
        None => Refusal::NeverSent { from, has_log: true },
    }
}

/// Returns a circle of servers in which each one waits for the next, if this server is in one.
fn circle(readings: &[ExplainedPrefix], replicas: &[Replica], first: usize) -> Option<Refusal> {
    let mut links = Vec::new();
    let mut place = first;
    for _ in readings {
        let Some(Refusal::Waits { from, line: Some(sent) }) = readings[place].refusal else {
            return None;
        };
        let at = readings[place].next.as_ref()?.line;
        let receiver = replicas[place].id;
        links.push(Dependence { receiver, received: at, sender: from, sent });
        place = replicas.iter().position(|replica| replica.id == from)?;
        if place == first {
            return Some(Refusal::Circle { links });
        }
    }
    None
}
