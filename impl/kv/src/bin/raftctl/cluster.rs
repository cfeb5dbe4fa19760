//! The servers to ask, and the statuses that they return.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use raft_kv::api::{Replication, Status};
use raft_kv::client::{Address, Client, Error, Options, Tls};
use tokio::task::JoinSet;

use crate::args::{ClusterArgs, SessionArgs};
use crate::failure::Failure;

/// The addresses at which `raftd dev` serves clients.
const DEV: [&str; 3] = ["http://127.0.0.1:7101", "http://127.0.0.1:7102", "http://127.0.0.1:7103"];

/// The environment variable with the servers, for a command line without `--servers`.
const VARIABLE: &str = "RAFTCTL_SERVERS";

/// The servers to ask.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Address>,
    pub(crate) options: Options,
}

impl Cluster {
    pub(crate) fn new(args: ClusterArgs) -> Result<Cluster, Failure> {
        let servers = match args.servers {
            Some(servers) => servers,
            None => servers_by_default()?,
        };
        let identity = args.client_cert.as_deref().zip(args.client_key.as_deref());
        let tls = args.ca.as_deref().map(|ca| Tls::read(ca, identity)).transpose()?;
        let deadline = args.timeout.unwrap_or(Duration::from_secs(10));
        let request_timeout = deadline.min(Duration::from_secs(5));
        let options = Options { request_timeout, deadline, tls };
        Client::new(servers.clone(), options.clone())?;
        Ok(Cluster { servers, options })
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.servers.clone(), self.options.clone())?)
    }

    /// Returns a client for a write. If a session is opened first, the write has the rest of the
    /// timeout.
    pub(crate) async fn writer(&self, args: &SessionArgs) -> Result<Client, Failure> {
        let began = Instant::now();
        let mut client = self.client()?;
        if args.session {
            client.open_session().await?;
            client.set_deadline(rest(self.options.deadline, began));
        }
        Ok(client)
    }

    /// Returns a client of one server only.
    pub(crate) fn client_of(&self, server: &Address) -> Result<Client, Failure> {
        Ok(Client::new(vec![server.clone()], self.options.clone())?)
    }

    /// Asks all servers, including those that only other servers list. Takes at most twice
    /// `patience`, and not longer than the timeout.
    pub(crate) async fn survey(&self, patience: Duration) -> Vec<Seen> {
        let mut observer = Observer::new(self, patience.min(self.options.deadline / 2));
        let mut seen = observer.look().await;
        if observer.add_members(&seen) {
            seen = observer.look().await;
        }
        seen
    }
}

/// Returns the rest of a time. The result is never zero, because a deadline of zero means one
/// attempt without a deadline.
pub(crate) fn rest(time: Duration, since: Instant) -> Duration {
    time.saturating_sub(since.elapsed()).max(Duration::from_millis(1))
}

impl ClusterArgs {
    /// Refuses options about servers in a mode in which no server is asked.
    pub(crate) fn refuse_without_effect(&self, mode: &'static str) -> Result<(), Failure> {
        let given = [
            ("--servers", self.servers.is_some()),
            ("--ca", self.ca.is_some()),
            ("--client-cert", self.client_cert.is_some()),
            ("--timeout", self.timeout.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(Failure::NoEffect { option, mode }),
            None => Ok(()),
        }
    }
}

fn servers_by_default() -> Result<Vec<Address>, Failure> {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    let text = if text.trim().is_empty() { DEV.join(",") } else { text };
    text.split(',').map(|server| server.parse().map_err(Failure::Variable)).collect()
}

/// The answer of one server.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) address: Address,
    /// The id of the server, from its own answer or from that of another server.
    pub(crate) id: Option<u64>,
    pub(crate) status: Result<Status, Error>,
}

impl Seen {
    /// Returns a name such as `n1`, or the address if the server's id is not known.
    pub(crate) fn name(&self) -> String {
        self.id.map_or_else(|| self.address.to_string(), |id| format!("n{id}"))
    }

    pub(crate) fn role(&self) -> &str {
        self.status.as_ref().map_or("unreachable", |status| &status.role)
    }
}

/// An observer that asks servers repeatedly, on connections that it keeps open.
pub(crate) struct Observer {
    clients: Vec<(Address, Client)>,
    options: Options,
}

impl Observer {
    pub(crate) fn new(cluster: &Cluster, patience: Duration) -> Observer {
        let request_timeout = patience.min(cluster.options.request_timeout);
        let tls = cluster.options.tls.clone();
        // There is only one attempt, because the observer must show that a server is unreachable.
        let options = Options { request_timeout, deadline: Duration::ZERO, tls };
        let mut observer = Observer { clients: Vec::new(), options };
        for server in &cluster.servers {
            observer.add(server.clone());
        }
        observer
    }

    fn add(&mut self, server: Address) {
        if self.clients.iter().all(|(known, _)| *known != server)
            && let Ok(client) = Client::new(vec![server.clone()], self.options.clone())
        {
            self.clients.push((server, client));
        }
    }

    /// Adds the servers that did not answer, but that other servers list. Returns whether any
    /// server was added.
    pub(crate) fn add_members(&mut self, seen: &[Seen]) -> bool {
        let before = self.clients.len();
        let answered: Vec<u64> = statuses(seen).map(|status| status.id).collect();
        for (status, address) in
            seen.iter().filter_map(|s| Some((s.status.as_ref().ok()?, &s.address)))
        {
            let others = status.members.iter().filter(|member| !answered.contains(&member.id));
            for member in others {
                if let Some(server) = as_address(&member.client_address, address) {
                    self.add(server);
                }
            }
        }
        self.clients.len() > before
    }

    /// Asks all servers at the same time.
    pub(crate) async fn look(&mut self) -> Vec<Seen> {
        let mut asking = JoinSet::new();
        for (place, (address, mut client)) in self.clients.drain(..).enumerate() {
            asking.spawn(async move {
                let status = client.status().await;
                (place, address, client, status)
            });
        }
        let mut answers = asking.join_all().await;
        answers.sort_by_key(|(place, ..)| *place);
        let mut seen = Vec::new();
        for (_, address, client, status) in answers {
            self.clients.push((address.clone(), client));
            let id = status.as_ref().ok().map(|status| status.id);
            seen.push(Seen { address, id, status });
        }
        name_the_silent(&mut seen);
        seen.sort_by_key(|server| (server.id.is_none(), server.id));
        seen
    }
}

/// Sets the ids of servers that did not answer, from the answers of the others.
fn name_the_silent(seen: &mut [Seen]) {
    let named = |address: &Address| {
        let members = statuses(seen).flat_map(|status| &status.members);
        let mut ids = members.filter_map(|member| {
            let same = as_address(&member.client_address, address).as_ref() == Some(address);
            same.then_some(member.id)
        });
        ids.next()
    };
    let ids: Vec<_> = seen.iter().map(|s| s.id.or_else(|| named(&s.address))).collect();
    for (server, id) in seen.iter_mut().zip(ids) {
        server.id = id;
    }
}

/// Parses an address that a server lists. If it has no scheme, it gets the scheme of `like`, the
/// address at which that server was reached.
fn as_address(text: &str, like: &Address) -> Option<Address> {
    let scheme = if like.is_secure() { "https" } else { "http" };
    let whole = if text.contains("://") { text.to_owned() } else { format!("{scheme}://{text}") };
    whole.parse().ok()
}

/// Returns the statuses of the servers that answered.
pub(crate) fn statuses(seen: &[Seen]) -> impl Iterator<Item = &Status> {
    seen.iter().filter_map(|server| server.status.as_ref().ok())
}

/// A leader, and the number of servers that agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) leader: u64,
    pub(crate) term: u64,
    pub(crate) agreeing: usize,
    pub(crate) servers: usize,
}

impl Agreement {
    /// Returns the leader of the latest term, and the number of servers that agree on it.
    pub(crate) fn of(seen: &[Seen]) -> Option<Agreement> {
        let leaders = statuses(seen).filter(|status| status.role == "leader");
        let leader = leaders.max_by_key(|status| status.term)?;
        let agrees = |status: &&Status| {
            status.members.iter().any(|member| member.id == leader.id)
                && status.term == leader.term
                && (status.id == leader.id || status.leader == Some(leader.id))
        };
        let mut ids: Vec<u64> = statuses(seen).filter(agrees).map(|status| status.id).collect();
        ids.sort_unstable();
        ids.dedup();
        Some(Agreement {
            leader: leader.id,
            term: leader.term,
            agreeing: ids.len(),
            servers: leader.members.len(),
        })
    }

    pub(crate) fn is_majority(&self) -> bool {
        self.agreeing > self.servers / 2
    }
}

impl Agreement {
    /// Returns the status of the leader.
    pub(crate) fn leader_of<'s>(&self, seen: &'s [Seen]) -> Option<&'s Status> {
        statuses(seen).find(|status| status.id == self.leader)
    }
}

/// A server that another server refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) server: u64,
    pub(crate) by: u64,
    pub(crate) reason: String,
}

/// Returns the refusals between servers, each once, according to the servers that answered.
pub(crate) fn refusals(seen: &[Seen]) -> Vec<Refused> {
    let mut found: Vec<Refused> = Vec::new();
    for status in statuses(seen) {
        for member in &status.members {
            let here = member.refused.clone().map(|reason| (member.id, status.id, reason));
            let there = member.refuses.clone().map(|reason| (status.id, member.id, reason));
            for (server, by, reason) in here.into_iter().chain(there) {
                if found.iter().all(|known| (known.server, known.by) != (server, by)) {
                    found.push(Refused { server, by, reason });
                }
            }
        }
    }
    found.sort_by_key(|refused| (refused.server, refused.by));
    found
}

/// Returns the members that reduce the redundancy, with a word about each: the members that the
/// leader does not report as current, the members that refuse the leader, and the members that are
/// refused by a server outside this list. If a server in this list refuses another member, that
/// does not count.
pub(crate) fn deficient(seen: &[Seen], leader: &Status) -> BTreeMap<u64, &'static str> {
    let others = leader.members.iter().filter(|member| member.id != leader.id);
    let mut found: BTreeMap<u64, &'static str> = others
        .filter(|member| member.replication != Some(Replication::Current))
        .map(|member| (member.id, word(member.replication)))
        .collect();
    let (leaders, others): (Vec<_>, Vec<_>) =
        refusals(seen).into_iter().partition(|refused| refused.server == leader.id);
    for refused in leaders {
        found.entry(refused.by).or_insert("refusing the leader");
    }
    for refused in others {
        if !found.contains_key(&refused.by) {
            found.insert(refused.server, "refused");
        }
    }
    found
}

/// Returns the state of a replication as a word for people.
pub(crate) fn word(replication: Option<Replication>) -> &'static str {
    match replication {
        Some(Replication::Current) => "current",
        Some(Replication::Behind) => "behind",
        Some(Replication::Silent) => "silent",
        Some(Replication::Snapshot) => "being sent a snapshot",
        Some(Replication::Refused) => "refused",
        None => "unknown",
    }
}

/// Returns the servers with a word about each, such as `n2 is silent, n3 is refused`.
pub(crate) fn in_words(deficient: &BTreeMap<u64, &'static str>) -> String {
    let words: Vec<_> = deficient.iter().map(|(id, word)| format!("n{id} is {word}")).collect();
    words.join(", ")
}

/// Returns the answer of the leader on which a majority agrees.
pub(crate) fn leader(seen: &[Seen]) -> Option<&Seen> {
    let agreement = Agreement::of(seen).filter(Agreement::is_majority)?;
    seen.iter().find(|server| server.status.is_ok() && server.id == Some(agreement.leader))
}
