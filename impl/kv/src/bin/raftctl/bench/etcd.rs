//! Clients of etcd. Each has its own connection to the leader, like the clients of raftd.

use std::sync::{Arc, Mutex, PoisonError};

use etcd_client::{Client, ConnectOptions, Error, KvClient};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::PATIENCE;
use super::client_threads::{Done, Operation, Target, Worker, key_name};
use crate::args::BenchArgs;
use crate::failure::Failure;

/// A cluster of etcd.
#[derive(Clone)]
pub(super) struct EtcdTarget {
    servers: Vec<String>,
    leader: Arc<Mutex<String>>,
    value_size: usize,
}

impl EtcdTarget {
    pub(super) fn new(servers: &[String], args: &BenchArgs) -> Result<EtcdTarget, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::Runtime)?;
        let leader = runtime.block_on(find_leader(servers)).map_err(Failure::Connect)?;
        let leader = Arc::new(Mutex::new(leader));
        Ok(EtcdTarget { servers: servers.to_vec(), leader, value_size: args.value_size })
    }

    fn leader(&self) -> String {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn open(&self) -> Result<KvClient, String> {
        let leader = self.leader();
        Ok(connect(&leader).await.map_err(|error| short(&error))?.kv_client())
    }

    /// Looks for the leader again.
    async fn look(&self) -> Result<(), String> {
        let leader = find_leader(&self.servers).await?;
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader;
        Ok(())
    }
}

impl Target for EtcdTarget {
    type Worker = EtcdWorker;

    fn name(&self) -> String {
        format!("etcd, leader at {}", self.leader())
    }

    async fn connect(&self, number: usize) -> Result<EtcdWorker, String> {
        let mut value = vec![0; self.value_size];
        SmallRng::seed_from_u64(number as u64).fill_bytes(&mut value);
        Ok(EtcdWorker { target: self.clone(), client: Some(self.open().await?), value })
    }
}

/// A client of etcd.
pub(super) struct EtcdWorker {
    target: EtcdTarget,
    client: Option<KvClient>,
    value: Vec<u8>,
}

impl Worker for EtcdWorker {
    async fn ask(&mut self, operation: Operation) -> Result<Done, String> {
        let mut client = if let Some(client) = self.client.take() {
            client
        } else {
            self.target.look().await?;
            self.target.open().await?
        };
        let mut done = Done::default();
        match operation {
            Operation::Put(key) => {
                for byte in self.value.iter_mut().take(8) {
                    *byte = byte.wrapping_add(1);
                    if *byte != 0 {
                        break;
                    }
                }
                let put = client.put(key_name(key), self.value.clone(), None).await;
                put.map_err(|error| short(&error))?;
            }
            Operation::Get(key) => {
                // Reads are linearizable by default.
                let got = client.get(key_name(key), None).await;
                done.missing = got.map_err(|error| short(&error))?.kvs().is_empty();
            }
        }
        self.client = Some(client);
        Ok(done)
    }
}

async fn connect(server: &str) -> Result<Client, Error> {
    let options = ConnectOptions::new().with_connect_timeout(PATIENCE).with_timeout(PATIENCE);
    Client::connect([server], Some(options)).await
}

/// Asks the servers one after the other until one of them is the leader.
async fn find_leader(servers: &[String]) -> Result<String, String> {
    let mut reason = "no server leads".to_owned();
    for server in servers {
        let status = async { connect(server).await?.status().await };
        match status.await {
            Ok(status) => {
                let id = status.header().map(etcd_client::ResponseHeader::member_id);
                if status.leader() != 0 && id == Some(status.leader()) {
                    return Ok(server.clone());
                }
            }
            Err(error) => reason = format!("{server}: {}", short(&error)),
        }
    }
    Err(reason)
}

/// Returns the text of an error in a few words, so that equal errors can be counted.
fn short(error: &Error) -> String {
    match error {
        Error::GRpcStatus(status) => format!("{:?}: {}", status.code(), status.message()),
        error => error.to_string(),
    }
}
