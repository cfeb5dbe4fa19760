//! The counts are exact. The explored model of a tiny configuration has exactly the states and
//! transitions of the plain cluster, which a very simple search explores here. Symmetry folds the
//! states exactly into their orbits. Every strategy counts the same, on any number of threads.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use itertools::Itertools;
use raft_checker::bounded_cluster::bounded_model;
use raft_checker::bounded_network::level::{Goal, LevelOutcome};
use raft_checker::bounded_network::stateright::Strategy;
use raft_checker::bounded_network::{Counts, level, stateright as strategies};
use raft_checker::cluster::Cluster;
use raft_checker::cluster::rename::Renaming;
use raft_checker::config::BoundedConfig;
use raft_checker::control::Control;
use raft_checker::plain::PlainModel;
use raft_core::{Bytes, Index, Paper, ReadId, Rule, Rules};
use raft_trace::Action;
use stateright::{Checker, Model};

/// Elections, with a repeated message.
const ELECTION: &str = r#"
    tier = "smoke"
    about = ""
    leaves-out = "nearly everything"
    servers = 3
    batch = 1
    window = 1
    disk = "atomic"
    apply = "at-once"
    [bounds]
    max_term = 1
    proposals = 0
    heartbeats = 0
    crashes = 0
    duplicates = 1
    in_flight = 3
"#;

/// Lost writes, and messages that wait for other writes.
const QUEUED: &str = r#"
    tier = "smoke"
    about = ""
    leaves-out = "nearly everything"
    servers = 2
    batch = 2
    window = 2
    disk = "queued"
    apply = "at-once"
    [bounds]
    max_term = 2
    proposals = 0
    heartbeats = 0
    crashes = 1
    in_flight = 2
"#;

/// Snapshots, reads and lost parts of the state machine.
const SNAPSHOTS: &str = r#"
    tier = "smoke"
    about = ""
    leaves-out = "nearly everything"
    servers = 2
    batch = 1
    window = 1
    disk = "atomic"
    apply = "separate"
    [bounds]
    max_term = 1
    proposals = 0
    heartbeats = 1
    reads = 1
    crashes = 1
    snapshots = 1
    in_flight = 2
"#;

fn config(text: &str) -> BoundedConfig {
    BoundedConfig::parse(Path::new("tiny.toml"), text).expect("a sound configuration")
}

/// A state of the plain cluster within bounds, with the part of each budget that it has used.
#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    cluster: Cluster,
    proposals: u8,
    heartbeats: u8,
    reads: u8,
    crashes: u8,
    duplicates: u8,
    snapshots: u8,
}

impl State {
    fn first(config: &BoundedConfig) -> State {
        State {
            cluster: Cluster::boot(&config.settings, &Paper),
            proposals: 0,
            heartbeats: 0,
            reads: 0,
            crashes: 0,
            duplicates: 0,
            snapshots: 0,
        }
    }

    /// Returns the same state under other names.
    fn renamed(&self, renaming: &Renaming) -> State {
        let mut renamed = self.clone();
        let Cluster { servers, network, .. } = &mut renamed.cluster;
        for server in servers.iter_mut() {
            *server = renaming.server(server);
        }
        servers.sort_by_key(|server| server.id);
        *network = std::mem::take(network)
            .into_iter()
            .map(|(envelope, copies)| (renaming.envelope(&envelope), copies))
            .collect();
        renamed
    }

    /// Returns all actions that could be tried. Some of them turn out to be impossible.
    fn conceivable(&self, config: &BoundedConfig) -> Vec<Action> {
        let mut actions = Vec::new();
        for place in &self.cluster.servers {
            let server = place.id;
            actions.extend([
                Action::Heartbeat { server },
                Action::Propose { server, command: Bytes::from(vec![b'a' + self.proposals]) },
                Action::Read { server, id: ReadId(u64::from(self.reads) + 1) },
                Action::Apply { server },
                Action::StartSnapshot { server },
                Action::FinishSnapshot { server },
                Action::Restart { server },
            ]);
            let Some(process) = &place.process else { continue };
            if process.node.current_term.0 < config.bounds.max_term {
                actions.push(Action::ElectionTimeout { server });
            }
            let longest = process.node.log.last_index().0.max(place.state_machine.len() as u64);
            for writes in 0..=process.writes.len() {
                actions.push(Action::Sync { server, writes });
                let crash =
                    |applied_kept| Action::Crash { server, writes_kept: writes, applied_kept };
                actions.extend((0..=longest).map(Index).map(crash));
            }
        }
        for envelope in self.cluster.network.keys().cloned() {
            actions.extend([Action::Deliver(envelope.clone()), Action::Drop(envelope.clone())]);
            actions.push(Action::Duplicate(envelope));
        }
        actions
    }

    /// Returns the state after an action; none if the action is not possible, exceeds a bound or
    /// changes nothing.
    fn after(&self, config: &BoundedConfig, action: &Action) -> Option<State> {
        let mut next = self.clone();
        let seen = next.cluster.act(&config.settings, &Paper, action).ok()?;
        assert!(seen.broken.is_empty(), "{action:?}");
        let unchanged = &Renaming::all(config.settings.servers)[0];
        next = next.renamed(unchanged);
        let in_flight: usize = next.cluster.network.values().sum();
        if next.cluster == self.cluster || in_flight > config.bounds.in_flight {
            return None;
        }
        let bounds = &config.bounds;
        let (used, bound) = match action {
            Action::Propose { .. } => (&mut next.proposals, bounds.proposals),
            Action::Heartbeat { .. } => (&mut next.heartbeats, bounds.heartbeats),
            Action::Read { .. } => (&mut next.reads, bounds.reads),
            Action::Crash { .. } => (&mut next.crashes, bounds.crashes),
            Action::Duplicate(_) => (&mut next.duplicates, bounds.duplicates),
            Action::StartSnapshot { .. } => (&mut next.snapshots, bounds.snapshots),
            _ => return Some(next),
        };
        *used += 1;
        (*used <= bound).then_some(next)
    }

    fn successors(&self, config: &BoundedConfig) -> Vec<State> {
        let actions = self.conceivable(config);
        actions.iter().filter_map(|action| self.after(config, action)).collect()
    }
}

/// Finds all states, with a set of those that were seen and a list of those that were reached last.
fn explore(config: &BoundedConfig) -> (HashSet<State>, Counts) {
    let mut seen = HashSet::from([State::first(config)]);
    let mut last = vec![State::first(config)];
    let mut counts = Counts::default();
    for depth in 0.. {
        let all: Vec<State> = last.iter().flat_map(|state| state.successors(config)).collect();
        counts.transitions += all.len() as u64;
        last = all.into_iter().filter(|state| seen.insert(state.clone())).collect();
        if last.is_empty() {
            counts.depth = Some(depth);
            break;
        }
    }
    counts.distinct = seen.len() as u64;
    counts.orbit = counts.distinct;
    (seen, counts)
}

/// Returns one state of each orbit.
fn representatives(config: &BoundedConfig, states: &HashSet<State>) -> Vec<State> {
    let renamings = Renaming::all(config.settings.servers);
    let mut covered = HashSet::new();
    let mut representatives = Vec::new();
    for state in states {
        if !covered.contains(state) {
            covered.extend(renamings.iter().map(|renaming| state.renamed(renaming)));
            representatives.push(state.clone());
        }
    }
    assert!(covered == *states, "a renamed state is a state");
    representatives
}

/// Returns the counts of the checker's search in level order.
fn in_level_order(config: &BoundedConfig, symmetry: bool, threads: usize) -> Counts {
    let model = bounded_model(config, symmetry, Paper);
    let LevelOutcome { counts, found_at, complete, noted } =
        level::search(&model, Goal::Violation, threads, &Control::default());
    assert_eq!((found_at, complete, noted), (None, true, 0));
    counts
}

/// Returns the counts without the hash of the states, which the plain search does not have.
fn counts_in_level_order(config: &BoundedConfig, symmetry: bool, threads: usize) -> Counts {
    Counts { hash: 0, ..in_level_order(config, symmetry, threads) }
}

/// Compares the explored model with the plain one, folded and unfolded.
fn is_the_plain_model(text: &str) {
    let config = config(text);
    let (states, plain) = explore(&config);
    assert_eq!(counts_in_level_order(&config, false, 1), plain);

    let folded = representatives(&config, &states);
    let transitions = folded.iter().map(|state| state.successors(&config).len() as u64).sum();
    let distinct = folded.len() as u64;
    let counts = Counts { distinct, transitions, ..plain };
    assert_eq!(counts_in_level_order(&config, true, 1), counts);
}

#[test]
fn elections_are_those_of_the_plain_model() {
    is_the_plain_model(ELECTION);
}

#[test]
fn lost_writes_are_those_of_the_plain_model() {
    is_the_plain_model(QUEUED);
}

#[test]
fn snapshots_and_reads_are_those_of_the_plain_model() {
    is_the_plain_model(SNAPSHOTS);
}

/// The plain model that stateright's Explorer shows.
#[test]
fn the_explorer_shows_the_same_states() {
    for text in [ELECTION, QUEUED, SNAPSHOTS] {
        let shown = PlainModel::new(config(text)).checker().spawn_bfs().join();
        shown.assert_properties();
        assert_eq!(
            shown.unique_state_count() as u64,
            in_level_order(&config(text), false, 1).distinct
        );
    }
}

/// The numbers themselves are pinned, so that a change of the rules or of the model is noticed.
#[test]
fn tiny_configurations_have_these_many_states() {
    let counts = |distinct, orbit, transitions, depth| Counts {
        distinct,
        orbit,
        transitions,
        hash: 0,
        depth: Some(depth),
    };
    assert_eq!(counts_in_level_order(&config(ELECTION), false, 1), counts(13839, 13839, 58191, 13));
    assert_eq!(counts_in_level_order(&config(ELECTION), true, 1), counts(2328, 13839, 9769, 13));
    assert_eq!(counts_in_level_order(&config(QUEUED), true, 1), counts(3211, 6380, 10928, 19));
    assert_eq!(counts_in_level_order(&config(SNAPSHOTS), true, 1), counts(2943, 5878, 10950, 17));
}

/// Returns the counts of one of stateright's strategies.
fn by_strategy(
    config: &BoundedConfig,
    symmetry: bool,
    strategy: Strategy,
    threads: usize,
) -> Counts {
    let model = Arc::new(bounded_model(config, symmetry, Paper));
    let outcome = strategies::search(&model, strategy, threads, &Control::default());
    assert!(outcome.complete && outcome.violation.is_none(), "{strategy:?}");
    outcome.counts
}

#[test]
fn every_strategy_counts_the_same_on_any_number_of_threads() {
    for (text, symmetry) in
        [ELECTION, QUEUED, SNAPSHOTS].into_iter().cartesian_product([false, true])
    {
        let config = config(text);
        let in_levels = in_level_order(&config, symmetry, 1);
        assert_eq!(in_level_order(&config, symmetry, 2), in_levels);
        for (strategy, threads) in
            [Strategy::Bfs, Strategy::Dfs].into_iter().cartesian_product([1, 2])
        {
            let counts = by_strategy(&config, symmetry, strategy, threads);
            assert_eq!(counts, Counts { depth: None, ..in_levels }, "{strategy:?}, {threads}");
        }
    }
}

/// Three servers whose messages wait for the disk: too many states for the plain search.
#[test]
fn orbits_add_up_to_all_states() {
    let queued = ELECTION.replace("\"atomic\"", "\"queued\"");
    let separate = queued.replace("\"at-once\"", "\"separate\"");
    for text in [queued, separate] {
        let config = config(&text);
        let (folded, all) = (in_level_order(&config, true, 2), in_level_order(&config, false, 2));
        assert_eq!((folded.orbit, folded.depth), (all.distinct, all.depth));
        assert!(5 * folded.distinct < all.distinct, "most states have no symmetry of their own");
    }
}

/// The paper's rules, but a server gives its vote to every candidate that asks.
struct VotesForAll;

impl Rules for VotesForAll {
    fn holds(&self, rule: Rule, answer: bool) -> bool {
        answer || rule == Rule::OneVotePerTerm
    }

    fn value(&self, _: Rule, value: u64) -> u64 {
        value
    }
}

#[test]
fn symmetry_hides_no_violation() {
    let found_at = |symmetry| {
        let model = bounded_model(&config(ELECTION), symmetry, VotesForAll);
        level::search(&model, Goal::Violation, 2, &Control::default()).found_at
    };
    assert!(found_at(false).is_some());
    assert_eq!(found_at(true), found_at(false));
}
