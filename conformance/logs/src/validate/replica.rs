//! One server of the logs: the model's node, and its environment.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use raft_checker::replay::Answer;
use raft_core::{
    Config, Effect, Index, Input, LogWrite, Mark, Message, Node, NodeId, Paper, PersistentState,
    ReadId, Role, Rule, Rules, Snapshot, Term, step,
};
use raft_trace::NodeDigest;

use super::difference::first_difference;
use super::environment::{BrokenRule, Environment, EnvironmentRule};
use super::network::Outgoing;
use super::refusal::Refusal;

/// The paper's rules. It records which rules were asked.
#[derive(Debug, Default)]
pub(super) struct Listening {
    asked: RefCell<Vec<(Rule, Answer)>>,
}

impl Listening {
    fn note(&self, rule: Rule, answer: Answer) {
        let mut asked = self.asked.borrow_mut();
        if asked.iter().all(|(known, _)| *known != rule) {
            asked.push((rule, answer));
        }
    }

    fn forget(&self) {
        self.asked.borrow_mut().clear();
    }

    /// Returns the rules that were asked, each once, with the first answer.
    pub(super) fn asked(&self) -> Vec<(Rule, Answer)> {
        self.asked.borrow().clone()
    }
}

impl Rules for Listening {
    fn holds(&self, rule: Rule, answer: bool) -> bool {
        self.note(rule, Answer::Holds(answer));
        Paper.holds(rule, answer)
    }

    fn value(&self, rule: Rule, value: u64) -> u64 {
        self.note(rule, Answer::Value(value));
        Paper.value(rule, value)
    }
}

/// A message that waits for a write.
#[derive(Debug)]
struct Waiting {
    after: Mark,
    outgoing: Outgoing,
    /// The term in which the message grants a vote, if it does.
    grants: Option<Term>,
}

/// The values that a step can change, as they were before the step.
#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) leads: Option<Term>,
    pub(super) term: Term,
    pub(super) commit: Index,
    pub(super) applied: Index,
    /// The newest write that was reported durable.
    pub(super) durable: Mark,
    /// The read that begins with the step.
    pub(super) begins: Option<ReadId>,
    /// The snapshot that the step offers the server.
    pub(super) offered: Option<Snapshot>,
    /// The follower whose reply the step receives.
    pub(super) answers: Option<NodeId>,
}

/// The messages and the votes that left the server in a step.
#[derive(Debug, Default)]
pub(super) struct Released {
    pub(super) messages: Vec<Outgoing>,
    /// The term and the candidate of each vote.
    pub(super) votes: Vec<(Term, NodeId)>,
}

/// A server.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) id: NodeId,
    /// The node, once it has started.
    pub(super) node: Option<Node>,
    pub(super) world: Environment,
    waiting: VecDeque<Waiting>,
    /// The newest vote that left this server or that it counted for itself.
    pub(super) released_vote: Option<(Term, NodeId)>,
    /// For each read that has not ended, the highest index that was committed when it began.
    pub(super) reads: BTreeMap<ReadId, Index>,
    pub(super) rules: Listening,
    halted: bool,
    pub(super) seq: u64,
    pub(super) counts: Counts,
}

/// Counts of the events of a server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) incarnations: u64,
    pub(super) steps: u64,
    pub(super) never_left: u64,
    pub(super) kept_writes: u64,
    pub(super) lost_writes: u64,
    pub(super) reads_served: u64,
    pub(super) snapshots_taken: u64,
    pub(super) snapshots_installed: u64,
}

impl Replica {
    pub(super) fn new(id: NodeId) -> Replica {
        Replica {
            id,
            node: None,
            world: Environment::default(),
            waiting: VecDeque::new(),
            released_vote: None,
            reads: BTreeMap::new(),
            rules: Listening::default(),
            halted: false,
            seq: 0,
            counts: Counts::default(),
        }
    }

    /// Starts the server. If the logs are `resumed`, the first start is accepted as it is.
    pub(super) fn start(
        &mut self,
        config: Config,
        state: PersistentState,
        applied: Index,
        resumed: bool,
    ) -> Result<(), Refusal> {
        let first = self.node.is_none();
        let voters = self.node.as_ref().map(|node| &node.config.voters);
        if config.id != self.id || voters.is_some_and(|voters| *voters != config.voters) {
            return Err(world(
                EnvironmentRule::SameCluster,
                "another id, or other voters".to_owned(),
            ));
        }
        if first && resumed {
            self.world = Environment::of(state.clone(), applied);
        } else if first && (state != PersistentState::default() || applied != Index::ZERO) {
            let blank = PersistentState::default();
            let detail = first_difference("state", &blank, &state)
                .map_or_else(|| format!("applied: {applied}"), |found| found.to_string());
            return Err(world(EnvironmentRule::FirstStartIsBlank, detail));
        } else if !first {
            let under_way = self.world.under_way();
            let kept = self.world.restart(&state, applied)?;
            self.counts.kept_writes += kept as u64;
            self.counts.lost_writes += (under_way - kept) as u64;
        }
        let node = Node::restart(&Paper, config, state, applied)
            .map_err(|reason| world(EnvironmentRule::RestartIsSound, format!("{reason:?}")))?;
        self.node = Some(node);
        self.counts.never_left += self.waiting.len() as u64;
        self.waiting.clear();
        self.reads.clear();
        (self.halted, self.seq) = (false, 0);
        self.rules.forget();
        Ok(())
    }

    /// Returns the number of its messages that had to wait for a write that was never reported.
    pub(super) fn never_left(&self) -> u64 {
        self.counts.never_left + self.waiting.len() as u64
    }

    /// Checks that a step with this number can come next.
    pub(super) fn expect(&self, seq: u64) -> Result<(), Refusal> {
        let expected = self.seq + 1;
        if seq != expected {
            return Err(Refusal::Sequence { expected, found: seq });
        }
        if self.halted {
            return Err(world(EnvironmentRule::HaltedStops, format!("step {seq} follows a halt")));
        }
        Ok(())
    }

    /// Does the step on the model's node, and compares the result with the log.
    pub(super) fn replay(
        &mut self,
        input: Input,
        logged: &[Effect],
        after: &NodeDigest,
    ) -> Result<Before, Refusal> {
        let Some(node) = &mut self.node else {
            return Err(Refusal::Sequence { expected: 0, found: self.seq });
        };
        let before = Before::of(node, &input);
        self.world.hear(&input)?;
        let mut effects = Vec::new();
        self.rules.forget();
        step(&self.rules, node, input, &mut effects);
        let digest = NodeDigest::of(node);
        if digest != *after || effects != logged {
            let differences = [
                first_difference("after", &digest, after),
                first_difference("effects", &effects.as_slice(), &logged),
            ];
            let differences = differences.into_iter().flatten().collect();
            return Err(Refusal::Diverges { differences, asked: self.rules.asked() });
        }
        Ok(before)
    }

    /// Executes the effects of a step, and returns the messages that may leave.
    pub(super) fn execute(&mut self, effects: &[Effect]) -> Released {
        let durable = self.world.durable();
        let mut released = Released::default();
        for effect in effects {
            self.world.ask(effect);
            match effect {
                Effect::Send { to, message, after } => {
                    let after = after.filter(|mark| *mark > durable);
                    let outgoing = Outgoing::of(*to, message);
                    let grants = match message {
                        Message::RequestVoteReply(reply) if reply.granted => Some(reply.term),
                        _ => None,
                    };
                    match after {
                        Some(after) => {
                            self.waiting.push_back(Waiting { after, outgoing, grants });
                        }
                        None => released.add(outgoing, grants),
                    }
                }
                Effect::Halt(_) => self.halted = true,
                Effect::Persist { write, .. } => match write.log {
                    Some(LogWrite::Compact(_)) => self.counts.snapshots_taken += 1,
                    Some(LogWrite::Install(_)) => self.counts.snapshots_installed += 1,
                    Some(LogWrite::Append { .. }) | None => {}
                },
                _ => {}
            }
        }
        while let Some(free) = self.waiting.pop_front_if(|waiting| waiting.after <= durable) {
            released.add(free.outgoing, free.grants);
        }
        self.seq += 1;
        released
    }
}

impl Released {
    fn add(&mut self, outgoing: Outgoing, grants: Option<Term>) {
        self.votes.extend(grants.map(|term| (term, outgoing.to)));
        self.messages.push(outgoing);
    }
}

impl Before {
    fn of(node: &Node, input: &Input) -> Before {
        let (mut begins, mut offered, mut answers) = (None, None, None);
        match input {
            Input::Read { id } => begins = Some(*id),
            Input::Receive { message: Message::InstallSnapshot(request), .. } => {
                offered = Some(request.snapshot.clone());
            }
            Input::Receive {
                from,
                message: Message::AppendEntriesReply(_) | Message::InstallSnapshotReply(_),
            } => answers = Some(*from),
            _ => {}
        }
        Before {
            leads: leads(node),
            term: node.current_term,
            commit: node.commit_index,
            applied: node.last_applied,
            durable: node.disk.durable,
            begins,
            offered,
            answers,
        }
    }
}

/// Returns the term that a node leads, if it leads one.
pub(super) fn leads(node: &Node) -> Option<Term> {
    node.is_leader().then_some(node.current_term)
}

/// Returns the term in which the node counts its own vote, if it does.
pub(super) fn counts_own_vote(node: &Node) -> Option<Term> {
    let counted = match &node.role {
        Role::Follower { .. } => false,
        Role::Candidate { votes, .. } => votes.contains(&node.id()),
        Role::Leader(_) => true,
    };
    counted.then_some(node.current_term)
}

fn world(rule: EnvironmentRule, detail: String) -> Refusal {
    Refusal::Environment { rule, detail }
}

impl From<BrokenRule> for Refusal {
    fn from(BrokenRule { rule, detail }: BrokenRule) -> Refusal {
        world(rule, detail)
    }
}
