//! Checks the properties that must hold in the whole cluster, along the global order.
//!
//! These are the properties of raft-checker, which examines whole logs after every step. Logs of a
//! real cluster are too long for that. So most properties are checked here in an equivalent but
//! cheaper way:
//!
//! | property | here |
//! | --- | --- |
//! | election-safety | each term is won once |
//! | vote-once | the checker's own check, at each vote that leaves or is counted |
//! | log-matching | one entry, and one term before it, per index and term; prefixes by induction |
//! | state-machine-safety | leaders commit one term at an index, and so (log-matching) one entry |
//! | commit-is-fact | a leader committed each server's commit index, with the term in its log |
//! | leader-completeness | last relevant index, at elections and at commits below a later leader |
//! | committed-on-majority | last committed index, when a disk changes or an entry is committed |
//! | own-term-commit, monotonic | the numbers before and after each step are compared |
//! | votes-are-facts | at each election |
//! | match-is-fact | for the follower that has just answered |
//! | snapshot-is-prefix | each snapshot's position is a committed one; its data is not checked |
//! | reads | the served state reflects every entry that was committed when the read began |
//! | nothing-rejected, nobody-halts | no step has such an effect |
//!
//! Four properties are not checked again: leader-append-only, commit-not-stalled, disk-is-fact and
//! promise-is-durable. They concern single steps, and each step of the log is a step of the model.
//!
//! Every order in which messages are received after they were sent is a run of the model. So it
//! does not matter which of these orders is checked.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use raft_checker::properties::{Property, reads, snapshot_prefix, vote_once};
use raft_core::quorum::majority;
use raft_core::{
    Effect, Entry, Index, Log, LogPosition, LogWrite, Node, NodeId, Role, Snapshot, Term, TermAt,
};

use super::refusal::Refusal;
use super::replica::{Before, Released, Replica, counts_own_vote, leads};

/// A property that a step broke, with details.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) property: Property,
    pub(super) detail: String,
}

impl Broken {
    /// Converts this into the refusal of a step of the server.
    pub(super) fn refuse(self, replica: &Replica) -> Refusal {
        let Broken { property, detail } = self;
        Refusal::Property { property, detail, asked: replica.rules.asked() }
    }
}

fn broken<T>(property: Property, detail: String) -> Result<T, Broken> {
    Err(Broken { property, detail })
}

/// The entry that leaders have committed at an index.
#[derive(Clone, Copy, Debug)]
struct Decided {
    /// The term of the entry.
    term: Term,
    /// The lowest term in which a leader committed it. Never decreases along the log.
    committed_in: Term,
}

/// The history of the cluster along the global order.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Whether the cluster ran before the logs begin.
    resumed: bool,
    /// The entry that was written at each index and term, as a hash of the entry and of the term
    /// before it.
    entries: HashMap<LogPosition, u64>,
    /// The entry that leaders have committed at each index. For the time before the logs begin, it
    /// holds only the known entries.
    decided: BTreeMap<Index, Decided>,
    won: BTreeMap<Term, NodeId>,
}

impl History {
    /// Creates an empty history. With `resumed`, there is an earlier history, which is unknown.
    pub(super) fn new(resumed: bool) -> History {
        History { resumed, ..History::default() }
    }

    /// Returns the number of elections that were won.
    pub(super) fn elections(&self) -> usize {
        self.won.len()
    }

    /// Returns the highest index that was committed.
    pub(super) fn committed(&self) -> Index {
        self.decided.last_key_value().map_or(Index::ZERO, |(last, _)| *last)
    }

    /// Checks the start of a server, the first one or a later one.
    pub(super) fn started(
        &mut self,
        replicas: &[Replica],
        who: usize,
        first: bool,
    ) -> Result<(), Broken> {
        let Some(node) = &replicas[who].node else { return Ok(()) };
        if first && self.resumed {
            self.written(node.log.base().index.next(), node.log.entries(), &node.log)?;
            self.assume(node);
        }
        self.commit_is_fact(node)?;
        self.on_majority(replicas)
    }

    /// Checks a step of a server.
    pub(super) fn stepped(
        &mut self,
        replicas: &mut [Replica],
        who: usize,
        before: &Before,
        effects: &[Effect],
        released: &Released,
    ) -> Result<(), Broken> {
        let Some(node) = &replicas[who].node else { return Ok(()) };
        let mut disk_changed = before.durable != replicas[who].world.durable();
        for effect in effects {
            self.asked_for(effect, node)?;
        }
        goes_on(before, node)?;
        if let Some(snapshot) = &before.offered
            && snapshot_prefix::broken_by_install(snapshot, before.commit, node)
        {
            let detail = format!("after a snapshot up to {}", snapshot.last_included_index);
            return broken(Property::SnapshotIsPrefix, detail);
        }
        let leads = leads(node);
        if let Some(term) = leads.filter(|_| leads != before.leads) {
            self.won(replicas, node, term)?;
        }
        if node.commit_index > before.commit {
            match leads {
                Some(term) => {
                    self.leader_commits(replicas, node, before.commit, term)?;
                    disk_changed = true;
                }
                None => self.commit_is_fact(node)?,
            }
        }
        if let Some(follower) = before.answers {
            match_is_fact(replicas, node, follower)?;
        }
        if disk_changed {
            self.on_majority(replicas)?;
        }
        votes_once(&mut replicas[who], released)?;
        self.reads(&mut replicas[who], before, effects)
    }

    fn asked_for(&mut self, effect: &Effect, node: &Node) -> Result<(), Broken> {
        match effect {
            Effect::Rejected(rejection) => {
                broken(Property::NothingRejected, format!("{rejection:?}"))
            }
            Effect::Halt(reason) => broken(Property::NobodyHalts, format!("{reason:?}")),
            Effect::Persist { write, .. } => match &write.log {
                Some(LogWrite::Append { first, entries }) => {
                    self.written(*first, entries, &node.log)
                }
                Some(LogWrite::Compact(snapshot) | LogWrite::Install(snapshot)) => {
                    self.snapshot_is_prefix(snapshot)
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Records entries that a server has written to its log, and checks Log Matching.
    fn written(&mut self, first: Index, entries: &[Entry], log: &Log) -> Result<(), Broken> {
        let TermAt::Present(mut previous) = log.term_at(first.prev()) else { return Ok(()) };
        for (index, entry) in (first.0..).map(Index).zip(entries) {
            let mut hasher = DefaultHasher::new();
            (previous, entry).hash(&mut hasher);
            let hash = hasher.finish();
            let known = self.entries.entry(LogPosition { term: entry.term, index });
            if *known.or_insert(hash) != hash {
                let detail = format!("two logs differ up to index {index}, term {}", entry.term);
                return broken(Property::LogMatching, detail);
            }
            previous = entry.term;
        }
        Ok(())
    }

    fn snapshot_is_prefix(&self, snapshot: &Snapshot) -> Result<(), Broken> {
        let (index, term) = (snapshot.last_included_index, snapshot.last_included_term);
        match self.decided.get(&index) {
            Some(decided) if decided.term == term => Ok(()),
            None if self.is_before_the_logs(index) => Ok(()),
            found => {
                let found = found.map_or("nothing".to_owned(), |d| format!("term {}", d.term));
                let detail = format!("a snapshot up to {index}, term {term}; committed: {found}");
                broken(Property::SnapshotIsPrefix, detail)
            }
        }
    }

    /// Returns whether an index without a known entry counts as committed before the logs begin.
    fn is_before_the_logs(&self, index: Index) -> bool {
        self.resumed && index <= self.committed()
    }

    /// Checks Election Safety, Leader Completeness, and Votes Are Facts, for a new leader.
    fn won(&mut self, replicas: &[Replica], node: &Node, term: Term) -> Result<(), Broken> {
        let id = node.id();
        if let Some(other) = self.won.get(&term) {
            return broken(Property::ElectionSafety, format!("{other} has won term {term} before"));
        }
        let has_voted = |replica: &&Replica| {
            let disk = replica.world.disk();
            disk.current_term > term || (disk.current_term == term && disk.voted_for == Some(id))
        };
        let servers = node.config.voters.len();
        let votes = replicas.iter().filter(has_voted).count();
        if votes < majority(servers) {
            let detail = format!("{votes} of {servers} disks support {id} in term {term}");
            return broken(Property::VotesAreFacts, detail);
        }
        let mut latest_first = self.decided.iter().rev();
        if let Some((index, _)) = latest_first.find(|(_, decided)| decided.committed_in < term) {
            self.has_committed(node, *index)?;
        }
        self.won.insert(term, id);
        Ok(())
    }

    /// Checks that a leader has the entry that was committed at an index before its term.
    fn has_committed(&self, leader: &Node, index: Index) -> Result<(), Broken> {
        let Some(decided) = self.decided.get(&index) else { return Ok(()) };
        if holds(&leader.log, index, decided.term) {
            return Ok(());
        }
        let (id, term) = (leader.id(), leader.current_term);
        let detail = format!(
            "{id} leads term {term} without index {index}, committed in term {}",
            decided.committed_in
        );
        broken(Property::LeaderCompleteness, detail)
    }

    fn leader_commits(
        &mut self,
        replicas: &[Replica],
        node: &Node,
        before: Index,
        term: Term,
    ) -> Result<(), Broken> {
        for index in (before.next().0..=node.commit_index.0).map(Index) {
            let TermAt::Present(entry_term) = node.log.term_at(index) else { continue };
            self.decide(index, entry_term, term)?;
        }
        let later = replicas.iter().filter_map(|replica| replica.node.as_ref());
        let mut later = later.filter(|other| leads(other).is_some_and(|leads| leads > term));
        later.try_for_each(|leader| self.has_committed(leader, node.commit_index))
    }

    fn decide(&mut self, index: Index, term: Term, committed_in: Term) -> Result<(), Broken> {
        let follows = self.resumed || index == self.committed().next();
        match self.decided.get_mut(&index) {
            Some(decided) if decided.term == term => {
                decided.committed_in = decided.committed_in.min(committed_in);
                Ok(())
            }
            Some(decided) => {
                let found = decided.term;
                let detail = format!("index {index} is committed of term {found}, and of {term}");
                broken(Property::StateMachineSafety, detail)
            }
            None if follows => {
                self.decided.insert(index, Decided { term, committed_in });
                Ok(())
            }
            None => {
                let detail = format!("index {index} is committed, and nothing before it");
                broken(Property::StateMachineSafety, detail)
            }
        }
    }

    /// Records as committed the entries that a server had applied before the logs begin. Each was
    /// committed in its own term at the earliest.
    fn assume(&mut self, node: &Node) {
        let base = node.log.base();
        let applied = (base.index.0..=node.last_applied.0).map(Index).filter(|index| index.0 > 0);
        for index in applied {
            if let TermAt::Present(term) = node.log.term_at(index) {
                // The check after this one reports a contradiction.
                let _ = self.decide(index, term, term);
            }
        }
    }

    /// Checks Commit Is A Fact, and State Machine Safety.
    fn commit_is_fact(&self, node: &Node) -> Result<(), Broken> {
        let commit = node.commit_index;
        if commit == Index::ZERO {
            return Ok(());
        }
        let Some(decided) = self.decided.get(&commit) else {
            if self.is_before_the_logs(commit) {
                return Ok(());
            }
            let last = self.committed();
            let detail = format!("index {commit}; leaders have committed up to {last}");
            return broken(Property::CommitIsFact, detail);
        };
        if holds(&node.log, commit, decided.term) {
            return Ok(());
        }
        let detail = format!(
            "{} takes index {commit} for committed, of another term than {}",
            node.id(),
            decided.term
        );
        broken(Property::StateMachineSafety, detail)
    }

    /// Checks Committed On A Majority for the last committed index, which implies it for earlier
    /// ones.
    fn on_majority(&self, replicas: &[Replica]) -> Result<(), Broken> {
        let last = self.committed();
        let Some(decided) = self.decided.get(&last) else { return Ok(()) };
        let started = || replicas.iter().filter_map(|r| r.node.as_ref().map(|node| (r, node)));
        let Some(voters) = started().next().map(|(_, node)| node.config.voters.len()) else {
            return Ok(());
        };
        let holders = started().filter(|(r, _)| holds(&r.world.disk().log, last, decided.term));
        let holders = holders.count();
        let unknown = if self.resumed { voters.saturating_sub(started().count()) } else { 0 };
        if holders + unknown < majority(voters) {
            let detail = format!("index {last} is on {holders} of {voters} disks");
            return broken(Property::CommittedOnMajority, detail);
        }
        Ok(())
    }

    fn reads(
        &self,
        replica: &mut Replica,
        before: &Before,
        effects: &[Effect],
    ) -> Result<(), Broken> {
        if let Some(id) = before.begins {
            replica.reads.insert(id, self.committed());
        }
        for effect in effects {
            match effect {
                Effect::ReadReady { id, .. } => {
                    let committed = replica.reads.remove(id).unwrap_or_default();
                    let applied = replica.node.as_ref().map_or(Index::ZERO, |n| n.last_applied);
                    if reads::broken(committed, applied) {
                        let detail = format!(
                            "a read is served at {applied}; {committed} was committed when it began"
                        );
                        return broken(Property::Reads, detail);
                    }
                    replica.counts.reads_served += 1;
                }
                Effect::ReadRefused { id, .. } => {
                    replica.reads.remove(id);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns whether a log holds the committed entry of an index and term. A snapshot that covers the
/// index counts.
fn holds(log: &Log, index: Index, term: Term) -> bool {
    match log.term_at(index) {
        TermAt::Compacted => true,
        TermAt::Present(found) => found == term,
        TermAt::Beyond => false,
    }
}

/// Checks Monotonic, and Own-Term Commit.
fn goes_on(before: &Before, node: &Node) -> Result<(), Broken> {
    let (term, commit, applied) = (node.current_term, node.commit_index, node.last_applied);
    if term < before.term || commit < before.commit || applied < before.applied {
        let detail = "its term, commit index or applied index went back".to_owned();
        return broken(Property::Monotonic, detail);
    }
    if commit > node.log.last_index() || node.log.base().index > commit {
        let detail = format!("commit index {commit} lies outside of the log");
        return broken(Property::Monotonic, detail);
    }
    let throughout = before.leads.is_some() && before.leads == leads(node);
    if throughout && commit > before.commit && node.log.term_at(commit) != TermAt::Present(term) {
        return broken(Property::OwnTermCommit, format!("index {commit} is not of term {term}"));
    }
    Ok(())
}

/// Checks Match Is A Fact, for one follower.
fn match_is_fact(replicas: &[Replica], leader: &Node, follower: NodeId) -> Result<(), Broken> {
    let Role::Leader(leadership) = &leader.role else { return Ok(()) };
    let Some(progress) = leadership.followers.get(&follower) else { return Ok(()) };
    let Some(replica) = replicas.iter().find(|replica| replica.id == follower) else {
        return Ok(());
    };
    let (disk, index) = (replica.world.disk(), progress.match_index);
    let matches = match leader.log.term_at(index) {
        TermAt::Compacted => disk.log.term_at(index) != TermAt::Beyond,
        TermAt::Present(term) => holds(&disk.log, index, term),
        TermAt::Beyond => false,
    };
    if disk.current_term <= leader.current_term && !matches {
        let detail = format!("{follower} does not have index {index} on its disk");
        return broken(Property::MatchIsFact, detail);
    }
    Ok(())
}

fn votes_once(replica: &mut Replica, released: &Released) -> Result<(), Broken> {
    let own = replica.node.as_ref().and_then(counts_own_vote).map(|term| (term, replica.id));
    for (term, candidate) in released.votes.iter().copied().chain(own) {
        if vote_once::broken_by(replica.released_vote, term, candidate) {
            let detail = format!("a second vote in term {term}, for {candidate}");
            return broken(Property::VoteOnce, detail);
        }
        if replica.released_vote.is_none_or(|(newest, _)| newest <= term) {
            replica.released_vote = Some((term, candidate));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
