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

/// What is replicated: a number. A command adds the number that it holds as text.
#[derive(Default)]
struct Counter {
    applied: Index,
    /// Shared with whoever reads.
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

    /// It keeps nothing on the disk: after a crash it starts at zero, and the log leads on from there.
    fn sync(&mut self) -> Result<(), StateMachineError> {
        Ok(())
    }
}

impl Counter {
    /// What is no number adds nothing, on every server alike.
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

/// Three addresses that are free at the moment.
fn free_addresses() -> std::io::Result<BTreeMap<NodeId, SocketAddr>> {
    let listeners = (1..=3).map(|id| Ok((NodeId(id), TcpListener::bind("127.0.0.1:0")?)));
    let listeners = listeners.collect::<std::io::Result<Vec<_>>>()?;
    listeners.iter().map(|(id, listener)| Ok((*id, listener.local_addr()?))).collect()
}

/// Proposes to whichever server leads, until one has committed and applied the command.
async fn add(nodes: &[RunningNode], number: u64) -> Result<String, Box<dyn Error>> {
    loop {
        for node in nodes {
            match node.handle.propose(Bytes::from(number.to_string().as_str())).await {
                Ok(answer) => return Ok(answer.to_string()),
                // Nothing was done: another server, or the same one later.
                Err(
                    ProposeError::NotLeader { .. }
                    | ProposeError::Overloaded
                    | ProposeError::Superseded,
                ) => {}
                // It may have been done. A counter must not add twice, so this is the end.
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
