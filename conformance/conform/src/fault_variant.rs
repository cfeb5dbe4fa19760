//! The ways in which a step is tried on production.

use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};

use raft_core::{Message, NodeId};
use raft_trace::{Action, Settings};

use super::crash::{self, Allowed, Tried};
use crate::lockstep::{Divergence, Lockstep};
use crate::refinement_mapping::Refinement;
use raft_simulation::disk::Fault;

/// The way in which the step was tried in which production differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultVariant {
    /// Without crash, fault or batch.
    #[default]
    Plainly,
    /// Copies were tested for the inputs that they accept in the state before the step.
    Asked,
    /// A power loss, or a kill of the process, was simulated inside the step.
    Crash {
        /// The disk operation before which the crash happened, counted from 1. `of + 1` stands for
        /// a crash after all operations.
        before: usize,
        /// The number of disk operations in the step.
        of: u64,
    },
    /// A disk operation failed.
    Fault {
        /// The number of the operation, counted from 1.
        operation: u64,
    },
    /// The last steps were given to production as one batch.
    Batch {
        /// The number of steps.
        steps: usize,
    },
    /// The last steps were given to production as one batch, and a crash was simulated inside it.
    BatchCrash {
        /// The number of steps.
        steps: usize,
        /// The disk operation before which the crash happened, counted from 1. `of + 1` stands for
        /// a crash after all operations.
        before: usize,
        /// The number of disk operations in the batch.
        of: u64,
    },
    /// The state before the last step was reached on another path than the shortest.
    SecondWay,
}

impl FaultVariant {
    /// Returns the number of steps at the end of the trace that are concerned.
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
            FaultVariant::BatchCrash { steps, before, of } if *before as u64 > *of => {
                write!(f, "after the last {steps} as one batch, and a crash at its end")
            }
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

/// A difference, and the way in which the step was tried.
pub(super) type Difference = (Divergence, FaultVariant);

pub(super) fn plainly(divergence: Divergence) -> Difference {
    (divergence, FaultVariant::Plainly)
}

/// Returns a hash for random choices. Equal values have the same hash in each run.
pub(super) fn dice(of: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(of)
}

/// One server, with everything that is needed to lead it through actions.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    pub(super) settings: &'a Settings,
    pub(super) refinement: &'a Refinement,
    pub(super) id: NodeId,
}

/// The results of the crashes inside a step.
pub(super) struct Crashed {
    /// The number of disk operations in the step.
    pub(super) operations: u64,
    pub(super) tried: Tried,
}

impl<'a> Course<'a> {
    /// Starts both servers and performs some actions on them. `next` are the actions that will
    /// follow.
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

    /// Returns both servers after some actions once more: a copy of `led`, or if a copy cannot be
    /// used, new servers that perform the actions again.
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

    /// Performs a step, or several as one batch, and compares. Then simulates crashes before each
    /// disk operation inside, and after the last one.
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

    /// Performs a step in which one disk operation fails. If the node stops, the disk must be in a
    /// state that a crash may leave. If the node goes on, everything must be as if nothing had
    /// failed.
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

    /// Returns the number of disk operations that a step takes on a copy.
    pub(super) fn operations(copy: Option<&Lockstep<'a>>, action: &Action) -> Option<u64> {
        let mut copy = copy?.fork().ok()??;
        let disk = copy.disk.clone();
        let earlier = disk.operations();
        copy.act(action).ok()?;
        Some(disk.operations() - earlier)
    }
}

/// Returns whether an action reads or changes the state machine's files.
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

/// Returns whether production could get both actions from its inboxes at once, in this order:
/// reports of the disk and the state machine, messages, commands, reads, timers. Two actions of the
/// same kind are a batch only if they are messages. Several commands, for example, are one input of
/// production and several of the model.
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
