//! Versions of Raft with a mistake, which show that a success of the checker means something.
//!
//! A mutant runs the same transition functions, but changes the answer of a [rule](Rule), the input
//! of a step, or its results. So no mutant needs a change of raft-core, and a build without the
//! checker contains none.
//!
//! [`removal`] removes each rule in turn. [`bugs`] are mistakes that real systems have shipped.
//! [`attacks`] were found by looking for ways to break raft-core. [`negative_controls`] look wrong
//! but are correct: a suite that reports them is wrong itself.

pub mod attacks;
pub mod bugs;
pub mod matrix;
pub mod negative_controls;
pub mod removal;
pub mod trial;

use raft_core::{
    Config, Effect, Entry, HaltReason, Index, Input, Log, Node, PersistentState, Rule, Rules,
};

use crate::cluster::snapshot_data::decode;
use crate::config::Network;
use crate::properties::Property;
use crate::protocol::{Memory, Protocol};

/// A version of Raft with a mistake.
pub struct Mutant {
    /// Its name on the command line.
    pub id: String,
    /// A description of the mistake.
    pub wrong: &'static str,
    /// The system that shipped the mistake.
    pub seen_in: &'static str,
    /// The origin of the mutant.
    pub origin: Origin,
    /// The property that it has to break; none if any property will do, or if it must break none.
    pub breaks: Option<Property>,
    /// The configurations that should expose it, in the order in which they are tried.
    pub configs: &'static [&'static str],
    /// The network that it needs to do harm.
    pub network: Network,
    /// The reason why it breaks nothing within these bounds, if it does not.
    pub survives: Option<&'static str>,
    /// The rule that it removes, if it does nothing else.
    pub removes: Option<Rule>,
    changes: Vec<Change>,
}

/// The origin of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A bug of a real system.
    Bug,
    /// A mistake that was found by reading the transition functions as an attacker would.
    Attack,
    /// The removal of a rule.
    Removal,
    /// A change that looks wrong but is correct.
    Control,
}

/// The node before a step, and the input of the step.
pub(crate) struct Moment<'a> {
    pub(crate) before: &'a Node,
    pub(crate) input: &'a Input,
}

/// The results of a step.
pub(crate) struct Outcome<'a> {
    pub(crate) node: &'a mut Node,
    pub(crate) memory: &'a mut Memory,
    pub(crate) effects: &'a mut Vec<Effect>,
}

/// A change of the protocol.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// Another answer where a rule asks for its condition.
    Answer(Rule, fn(&Moment<'_>, bool) -> bool),
    /// Another number where a rule prescribes one.
    Value(Rule, fn(&Moment<'_>, u64) -> u64),
    /// Another input.
    Input(fn(&Node, Input) -> Input),
    /// A change of the results of a step.
    After(fn(&Moment<'_>, Outcome<'_>)),
    /// A change of the node after a start.
    Start(fn(&mut Node)),
}

impl Mutant {
    /// Returns the rule that it breaks, if it is about one.
    pub fn rule(&self) -> Option<Rule> {
        self.changes.iter().find_map(|change| match change {
            Change::Answer(rule, _) | Change::Value(rule, _) => Some(*rule),
            Change::Input(_) | Change::After(_) | Change::Start(_) => None,
        })
    }

    fn new(origin: Origin, id: &str, seen_in: &'static str, wrong: &'static str) -> Mutant {
        Mutant {
            id: id.to_owned(),
            wrong,
            seen_in,
            origin,
            breaks: None,
            configs: &[],
            network: Network::Bounded,
            survives: None,
            removes: None,
            changes: Vec::new(),
        }
    }

    fn with(mut self, change: Change) -> Mutant {
        self.changes.push(change);
        self.removes = None;
        self
    }

    fn without(self, rule: Rule) -> Mutant {
        let removes = self.changes.is_empty().then_some(rule);
        Mutant { removes, ..self.with(removal::of(rule)) }
    }

    fn breaks(mut self, property: Property) -> Mutant {
        self.breaks = Some(property);
        self
    }

    fn on(mut self, configs: &'static [&'static str]) -> Mutant {
        self.configs = configs;
        self
    }

    fn over_any_network(mut self) -> Mutant {
        self.network = Network::Any;
        self
    }

    fn survives(mut self, reason: &'static str) -> Mutant {
        self.survives = Some(reason);
        self
    }
}

/// Returns all mutants, in the order in which they are reported.
pub fn all() -> Vec<Mutant> {
    let mut all = bugs::all();
    all.extend(attacks::all());
    // A bug or an attack that only removes a rule replaces the removal of that rule.
    let covered: Vec<_> = all.iter().filter_map(|mutant| mutant.removes).map(Some).collect();
    all.extend(removal::all().into_iter().filter(|mutant| !covered.contains(&mutant.removes)));
    all.extend(negative_controls::all());
    all
}

/// The rules of one step under a mutant.
struct Wrong<'a> {
    changes: &'a [Change],
    moment: Moment<'a>,
}

impl Rules for Wrong<'_> {
    fn holds(&self, rule: Rule, answer: bool) -> bool {
        self.changes.iter().fold(answer, |answer, change| match change {
            Change::Answer(changed, how) if *changed == rule => how(&self.moment, answer),
            _ => answer,
        })
    }

    fn value(&self, rule: Rule, value: u64) -> u64 {
        self.changes.iter().fold(value, |value, change| match change {
            Change::Value(changed, how) if *changed == rule => how(&self.moment, value),
            _ => value,
        })
    }
}

impl Protocol for &Mutant {
    fn step(&self, node: &mut Node, memory: &mut Memory, input: Input, effects: &mut Vec<Effect>) {
        let input = self.changes.iter().fold(input, |input, change| match change {
            Change::Input(how) => how(node, input),
            _ => input,
        });
        let before = node.clone();
        let moment = || Moment { before: &before, input: &input };
        let wrong = Wrong { changes: &self.changes, moment: moment() };
        raft_core::step(&wrong, node, input.clone(), effects);
        for change in &self.changes {
            if let Change::After(how) = change {
                how(&moment(), Outcome { node, memory, effects });
            }
        }
    }

    fn restart(
        &self,
        config: Config,
        disk: PersistentState,
        applied: Index,
    ) -> Result<Node, HaltReason> {
        // Nothing but the configuration is known before the start.
        let blank = Node::boot(&raft_core::Paper, config.clone())?;
        let moment = Moment { before: &blank, input: &Input::Heartbeat };
        let wrong = Wrong { changes: &self.changes, moment };
        let mut node = Node::restart(&wrong, config, disk, applied)?;
        for change in &self.changes {
            if let Change::Start(how) = change {
                how(&mut node);
            }
        }
        Ok(node)
    }
}

/// Returns all entries of a log, those in its snapshot included.
fn unfolded(log: &Log) -> Vec<Entry> {
    let mut entries = decode(&log.snapshot().handle);
    entries.extend_from_slice(log.entries());
    entries
}
