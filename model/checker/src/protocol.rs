//! The protocol that runs on every server of the model: the transition functions under the paper's
//! rules, under rules that record which of them were asked, or changed on purpose
//! ([`crate::mutants`]).

use std::collections::BTreeMap;

use std::sync::atomic::{AtomicU64, Ordering};

use raft_core::{
    Config, Effect, HaltReason, Index, Input, Node, NodeId, Paper, PersistentState, Rule, Rules,
};

/// The two entry points of raft-core.
pub trait Protocol {
    /// Handles one input, as [`raft_core::step`] does.
    fn step(&self, node: &mut Node, memory: &mut Memory, input: Input, effects: &mut Vec<Effect>);

    /// Starts a server, as [`Node::restart`] does.
    ///
    /// # Errors
    ///
    /// The reason why the server must not start.
    fn restart(
        &self,
        config: Config,
        disk: PersistentState,
        applied: Index,
    ) -> Result<Node, HaltReason>;
}

/// The state that a process keeps beside its node, for each other server. It is empty under the
/// paper's rules. A mutant keeps data in it that a correct node would discard.
pub type Memory = BTreeMap<NodeId, Index>;

impl<R: Rules> Protocol for R {
    fn step(&self, node: &mut Node, _: &mut Memory, input: Input, effects: &mut Vec<Effect>) {
        raft_core::step(self, node, input, effects);
    }

    fn restart(
        &self,
        config: Config,
        disk: PersistentState,
        applied: Index,
    ) -> Result<Node, HaltReason> {
        Node::restart(self, config, disk, applied)
    }
}

/// The paper's rules, which record the rules that were ever asked.
#[derive(Debug, Default)]
pub struct Noting {
    asked: AtomicU64,
}

const _: () = assert!(Rule::ALL.len() <= 64, "one bit for each rule");

impl Noting {
    /// Returns the rules that were asked in some step.
    pub fn asked(&self) -> Vec<Rule> {
        let asked = self.asked.load(Ordering::Relaxed);
        let all = Rule::ALL.iter().copied();
        all.filter(|rule| asked & (1 << *rule as u64) != 0).collect()
    }

    fn note(&self, rule: Rule) {
        self.asked.fetch_or(1 << rule as u64, Ordering::Relaxed);
    }
}

impl Rules for Noting {
    fn holds(&self, rule: Rule, answer: bool) -> bool {
        self.note(rule);
        Paper.holds(rule, answer)
    }

    fn value(&self, rule: Rule, value: u64) -> u64 {
        self.note(rule);
        Paper.value(rule, value)
    }
}
