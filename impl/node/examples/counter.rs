//! Embedding raft-node: a counter on three servers, here in one process.
//!
//! `cargo run -p raft-node --example counter`

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raft_core::{Bytes, Entry, Index, NodeId, Payload};
use raft_node::{
    Options, ProposeError, RunningNode, SnapshotView, StateMachine, StateMachineError,
};

/// The replicated state: a number. A command is a number as text, which is added to the state.
#[derive(Default)]
struct Counter {
    applied: Index,
    /// Shared with the readers.
    total: Arc<AtomicU64>,
}

impl StateMachine for Counter {
    fn applied(&self) -> Index {
        self.applied
    }

    fn apply(&mut self, first: Index, entries: &[Entry]) -> Result<Vec<Bytes>, StateMachineError> {
        self.applied = first.prev().plus(entries.len());
        Ok(entries.iter().map(|entry| self.add(entry)).collect())
    }

    fn snapshot(&self) -> Result<Box<dyn SnapshotView>, StateMachineError> {
        let total = self.total.load(Ordering::Relaxed);
        Ok(Box::new(View { index: self.applied, total }))
    }

    fn restore(&mut self, index: Index, data: &mut dyn Read) -> Result<(), StateMachineError> {
        let mut total = [0; 8];
        data.read_exact(&mut total)?;
        self.applied = index;
        self.total.store(u64::from_le_bytes(total), Ordering::Relaxed);
        Ok(())
    }

    /// Does nothing, because the state is not on a disk. After a crash the counter starts at zero,
    /// and the node restores it from the snapshot and the log.
    fn sync(&mut self) -> Result<(), StateMachineError> {
        Ok(())
    }
}

impl Counter {
    /// Adds the number of a command. A command that is not a number adds nothing, on every server.
    fn add(&self, entry: &Entry) -> Bytes {
        let Payload::Command(command) = &entry.payload else { return Bytes::empty() };
        let text = std::str::from_utf8(command.as_slice()).unwrap_or_default();
        let number = text.parse().unwrap_or(0);
        let total = self.total.fetch_add(number, Ordering::Relaxed).wrapping_add(number);
        Bytes::from(total.to_string().as_str())
    }
}

struct View {
    index: Index,
    total: u64,
}

impl SnapshotView for View {
    fn index(&self) -> Index {
        self.index
    }

    fn write_to(&self, out: &mut dyn Write) -> Result<(), StateMachineError> {
        Ok(out.write_all(&self.total.to_le_bytes())?)
    }
}

/// Returns three addresses that are free at the moment.
fn free_addresses() -> std::io::Result<BTreeMap<NodeId, SocketAddr>> {
    let listeners = (1..=3).map(|id| Ok((NodeId(id), TcpListener::bind("127.0.0.1:0")?)));
    let listeners = listeners.collect::<std::io::Result<Vec<_>>>()?;
    listeners.iter().map(|(id, listener)| Ok((*id, listener.local_addr()?))).collect()
}

/// Proposes the command to one server after the other, until the leader has committed and applied
/// it.
async fn add(nodes: &[RunningNode], number: u64) -> Result<String, Box<dyn Error>> {
    loop {
        for node in nodes {
            match node.handle.propose(Bytes::from(number.to_string().as_str())).await {
                Ok(answer) => return Ok(answer.to_string()),
                // The command was not applied. Try another server, or the same one later.
                Err(
                    ProposeError::NotLeader { .. }
                    | ProposeError::Overloaded
                    | ProposeError::Stopped
                    | ProposeError::Superseded,
                ) => {}
                // The command may have been applied. A counter must not add twice, so it is not
                // tried again.
                Err(error) => return Err(error.into()),
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let home = std::env::temp_dir().join(format!("raft-counter-{}", std::process::id()));
    let addresses = free_addresses()?;
    let voters: BTreeMap<_, _> =
        addresses.iter().map(|(id, address)| (*id, address.to_string())).collect();
    let totals: Vec<_> = (0..3).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let start = |((id, address), total): ((&NodeId, &SocketAddr), &Arc<AtomicU64>)| {
        let data = home.join(id.0.to_string());
        let options = Options::new("counter", *id, voters.clone(), *address, data);
        let machine = Counter { total: total.clone(), ..Counter::default() };
        RunningNode::start(options, Box::new(machine))
    };
    let nodes = addresses.iter().zip(&totals).map(start).collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for number in 1..=10 {
            println!("+ {number} = {}", add(&nodes, number).await?);
        }
        // A read sees every command that was answered before it began.
        for (node, total) in nodes.iter().zip(&totals) {
            if let Ok(index) = node.handle.read_barrier().await {
                println!("read at index {index}: {}", total.load(Ordering::Relaxed));
            }
        }
        for node in &nodes {
            node.handle.shutdown().await;
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    for node in nodes {
        node.join()?;
    }
    Ok(std::fs::remove_dir_all(home)?)
}
