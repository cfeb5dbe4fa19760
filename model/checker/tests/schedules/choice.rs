//! A schedule is a list of choices that are made without knowledge of the states. Each choice means
//! an action that is possible in the state where its turn comes, or nothing. So any part of a
//! schedule is a schedule as well.

use proptest::prelude::*;
use raft_checker::cluster::Cluster;
use raft_checker::cluster::server::{Process, Server};
use raft_core::{Bytes, Index, Limits, NodeId, ReadId, Term};
use raft_trace::{Action, ApplyMode, DiskMode, Envelope, Settings};

/// The kind of action to choose.
#[derive(Clone, Copy, Debug)]
enum Kind {
    DeliverNew,
    DeliverAny,
    Drop,
    Duplicate,
    Sync,
    Apply,
    Propose,
    Read,
    Heartbeat,
    ElectionTimeout,
    StartSnapshot,
    FinishSnapshot,
    Crash,
    Restart,
}

/// The weight of each kind. Crashes are rare, because otherwise nothing would ever be committed.
const WEIGHTS: [(u16, Kind); 14] = [
    (80, Kind::DeliverNew),
    (30, Kind::DeliverAny),
    (8, Kind::Drop),
    (6, Kind::Duplicate),
    (40, Kind::Sync),
    (20, Kind::Apply),
    (18, Kind::Propose),
    (8, Kind::Read),
    (8, Kind::Heartbeat),
    (8, Kind::ElectionTimeout),
    (3, Kind::StartSnapshot),
    (6, Kind::FinishSnapshot),
    (3, Kind::Crash),
    (6, Kind::Restart),
];

/// A choice: of a kind, of a server or message, and of the details.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    pub(crate) kind: u16,
    pub(crate) which: u16,
    pub(crate) how: u16,
}

/// The settings of a cluster, and the choices for it.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) settings: Settings,
    pub(crate) choices: Vec<Choice>,
}

impl Choice {
    /// Returns the action that this choice means now. `done` actions were done before; the number
    /// makes commands and reads unique.
    pub(crate) fn action(
        self,
        settings: &Settings,
        cluster: &Cluster,
        done: usize,
    ) -> Option<Action> {
        let message = |wanted: &dyn Fn(&Envelope) -> bool| {
            let messages = cluster.network.keys().filter(|envelope| wanted(envelope));
            self.pick(messages.cloned().collect())
        };
        let server = |wanted: &dyn Fn(&Server, &Process) -> bool| {
            let running = cluster.servers.iter().filter(|server| {
                server.process.as_ref().is_some_and(|process| wanted(server, process))
            });
            Some(self.pick(running.collect())?.id)
        };
        let leads = |_: &Server, process: &Process| process.node.is_leader();
        let arrives = |envelope: &Envelope| is_up(cluster, envelope.to);
        Some(match self.kind() {
            Kind::DeliverNew => {
                let newest = cluster.network.keys().filter(|e| arrives(e)).map(term).max()?;
                Action::Deliver(message(&|e| arrives(e) && term(e) == newest)?)
            }
            Kind::DeliverAny => Action::Deliver(message(&arrives)?),
            Kind::Drop => Action::Drop(message(&|_| true)?),
            Kind::Duplicate => Action::Duplicate(message(&|_| true)?),
            Kind::Sync => {
                let server = server(&|_, process| !process.writes.is_empty())?;
                let waiting = process(cluster, server)?.writes.len();
                Action::Sync { server, writes: 1 + self.at_most(waiting - 1) }
            }
            Kind::Apply => {
                Action::Apply { server: server(&|_, process| !process.apply_queue.is_empty())? }
            }
            Kind::Propose => {
                let command = Bytes::from(format!("c{done}").as_str());
                Action::Propose { server: server(&leads)?, command }
            }
            Kind::Read => Action::Read { server: server(&leads)?, id: ReadId(done as u64) },
            Kind::Heartbeat => Action::Heartbeat { server: server(&leads)? },
            Kind::ElectionTimeout => {
                Action::ElectionTimeout { server: server(&|_, process| !process.node.is_leader())? }
            }
            Kind::StartSnapshot => {
                let server = server(&|server, process| {
                    server.state_machine.len() as u64 > process.node.log.base().index.0
                })?;
                Action::StartSnapshot { server }
            }
            Kind::FinishSnapshot => {
                Action::FinishSnapshot { server: server(&|_, process| process.storing.is_some())? }
            }
            Kind::Crash => self.crash(settings, cluster.server(server(&|_, _| true)?)?)?,
            Kind::Restart => {
                let down = cluster.servers.iter().filter(|server| server.process.is_none());
                Action::Restart { server: self.pick(down.collect())?.id }
            }
        })
    }

    fn kind(self) -> Kind {
        let total: u16 = WEIGHTS.iter().map(|(weight, _)| weight).sum();
        let mut left = self.kind % total;
        for (weight, kind) in WEIGHTS {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        unreachable!("the rest of a division by the total is below it")
    }

    fn pick<T>(self, mut from: Vec<T>) -> Option<T> {
        let place = usize::from(self.which).checked_rem(from.len())?;
        Some(from.swap_remove(place))
    }

    fn at_most(self, limit: usize) -> usize {
        usize::from(self.how) % (limit + 1)
    }

    /// Returns a crash that keeps some of the waiting writes, and a part of the state machine that
    /// the disk then allows.
    fn crash(self, settings: &Settings, server: &Server) -> Option<Action> {
        let writes = &server.process.as_ref()?.writes;
        let writes_kept = self.at_most(writes.len());
        let mut disk = server.disk.clone();
        writes.iter().take(writes_kept).for_each(|(_, write)| disk.write(write));
        let base = disk.log.base().index;
        let applied = match settings.apply {
            ApplyMode::AtOnce => base,
            ApplyMode::Separate => base.max(Index(server.state_machine.len() as u64)),
        };
        let volatile = usize::try_from(applied.since(base)).ok()?;
        let applied_kept = base.plus(usize::from(self.how >> 4) % (volatile + 1));
        Some(Action::Crash { server: server.id, writes_kept, applied_kept })
    }
}

fn process(cluster: &Cluster, server: NodeId) -> Option<&Process> {
    cluster.server(server)?.process.as_ref()
}

fn is_up(cluster: &Cluster, server: NodeId) -> bool {
    process(cluster, server).is_some()
}

fn term(envelope: &Envelope) -> Term {
    envelope.message.term()
}

/// Generates schedules of that many choices.
pub(crate) fn schedules(choices: std::ops::Range<usize>) -> impl Strategy<Value = Schedule> {
    let choice =
        any::<(u16, u16, u16)>().prop_map(|(kind, which, how)| Choice { kind, which, how });
    (settings(), prop::collection::vec(choice, choices))
        .prop_map(|(settings, choices)| Schedule { settings, choices })
}

fn settings() -> impl Strategy<Value = Settings> {
    let limits = (1..=3usize, 1..=6usize, 1..=3usize).prop_map(|(batch, window, reads)| Limits {
        batch,
        window,
        reads,
    });
    let disk = prop::sample::select(&[DiskMode::Atomic, DiskMode::Queued][..]);
    let apply = prop::sample::select(&[ApplyMode::AtOnce, ApplyMode::Separate][..]);
    let servers = prop::sample::select(&[3, 5][..]);
    (servers, limits, disk, apply).prop_map(|(servers, limits, disk, apply)| Settings {
        servers,
        limits,
        disk,
        apply,
    })
}
