//! The ways in which a step is tried on production.

use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};

use raft_core::{Message, NodeId};
use raft_trace::{Action, Settings};

use super::crash::{self, Allowed, Tried};
use crate::lockstep::{Divergence, Lockstep};
use crate::refinement_mapping::Refinement;
use raft_simulation::disk::Fault;

/// What was special about the step in which production differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultVariant {
    /// Nothing.
    #[default]
    Plainly,
    /// Copies were asked what they would accept in the state before the step.
    Asked,
    /// The power went, or the process was killed, inside the step.
    Crash {
        /// Before which operation on the disk, counted from 1; after all of them, if there are fewer.
        before: usize,
        /// How many operations the step takes.
        of: u64,
    },
    /// An operation on the disk failed.
    Fault {
        /// Which, counted from 1.
        operation: u64,
    },
    /// The last steps were given to production as one batch.
    Batch {
        /// How many.
        steps: usize,
    },
    /// That, and the power went inside of it.
    BatchCrash {
        /// How many steps.
        steps: usize,
        /// Before which operation on the disk, counted from 1.
        before: usize,
        /// How many operations the batch takes.
        of: u64,
    },
    /// The state before the last step was reached on another path than the shortest.
    SecondWay,
}

impl FaultVariant {
    /// How many steps at the end of the trace it is about.
    pub fn steps(self) -> usize {
        match self {
            FaultVariant::Batch { steps } | FaultVariant::BatchCrash { steps, .. } => steps,
            _ => 1,
        }
    }
}

impl fmt::Display for FaultVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultVariant::Plainly => write!(f, "after the step"),
            FaultVariant::Asked => write!(f, "before the step, asked what it would accept"),
            FaultVariant::Crash { before, of } if *before as u64 > *of => {
                write!(f, "after a crash at the end of the step")
            }
            FaultVariant::Crash { before, of } => {
                write!(f, "after a crash before operation {before} of {of} on the disk")
            }
            FaultVariant::Fault { operation } => {
                write!(f, "when operation {operation} of the step on the disk fails")
            }
            FaultVariant::Batch { steps } => write!(f, "after the last {steps} as one batch"),
            FaultVariant::BatchCrash { steps, before, of } => write!(
                f,
                "after the last {steps} as one batch, and a crash before operation {before} of {of}"
            ),
            FaultVariant::SecondWay => {
                write!(f, "after a state that was reached on another path than the shortest")
            }
        }
    }
}

/// A difference, and what was special.
pub(super) type Difference = (Divergence, FaultVariant);

pub(super) fn plainly(divergence: Divergence) -> Difference {
    (divergence, FaultVariant::Plainly)
}

/// A number that says the same about the same things in each run, for what is picked at random.
pub(super) fn dice(of: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(of)
}

/// One server's way through a run.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    pub(super) settings: &'a Settings,
    pub(super) refinement: &'a Refinement,
    pub(super) id: NodeId,
}

/// What crashes inside a step showed.
pub(super) struct Crashed {
    /// How many operations on the disk it takes.
    pub(super) operations: u64,
    pub(super) tried: Tried,
}

impl<'a> Course<'a> {
    /// Leads production through some actions, knowing what will follow.
    pub(super) fn lead(
        &self,
        actions: &[Action],
        next: &[&Action],
    ) -> Result<Lockstep<'a>, Divergence> {
        let plan: Vec<&Action> = actions.iter().chain(next.iter().copied()).collect();
        let mut lockstep = Lockstep::boot(self.settings, self.refinement, self.id, &plan)?;
        for action in actions {
            lockstep.act(action)?;
        }
        Ok(lockstep)
    }

    /// Production at the end of some actions once more: a copy of where it was led, or where that
    /// will not do, led there again.
    pub(super) fn again(
        &self,
        led: Option<&Lockstep<'a>>,
        actions: &[Action],
        next: &[&Action],
    ) -> Result<Lockstep<'a>, Divergence> {
        match led {
            Some(led) if !next.iter().any(|action| needs_store(action)) => {
                let copy = led.fork();
                let copy = copy
                    .map_err(|failure| Divergence::failure("whether it can be copied", &failure))?;
                copy.map_or_else(|| self.lead(actions, next), Ok)
            }
            _ => self.lead(actions, next),
        }
    }

    /// Does a step, or several as one batch, and compares; then lets the power go before each
    /// operation on the disk inside.
    pub(super) fn with_crashes(
        &self,
        lockstep: &mut Lockstep<'a>,
        actions: &[&Action],
    ) -> Result<Crashed, Difference> {
        let batch = FaultVariant::Batch { steps: actions.len() };
        let variant = if actions.len() > 1 { batch } else { FaultVariant::Plainly };
        let differs = |divergence| (divergence, variant);
        let before = lockstep.model.clone();
        let disk = lockstep.disk.clone();
        let earlier = disk.moment();
        disk.record();
        let outcome = lockstep.act_together(actions);
        let mut moments = disk.recorded();
        outcome.map_err(differs)?;
        lockstep.compare().map_err(differs)?;
        let of = moments.len() as u64;
        if of == 0 {
            return Ok(Crashed { operations: 0, tried: Tried::default() });
        }
        moments.push(disk.moment());
        let allowed = Allowed::during(self.settings, self.refinement, &before, actions);
        let seed = dice((&before, actions));
        let tried = crash::try_all(&allowed, &lockstep.setup, &earlier, &moments, seed);
        let tried = tried.map_err(|(place, divergence)| {
            let (before, steps) = (place + 1, actions.len());
            let crash = FaultVariant::Crash { before, of };
            let in_batch = FaultVariant::BatchCrash { steps, before, of };
            (divergence, if steps > 1 { in_batch } else { crash })
        })?;
        Ok(Crashed { operations: of, tried })
    }

    /// Does a step while one operation on the disk fails. The node stops, and then what is left must
    /// be what a crash may leave; or it goes on, and then everything must be as if nothing had failed.
    pub(super) fn with_fault(
        &self,
        mut lockstep: Lockstep<'a>,
        action: &Action,
        operation: u64,
    ) -> Result<(), Difference> {
        let fault = FaultVariant::Fault { operation: operation + 1 };
        let before = lockstep.model.clone();
        let disk = lockstep.disk.clone();
        let earlier = disk.moment();
        disk.fail(Some(Fault::Once(operation)));
        let outcome = lockstep.act(action);
        disk.fail(None);
        if outcome.is_ok() {
            return lockstep.compare().map_err(|divergence| (divergence, fault));
        }
        let allowed = Allowed::during(self.settings, self.refinement, &before, &[action]);
        let seed = dice((&before, action, operation));
        let tried = crash::try_all(&allowed, &lockstep.setup, &earlier, &[disk.moment()], seed);
        tried.map(drop).map_err(|(_, divergence)| (divergence, fault))
    }

    /// How many operations on the disk a step takes on a copy.
    pub(super) fn operations(copy: Option<&Lockstep<'a>>, action: &Action) -> Option<u64> {
        let mut copy = copy?.fork().ok()??;
        let disk = copy.disk.clone();
        let earlier = disk.operations();
        copy.act(action).ok()?;
        Some(disk.operations() - earlier)
    }
}

/// Whether an action is about what the state machine keeps on the disk.
fn needs_store(action: &Action) -> bool {
    match action {
        Action::StartSnapshot { .. }
        | Action::FinishSnapshot { .. }
        | Action::Crash { .. }
        | Action::Restart { .. } => true,
        Action::Deliver(envelope) => matches!(envelope.message, Message::InstallSnapshot(_)),
        _ => false,
    }
}

/// Whether production could get both from its inboxes at once, in this order: first what disk and
/// state machine report, then messages, then what clients want, then timers. Several commands are one
/// input of production and several of the model, so they are left out.
pub(super) fn is_batch(first: &Action, second: &Action) -> bool {
    let rank = |action: &Action| match action {
        Action::Sync { .. } | Action::Apply { .. } => Some(0),
        Action::Deliver(_) => Some(1),
        Action::Propose { .. } => Some(2),
        Action::Read { .. } => Some(3),
        Action::ElectionTimeout { .. } | Action::Heartbeat { .. } => Some(4),
        _ => None,
    };
    let both = rank(first).zip(rank(second));
    both.is_some_and(|(first, second)| first < second || (first, second) == (1, 1))
}
