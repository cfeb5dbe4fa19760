//! Breadth-first search, one level after the other, on any number of threads.
//!
//! The visited set holds fingerprints only, and no state records how it was reached.
//! [`path`](super::path) makes a shortest path to the goal afterwards.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Counts, Model, Next, State};
use crate::control::Control;
use crate::system::{Findings, System};

/// The goal of a search. Properties and situations are bits of [`Findings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// A property that does not hold and whose violation ends a search.
    Violation,
    /// A step in which this situation occurs.
    Witness(u64),
    /// A step that breaks this property, even if its violation would not end a search.
    Breaks(u64),
}

impl Goal {
    /// Decides whether the search goes on from a state that breaks something.
    fn goes_on_after(self, broken: u64) -> bool {
        matches!(self, Goal::Breaks(property) if broken & property == 0)
    }

    /// Decides whether a step, and the state that it leads to, reaches the goal.
    pub(super) fn reached_by(self, findings: Findings, broken: u64) -> bool {
        match self {
            Goal::Violation => broken != 0,
            Goal::Witness(witness) => findings.witnessed & witness != 0,
            Goal::Breaks(property) => (findings.broken | broken) & property != 0,
        }
    }
}

/// The outcome of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelOutcome {
    /// The counts; if the goal was found, those of the levels before it.
    pub counts: Counts,
    /// The number of steps to the nearest state that reaches the goal.
    pub found_at: Option<u64>,
    /// The properties that were broken in the completed levels without ending the search.
    pub noted: u64,
    /// Whether every state was visited, up to the level of the goal if it was found.
    pub complete: bool,
}

/// Searches until the goal is found, all states are visited, or the control stops the search.
pub fn search<S: System>(
    model: &Model<S>,
    goal: Goal,
    threads: usize,
    control: &Control,
) -> LevelOutcome {
    let visited = Visited::new();
    let init = model.init();
    visited.insert(init.fingerprint);
    let mut counts = Counts {
        distinct: 1,
        orbit: init.orbit.into(),
        transitions: 0,
        hash: init.fingerprint,
        depth: Some(0),
    };
    if goal.reached_by(Findings::default(), init.broken) {
        return LevelOutcome { counts, found_at: Some(0), noted: 0, complete: true };
    }
    let mut frontier = vec![init];
    let mut depth = 0;
    loop {
        let noted = model.findings().broken;
        let level = Level { model, goal, visited: &visited, frontier: &frontier, control };
        let Expanded { next, orbit, hash, transitions, blocked, found } = level.expand(threads);
        if control.stopped().is_some() {
            counts.distinct += next.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
            counts.orbit += orbit;
            counts.transitions += transitions;
            return LevelOutcome { counts, found_at: None, noted, complete: false };
        }
        if found {
            let counts = Counts { depth: Some(depth), ..counts };
            return LevelOutcome { counts, found_at: Some(depth + 1), noted, complete: true };
        }
        counts.transitions += transitions;
        counts.orbit += orbit;
        counts.hash = counts.hash.wrapping_add(hash);
        model.note_blocked(blocked);
        frontier.clear();
        frontier.extend(next.into_iter().flatten());
        if frontier.is_empty() {
            counts.depth = Some(depth);
            let noted = model.findings().broken;
            return LevelOutcome { counts, found_at: None, noted, complete: true };
        }
        depth += 1;
        counts.distinct += frontier.len() as u64;
        control.progress.depth.store(depth, Ordering::Relaxed);
    }
}

/// One level, to be expanded.
struct Level<'a, S: System> {
    model: &'a Model<S>,
    goal: Goal,
    visited: &'a Visited,
    frontier: &'a [State],
    control: &'a Control,
}

/// The results of the expansion.
#[derive(Default)]
struct Expanded {
    next: Vec<Vec<State>>,
    orbit: u64,
    hash: u64,
    transitions: u64,
    blocked: u64,
    found: bool,
}

/// The number of states that a thread takes at a time.
const CHUNK: usize = 512;

impl<S: System> Level<'_, S> {
    fn expand(&self, threads: usize) -> Expanded {
        let place = AtomicUsize::new(0);
        let found = AtomicBool::new(false);
        let mut all = Expanded::default();
        let parts: Vec<Expanded> = std::thread::scope(|scope| {
            let work = || self.work(&place, &found);
            let others: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(work)).collect();
            let mine = work();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Expanded>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            std::iter::once(mine).chain(others.into_iter().map(join)).collect()
        });
        for part in parts {
            all.next.extend(part.next);
            all.orbit += part.orbit;
            all.hash = all.hash.wrapping_add(part.hash);
            all.transitions += part.transitions;
            all.blocked += part.blocked;
        }
        all.found = found.into_inner();
        all
    }

    fn work(&self, place: &AtomicUsize, found: &AtomicBool) -> Expanded {
        let mut out = Expanded::default();
        let mut next = Vec::new();
        let mut actions = Vec::new();
        loop {
            let start = place.fetch_add(CHUNK, Ordering::Relaxed);
            let end = self.frontier.len().min(start + CHUNK);
            if start >= end || found.load(Ordering::Relaxed) || self.control.stopped().is_some() {
                break;
            }
            let (states, transitions) = (next.len(), out.transitions);
            for state in &self.frontier[start..end] {
                self.model.enabled(state, &mut actions);
                for action in actions.drain(..) {
                    match self.model.next(state, action) {
                        Next::Idle => {}
                        Next::Blocked => out.blocked += 1,
                        Next::State(successor, findings) => {
                            out.transitions += 1;
                            self.visit(successor, findings, &mut next, &mut out, found);
                        }
                    }
                }
            }
            let progress = &self.control.progress;
            let (states, transitions) = (next.len() - states, out.transitions - transitions);
            progress.add(states as u64, transitions);
            progress.queue.store((self.frontier.len() - end) as u64, Ordering::Relaxed);
        }
        out.next.push(next);
        out
    }

    fn visit(
        &self,
        successor: State,
        mut findings: Findings,
        next: &mut Vec<State>,
        out: &mut Expanded,
        found: &AtomicBool,
    ) {
        let new = self.visited.insert(successor.fingerprint);
        let broken =
            if new { self.model.examine(&successor, &mut findings) } else { successor.broken };
        self.model.note(findings);
        if self.goal.reached_by(findings, broken) {
            found.store(true, Ordering::Relaxed);
        }
        // The search does not go on from a state that breaks something, unless another property is
        // the goal.
        if new && (broken == 0 || self.goal.goes_on_after(broken)) {
            out.orbit += u64::from(successor.orbit);
            out.hash = out.hash.wrapping_add(successor.fingerprint);
            next.push(successor);
        }
    }
}

/// The fingerprints of all visited states, in parts with a lock each.
struct Visited {
    parts: Vec<Mutex<HashSet<u64, BuildHasherDefault<Fingerprint>>>>,
}

const PARTS: usize = 1024;

impl Visited {
    fn new() -> Visited {
        Visited { parts: (0..PARTS).map(|_| Mutex::default()).collect() }
    }

    /// Adds a fingerprint. Returns false if it was there already.
    fn insert(&self, fingerprint: u64) -> bool {
        // The hash set uses the lowest and the highest bits.
        let part = usize::try_from(fingerprint >> 40).unwrap_or(0) % PARTS;
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint)
    }
}

/// A hasher for fingerprints. A fingerprint is its own hash.
#[derive(Default)]
pub(super) struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are 64-bit numbers");
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
