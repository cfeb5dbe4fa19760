//! The trace log of one node, for `raftgate validate` and for people: see
//! [`raft_trace::NodeRecord`].

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use raft_core::{Config, Effect, Index, Input, Node, PersistentState};
use raft_trace::{NodeDigest, NodeRecord};

use crate::directory::for_the_owner_alone;
use crate::shell::Observe;

/// A file to which every step of a node is appended.
#[derive(Debug)]
pub(crate) struct NodeLog {
    out: BufWriter<File>,
    next: u64,
    failed: bool,
}

impl NodeLog {
    /// Opens or creates the file, and appends the record of a start.
    pub(crate) fn open(
        path: &Path,
        config: &Config,
        state: &PersistentState,
        applied: Index,
    ) -> io::Result<NodeLog> {
        let mut file = for_the_owner_alone().read(true).append(true).create(true).open(path)?;
        // If the process was killed, the last line may be incomplete.
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let mut log = NodeLog { out: BufWriter::new(file), next: 1, failed: false };
        if last != [b'\n'] {
            log.out.write_all(b"\n")?;
        }
        let start = NodeRecord::Start { config: config.clone(), state: state.clone(), applied };
        start.write(&mut log.out)?;
        log.out.flush()?;
        Ok(log)
    }

    /// Writes the buffered records to the file. Must be called before any effect of their steps is
    /// visible outside the node.
    pub(crate) fn flush(&mut self) {
        let flushed = self.out.flush();
        self.complain(flushed);
    }

    /// Reports the first failure to write the log. The failure does not stop the node, because the
    /// node does not depend on the trace log.
    fn complain(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !std::mem::replace(&mut self.failed, true)
        {
            tracing::error!(%error, "the trace log is incomplete from here on");
        }
    }
}

impl Observe for NodeLog {
    fn step(&mut self, input: &Input, effects: &[Effect], node: &Node) {
        let record = NodeRecord::Step {
            seq: self.next,
            input: input.clone(),
            effects: effects.to_vec(),
            after: NodeDigest::of(node),
        };
        self.next += 1;
        let written = record.write(&mut self.out);
        self.complain(written);
    }
}
