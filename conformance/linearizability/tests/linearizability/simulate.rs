//! Histories of a simulated service. An operation takes effect at some moment between its
//! invocation and its return. If the client gave up, it takes effect at any later moment, or never.

use std::collections::BTreeMap;

use raft_linearizability::{
    Answer, Bytes, Call, History, Operation, Outcome, ValueAnswer, ValueOperation,
};

/// A history of the service.
pub(crate) type KvHistory = History<Operation, Answer>;

/// A history without versions.
pub(crate) type ValueHistory = History<ValueOperation, ValueAnswer>;

/// Pseudo-random numbers that depend only on the seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("it is below a usize")
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A simulated service.
pub(crate) trait Service: Default {
    type Operation: Clone;
    type Answer: Clone;

    /// Returns an operation for a client. `seen` is the last answer about the key that the client
    /// saw. `number` is different in every call.
    fn want(seen: Option<&Self::Answer>, number: u64, random: &mut Random) -> Self::Operation;

    /// Applies an operation, and returns its answer.
    fn apply(&mut self, key: u64, operation: &Self::Operation) -> Self::Answer;
}

/// The key-value service, on a replicated log: versions are log indexes.
#[derive(Default)]
pub(crate) struct KvService {
    index: u64,
    values: BTreeMap<u64, (Vec<u8>, u64)>,
}

impl KvService {
    fn write(&mut self, key: u64, value: Vec<u8>) -> Answer {
        let length = value.len() as u64;
        self.values.insert(key, (value, self.index));
        Answer::Written { version: self.index, length }
    }
}

impl Service for KvService {
    type Operation = Operation;
    type Answer = Answer;

    fn want(seen: Option<&Answer>, number: u64, random: &mut Random) -> Operation {
        let value = Bytes::from(format!("{number}.").as_str());
        match random.below(20) {
            0..8 => Operation::Get,
            8..12 => Operation::Put { value },
            12..16 => Operation::Append { suffix: value },
            16..19 => {
                let expected = match seen {
                    Some(Answer::Found { version, .. } | Answer::Written { version, .. }) => {
                        Some(*version)
                    }
                    Some(Answer::Conflict { present }) => *present,
                    _ => None,
                };
                Operation::CompareAndSet { expected, value }
            }
            _ => Operation::Delete,
        }
    }

    fn apply(&mut self, key: u64, operation: &Operation) -> Answer {
        if let Operation::Get = operation {
            return match self.values.get(&key) {
                Some((value, version)) => {
                    Answer::Found { value: value.as_slice().into(), version: *version }
                }
                None => Answer::Missing,
            };
        }
        self.index += 1;
        match operation {
            Operation::Get => Answer::Missing,
            Operation::Put { value } => self.write(key, value.to_vec()),
            Operation::Append { suffix } => {
                let mut value = self.values.remove(&key).map_or_else(Vec::new, |(value, _)| value);
                value.extend_from_slice(suffix);
                self.write(key, value)
            }
            Operation::CompareAndSet { expected, value } => {
                let present = self.values.get(&key).map(|(_, version)| *version);
                if present == *expected {
                    self.write(key, value.to_vec())
                } else {
                    Answer::Conflict { present }
                }
            }
            Operation::Delete => Answer::Deleted { existed: self.values.remove(&key).is_some() },
        }
    }
}

/// The service without versions, in which every key exists.
#[derive(Default)]
pub(crate) struct ValueService(BTreeMap<u64, Vec<u8>>);

impl Service for ValueService {
    type Operation = ValueOperation;
    type Answer = ValueAnswer;

    fn want(_: Option<&ValueAnswer>, number: u64, random: &mut Random) -> ValueOperation {
        let value = Bytes::from(format!("{number}.").as_str());
        match random.below(10) {
            0..5 => ValueOperation::Get,
            5..7 => ValueOperation::Put { value },
            _ => ValueOperation::Append { suffix: value },
        }
    }

    fn apply(&mut self, key: u64, operation: &ValueOperation) -> ValueAnswer {
        let stored = self.0.entry(key).or_default();
        match operation {
            ValueOperation::Get => ValueAnswer::Value { value: stored.as_slice().into() },
            ValueOperation::Put { value } => {
                *stored = value.to_vec();
                ValueAnswer::Done
            }
            ValueOperation::Append { suffix } => {
                stored.extend_from_slice(suffix);
                ValueAnswer::Done
            }
        }
    }
}

/// The parameters of a simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simulation {
    pub(crate) seed: u64,
    pub(crate) clients: usize,
    pub(crate) keys: u64,
    pub(crate) operations: usize,
    /// The probability, in percent, that the client gives up at each of the two steps of a call.
    pub(crate) unknown: u64,
}

/// A call under way.
struct Flight<A> {
    call: usize,
    key: u64,
    answer: Option<A>,
}

impl Simulation {
    /// Runs the simulation, and returns its history, which is linearizable.
    pub(crate) fn run<S: Service>(&self) -> History<S::Operation, S::Answer> {
        let mut random = Random(self.seed);
        let mut service = S::default();
        let mut calls: Vec<Call<S::Operation, S::Answer>> = Vec::new();
        let mut flying: Vec<Option<Flight<S::Answer>>> = Vec::new();
        flying.resize_with(self.clients, || None);
        let mut adrift: Vec<Flight<S::Answer>> = Vec::new();
        let mut seen = BTreeMap::new();
        let mut clock = 0;
        while calls.len() < self.operations || flying.iter().any(Option::is_some) {
            clock += 1;
            if !adrift.is_empty() && random.percent(10) {
                let late = adrift.swap_remove(random.index(adrift.len()));
                if random.percent(50) {
                    service.apply(late.key, &calls[late.call].operation);
                }
            }
            let client = random.index(self.clients);
            match flying[client].take() {
                None if calls.len() < self.operations => {
                    let key = random.below(self.keys);
                    let operation = S::want(seen.get(&(client, key)), clock, &mut random);
                    flying[client] = Some(Flight { call: calls.len(), key, answer: None });
                    calls.push(Call {
                        client: client as u64,
                        key: format!("k{key}").as_str().into(),
                        operation,
                        invoked: clock,
                        outcome: Outcome::Unknown,
                    });
                }
                None => {}
                Some(flight) if random.percent(self.unknown) => {
                    adrift.extend(Some(flight).filter(|flight| flight.answer.is_none()));
                }
                Some(Flight { call, key, answer: None }) => {
                    let answer = Some(service.apply(key, &calls[call].operation));
                    flying[client] = Some(Flight { call, key, answer });
                }
                Some(Flight { call, key, answer: Some(answer) }) => {
                    seen.insert((client, key), answer.clone());
                    calls[call].outcome = Outcome::Ok { returned: clock, answer };
                }
            }
        }
        History::new(calls).expect("calls return after they are invoked")
    }
}

/// Swaps the answers of two reads of one key, if there are two that differ. Most of the resulting
/// histories are not linearizable.
pub(crate) fn swap_answers<O: Clone, A: Clone + PartialEq>(
    history: &History<O, A>,
    is_read: impl Fn(&O) -> bool,
    random: &mut Random,
) -> History<O, A> {
    let mut calls = history.calls().to_vec();
    let answer = |call: &Call<O, A>| call.answer().map(|(_, answer)| answer.clone());
    let reads: Vec<usize> = (0..calls.len())
        .filter(|index| is_read(&calls[*index].operation) && answer(&calls[*index]).is_some())
        .collect();
    if reads.is_empty() {
        return history.clone();
    }
    let one = reads[random.index(reads.len())];
    let others: Vec<usize> = reads
        .into_iter()
        .filter(|other| calls[*other].key == calls[one].key)
        .filter(|other| answer(&calls[*other]) != answer(&calls[one]))
        .collect();
    if others.is_empty() {
        return history.clone();
    }
    let other = others[random.index(others.len())];
    let (here, there) = (answer(&calls[one]), answer(&calls[other]));
    for (index, new) in [(one, there), (other, here)] {
        if let (Outcome::Ok { answer, .. }, Some(new)) = (&mut calls[index].outcome, new) {
            *answer = new;
        }
    }
    History::new(calls).expect("no time was changed")
}

/// Marks one write as not done. The answers to reads stay the same.
pub(crate) fn forget_a_write<O: Clone, A: Clone>(
    history: &History<O, A>,
    is_write: impl Fn(&O) -> bool,
    random: &mut Random,
) -> History<O, A> {
    let mut calls = history.calls().to_vec();
    let writes: Vec<usize> =
        (0..calls.len()).filter(|index| is_write(&calls[*index].operation)).collect();
    if !writes.is_empty() {
        calls[writes[random.index(writes.len())]].outcome = Outcome::NotDone;
    }
    History::new(calls).expect("no time was changed")
}
