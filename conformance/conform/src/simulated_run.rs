//! Turns a simulated run into a trace of the model, which can be replayed and shortened.

use raft_checker::cluster::snapshot_data;
use raft_core::{Entry, InstallSnapshot, Message};
use raft_trace::{Action, ApplyMode, ClusterTrace, DiskMode, Settings};

use raft_simulation::simulate::Outcome;

/// Returns the actions of a recorded run, mapped to the model. Production's snapshots are files,
/// and their contents follow from the committed entries. The model's snapshots have their contents
/// in their handles.
pub fn trace(outcome: &Outcome) -> ClusterTrace {
    let settings = Settings {
        servers: outcome.variant.servers,
        limits: outcome.limits,
        disk: DiskMode::Queued,
        apply: ApplyMode::Separate,
    };
    let what = outcome.broken.as_ref().map_or_else(
        || "a run of the simulation".to_owned(),
        |broken| format!("breaks {}", broken.property),
    );
    let actions = outcome.recorded.iter().map(|action| mapped_to_model(action, &outcome.decided));
    ClusterTrace {
        settings,
        about: format!("seed {}: {what}", outcome.variant.seed),
        actions: actions.collect(),
    }
}

fn mapped_to_model(action: &Action, decided: &[Entry]) -> Action {
    let mut action = action.clone();
    if let Action::Deliver(envelope) = &mut action
        && let Message::InstallSnapshot(InstallSnapshot { snapshot, .. }) = &mut envelope.message
    {
        let last = usize::try_from(snapshot.last_included_index.0).unwrap_or(usize::MAX);
        snapshot.handle = snapshot_data::encode(&decided[..last.min(decided.len())]);
    }
    action
}
