//! The state of one server: Figure 2's "State" box, and the additional state of the step function.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::effect::HaltReason;
use crate::log::{Log, TermAt};
use crate::persistent_state::PersistentState;
use crate::rules::{Rule, Rules};
use crate::types::{DISK_LIMIT, Index, Mark, NodeId, ReadId, ReadRound, Term};

/// Who the server is among whom, and how much it may have under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// This server.
    pub id: NodeId,
    /// All servers that vote, this one included.
    pub voters: BTreeSet<NodeId>,
    /// The bounds on what it sends and keeps.
    pub limits: Limits,
}

/// Bounds on what a node sends and keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// How many entries one AppendEntries carries at most; at least 1.
    pub batch: usize,
    /// How many entries may be on the way to one follower, sent but not acknowledged; at least 1.
    pub window: usize,
    /// How many reads a leader keeps waiting at most.
    pub reads: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { batch: 64, window: 1024, reads: 1024 }
    }
}

/// One server, as plain data. Any code may read it; only [`step`](crate::step) changes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node {
    /// The server's id, the voters and the limits.
    pub config: Config,
    /// Figure 2, persistent: the latest term seen, as last written (perhaps not yet durable).
    pub current_term: Term,
    /// Figure 2, persistent: the candidate that it voted for in that term, as last written.
    pub voted_for: Option<NodeId>,
    /// Figure 2, persistent: the log, as last written.
    pub log: Log,
    /// The progress of its writes to the disk.
    pub disk: DiskProgress,
    /// Figure 2, volatile: the highest log entry known to be committed.
    pub commit_index: Index,
    /// Figure 2, volatile: the highest log entry that the state machine has applied.
    pub last_applied: Index,
    /// The highest log entry that the shell was asked to apply.
    pub apply_requested: Index,
    /// Follower, candidate or leader, with the state that only that role has.
    pub role: Role,
}

/// The progress of a node's writes to the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DiskProgress {
    /// The newest write issued.
    pub issued: Mark,
    /// The newest write known to be durable.
    pub durable: Mark,
    /// The parts of the log that wait for a write, ascending in both fields.
    pub unsynced: VecDeque<Unsynced>,
}

/// A part of the log that waits for a write: from `first` up to the beginning of the next part.
///
/// Durability is tied to the write and not to the index. When an entry is overwritten before its
/// write is durable, its part is removed. So the old write does not make the new entry at that
/// index durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unsynced {
    /// The first index of the part.
    pub first: Index,
    /// The write that makes it durable.
    pub mark: Mark,
}

/// The three roles of section 5.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A server that answers requests of leaders and candidates.
    Follower {
        /// The leader of the current term, if this server knows it.
        leader: Option<NodeId>,
    },
    /// A server that asks for votes.
    Candidate {
        /// The servers that have granted a vote in this term. The candidate itself is among them
        /// once its own vote is durable.
        votes: BTreeSet<NodeId>,
        /// The write that contains the candidate's own vote; none once the vote is durable.
        own_vote: Option<Mark>,
    },
    /// A server that handles all client requests and replicates its log.
    Leader(Leadership),
}

/// Figure 2, "Volatile state on leaders", and the reads of the thesis' section 6.4.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Leadership {
    /// The leader's knowledge about each other server.
    pub followers: BTreeMap<NodeId, Progress>,
    /// The number of reads that the leader has registered in this term.
    pub read_round: ReadRound,
    /// The reads not answered yet, oldest first.
    pub reads: VecDeque<PendingRead>,
}

/// The leader's knowledge about a follower. The follower has confirmed `match_index`; `next_index`
/// is a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Progress {
    /// The next entry to send.
    pub next_index: Index,
    /// The highest entry known to be on the follower's disk.
    pub match_index: Index,
    /// The way in which to send entries.
    pub pace: Pace,
    /// The newest read round that the follower has acknowledged.
    pub acked_round: ReadRound,
}

/// The way in which a leader sends entries to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// The leader does not know where the logs diverge. It sends one message and waits for the
    /// answer, and each answer moves `next_index`.
    Probe,
    /// The logs agree up to `match_index`. The leader sends further entries without waiting for the
    /// answers, as far as the window allows, and each batch that it sends moves `next_index`.
    Replicate,
}

/// A read that waits for its proof of leadership, or for its index to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PendingRead {
    /// The id that the caller gave to the read.
    pub id: ReadId,
    /// The commit index when the read was registered. The state that answers the read must reflect
    /// it.
    pub read_index: Index,
    /// The round that must be acknowledged by a majority.
    pub round: ReadRound,
}

impl Node {
    /// Starts a server from its disk, for the first time or after a crash. Its state machine
    /// reflects the log up to `applied`.
    ///
    /// If the snapshot at the log's base is ahead of the state machine, the shell loads it into the
    /// state machine before the start.
    ///
    /// # Errors
    ///
    /// A [`HaltReason`] if the configuration cannot be used, or if the disk and the state machine
    /// contradict themselves or each other. The server must not start then.
    pub fn restart<R: Rules>(
        rules: &R,
        config: Config,
        disk: PersistentState,
        applied: Index,
    ) -> Result<Node, HaltReason> {
        let PersistentState { current_term, voted_for, log } = disk;
        let limits = config.limits;
        if !config.voters.contains(&config.id) || limits.batch == 0 || limits.window == 0 {
            return Err(HaltReason::BadConfig);
        }
        if !log.is_valid() || log.last().term > current_term || current_term.0 > DISK_LIMIT {
            return Err(HaltReason::BadDisk);
        }
        if applied < log.base().index {
            return Err(HaltReason::StateMachineBehindSnapshot);
        }
        if log.term_at(applied) == TermAt::Beyond {
            return Err(HaltReason::StateMachineAheadOfLog);
        }
        // The entries in the state machine and in the snapshot were committed.
        let commit_index =
            if rules.holds(Rule::AppliedIsCommitted, true) { applied } else { Index::ZERO };
        Ok(Node {
            config,
            current_term,
            voted_for,
            log,
            disk: DiskProgress::default(),
            commit_index,
            last_applied: applied,
            apply_requested: applied,
            role: Role::Follower { leader: None },
        })
    }

    /// Starts a server that has never run.
    ///
    /// # Errors
    ///
    /// [`HaltReason::BadConfig`] if the server is not among the voters or a limit is 0.
    pub fn boot<R: Rules>(rules: &R, config: Config) -> Result<Node, HaltReason> {
        Node::restart(rules, config, PersistentState::default(), Index::ZERO)
    }

    /// Returns this server's id.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// Returns all voters but this server.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.config.voters.iter().copied().filter(|voter| *voter != self.config.id)
    }

    /// Returns whether this server leads its current term.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Returns the leader of the current term, as far as this server knows.
    pub fn known_leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower { leader } => *leader,
            Role::Candidate { .. } => None,
            Role::Leader(_) => Some(self.config.id),
        }
    }

    /// Returns the last index of the log up to which everything is durable.
    pub fn durable_index(&self) -> Index {
        self.disk.unsynced.front().map_or(self.log.last_index(), |part| part.first.prev())
    }
}
