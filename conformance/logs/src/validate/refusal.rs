//! The reasons why the model refuses a record.

use raft_checker::properties::Property;
use raft_checker::replay::Answer;
use raft_core::{NodeId, Rule};

use super::difference::Difference;
use super::environment::EnvironmentRule;

/// The reason why a record of a log is not explained.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The steps of an incarnation are not numbered 1, 2, 3, ..
    Sequence {
        /// The number that was expected.
        expected: u64,
        /// The number that was found.
        found: u64,
    },
    /// The disk, the state machine or the restart breaks a rule of the model's environment.
    Environment {
        /// The broken rule.
        rule: EnvironmentRule,
        /// The details.
        detail: String,
    },
    /// The model does something else in this step.
    Diverges {
        /// The first difference in the state after the step, and in the effects.
        differences: Vec<Difference>,
        /// The rules that the model asked in this step.
        asked: Vec<(Rule, Answer)>,
    },
    /// The step breaks a property of the whole cluster.
    Property {
        /// The broken property.
        property: Property,
        /// The details.
        detail: String,
        /// The rules that the model asked in this step.
        asked: Vec<(Rule, Answer)>,
    },
    /// A message was received that its sender has not sent.
    NeverSent {
        /// The sender.
        from: NodeId,
        /// Whether there is a log of the sender.
        has_log: bool,
    },
    /// A message was received that had to wait for a write, but its sender's log never reports this
    /// write durable.
    NotReleased {
        /// The sender.
        from: NodeId,
        /// The line of the sender's log that asks to send the message.
        line: u64,
        /// The write for which the message waits.
        write: u64,
        /// The newest write that the sender's log reports durable in that incarnation.
        durable: u64,
    },
    /// A message was received that its sender sends only after this receipt. This is a circle.
    Circle {
        /// Each receipt, and the sending that it depends on.
        links: Vec<Dependence>,
    },
    /// The record does not contradict the model by itself, but it receives a message of a step that
    /// is not explained.
    Waits {
        /// The sender.
        from: NodeId,
        /// The line of the sender's log with which the message leaves, if there is one.
        line: Option<u64>,
    },
}

/// A receipt, and the sending that it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependence {
    /// The receiver.
    pub receiver: NodeId,
    /// The line of the receipt in the receiver's log.
    pub received: u64,
    /// The sender.
    pub sender: NodeId,
    /// The line of the sender's log with which the message leaves.
    pub sent: u64,
}

impl Refusal {
    /// Returns the name of the refusal.
    pub const fn name(&self) -> &'static str {
        match self {
            Refusal::Sequence { .. } => "sequence",
            Refusal::Environment { rule, .. } => rule.name(),
            Refusal::Diverges { .. } => "diverges-from-the-model",
            Refusal::Property { property, .. } => property.name(),
            Refusal::NeverSent { .. } => "message-never-sent",
            Refusal::NotReleased { .. } => "message-not-released",
            Refusal::Circle { .. } => "circle",
            Refusal::Waits { .. } => "waits",
        }
    }

    /// Returns the rule that the record breaks, as a sentence.
    pub const fn sentence(&self) -> &'static str {
        match self {
            Refusal::Sequence { .. } => {
                "The steps of an incarnation are numbered 1, 2, 3, .. without a gap."
            }
            Refusal::Environment { rule, .. } => rule.sentence(),
            Refusal::Diverges { .. } => {
                "A step does to a server exactly what the model's step function does to it."
            }
            Refusal::Property { property, .. } => property.sentence(),
            Refusal::NeverSent { .. } => "A message that is received was sent.",
            Refusal::NotReleased { .. } => {
                "A message that confirms a write is not received before that write is durable."
            }
            Refusal::Circle { .. } => {
                "A message is received after it was sent: there is an order of all steps in which \
                 this is so."
            }
            Refusal::Waits { .. } => "It waits for a step that is not explained.",
        }
    }

    /// Returns whether the record contradicts the model by itself.
    pub const fn is_contradiction(&self) -> bool {
        !matches!(self, Refusal::Waits { .. })
    }

    /// Returns the details, one line for each.
    pub fn details(&self) -> Vec<String> {
        match self {
            Refusal::Sequence { expected, found } => {
                vec![format!("step {found} stands where step {expected} has to be")]
            }
            Refusal::Environment { detail, .. } | Refusal::Property { detail, .. } => {
                vec![detail.clone()]
            }
            Refusal::Diverges { differences, .. } => {
                differences.iter().map(ToString::to_string).collect()
            }
            Refusal::NeverSent { from, has_log: true } => {
                vec![format!("no line of the log of {from} sends it")]
            }
            Refusal::NeverSent { from, has_log: false } => {
                vec![format!("there is no log of {from}")]
            }
            Refusal::NotReleased { from, line, write, durable } => vec![format!(
                "{from} asks for it on line {line}, after write {write}; its log reports durable \
                 only up to write {durable}"
            )],
            Refusal::Circle { links } => links.iter().map(Dependence::describe).collect(),
            Refusal::Waits { from, line: Some(line) } => vec![format!("for line {line} of {from}")],
            Refusal::Waits { from, line: None } => {
                vec![format!("for {from}, whose log is refused before it has sent this")]
            }
        }
    }

    /// Returns the rules that the model asked.
    pub fn asked(&self) -> &[(Rule, Answer)] {
        match self {
            Refusal::Diverges { asked, .. } | Refusal::Property { asked, .. } => asked,
            _ => &[],
        }
    }
}

impl Dependence {
    fn describe(&self) -> String {
        let Dependence { receiver, received, sender, sent } = self;
        format!(
            "{receiver} receives on line {received} what {sender} sends on line {sent}, and line \
             {sent} comes after the line on which {sender} waits"
        )
    }
}
