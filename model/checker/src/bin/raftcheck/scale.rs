//! Explorations with checkpoints, and with other processes.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use raft_checker::any_network::{Checkpoints, Hosts, Scale, Start};
use raft_checker::config::{BoundedConfig, Network};

use crate::args::ScaleArgs;
use crate::failure::{Failure, read, refuse_without_effect};

/// The time between two checkpoints, if the user gives none.
const EVERY: Duration = Duration::from_mins(10);

/// Returns the scale that the arguments ask for; none if they ask for nothing.
pub(crate) fn scale(
    args: &ScaleArgs,
    configs: &[BoundedConfig],
    network: Option<Network>,
) -> Result<Option<Scale>, Failure> {
    let ScaleArgs { checkpoint, resume, checkpoint_every, disk_limit, hosts, process, .. } = args;
    let folder = resume.as_ref().or(checkpoint.as_ref());
    let without = "without --checkpoint or --resume";
    let no_folder = folder.is_none();
    refuse_without_effect(no_folder && checkpoint_every.is_some(), "--checkpoint-every", without)?;
    refuse_without_effect(no_folder && disk_limit.is_some(), "--disk-limit", without)?;
    if no_folder && hosts.is_none() {
        return Ok(None);
    }
    let is_any = |config: &BoundedConfig| network.unwrap_or(config.network) == Network::Any;
    if !matches!(configs, [config] if is_any(config)) {
        let option = match (resume, checkpoint) {
            (Some(_), _) => "--resume",
            (_, Some(_)) => "--checkpoint",
            _ => "--hosts",
        };
        return Err(Failure::NotForAll { option });
    }
    let checkpoints = folder.map(|folder| Checkpoints {
        folder: folder.clone(),
        every: checkpoint_every.unwrap_or(EVERY),
        limit: disk_limit.map(|limit| limit.as_u64()),
        start: match resume {
            Some(_) => Start::Checkpoint,
            None if args.or_resume => Start::Either,
            None => Start::Beginning,
        },
    });
    let hosts = hosts.as_ref().map(|path| {
        let text = read(path)?;
        let addresses = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let addresses = addresses.map(str::to_owned).collect();
        Hosts::new(addresses, process.unwrap_or_default())
            .map_err(|source| Failure::Hosts { path: path.clone(), source })
    });
    Ok(Some(Scale { identity: program()?, hosts: hosts.transpose()?, checkpoints }))
}

/// Returns a hash of this program. Another program may explore other states.
fn program() -> Result<u64, Failure> {
    let path = std::env::current_exe().unwrap_or_else(|_| "raftcheck".into());
    let program = std::fs::read(&path).map_err(|source| Failure::Read { path, source })?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&program);
    Ok(hasher.finish())
}
