//! Finds a global order of the steps of all servers.
//!
//! Each server continues as long as the model allows its next record. It waits at the receipt of a
//! message that has not been sent yet in this order. A message that was sent stays sent, so a
//! server that can continue now can also continue later. Therefore it does not matter which server
//! goes first. When no server can continue, the explained records are the longest prefix that can
//! be explained at all. If every record is explained, the order of explanation is the global order.
//! It is not stored anywhere.

use std::fs;
use std::path::PathBuf;

use raft_core::Input;
use raft_trace::NodeRecord;

use super::diagnosis;
use super::explained_prefix::ExplainedPrefix;
use super::history::{Broken, History};
use super::log_reader::{Located, LogReader, ReadError};
use super::network::{Key, Network};
use super::refusal::Refusal;
use super::replica::Replica;
use super::{Options, Progress};

/// The number of records after which the progress is reported.
const TELL: u64 = 1024;

/// A cluster whose logs are being read.
#[derive(Debug)]
pub(super) struct Merge {
    /// The logs, in the order of the servers' ids, whatever the order of the files.
    pub(super) readings: Vec<ExplainedPrefix>,
    /// The servers, in the same order.
    pub(super) replicas: Vec<Replica>,
    pub(super) network: Network,
    pub(super) history: History,
    resumed: bool,
}

/// The result of an attempt to explain a server's next record.
enum Tried {
    /// The record is explained.
    Explained,
    /// The record receives a message that has not been sent yet.
    Waits(NodeRecord),
    /// The model refuses the record.
    Refused(NodeRecord, Refusal),
}

impl Merge {
    pub(super) fn open(paths: &[PathBuf], options: Options) -> Result<Merge, ReadError> {
        let mut logs = Vec::new();
        let mut voters = None;
        for path in paths {
            let mut log = LogReader::open(path)?;
            let Some(next) = log.next()? else {
                return Err(log.wrong(1, "there is no start in it"));
            };
            let NodeRecord::Start { config, .. } = &next.record else {
                return Err(log.wrong(next.line, "a log begins with a start"));
            };
            if *voters.get_or_insert_with(|| config.voters.clone()) != config.voters {
                let what = format!("{} names other voters than the logs before it", path.display());
                return Err(ReadError::Mixed { what });
            }
            logs.push((config.id, ExplainedPrefix { log, next: Some(next), refusal: None }));
        }
        logs.sort_by_key(|(id, _)| *id);
        if let Some([(id, a), (_, b)]) = logs.array_windows().find(|[(a, _), (b, _)]| a == b) {
            let (a, b) = (a.log.path().display(), b.log.path().display());
            return Err(ReadError::Mixed { what: format!("{a} and {b} are both logs of {id}") });
        }
        Ok(Merge {
            replicas: logs.iter().map(|(id, _)| Replica::new(*id)).collect(),
            readings: logs.into_iter().map(|(_, reading)| reading).collect(),
            network: Network::default(),
            history: History::new(options.resumed),
            resumed: options.resumed,
        })
    }

    /// Explains as many records as possible, and finds out why servers still wait.
    pub(super) fn run(&mut self, tell: &mut dyn FnMut(Progress)) -> Result<(), ReadError> {
        let sizes = self.readings.iter().map(|reading| fs::metadata(reading.log.path()));
        let total = sizes.filter_map(Result::ok).map(|file| file.len()).sum();
        let mut records = 0_u64;
        loop {
            let before = records;
            for place in 0..self.readings.len() {
                while self.advance(place)? {
                    records += 1;
                    if records.is_multiple_of(TELL) {
                        let bytes = self.readings.iter().map(|reading| reading.log.bytes()).sum();
                        tell(Progress { records, bytes, total });
                    }
                }
            }
            if records == before {
                break;
            }
        }
        diagnosis::diagnose(&mut self.readings, &self.replicas);
        Ok(())
    }

    /// Explains a server's next record, if that is possible. Returns whether it was.
    fn advance(&mut self, place: usize) -> Result<bool, ReadError> {
        let reading = &mut self.readings[place];
        if reading.refusal.is_some() {
            return Ok(false);
        }
        let next = match reading.next.take() {
            Some(next) => next,
            None => match reading.log.next()? {
                Some(next) => next,
                None => return Ok(false),
            },
        };
        let line = next.line;
        let (record, refusal) = match self.attempt(place, next.record) {
            Tried::Explained => return Ok(true),
            Tried::Waits(record) => (record, None),
            Tried::Refused(record, refusal) => (record, Some(refusal)),
        };
        let reading = &mut self.readings[place];
        reading.next = Some(Located { line, record });
        reading.refusal = refusal;
        Ok(false)
    }

    fn attempt(&mut self, place: usize, record: NodeRecord) -> Tried {
        if let NodeRecord::Step { seq, input: Input::Receive { from, message }, .. } = &record
            && self.replicas[place].expect(*seq).is_ok()
            && !self.network.receive(*from, self.replicas[place].id, message, Key::of(message))
        {
            return Tried::Waits(record);
        }
        match self.explain(place, &record) {
            Ok(()) => Tried::Explained,
            Err(refusal) => Tried::Refused(record, refusal),
        }
    }

    fn explain(&mut self, place: usize, record: &NodeRecord) -> Result<(), Refusal> {
        let Merge { replicas, network, history, resumed, .. } = self;
        let replica = &mut replicas[place];
        match record {
            NodeRecord::Start { config, state, applied } => {
                let first = replica.node.is_none();
                replica.start(config.clone(), state.clone(), *applied, *resumed)?;
                let refuse = |broken: Broken| broken.refuse(&replicas[place]);
                history.started(replicas, place, first).map_err(refuse)?;
                replicas[place].counts.incarnations += 1;
                Ok(())
            }
            NodeRecord::Step { seq, input, effects, after } => {
                replica.expect(*seq)?;
                let before = replica.replay(input.clone(), effects, after)?;
                let released = replica.execute(effects);
                history
                    .stepped(replicas, place, &before, effects, &released)
                    .map_err(|broken| broken.refuse(&replicas[place]))?;
                replicas[place].counts.steps += 1;
                let id = replicas[place].id;
                released.messages.into_iter().for_each(|message| network.send(id, message));
                Ok(())
            }
        }
    }
}
