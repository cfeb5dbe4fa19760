//! A run that breaks a property: made smaller, and saved as a trace that can be replayed.

use std::path::{Path, PathBuf};

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use raft_checker::properties::Property;
use raft_checker::protocol::Protocol;
use raft_trace::{Action, ClusterTrace, Settings};

use super::choice::schedules;
use super::run::Run;

/// A run whose end breaks a property.
#[derive(Clone, Debug)]
pub(crate) struct Counterexample {
    pub(crate) settings: Settings,
    pub(crate) actions: Vec<Action>,
    pub(crate) property: Property,
}

impl Counterexample {
    /// Looks for a run of a random schedule that breaks something, and makes it small.
    ///
    /// Proptest leaves choices out as long as the rest still fails. The result is shrunk once more
    /// as explicit actions, which keep their meaning when others before them are left out.
    pub(crate) fn search<P: Protocol>(
        mut config: Config,
        lengths: std::ops::Range<usize>,
        protocol: &P,
    ) -> Option<Counterexample> {
        config.max_shrink_iters = config.max_shrink_iters.min(1000);
        let fails = |schedule| {
            let run = Run::of_schedule(&schedule, protocol);
            if run.broken.is_empty() { Ok(()) } else { Err(TestCaseError::fail("broken")) }
        };
        match TestRunner::new(config).run(&schedules(lengths), fails) {
            Ok(()) => None,
            Err(TestError::Fail(_, schedule)) => {
                let run = Run::of_schedule(&schedule, protocol);
                Some(Counterexample::of(&run)?.shrunk(protocol))
            }
            Err(TestError::Abort(reason)) => panic!("the search was given up: {reason}"),
        }
    }

    /// Makes a counterexample of a run, if it breaks a property.
    fn of(run: &Run) -> Option<Counterexample> {
        Some(Counterexample {
            settings: run.settings.clone(),
            actions: run.actions.clone(),
            property: run.broken.iter().next()?,
        })
    }

    /// Leaves out every stretch of actions that is not needed to break the property, long ones
    /// first.
    fn shrunk<P: Protocol>(mut self, protocol: &P) -> Counterexample {
        let mut stretch = self.actions.len().next_power_of_two();
        while stretch > 0 {
            let before = self.actions.len();
            for start in (0..before).step_by(stretch).collect::<Vec<_>>().into_iter().rev() {
                if start < self.actions.len() {
                    self.leave_out(start, stretch, protocol);
                }
            }
            if self.actions.len() == before {
                stretch /= 2;
            }
        }
        self
    }

    fn leave_out<P: Protocol>(&mut self, start: usize, count: usize, protocol: &P) {
        let end = self.actions.len().min(start + count);
        let rest = self.actions[..start].iter().chain(&self.actions[end..]);
        let run = Run::of_actions(&self.settings, protocol, rest);
        if run.broken.contains(self.property) {
            self.actions = run.actions;
        }
    }

    /// Returns the trace of the run.
    pub(crate) fn trace(&self) -> ClusterTrace {
        ClusterTrace {
            settings: self.settings.clone(),
            about: format!("Found by random schedules. {}", self.property.sentence()),
            actions: self.actions.clone(),
        }
    }

    /// Writes the trace into a folder. The file name contains the broken property and a hash of the
    /// trace, so that the same trace always gets the same name.
    pub(crate) fn save(&self, folder: &Path) -> PathBuf {
        let mut contents = Vec::new();
        self.trace().write(&mut contents).expect("memory takes everything");
        let name = format!("{}-{:016x}.jsonl", self.property.name(), fnv1a(&contents));
        let path = folder.join(name);
        std::fs::write(&path, contents).expect("the folder can be written to");
        path
    }
}

/// Returns the Fowler-Noll-Vo hash, 64 bits, which is the same on every machine and in every
/// release.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
