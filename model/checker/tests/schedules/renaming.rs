//! Nothing depends on the names of the servers. A server acts alike under any other name, and its
//! messages go to the servers with the other names. Symmetry reduction relies on this law.

use quickcheck::{Arbitrary, Gen, QuickCheck};
use raft_checker::cluster::Cluster;
use raft_checker::cluster::rename::Renaming;
use raft_checker::cluster::server::Server;
use raft_core::{Limits, Paper};
use raft_trace::{Action, ApplyMode, DiskMode, Envelope, Settings};

use super::choice::{Choice, Schedule};

impl Arbitrary for Schedule {
    fn arbitrary(g: &mut Gen) -> Schedule {
        let mut up_to = |limit: usize| 1 + usize::arbitrary(g) % limit;
        let limits = Limits { batch: up_to(3), window: up_to(6), reads: up_to(3) };
        let settings = Settings {
            servers: *g.choose(&[3, 5]).expect("two numbers"),
            limits,
            disk: *g.choose(&[DiskMode::Atomic, DiskMode::Queued]).expect("two modes"),
            apply: *g.choose(&[ApplyMode::AtOnce, ApplyMode::Separate]).expect("two modes"),
        };
        Schedule { settings, choices: Vec::arbitrary(g) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Schedule>> {
        let settings = self.settings.clone();
        let shorter = move |choices| Schedule { settings: settings.clone(), choices };
        Box::new(self.choices.shrink().map(shorter))
    }
}

impl Arbitrary for Choice {
    fn arbitrary(g: &mut Gen) -> Choice {
        let (kind, which, how) = Arbitrary::arbitrary(g);
        Choice { kind, which, how }
    }
}

#[test]
fn a_server_acts_alike_under_every_name() {
    fn law(schedule: Schedule) -> bool {
        let Schedule { settings, choices } = schedule;
        let renamings = Renaming::all(settings.servers);
        let mut cluster = Cluster::boot(&settings, &Paper);
        choices.into_iter().enumerate().all(|(number, choice)| {
            let Some(action) = choice.action(&settings, &cluster, number) else {
                return true;
            };
            let before = action.server().and_then(|id| cluster.server(id)).cloned();
            let possible = cluster.act(&settings, &Paper, &action).is_ok();
            before.is_none_or(|before| {
                let alike = |renaming| acts_alike(&settings, &before, &action, renaming);
                !possible || renamings.iter().all(alike)
            })
        })
    }
    QuickCheck::new().rng(Gen::new(400)).tests(40).quickcheck(law as fn(Schedule) -> bool);
}

/// Returns whether acting and then renaming is the same as renaming and then acting.
fn acts_alike(settings: &Settings, before: &Server, action: &Action, renaming: &Renaming) -> bool {
    let mut acted = before.clone();
    let mut renamed = renaming.server(before);
    let seen = acted.act(settings, &Paper, action).expect("it was possible");
    let Ok(seen_renamed) = renamed.act(settings, &Paper, &renaming.action(action)) else {
        return false;
    };
    let sent = seen.reaction.sent.iter().map(|envelope| renaming.envelope(envelope));
    sorted(sent) == sorted(seen_renamed.reaction.sent)
        && as_set(&renamed, settings) == renaming.server(&acted)
        && (seen.reaction.facts, seen.broken, seen.witnessed)
            == (seen_renamed.reaction.facts, seen_renamed.broken, seen_renamed.witnessed)
}

/// Returns the server with its waiting messages in the order in which a renaming puts them. Their
/// order means nothing.
fn as_set(server: &Server, settings: &Settings) -> Server {
    let unchanged = &Renaming::all(settings.servers)[0];
    unchanged.server(server)
}

/// Sorts messages. The order in which they leave means nothing: the network is a multiset.
fn sorted(envelopes: impl IntoIterator<Item = Envelope>) -> Vec<Envelope> {
    let mut envelopes: Vec<Envelope> = envelopes.into_iter().collect();
    envelopes.sort();
    envelopes
}
