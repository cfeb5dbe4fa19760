//! The rules that made a difference in the explored states.
//!
//! Every distinct local transition of a configuration is done again, and once more for each
//! question that a rule asked in it, with that one answer changed. A rule was *decisive* if the
//! change led to another server or to other messages. Only then could a check notice that the rule
//! is wrong.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use raft_core::{Paper, Role, Rule, Rules};
use raft_explore::bounded_network::level::{self, Goal};
use raft_explore::control::Control;
use raft_trace::Action;
use serde::Serialize;

use crate::bounded_cluster::{as_actions, bounded_model};
use crate::cluster::server::Server;
use crate::config::BoundedConfig;

/// The coverage of one configuration.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Coverage {
    /// The configuration.
    pub config: String,
    /// Whether it was explored to its end.
    pub complete: bool,
    /// The number of local transitions, up to renaming.
    pub local_transitions: u64,
    /// The answers of each rule.
    pub rules: BTreeMap<Rule, Answers>,
    /// How often each kind of action happened to a server in each role.
    pub actions: BTreeMap<(&'static str, &'static str), u64>,
}

/// The numbers of answers of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// How often its condition was fulfilled; for a rule that prescribes a number, how often it was
    /// asked.
    pub yes: u64,
    /// How often its condition was not fulfilled.
    pub no: u64,
    /// How often another answer would have changed the result.
    pub decisive: u64,
}

/// The kinds of actions, each with the roles in which some configuration has to exercise it.
pub const ACTIONS: &[(&str, &[&str])] = &[
    ("election timeout", &["follower", "candidate"]),
    ("heartbeat", &["leader"]),
    ("proposal", &["leader"]),
    ("read", &["leader"]),
    ("sync", &["follower", "candidate", "leader"]),
    ("apply", &["follower", "candidate", "leader"]),
    ("start snapshot", &["follower", "candidate", "leader"]),
    ("finish snapshot", &["follower", "leader"]),
    ("crash", &["follower", "candidate", "leader"]),
    ("restart", &["down"]),
    ("deliver", &["follower", "candidate", "leader"]),
];

/// Explores a configuration and does each of its local transitions again.
pub fn measure(config: &BoundedConfig, threads: usize, control: &Control) -> Coverage {
    let model = bounded_model(config, true, Paper);
    let outcome = level::search(&model, Goal::Violation, threads, control);
    let mut coverage = Coverage { config: config.name.clone(), ..Coverage::default() };
    coverage.complete = outcome.complete && outcome.found_at.is_none();
    for (server, action) in as_actions(model.local_transitions()) {
        if control.stopped().is_some() {
            coverage.complete = false;
            break;
        }
        coverage.local_transitions += 1;
        *coverage.actions.entry((kind(&action), role(server))).or_default() += 1;
        sample(config, server, &action, &mut coverage.rules);
    }
    coverage
}

fn sample(
    config: &BoundedConfig,
    server: &Server,
    action: &Action,
    rules: &mut BTreeMap<Rule, Answers>,
) {
    let listening = Turning::default();
    let settings = &config.settings;
    let run = |rules: &Turning| {
        let mut server = server.clone();
        let reaction = server.run(settings, rules, action).ok();
        (server, reaction.map(|reaction| (reaction.sent, reaction.facts)))
    };
    let plain = run(&listening);
    for (place, (rule, answer)) in listening.asked.into_inner().into_iter().enumerate() {
        let other = |turn: Turn| {
            let turning = Turning { turn: Some((place, turn)), ..Turning::default() };
            run(&turning) != plain
        };
        let decisive = match answer {
            RuleAnswer::Holds(_) => other(Turn::Not),
            RuleAnswer::Value => [Turn::Less, Turn::More, Turn::Nothing].into_iter().any(other),
        };
        let answers = rules.entry(rule).or_default();
        match answer {
            RuleAnswer::Holds(false) => answers.no += 1,
            RuleAnswer::Holds(true) | RuleAnswer::Value => answers.yes += 1,
        }
        answers.decisive += u64::from(decisive);
    }
}

/// The paper's rules, with one answer changed.
#[derive(Default)]
struct Turning {
    asked: RefCell<Vec<(Rule, RuleAnswer)>>,
    turn: Option<(usize, Turn)>,
    questions: Cell<usize>,
}

#[derive(Clone, Copy)]
enum RuleAnswer {
    Holds(bool),
    Value,
}

#[derive(Clone, Copy)]
enum Turn {
    Not,
    Less,
    More,
    Nothing,
}

impl Turning {
    /// Records a question. Returns how to change its answer, if it is the selected one.
    fn ask(&self, rule: Rule, answer: RuleAnswer) -> Option<Turn> {
        let place = self.questions.replace(self.questions.get() + 1);
        self.asked.borrow_mut().push((rule, answer));
        self.turn.filter(|(turned, _)| *turned == place).map(|(_, turn)| turn)
    }
}

impl Rules for Turning {
    fn holds(&self, rule: Rule, answer: bool) -> bool {
        answer != self.ask(rule, RuleAnswer::Holds(answer)).is_some()
    }

    fn value(&self, rule: Rule, value: u64) -> u64 {
        match self.ask(rule, RuleAnswer::Value) {
            Some(Turn::Less) => value.saturating_sub(1),
            Some(Turn::More) => value.saturating_add(1),
            Some(Turn::Nothing) => 0,
            Some(Turn::Not) | None => value,
        }
    }
}

/// Returns the kind of an action: one of [`ACTIONS`].
pub fn kind(action: &Action) -> &'static str {
    match action {
        Action::ElectionTimeout { .. } => "election timeout",
        Action::Heartbeat { .. } => "heartbeat",
        Action::Propose { .. } => "proposal",
        Action::Read { .. } => "read",
        Action::Sync { .. } => "sync",
        Action::Apply { .. } => "apply",
        Action::StartSnapshot { .. } => "start snapshot",
        Action::FinishSnapshot { .. } => "finish snapshot",
        Action::Crash { .. } => "crash",
        Action::Restart { .. } => "restart",
        Action::Deliver(_) | Action::Drop(_) | Action::Duplicate(_) => "deliver",
    }
}

/// Returns the role of a server: one of those in [`ACTIONS`].
pub fn role(server: &Server) -> &'static str {
    match server.process.as_ref().map(|process| &process.node.role) {
        None => "down",
        Some(Role::Follower { .. }) => "follower",
        Some(Role::Candidate { .. }) => "candidate",
        Some(Role::Leader(_)) => "leader",
    }
}

/// Adds up the answers of a rule in all configurations.
pub fn total(coverage: &[Coverage], rule: Rule) -> Answers {
    let all = coverage.iter().filter_map(|config| config.rules.get(&rule));
    all.fold(Answers::default(), |sum, answers| Answers {
        yes: sum.yes + answers.yes,
        no: sum.no + answers.no,
        decisive: sum.decisive + answers.decisive,
    })
}

/// Lists the rules and actions that have not been exercised, in words.
pub fn gaps(coverage: &[Coverage]) -> Vec<String> {
    let mut gaps = Vec::new();
    for rule in Rule::ALL {
        let Answers { yes, no, decisive } = total(coverage, *rule);
        let name = rule.name();
        let excused = excuse(*rule).is_some();
        if yes + no == 0 {
            gaps.push(format!("{name} was never asked"));
        } else if decisive == 0 && !excused {
            gaps.push(format!("{name} never made a difference"));
        } else if (yes == 0 || no == 0) && is_condition(*rule) && !excused {
            gaps.push(format!("{name} answer {} only", if yes == 0 { "no" } else { "yes" }));
        }
    }
    for (action, roles) in ACTIONS {
        for role in *roles {
            if !coverage.iter().any(|config| config.actions.contains_key(&(*action, *role))) {
                gaps.push(format!("no {action} of a {role}"));
            }
        }
    }
    gaps
}

/// Returns whether a rule has a condition, which can be true or false. The other rules prescribe a
/// number, or demand something whenever they are asked.
pub fn is_condition(rule: Rule) -> bool {
    !matches!(
        rule,
        Rule::ForgetOldVotes
            | Rule::ElectionQuorum
            | Rule::CandidateYieldsToLeader
            | Rule::NoopAtTermStart
            | Rule::ResetProgress
            | Rule::PrevEntryPresent
            | Rule::SkipCompacted
            | Rule::KeepAgreeing
            | Rule::FollowerCommit
            | Rule::MatchFromRequest
            | Rule::NextAboveMatch
            | Rule::CommitQuorum
            | Rule::ApplyOnlyCommitted
            | Rule::ApplyOnlyDurable
            | Rule::PersistTerm
            | Rule::RequestVoteWaitsForDisk
            | Rule::ReplyWaitsForItsWrite
            | Rule::LeaderCountsItsDisk
            | Rule::AppliedIsCommitted
            | Rule::RestoreFromSnapshot
            | Rule::SnapshotAckCoversBase
            | Rule::ReadNeedsLaterRound
            | Rule::ReadsEndWithLeadership
    )
}

/// Returns the reason why a rule is not exercised both ways, if there is one.
pub fn excuse(rule: Rule) -> Option<&'static str> {
    match rule {
        Rule::SnapshotOnlyApplied => Some(
            "guards against the caller, and the model's state machine takes snapshots only of what \
             it has applied",
        ),
        _ => None,
    }
}
