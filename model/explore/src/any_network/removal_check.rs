//! The check that the removed messages make no difference to the code that was explored.
//!
//! [`System::relevance`] is a claim about all states that can follow. The search takes the claim for
//! true while it runs. Afterwards it is checked, by induction over the transitions of each server:
//!
//! - a message without a difference is idle, sends nothing and breaks nothing, in every server that was
//!   reached;
//! - a transition of a server never makes such a message relevant again;
//! - a message that another one replaces is idle as well, and the answers to both do the same to every
//!   server that was reached.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::inbox::Inboxes;
use super::peers::{PeerError, Peers};
use super::state::Tuple;
use crate::local::{Label, Local, ServerId};
use crate::message_set::MessageId;
use crate::system::{Relevance, System};

/// The servers that were reached and the messages that were sent, by place.
struct Places {
    servers: Vec<BTreeSet<ServerId>>,
    messages: Vec<Vec<MessageId>>,
}

/// Returns whether the removed messages make no difference. `tuples` are all that this process has
/// reached. Each process checks its own servers, with the messages of all processes.
///
/// # Errors
///
/// If a process is lost.
pub(crate) fn removals_hold<S: System>(
    inboxes: &Inboxes<S>,
    tuples: &[Tuple],
    peers: &mut Peers,
) -> Result<bool, PeerError> {
    let local = &inboxes.local;
    let own = local.message_ids().map(|id| local.message(id).clone());
    for message in peers.share(own.collect::<Vec<_>>())?.iter().flatten() {
        local.intern_message(message);
    }
    let count = inboxes.count();
    let mut places =
        Places { servers: vec![BTreeSet::new(); count], messages: vec![Vec::new(); count] };
    for tuple in tuples {
        for (servers, id) in places.servers.iter_mut().zip(tuple.servers) {
            servers.insert(id);
        }
    }
    for id in local.message_ids() {
        places.messages[local.receiver(id)].push(id);
    }
    let answers = different_answers_of_all(local, &places);
    let holds = answers.is_some() && stay_without_difference(local, &places);
    let answers = answers.unwrap_or_default();
    let content = |(a, b): &Answers| (local.message(*a).clone(), local.message(*b).clone());
    let all = peers.share(answers.iter().map(content).collect::<Vec<_>>())?;
    let number = |(a, b): &_| (local.intern_message(a), local.intern_message(b));
    let all: BTreeSet<Answers> = all.iter().flatten().map(number).collect();
    let holds = holds && answers_do_the_same(local, &places, &all);
    Ok(peers.share(holds)?.into_iter().all(|holds| holds))
}

/// Returns whether the system says that a message can make a difference to a server.
fn is_live<S: System>(local: &Local<S>, message: MessageId, server: ServerId) -> bool {
    let relevance = local.system.relevance(local.message(message), local.server(server));
    matches!(relevance, Relevance::Live)
}

/// Returns whether no transition makes a message relevant that was not.
fn stay_without_difference<S: System>(local: &Local<S>, places: &Places) -> bool {
    let mut changes: BTreeMap<ServerId, BTreeSet<ServerId>> = BTreeMap::new();
    for (from, to) in local.changes() {
        changes.entry(from).or_default().insert(to);
    }
    places.servers.iter().zip(&places.messages).all(|(servers, messages)| {
        servers.par_iter().filter_map(|from| Some((from, changes.get(from)?))).all(
            |(from, after)| {
                let removed =
                    || messages.iter().filter(|message| !is_live(local, **message, *from));
                removed().all(|message| after.iter().all(|to| !is_live(local, *message, *to)))
            },
        )
    })
}

/// Returns the answers to messages and to their replacements that differ; none if a message that was
/// removed makes a difference.
fn different_answers_of_all<S: System>(
    local: &Local<S>,
    places: &Places,
) -> Option<BTreeSet<Answers>> {
    let at_places = places.servers.iter().zip(&places.messages);
    at_places
        .flat_map(|(servers, messages)| servers.iter().map(move |server| (server, messages)))
        .par_bridge()
        .map(|(server, messages)| different_answers(local, *server, messages))
        .try_reduce(BTreeSet::new, |mut all, mut more| {
            all.append(&mut more);
            Some(all)
        })
}

/// Returns whether the answers to messages that are replaced do what the answers to their
/// replacements do.
fn answers_do_the_same<S: System>(
    local: &Local<S>,
    places: &Places,
    answers: &BTreeSet<Answers>,
) -> bool {
    answers.par_iter().all(|(a, b)| {
        let place = local.receiver(*a);
        place == local.receiver(*b)
            && places.servers[place].iter().all(|server| do_the_same(local, *server, *a, *b))
    })
}

/// The answer to a message that another one replaces, and the answer to its replacement.
type Answers = (MessageId, MessageId);

/// Returns the different answers of a server to messages and to their replacements; none if a
/// message that was removed makes a difference.
fn different_answers<S: System>(
    local: &Local<S>,
    server: ServerId,
    messages: &[MessageId],
) -> Option<BTreeSet<Answers>> {
    let mut answers = BTreeSet::new();
    for message in messages {
        let relevance = local.system.relevance(local.message(*message), local.server(server));
        let expected = match relevance {
            Relevance::Live => continue,
            Relevance::Dead => Vec::new(),
            Relevance::Like(other) => idle_sends(local, server, local.intern_message(&other))?,
        };
        let sent = idle_sends(local, server, *message)?;
        if sent.len() != expected.len() {
            return None;
        }
        answers.extend(sent.into_iter().zip(expected).filter(|(a, b)| a != b));
    }
    Some(answers)
}

/// Returns the messages that a server sends at a message that changes and breaks nothing; none if it
/// does.
fn idle_sends<S: System>(
    local: &Local<S>,
    server: ServerId,
    message: MessageId,
) -> Option<Vec<MessageId>> {
    local.look_at(server, Label::receive(message), |known| {
        let Some(transition) = &known.transition else {
            return Some(Vec::new());
        };
        let sets = transition.sends.iter().map(|(_, set)| local.sets.messages(*set));
        let breaks = transition.findings.broken != 0;
        (known.is_idle && !breaks).then(|| sets.flatten().copied().collect())
    })
}

/// Returns whether two messages do the same to a server.
fn do_the_same<S: System>(local: &Local<S>, server: ServerId, a: MessageId, b: MessageId) -> bool {
    local.look_at(server, Label::receive(a), |a| {
        local.look_at(server, Label::receive(b), |b| match (&a.transition, &b.transition) {
            (Some(a), Some(b)) => a.server == b.server && a.facts == b.facts && a.sends == b.sends,
            (a, b) => a.is_none() && b.is_none(),
        })
    })
}
