//! **Can recover** (paper, sections 5.4.3 and 5.6): as long as a majority can talk to each other,
//! the cluster can elect a leader and make progress.
//!
//! Exactly: start from the state, lift all bounds, and do the following for *every* majority, with
//! the other servers down. Restart the majority's servers. In each round, finish their writes,
//! deliver every message and let leaders send heartbeats. If no live leader made progress, let one
//! election timeout fire; the servers take turns. When everything in their logs is committed, which
//! needs no client, propose a new command. Within [`rounds`] such rounds that command is committed,
//! and all live servers have the same log, and have committed and applied all of it. A live leader
//! of the newest term among the live servers makes progress in every round, without another
//! election.
//!
//! An explicit-state checker can check this liveness statement state by state: for every state it
//! decides whether recovery is still possible.
//!
//! Witness: a majority recovered from a state in which none of its servers led.

use std::collections::VecDeque;

use itertools::Itertools;
use raft_core::{Bytes, Entry, Index, NodeId, Payload, Term};
use raft_trace::{Action, Envelope, Settings};

use crate::cluster::Cluster;
use crate::cluster::server::Server;
use crate::protocol::Protocol;

/// Returns how many rounds a cluster of `servers` may take: three for each of its servers, to lose
/// an election, to win one and to catch up, and three more to replicate and commit everywhere.
pub const fn rounds(servers: usize) -> usize {
    3 * servers + 3
}

/// A limit above the deliveries that any recovery takes within one round. If it is reached, servers
/// send each other messages for ever.
const DELIVERIES: usize = 10_000;

/// The command that shows that the cluster commits again.
const COMMAND: &str = "recovered";

/// A majority that does not recover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The servers that were up and could talk to each other.
    pub majority: Vec<NodeId>,
}

/// Tries every majority. Returns whether one of them had to elect a leader first.
///
/// # Errors
///
/// [`Stuck`] names the first majority that does not recover.
pub fn check<P: Protocol>(
    settings: &Settings,
    protocol: &P,
    cluster: &Cluster,
) -> Result<bool, Stuck> {
    let smallest = raft_core::quorum::majority(cluster.servers.len());
    let mut elected = false;
    for size in smallest..=cluster.servers.len() {
        for majority in cluster.servers.iter().map(|server| server.id).combinations(size) {
            let mut recovery = Recovery::begin(settings, protocol, cluster, &majority);
            elected |= recovery.leader().is_none();
            if !recovery.succeeds() {
                return Err(Stuck { majority });
            }
        }
    }
    Ok(elected)
}

struct Recovery<'a, P: Protocol> {
    settings: &'a Settings,
    protocol: &'a P,
    live: Vec<Server>,
    network: VecDeque<Envelope>,
    /// The term in which the command was proposed last, so that each leader proposes it once.
    proposed_in: Term,
}

impl<'a, P: Protocol> Recovery<'a, P> {
    fn begin(
        settings: &'a Settings,
        protocol: &'a P,
        cluster: &Cluster,
        majority: &[NodeId],
    ) -> Recovery<'a, P> {
        let live = cluster.servers.iter().filter(|server| majority.contains(&server.id)).cloned();
        let mut recovery = Recovery {
            settings,
            protocol,
            live: live.collect(),
            network: VecDeque::new(),
            proposed_in: Term::ZERO,
        };
        for (envelope, copies) in &cluster.network {
            recovery.network.extend(std::iter::repeat_n(envelope.clone(), *copies));
        }
        for place in 0..recovery.live.len() {
            let server = recovery.live[place].id;
            recovery.act(place, &Action::Restart { server });
        }
        recovery
    }

    fn succeeds(&mut self) -> bool {
        let servers = self.live.len();
        let mut next_to_campaign = (0..servers).cycle();
        self.settle();
        for _ in 0..rounds(servers) {
            if self.agreed() {
                return true;
            }
            let before = self.progress();
            for place in 0..servers {
                let server = self.live[place].id;
                self.act(place, &Action::Heartbeat { server });
            }
            // The command is proposed only when everything else is committed: a leader needs no
            // client for that (section 8).
            if let Some((place, term)) = self.leader()
                && term > self.proposed_in
                && self.all_committed()
            {
                let (server, command) = (self.live[place].id, Bytes::from(COMMAND));
                self.proposed_in = term;
                self.act(place, &Action::Propose { server, command });
            }
            if !self.settle() {
                return false;
            }
            if self.progress() == before && !self.agreed() {
                if self.leads_newest_term() {
                    return false;
                }
                let place = next_to_campaign.next().unwrap_or(0);
                let server = self.live[place].id;
                self.act(place, &Action::ElectionTimeout { server });
                if !self.settle() {
                    return false;
                }
            }
        }
        self.agreed()
    }

    /// Returns the live leader of the highest term.
    fn leader(&self) -> Option<(usize, Term)> {
        let leads = |server: &Server| {
            let node = &server.process.as_ref()?.node;
            node.is_leader().then_some(node.current_term)
        };
        let leaders = self.live.iter().enumerate();
        leaders.filter_map(|(place, server)| Some((place, leads(server)?))).max_by_key(|l| l.1)
    }

    /// Returns whether a live leader has the newest term among the live servers. Such a leader has
    /// to succeed without another election.
    fn leads_newest_term(&self) -> bool {
        let term = |server: &Server| server.process.as_ref().map(|p| p.node.current_term);
        self.leader().map(|(_, term)| term) >= self.live.iter().filter_map(term).max()
    }

    /// Returns the values that change when a leader makes progress: its term, and the commit index
    /// and last index of every live server.
    fn progress(&self) -> Option<(Term, Vec<(Index, Index)>)> {
        let (_, term) = self.leader()?;
        let reached = self.live.iter().filter_map(|server| {
            let node = &server.process.as_ref()?.node;
            Some((node.commit_index, node.log.last_index()))
        });
        Some((term, reached.collect()))
    }

    /// Returns whether all live servers have committed all entries in their logs.
    fn all_committed(&self) -> bool {
        self.live.iter().all(|server| {
            let node = server.process.as_ref().map(|process| &process.node);
            node.is_some_and(|node| node.commit_index == node.log.last_index())
        })
    }

    /// Returns whether all live servers have the same log and have committed and applied all of it,
    /// and whether it holds the command of the current leader.
    fn agreed(&self) -> bool {
        let Some((_, term)) = self.leader() else {
            return false;
        };
        let command = Payload::Command(Bytes::from(COMMAND));
        let recovered = Entry { term, payload: command };
        let Some(first) = self.live.first() else {
            return false;
        };
        first.state_machine.contains(&recovered)
            && self.live.iter().all(|server| {
                let Some(process) = &server.process else {
                    return false;
                };
                let last = process.node.log.last_index();
                process.node.commit_index == last
                    && server.state_machine.len() as u64 == last.0
                    && server.state_machine == first.state_machine
            })
    }

    /// Finishes writes, applications and snapshots, and delivers all messages, until nothing is
    /// left. Returns false if that does not end.
    fn settle(&mut self) -> bool {
        for _ in 0..DELIVERIES {
            for place in 0..self.live.len() {
                self.finish(place);
            }
            let Some(envelope) = self.network.pop_front() else {
                return true;
            };
            if let Some(place) = self.live.iter().position(|server| server.id == envelope.to) {
                self.act(place, &Action::Deliver(envelope));
            }
        }
        false
    }

    fn finish(&mut self, place: usize) {
        let server = self.live[place].id;
        loop {
            let waiting = |server: &Server| server.process.as_ref().map(|p| p.writes.len());
            let writes = waiting(&self.live[place]).unwrap_or(0);
            let done = (writes > 0 && self.act(place, &Action::Sync { server, writes }))
                || self.act(place, &Action::Apply { server })
                || self.act(place, &Action::FinishSnapshot { server });
            if !done {
                return;
            }
        }
    }

    /// Does an action if it is possible. Messages to servers that are down are lost.
    fn act(&mut self, place: usize, action: &Action) -> bool {
        let reaction = self.live[place].run(self.settings, self.protocol, action);
        let done = reaction.is_ok();
        self.network.extend(reaction.map(|reaction| reaction.sent).unwrap_or_default());
        done
    }
}
