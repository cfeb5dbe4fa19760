//! Clients that send requests, and record the requests and their answers.
//!
//! Every fourth client has no session. Clients with a session retry until they know the outcome.
//! The other clients often do not learn the outcome. A request that the service reports as not done
//! is recorded as such, and its effect must not be visible.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raft_kv::api::Outcome;
use raft_kv::client::{Client, Error, Expected, Found, Swapped};
use raft_linearizability::{Answer, Bytes, History, Operation, Recorder};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::cluster::Cluster;

const CLIENTS: u64 = 6;
/// The number of clients that only read. They have the lowest numbers. Such a client stays with a
/// server that serves old values.
const READERS: u64 = 2;
const KEYS: u64 = 4;

/// The shortest time between two calls of a client. It limits the size of the history, and nothing
/// else depends on it.
const PACE: Duration = Duration::from_millis(4);

/// A history of the service.
pub(crate) type KvHistory = History<Operation, Answer>;

/// Clients that send requests until they are told to stop.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Option<Arc<Shared>>,
    tasks: Vec<JoinHandle<Result<(), Error>>>,
    runtime: Handle,
    /// The file to which the history is written.
    path: PathBuf,
}

#[derive(Debug, Default)]
struct Shared {
    recorder: Recorder<Operation, Answer>,
    stop: AtomicBool,
    /// The number of calls that were answered.
    answered: watch::Sender<u64>,
}

/// The large values that an additional client writes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ballast {
    /// The number of additional keys, which are only put.
    pub(crate) keys: u64,
    /// The length of their values.
    pub(crate) bytes: usize,
    /// The number of puts, over all these keys.
    pub(crate) puts: u64,
}

impl Load {
    /// Starts the clients.
    pub(crate) fn start(cluster: &Cluster, seed: u64) -> Load {
        Load::with_ballast(cluster, seed, Ballast::default())
    }

    /// Starts the clients, and one more client that writes large values.
    pub(crate) fn with_ballast(cluster: &Cluster, seed: u64, ballast: Ballast) -> Load {
        let shared = Arc::new(Shared::default());
        let worker = |number: u64| {
            let worker = Worker {
                number,
                wants_session: number % 4 != 3,
                client: cluster.client(number),
                shared: shared.clone(),
                random: SmallRng::seed_from_u64(seed.wrapping_mul(100) + number),
                seen: HashMap::new(),
                calls: 0,
                ballast: if number == CLIENTS { ballast } else { Ballast::default() },
            };
            cluster.runtime.spawn(worker.work())
        };
        let clients = CLIENTS + u64::from(ballast.keys > 0);
        Load {
            tasks: (0..clients).map(worker).collect(),
            shared: Some(shared),
            runtime: cluster.runtime.handle().clone(),
            path: cluster.directory().join("history.jsonl"),
        }
    }

    /// Returns the number of calls that were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| *shared.answered.borrow())
    }

    /// Waits until `more` further calls are answered.
    pub(crate) fn wait_for(&self, cluster: &mut Cluster, more: u64) {
        let goal = self.answered() + more;
        cluster.wait_for("clients to be answered", |_| (self.answered() >= goal).then_some(()));
    }

    /// Waits until `more` further calls are answered, but no longer than `longest`.
    pub(crate) fn wait_for_at_most(&self, more: u64, longest: Duration) {
        let Some(shared) = &self.shared else { return };
        let goal = self.answered() + more;
        let mut answered = shared.answered.subscribe();
        self.runtime.block_on(async {
            let enough = answered.wait_for(|answered| *answered >= goal);
            drop(timeout(longest, enough).await);
        });
    }

    /// Stops the clients and returns their history. The history is also written to a file.
    pub(crate) fn finish(mut self) -> KvHistory {
        self.end().expect("it has not ended")
    }

    fn end(&mut self) -> Option<KvHistory> {
        let shared = self.shared.take()?;
        shared.stop.store(true, Ordering::Relaxed);
        let ends: Vec<_> = self.tasks.drain(..).map(|task| self.runtime.block_on(task)).collect();
        let shared = Arc::into_inner(shared).expect("no client is left");
        let history = shared.recorder.into_history();
        write(&history, &self.path);
        // After a panic of the test, errors of clients are not reported.
        if !std::thread::panicking() {
            for (number, end) in ends.into_iter().enumerate() {
                let end = end.expect("clients do not panic");
                end.unwrap_or_else(|error| panic!("client {number}: {error}"));
            }
        }
        Some(history)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

fn write(history: &KvHistory, path: &Path) {
    let written = File::create(path).and_then(|file| history.write(BufWriter::new(file)));
    if let Err(error) = written {
        eprintln!("{} cannot be written: {error}", path.display());
    }
}

struct Worker {
    number: u64,
    wants_session: bool,
    client: Client,
    shared: Arc<Shared>,
    random: SmallRng,
    /// The version of each key in the last answer that this client got about it.
    seen: HashMap<String, Option<u64>>,
    calls: u64,
    ballast: Ballast,
}

impl Worker {
    /// Sends requests until it is told to stop, or until the service gives an answer that it must
    /// not give.
    async fn work(mut self) -> Result<(), Error> {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_done() {
            pace.tick().await;
            if self.wants_session && self.client.session().is_none() {
                match self.client.open_session().await {
                    Ok(_) | Err(Error::Unavailable { .. }) => continue,
                    Err(error) => return Err(error),
                }
            }
            let (key, operation) = self.pick();
            let ticket =
                self.shared.recorder.invoke(self.number, key.as_str().into(), operation.clone());
            match ask(&mut self.client, &key, &operation).await {
                Ok(answer) => {
                    self.seen.insert(key, version(&answer));
                    self.shared.recorder.returned(ticket, answer);
                    self.shared.answered.send_modify(|answered| *answered += 1);
                }
                Err(error @ (Error::Unavailable { .. } | Error::Unknown { .. })) => {
                    if error.outcome() == Outcome::NotDone {
                        self.shared.recorder.not_done(ticket);
                    }
                }
                // The service refuses a correct request, or has lost the session.
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let has_put = self.ballast.keys > 0 && self.calls == self.ballast.puts;
        has_put || self.shared.stop.load(Ordering::Relaxed)
    }

    /// Returns the next request. Each value is unique.
    fn pick(&mut self) -> (String, Operation) {
        self.calls += 1;
        let value = format!("{}.{},", self.number, self.calls);
        if self.ballast.keys > 0 {
            let key = format!("ballast/{}", self.calls % self.ballast.keys);
            let mut value = value.into_bytes();
            value.resize(self.ballast.bytes, b'.');
            return (key, Operation::Put { value: value.into() });
        }
        let key = format!("k{}", self.random.random_range(0..KEYS));
        let value: Bytes = value.as_str().into();
        let operation = match self.random.random_range(0..100) {
            _ if self.number < READERS => Operation::Get,
            0..30 => Operation::Get,
            30..45 => Operation::Put { value },
            45..70 => Operation::Append { suffix: value },
            70..90 => {
                let expected = self.seen.get(&key).copied().flatten();
                Operation::CompareAndSet { expected, value }
            }
            _ => Operation::Delete,
        };
        (key, operation)
    }
}

/// Returns the version of the key after an answer, if the answer contains it.
fn version(answer: &Answer) -> Option<u64> {
    match answer {
        Answer::Found { version, .. } | Answer::Written { version, .. } => Some(*version),
        Answer::Conflict { present } => *present,
        Answer::Missing | Answer::Deleted { .. } => None,
    }
}

async fn ask(client: &mut Client, key: &str, operation: &Operation) -> Result<Answer, Error> {
    let key = key.as_bytes();
    let written = |written: raft_kv::api::Written| Answer::Written {
        version: written.version,
        length: written.length,
    };
    Ok(match operation {
        Operation::Get => client.get(key).await?.map_or(Answer::Missing, |found| {
            let Found { value, version } = found;
            Answer::Found { value: value.to_vec().into(), version }
        }),
        Operation::Put { value } => written(client.put(key, value.to_vec()).await?),
        Operation::Append { suffix } => written(client.append(key, suffix.to_vec()).await?),
        Operation::CompareAndSet { expected, value } => {
            let expected = expected.map_or(Expected::Absent, Expected::Version);
            match client.compare_and_set(key, expected, value.to_vec()).await? {
                Swapped::Written(answer) => written(answer),
                Swapped::Conflict { present } => Answer::Conflict { present },
            }
        }
        Operation::Delete => Answer::Deleted { existed: client.delete(key).await?.existed },
    })
}
