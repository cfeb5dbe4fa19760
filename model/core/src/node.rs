//! The state of one server: Figure 2's "State" box, and what the step function needs beside it.

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

/// One server. Plain data: anybody may look, only [`step`](crate::step) changes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node {
    /// Who it is.
    pub config: Config,
    /// Figure 2, persistent: the latest term seen, as last written (perhaps not yet durable).
    pub current_term: Term,
    /// Figure 2, persistent: whom it voted for in that term, as last written.
    pub voted_for: Option<NodeId>,
    /// Figure 2, persistent: the log, as last written.
    pub log: Log,
    /// How far its writes have come.
    pub disk: DiskProgress,
    /// Figure 2, volatile: the highest log entry known to be committed.
    pub commit_index: Index,
    /// Figure 2, volatile: the highest log entry that the state machine has applied.
    pub last_applied: Index,
    /// The highest log entry that the shell was asked to apply.
    pub apply_requested: Index,
    /// Follower, candidate or leader, with what only that role has.
    pub role: Role,
}

/// How far a node's writes have come on their way to the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DiskProgress {
    /// The newest write issued.
    pub issued: Mark,
    /// The newest write known to be durable.
    pub durable: Mark,
    /// The parts of the log that wait for a write, ascending in both fields.
    pub unsynced: VecDeque<Unsynced>,
}

/// From this index on, up to where the next part begins, the log waits for a write.
///
/// Durability is tied to the write and not to the index: when an entry is overwritten before its
/// write became durable, its part goes away, and the old write no longer vouches for the index.
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
    /// Answers requests of leaders and candidates.
    Follower {
        /// The leader of the current term, once it has been heard of.
        leader: Option<NodeId>,
    },
    /// Asks for votes.
    Candidate {
        /// Who has granted a vote in this term; itself once its own vote is durable.
        votes: BTreeSet<NodeId>,
        /// The write that carries its own vote, until it is durable.
        own_vote: Option<Mark>,
    },
    /// Handles all client requests and replicates its log.
    Leader(Leadership),
}

/// Figure 2, "Volatile state on leaders", and the reads of the thesis' section 6.4.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Leadership {
    /// What the leader knows of each other server.
    pub followers: BTreeMap<NodeId, Progress>,
    /// How many reads it has registered in this term.
    pub read_round: ReadRound,
    /// The reads not answered yet, oldest first.
    pub reads: VecDeque<PendingRead>,
}

/// What a leader knows of a follower. `match_index` is a fact, `next_index` is a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Progress {
    /// The next entry to send.
    pub next_index: Index,
    /// The highest entry known to be on the follower's disk.
    pub match_index: Index,
    /// How boldly to send.
    pub pace: Pace,
    /// The newest read round that the follower has acknowledged.
    pub acked_round: ReadRound,
}

/// How boldly a leader sends entries to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// It is not known where the logs part: one message, then wait for the answer. `next_index`
    /// moves with the answers.
    Probe,
    /// The logs agree up to `next_index`: send ahead of the answers, as far as the window allows.
    /// `next_index` moves with the sending.
    Replicate,
}

/// A read that waits for its proof of leadership, or for its index to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PendingRead {
    /// The caller's name for it.
    pub id: ReadId,
    /// The commit index when the read was registered; the state served must contain it.
    pub read_index: Index,
    /// The round that must be acknowledged by a majority.
    pub round: ReadRound,
}

impl Node {
    /// Starts a server from what its disk holds, for the first time or after a crash, with a state
    /// machine that reflects the log up to `applied`.
    ///
    /// The shell loads the snapshot at the log's base into the state machine first if that is
    /// further than what the state machine kept.
    ///
    /// # Errors
    ///
    /// A [`HaltReason`] if the disk or the state machine contradicts itself. Nothing can be guessed
    /// then: the server must not start.
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
        // What the state machine holds, and what a snapshot holds, was committed.
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

    /// This server's id.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// All voters but this one.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.config.voters.iter().copied().filter(|voter| *voter != self.config.id)
    }

    /// Whether it leads its current term.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The leader of the current term, as far as this server knows.
    pub fn known_leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower { leader } => *leader,
            Role::Candidate { .. } => None,
            Role::Leader(_) => Some(self.config.id),
        }
    }

    /// The last index of the log up to which everything is durable.
    pub fn durable_index(&self) -> Index {
        self.disk.unsynced.front().map_or(self.log.last_index(), |part| part.first.prev())
    }
}
