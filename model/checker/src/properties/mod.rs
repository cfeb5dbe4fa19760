//! The properties: Figure 3 of the paper, and sharper statements that detect deep bugs after fewer
//! steps.
//!
//! Each property has a file with its exact meaning and its *witness*. A witness is a situation that
//! has to occur in the explored states; otherwise the property would hold only because there was
//! nothing to check. A property concerns one step of one server, all servers together with the
//! run's history, or both.

pub mod can_recover;
pub mod commit_is_fact;
pub mod commit_not_stalled;
pub mod committed_on_majority;
pub mod disk_is_fact;
pub mod election_safety;
pub mod leader_append_only;
pub mod leader_completeness;
pub mod log_matching;
pub mod match_is_fact;
pub mod monotonic;
pub mod nothing_rejected;
pub mod own_term_commit;
pub mod promise_is_durable;
pub mod reads;
pub mod snapshot_prefix;
pub mod state_machine_safety;
pub mod vote_once;
pub mod votes_are_facts;

use raft_core::{Entry, Index, Node, NodeId, Role, Term};
use serde::{Deserialize, Serialize};

use crate::cluster::server::Server;
use crate::cluster::snapshot_data::decode;

/// The properties, in the order in which they are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// See [`election_safety`].
    ElectionSafety,
    /// See [`leader_append_only`].
    LeaderAppendOnly,
    /// See [`log_matching`].
    LogMatching,
    /// See [`leader_completeness`].
    LeaderCompleteness,
    /// See [`state_machine_safety`].
    StateMachineSafety,
    /// See [`committed_on_majority`].
    CommittedOnMajority,
    /// See [`own_term_commit`].
    OwnTermCommit,
    /// See [`commit_not_stalled`].
    CommitNotStalled,
    /// See [`monotonic`].
    Monotonic,
    /// See [`vote_once`].
    VoteOnce,
    /// See [`snapshot_prefix`].
    SnapshotIsPrefix,
    /// See [`votes_are_facts`].
    VotesAreFacts,
    /// See [`match_is_fact`].
    MatchIsFact,
    /// See [`commit_is_fact`].
    CommitIsFact,
    /// See [`disk_is_fact`].
    DiskIsFact,
    /// See [`promise_is_durable`].
    PromiseIsDurable,
    /// See [`reads`].
    Reads,
    /// See [`can_recover`].
    CanRecover,
    /// See [`nothing_rejected`].
    NothingRejected,
    /// See [`nothing_rejected`].
    NobodyHalts,
}

impl Property {
    /// Returns its bit in the findings of an exploration.
    pub const fn bit(self) -> u64 {
        1 << self as u64
    }

    /// All properties.
    pub const ALL: [Property; 20] = [
        Property::ElectionSafety,
        Property::LeaderAppendOnly,
        Property::LogMatching,
        Property::LeaderCompleteness,
        Property::StateMachineSafety,
        Property::CommittedOnMajority,
        Property::OwnTermCommit,
        Property::CommitNotStalled,
        Property::Monotonic,
        Property::VoteOnce,
        Property::SnapshotIsPrefix,
        Property::VotesAreFacts,
        Property::MatchIsFact,
        Property::CommitIsFact,
        Property::DiskIsFact,
        Property::PromiseIsDurable,
        Property::Reads,
        Property::CanRecover,
        Property::NothingRejected,
        Property::NobodyHalts,
    ];

    /// Returns its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Property::ElectionSafety => "election-safety",
            Property::LeaderAppendOnly => "leader-append-only",
            Property::LogMatching => "log-matching",
            Property::LeaderCompleteness => "leader-completeness",
            Property::StateMachineSafety => "state-machine-safety",
            Property::CommittedOnMajority => "committed-on-majority",
            Property::OwnTermCommit => "own-term-commit",
            Property::CommitNotStalled => "commit-not-stalled",
            Property::Monotonic => "monotonic",
            Property::VoteOnce => "vote-once",
            Property::SnapshotIsPrefix => "snapshot-is-prefix",
            Property::VotesAreFacts => "votes-are-facts",
            Property::MatchIsFact => "match-is-fact",
            Property::CommitIsFact => "commit-is-fact",
            Property::DiskIsFact => "disk-is-fact",
            Property::PromiseIsDurable => "promise-is-durable",
            Property::Reads => "reads",
            Property::CanRecover => "can-recover",
            Property::NothingRejected => "nothing-rejected",
            Property::NobodyHalts => "nobody-halts",
        }
    }

    /// Returns the sentence of the paper (or the thesis) in our words, with its source.
    pub const fn sentence(self) -> &'static str {
        match self {
            Property::ElectionSafety => {
                "At most one leader can be elected in a given term (paper, Figure 3; 5.2)."
            }
            Property::LeaderAppendOnly => {
                "A leader never overwrites or deletes entries in its log, it only appends new ones \
                 (paper, Figure 3; 5.3)."
            }
            Property::LogMatching => {
                "If two logs contain an entry with the same index and term, they are identical in \
                 all entries up through that index (paper, Figure 3; 5.3)."
            }
            Property::LeaderCompleteness => {
                "An entry committed in a term is in the logs of the leaders of all higher terms \
                 (paper, Figure 3; 5.4)."
            }
            Property::StateMachineSafety => {
                "If a server has applied an entry at an index, no server ever applies a different \
                 one there (paper, Figure 3; 5.4.3)."
            }
            Property::CommittedOnMajority => {
                "A committed entry is on the disks of a majority of the servers (paper, 5.3 and \
                 Figure 2, State)."
            }
            Property::OwnTermCommit => {
                "A leader commits by counting replicas only entries of its own term (paper, 5.4.2 \
                 and Figure 8)."
            }
            Property::CommitNotStalled => {
                "A leader commits what is on a majority and of its own term, at once (paper, \
                 Figure 2, Leaders)."
            }
            Property::Monotonic => {
                "Terms, commit_index, last_applied and match_index only increase (paper, Figure 2, \
                 State)."
            }
            Property::VoteOnce => {
                "A server votes at most once in a term, across crashes (paper, 5.2 and Figure 2)."
            }
            Property::SnapshotIsPrefix => {
                "An installed snapshot stands for exactly the entries that it replaces (paper, 7 \
                 and Figure 13)."
            }
            Property::VotesAreFacts => {
                "A leader has the votes of a majority for its term, and they are on the voters' \
                 disks (paper, 5.2)."
            }
            Property::MatchIsFact => {
                "match_index is the highest entry known to be replicated: the follower's disk holds \
                 it (paper, Figure 2, State; 5.3)."
            }
            Property::CommitIsFact => {
                "commit_index is the highest entry known to be committed: a leader has committed it \
                 (paper, Figure 2, State)."
            }
            Property::DiskIsFact => {
                "Term, vote and log are on the disk or on their way, and a server knows which \
                 (paper, Figure 2, State)."
            }
            Property::PromiseIsDurable => {
                "What a reply confirms is on stable storage before it leaves (paper, Figure 2, \
                 State; thesis, 10.2.1)."
            }
            Property::Reads => {
                "A read sees everything that was committed when it began (paper, 8; thesis, 6.4)."
            }
            Property::CanRecover => {
                "From every state, any majority that can talk again elects a leader, commits, and \
                 agrees (paper, 5.4.3 and 5.6)."
            }
            Property::NothingRejected => {
                "Correct servers never send what a correct server must reject (the step contract)."
            }
            Property::NobodyHalts => {
                "A correct server never contradicts its own disk or state machine (the step \
                 contract)."
            }
        }
    }

    /// Returns the situation that must have occurred for the property to mean something.
    pub const fn witness(self) -> Witness {
        match self {
            Property::ElectionSafety => Witness::TwoLeadersOfDifferentTerms,
            Property::LeaderAppendOnly => Witness::LeaderBuildsOnOlderEntry,
            Property::LogMatching => Witness::ConflictTruncated,
            Property::LeaderCompleteness => Witness::LeaderAfterCommit,
            Property::StateMachineSafety => Witness::AppliedEverywhere,
            Property::CommittedOnMajority => Witness::CommittedWithoutOne,
            Property::OwnTermCommit => Witness::OlderTermHeldBack,
            Property::CommitNotStalled => Witness::SeveralCommittedAtOnce,
            Property::Monotonic => Witness::LateAcknowledgement,
            Property::VoteOnce => Witness::SecondVoteRefused,
            Property::SnapshotIsPrefix => Witness::SnapshotInstalled,
            Property::VotesAreFacts => Witness::LeaderLeftBehind,
            Property::MatchIsFact => Witness::MatchKnown,
            Property::CommitIsFact => Witness::CommitLearned,
            Property::DiskIsFact => Witness::LogWriteWaits,
            Property::PromiseIsDurable => Witness::MessageWaited,
            Property::Reads => Witness::ReadServed,
            Property::CanRecover => Witness::RecoveredWithoutLeader,
            Property::NothingRejected => Witness::LateLeaderAnswered,
            Property::NobodyHalts => Witness::RestartedWithLog,
        }
    }

    /// Returns whether a violation ends the search. A rejection or a halt does not: it is noted,
    /// and the search goes on to find other violations.
    pub const fn ends_search(self) -> bool {
        !matches!(self, Property::NothingRejected | Property::NobodyHalts)
    }
}

/// Situations that show that a property had something to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// Two servers lead at once, in different terms.
    TwoLeadersOfDifferentTerms,
    /// A leader appended a command to a log that ends in, or holds, entries of an older term.
    LeaderBuildsOnOlderEntry,
    /// A follower removed conflicting entries.
    ConflictTruncated,
    /// A leader was elected after an entry was committed in a lower term.
    LeaderAfterCommit,
    /// Every server has applied a client's command.
    AppliedEverywhere,
    /// An entry was committed that one server does not have.
    CommittedWithoutOne,
    /// A leader saw an older term's entry on a majority and did not commit it.
    OlderTermHeldBack,
    /// A leader committed several entries in one step.
    SeveralCommittedAtOnce,
    /// A leader received an acknowledgement of less than it already knew.
    LateAcknowledgement,
    /// A server refused a vote because it had voted for another candidate in that term.
    SecondVoteRefused,
    /// A follower replaced its log by a snapshot.
    SnapshotInstalled,
    /// A server leads while another one is in a later term.
    LeaderLeftBehind,
    /// A leader knows that a follower has some of its log.
    MatchKnown,
    /// A server that does not lead has learned which entries are committed.
    CommitLearned,
    /// A change of the log waits for the disk.
    LogWriteWaits,
    /// A message had to wait for the disk.
    MessageWaited,
    /// A read was served.
    ReadServed,
    /// A majority recovered from a state in which none of its servers led.
    RecoveredWithoutLeader,
    /// A server answered a leader of an older term.
    LateLeaderAnswered,
    /// A server restarted with entries on its disk.
    RestartedWithLog,
}

impl Witness {
    /// Returns its bit in the findings of an exploration.
    pub const fn bit(self) -> u64 {
        1 << self as u64
    }

    /// All witnesses, in the order of their properties.
    pub const ALL: [Witness; 20] = {
        let mut all = [Witness::ReadServed; 20];
        let mut place = 0;
        while place < all.len() {
            all[place] = Property::ALL[place].witness();
            place += 1;
        }
        all
    };

    /// Returns its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Witness::TwoLeadersOfDifferentTerms => "two-leaders-of-different-terms",
            Witness::LeaderBuildsOnOlderEntry => "leader-builds-on-older-entry",
            Witness::ConflictTruncated => "conflict-truncated",
            Witness::LeaderAfterCommit => "leader-after-commit",
            Witness::AppliedEverywhere => "applied-everywhere",
            Witness::CommittedWithoutOne => "committed-without-one",
            Witness::OlderTermHeldBack => "older-term-held-back",
            Witness::SeveralCommittedAtOnce => "several-committed-at-once",
            Witness::LateAcknowledgement => "late-acknowledgement",
            Witness::SecondVoteRefused => "second-vote-refused",
            Witness::SnapshotInstalled => "snapshot-installed",
            Witness::LeaderLeftBehind => "leader-left-behind",
            Witness::MatchKnown => "match-known",
            Witness::CommitLearned => "commit-learned",
            Witness::LogWriteWaits => "log-write-waits",
            Witness::MessageWaited => "message-waited",
            Witness::ReadServed => "read-served",
            Witness::RecoveredWithoutLeader => "recovered-without-leader",
            Witness::LateLeaderAnswered => "late-leader-answered",
            Witness::RestartedWithLog => "restarted-with-log",
        }
    }
}

/// A set of properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PropertySet(u32);

impl PropertySet {
    /// Adds a property.
    pub fn insert(&mut self, property: Property) {
        self.0 |= 1 << property as u32;
    }

    /// Adds all members of another set.
    pub fn extend(&mut self, other: PropertySet) {
        self.0 |= other.0;
    }

    /// Returns whether the set holds the property.
    pub const fn contains(self, property: Property) -> bool {
        self.0 & (1 << property as u32) != 0
    }

    /// Returns whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns its members.
    pub fn iter(self) -> impl Iterator<Item = Property> {
        Property::ALL.into_iter().filter(move |property| self.contains(*property))
    }

    /// Returns the set of all properties.
    pub fn all() -> PropertySet {
        Property::ALL.into_iter().collect()
    }

    /// Returns the properties whose witnesses were reached. They had something to check.
    pub fn tested_by(witnesses: WitnessSet) -> PropertySet {
        let tested = |property: &Property| witnesses.contains(property.witness());
        Property::ALL.into_iter().filter(tested).collect()
    }

    /// Returns its members that are not in another set.
    pub fn without(self, other: PropertySet) -> PropertySet {
        PropertySet(self.0 & !other.0)
    }

    /// Returns its members whose violation ends a search.
    pub fn that_end_search(self) -> PropertySet {
        self.iter().filter(|property| property.ends_search()).collect()
    }

    /// Returns the set as a number, to be stored.
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u32) -> PropertySet {
        PropertySet(bits)
    }
}

impl FromIterator<Property> for PropertySet {
    fn from_iter<I: IntoIterator<Item = Property>>(properties: I) -> PropertySet {
        let mut set = PropertySet::default();
        properties.into_iter().for_each(|property| set.insert(property));
        set
    }
}

/// A set of witnesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WitnessSet(u32);

impl WitnessSet {
    /// Adds a witness.
    pub fn insert(&mut self, witness: Witness) {
        self.0 |= 1 << witness as u32;
    }

    /// Adds all members of another set.
    pub fn extend(&mut self, other: WitnessSet) {
        self.0 |= other.0;
    }

    /// Returns whether the set holds the witness.
    pub const fn contains(self, witness: Witness) -> bool {
        self.0 & (1 << witness as u32) != 0
    }

    /// Returns its members.
    pub fn iter(self) -> impl Iterator<Item = Witness> {
        Witness::ALL.into_iter().filter(move |witness| self.contains(*witness))
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u32) -> WitnessSet {
        WitnessSet(bits)
    }
}

/// The part of one server that the properties of the whole cluster need.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The server.
    pub id: NodeId,
    /// Its log from index 1 on, with the entries of its snapshot: the node's log while it runs,
    /// otherwise the disk's.
    pub log: Vec<Entry>,
    /// The log on its disk, in the same form.
    pub durable: Vec<Entry>,
    /// The term on its disk.
    pub disk_term: Term,
    /// The vote on its disk.
    pub disk_vote: Option<NodeId>,
    /// Its current term, while it runs.
    pub term: Term,
    /// The servers whose votes it has counted, while it is a candidate.
    pub votes: Vec<NodeId>,
    /// The term that it leads.
    pub leads: Option<Term>,
    /// While it leads, each follower's `match_index`.
    pub matches: Vec<(NodeId, Index)>,
    /// Its commit index, while it runs.
    pub commit: Index,
    /// The number of client commands that its state machine has applied.
    pub commands_applied: usize,
}

impl View {
    /// Makes the view of a server.
    pub fn of(server: &Server) -> View {
        let unfold = |log: &raft_core::Log| {
            let mut entries = decode(&log.snapshot().handle);
            entries.extend_from_slice(log.entries());
            entries
        };
        let node = server.process.as_ref().map(|process| &process.node);
        let durable = unfold(&server.disk.log);
        let is_command = |entry: &&Entry| matches!(entry.payload, raft_core::Payload::Command(_));
        let (votes, matches) = match node.map(|node| &node.role) {
            Some(Role::Candidate { votes, .. }) => (votes.iter().copied().collect(), Vec::new()),
            Some(Role::Leader(leadership)) => {
                let followers = leadership.followers.iter();
                (Vec::new(), followers.map(|(id, f)| (*id, f.match_index)).collect())
            }
            Some(Role::Follower { .. }) | None => (Vec::new(), Vec::new()),
        };
        View {
            id: server.id,
            disk_term: server.disk.current_term,
            disk_vote: server.disk.voted_for,
            term: node.map_or(Term::ZERO, |node| node.current_term),
            votes,
            matches,
            commit: node.map_or(Index::ZERO, |node| node.commit_index),
            log: node.map_or_else(|| durable.clone(), |node| unfold(&node.log)),
            durable,
            leads: node.filter(|node| node.is_leader()).map(|node| node.current_term),
            commands_applied: server.state_machine.iter().filter(is_command).count(),
        }
    }
}

/// Returns whether a server leads the same term before and after a step.
pub(crate) fn leads_throughout(before: &Node, after: &Node) -> bool {
    before.is_leader() && after.is_leader() && before.current_term == after.current_term
}

/// Returns whether a leader knows that a majority has the entry at `index`. The leader itself
/// counts as having the entries up to `own`.
pub(crate) fn on_majority(leader: &Node, own: Index, index: Index) -> bool {
    let Role::Leader(leadership) = &leader.role else {
        return false;
    };
    let others = leadership.followers.values().filter(|f| f.match_index >= index).count();
    let count = others + usize::from(own >= index);
    index <= leader.log.last_index() && 2 * count > leader.config.voters.len()
}
