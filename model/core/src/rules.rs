//! The named rules: every sentence of Figures 2 and 13, and of the related sections of the paper
//! and chapters of the thesis, that this crate enforces.
//!
//! At the place where a sentence is enforced, the code calls [`Rules::holds`] with the sentence's
//! condition, or [`Rules::value`] with the number that the sentence prescribes. [`Paper`], which
//! production uses, returns that argument unchanged; it has no size and costs nothing. Other
//! implementations count the answers, or change them to test whether the change is detected.

use serde::{Deserialize, Serialize};

/// The answers to the questions that the code asks about its rules.
pub trait Rules {
    /// Decides whether the rule's condition counts as fulfilled. `answer` is the value of the
    /// condition.
    fn holds(&self, rule: Rule, answer: bool) -> bool;

    /// Returns the number to use where the rule prescribes `value`.
    fn value(&self, rule: Rule, value: u64) -> u64;
}

/// The rules as the paper states them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paper;

impl Rules for Paper {
    #[inline]
    fn holds(&self, _: Rule, answer: bool) -> bool {
        answer
    }

    #[inline]
    fn value(&self, _: Rule, value: u64) -> u64 {
        value
    }
}

/// The kind of step in which a rule is consulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handler {
    /// Starting a server from its disk.
    Restart,
    /// An election timeout.
    Election,
    /// Receiving RequestVote.
    RequestVote,
    /// Receiving the reply to RequestVote.
    RequestVoteReply,
    /// Becoming leader, proposals and heartbeats: the leader sends.
    Replication,
    /// Receiving AppendEntries.
    AppendEntries,
    /// Receiving the reply to AppendEntries or InstallSnapshot.
    AppendEntriesReply,
    /// Receiving InstallSnapshot.
    InstallSnapshot,
    /// A write became durable.
    Durable,
    /// The state machine applied something, or a snapshot was taken.
    StateMachine,
    /// A client's read.
    Read,
}

/// The entry of a rule in the table of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// The source of the sentence: figure or section of the paper, chapter of the thesis.
    pub source: &'static str,
    /// The sentence, in our words.
    pub sentence: &'static str,
    /// The handlers that consult the rule.
    pub handlers: &'static [Handler],
}

macro_rules! rules {
    ($($name:ident [$($handler:ident)+] $source:literal $sentence:literal;)+) => {
        /// The named rules, in the order in which the paper introduces them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Rule {
            $(#[doc = concat!($sentence, " (", $source, ")")] $name,)+
        }

        impl Rule {
            /// All rules.
            pub const ALL: &'static [Rule] = &[$(Rule::$name,)+];

            /// Returns the rule's source, its sentence and the handlers that consult it.
            pub const fn text(self) -> RuleText {
                match self {
                    $(Rule::$name => RuleText {
                        source: $source,
                        sentence: $sentence,
                        handlers: &[$(Handler::$handler),+],
                    },)+
                }
            }
        }
    };
}

// The rules are a table. The macro keeps the name, source, sentence and handlers of a rule
// together.
rules! {
    AdoptHigherTerm
        [RequestVote RequestVoteReply AppendEntries AppendEntriesReply InstallSnapshot]
        "Figure 2, All Servers; 5.1"
        "A request or reply of a higher term makes the receiver a follower of that term.";
    RefuseStaleCandidate [RequestVote]
        "Figure 2, RequestVote 1; 5.1"
        "A candidate of an older term gets no vote.";
    OneVotePerTerm [RequestVote]
        "Figure 2, RequestVote 2; 5.2"
        "A server votes for at most one candidate in a term.";
    CandidateUpToDate [RequestVote]
        "Figure 2, RequestVote 2; 5.4.1"
        "A vote needs a candidate whose log is at least as up-to-date as the voter's.";
    CountVotesOfThisTerm [RequestVoteReply]
        "Figure 2, Candidates; 5.2"
        "A candidate counts only votes that were granted in its current term.";
    ForgetOldVotes [Election]
        "Figure 2, Candidates; 5.2"
        "A new candidacy starts without the votes of an earlier one.";
    ElectionQuorum [RequestVoteReply Durable]
        "Figure 2, Candidates; 5.2"
        "A candidate becomes leader with the votes of a majority of all servers.";
    CandidateYieldsToLeader [AppendEntries InstallSnapshot]
        "Figure 2, Candidates; 5.2"
        "A candidate that hears from the leader of its own term becomes a follower.";
    NoopAtTermStart [RequestVoteReply Durable]
        "section 8; thesis 6.4"
        "A new leader appends a blank entry of its own term.";
    ResetProgress [RequestVoteReply Durable]
        "Figure 2, State"
        "A new leader knows nothing of its followers' logs: match_index starts at 0.";
    RefuseStaleLeader [AppendEntries InstallSnapshot]
        "Figure 2, AppendEntries 1; Figure 13, 1; 5.1"
        "A request of a leader of an older term is refused.";
    PrevEntryPresent [AppendEntries]
        "Figure 2, AppendEntries 2; 5.3"
        "Entries are refused if the log ends before prev_log_index.";
    PrevTermMatches [AppendEntries]
        "Figure 2, AppendEntries 2; 5.3"
        "Entries are refused if the entry at prev_log_index is of another term.";
    SkipCompacted [AppendEntries]
        "section 7"
        "Entries that the receiver's snapshot covers are skipped, never written again.";
    TruncateConflict [AppendEntries]
        "Figure 2, AppendEntries 3; 5.3"
        "An entry that conflicts with a new one is deleted, with all that follow it.";
    KeepAgreeing [AppendEntries]
        "Figure 2, AppendEntries 3 and 4; 5.3"
        "Entries that do not conflict stay, also behind the end of the request.";
    FollowerCommit [AppendEntries]
        "Figure 2, AppendEntries 5; 5.3"
        "A follower's commit_index is at most the leader's and at most the last entry of the request.";
    CommitIfConsistent [AppendEntries]
        "Figure 2, AppendEntries 2 and 5; 5.3"
        "A refused AppendEntries says nothing about what is committed.";
    CommitNeverDecreases [AppendEntries InstallSnapshot AppendEntriesReply Durable]
        "Figure 2, State"
        "commit_index increases monotonically.";
    RepliesOfThisTerm [AppendEntriesReply]
        "5.1; 6.5840 notes"
        "A reply counts only in the term in which its request was sent.";
    MatchFromRequest [AppendEntriesReply]
        "Figure 2, Leaders; 5.3"
        "match_index is what the answered request covered, not what the leader has by now.";
    MatchNeverDecreases [AppendEntriesReply]
        "Figure 2, State"
        "match_index increases monotonically.";
    NextAboveMatch [AppendEntriesReply]
        "Figure 2, Leaders; 5.3"
        "next_index never goes back to what is known to match.";
    CommitQuorum [AppendEntriesReply Durable]
        "Figure 2, Leaders; 5.3"
        "An entry is committed when it is on a majority of all servers.";
    CommitOwnTermOnly [AppendEntriesReply Durable]
        "Figure 2, Leaders; 5.4.2; Figure 8"
        "A leader commits by counting replicas only entries of its own term.";
    ApplyOnlyCommitted [AppendEntries InstallSnapshot AppendEntriesReply Durable]
        "Figure 2, All Servers; 5.3"
        "Only committed entries are applied.";
    ApplyOnlyDurable [AppendEntries InstallSnapshot AppendEntriesReply Durable]
        "Figure 2, State; thesis 3.8"
        "Only entries on the server's own disk are applied.";
    PersistTerm [Election RequestVote RequestVoteReply AppendEntries AppendEntriesReply InstallSnapshot]
        "Figure 2, State; 5.1"
        "The current term is written to the disk.";
    PersistVote [Election RequestVote]
        "Figure 2, State; 5.2"
        "The vote is written to the disk, together with its term.";
    OwnVoteWaitsForDisk [Election]
        "Figure 2, State; thesis 3.8"
        "A candidate counts its own vote when the vote is durable.";
    RequestVoteWaitsForDisk [Election]
        "Figure 2, State; thesis 3.8"
        "RequestVote leaves when the term and the log that it advertises are durable.";
    ReplyWaitsForItsWrite [RequestVote AppendEntries InstallSnapshot]
        "Figure 2, State: updated on stable storage before responding"
        "A reply leaves when what it confirms is durable.";
    ReplyWaitsForEarlierWrites [RequestVote AppendEntries InstallSnapshot]
        "Figure 2, State: updated on stable storage before responding"
        "A reply that writes nothing itself waits for the writes that it relies on.";
    LeaderCountsItsDisk [AppendEntriesReply Durable]
        "thesis 10.2.1"
        "A leader counts its own entries when they are on its disk.";
    DurableByMark [AppendEntries]
        "thesis 10.2.1"
        "A durable write vouches for the entries that it wrote, not for others at their place.";
    AppliedIsCommitted [Restart]
        "section 7; thesis 3.8"
        "After a restart commit_index starts at what the state machine or the snapshot contains.";
    SnapshotOnlyApplied [StateMachine]
        "section 7"
        "A snapshot replaces only entries that have been applied, hence committed.";
    OwnSnapshotNeverBack [StateMachine]
        "section 7"
        "A snapshot that was overtaken by a newer one does not move the base back.";
    SendSnapshotIfCompacted [Replication AppendEntriesReply]
        "section 7"
        "A follower that needs a compacted entry, or the term of one, is sent the snapshot.";
    IgnoreOldSnapshot [InstallSnapshot]
        "section 7; Figure 13, 5"
        "A snapshot of what is already committed here changes nothing.";
    RetainAfterSnapshot [InstallSnapshot]
        "Figure 13, 6"
        "A log that has the snapshot's last entry keeps it and everything after it.";
    RestoreFromSnapshot [InstallSnapshot]
        "Figure 13, 8"
        "The state machine is reset to the snapshot's contents, once the new log is durable.";
    SnapshotAckCoversBase [AppendEntriesReply]
        "Figure 13"
        "An installed snapshot is acknowledged up to its last included index and no further.";
    ReadNeedsOwnCommit [Read]
        "section 8; thesis 6.4, step 1"
        "A leader registers reads only after it has committed an entry of its term.";
    ReadNeedsQuorum [Read AppendEntriesReply]
        "section 8; thesis 6.4, step 3"
        "A read needs a majority that still follows this leader.";
    ReadNeedsLaterRound [AppendEntriesReply]
        "section 8; thesis 6.4, step 3"
        "Only answers to messages sent after the read was registered count for it.";
    ReadWaitsForApply [Read AppendEntriesReply StateMachine]
        "thesis 6.4, step 4"
        "A read is served when its index has been applied.";
    ReadsEndWithLeadership [RequestVote RequestVoteReply AppendEntries AppendEntriesReply InstallSnapshot]
        "thesis 6.4"
        "A leader that steps down refuses the reads that wait.";
}

impl Rule {
    /// Returns the rule's name in kebab-case, as in reports: `commit-own-term-only`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}
