//! Simple versions of the specifications, for the oracle and the other checkers. They choose an
//! unknown version, except for `BoundedKv`, which holds a lower bound.

use raft_linearizability::{Answer, Operation, ValueAnswer, ValueOperation};

/// A sequential specification over whole values.
pub(crate) trait Plain: Clone + Default {
    type Operation: Clone;
    type Answer: Clone;

    /// Returns all states that an operation can lead to. Without an answer, the operation takes
    /// effect. Unknown versions are chosen up to `highest`.
    fn next(
        &self,
        operation: &Self::Operation,
        answer: Option<&Self::Answer>,
        highest: u64,
    ) -> Vec<Self>;

    /// Returns the highest version in an operation and its answer.
    fn version(operation: &Self::Operation, answer: Option<&Self::Answer>) -> u64;
}

/// A key of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PlainKv {
    pub(crate) value: Option<Vec<u8>>,
    /// The version of the last write.
    pub(crate) version: u64,
}

impl Plain for PlainKv {
    type Operation = Operation;
    type Answer = Answer;

    fn next(&self, operation: &Operation, answer: Option<&Answer>, highest: u64) -> Vec<PlainKv> {
        let present = self.value.is_some().then_some(self.version);
        let written = match operation {
            Operation::Get => {
                let seen = match &self.value {
                    Some(value) => {
                        Answer::Found { value: value.as_slice().into(), version: self.version }
                    }
                    None => Answer::Missing,
                };
                let right = answer.is_none_or(|answer| *answer == seen);
                return if right { vec![self.clone()] } else { Vec::new() };
            }
            Operation::Delete => {
                let seen = Answer::Deleted { existed: self.value.is_some() };
                let right = answer.is_none_or(|answer| *answer == seen);
                let gone = PlainKv { value: None, version: self.version };
                return if right { vec![gone] } else { Vec::new() };
            }
            Operation::CompareAndSet { expected, .. } if *expected != present => {
                let right = answer.is_none_or(|answer| *answer == Answer::Conflict { present });
                return if right { vec![self.clone()] } else { Vec::new() };
            }
            Operation::Put { value } | Operation::CompareAndSet { value, .. } => value.to_vec(),
            Operation::Append { suffix } => {
                [self.value.as_deref().unwrap_or_default(), suffix].concat()
            }
        };
        let length = written.len() as u64;
        let versions = match answer {
            Some(Answer::Written { version, length: told }) if *told == length => {
                *version..=*version
            }
            Some(_) => return Vec::new(),
            None => 0..=highest,
        };
        versions
            .filter(|version| *version > self.version)
            .map(|version| PlainKv { value: Some(written.clone()), version })
            .collect()
    }

    fn version(operation: &Operation, answer: Option<&Answer>) -> u64 {
        let asked = match operation {
            Operation::CompareAndSet { expected, .. } => expected.unwrap_or_default(),
            _ => 0,
        };
        let answered = match answer {
            Some(Answer::Found { version, .. } | Answer::Written { version, .. }) => *version,
            Some(Answer::Conflict { present }) => present.unwrap_or_default(),
            _ => 0,
        };
        asked.max(answered)
    }
}

/// A key without versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct PlainValue(pub(crate) Vec<u8>);

impl Plain for PlainValue {
    type Operation = ValueOperation;
    type Answer = ValueAnswer;

    fn next(
        &self,
        operation: &ValueOperation,
        answer: Option<&ValueAnswer>,
        _: u64,
    ) -> Vec<PlainValue> {
        let (next, right) = match operation {
            ValueOperation::Get => {
                let seen = ValueAnswer::Value { value: self.0.as_slice().into() };
                (self.0.clone(), seen)
            }
            ValueOperation::Put { value } => (value.to_vec(), ValueAnswer::Done),
            ValueOperation::Append { suffix } => {
                ([self.0.as_slice(), suffix].concat(), ValueAnswer::Done)
            }
        };
        if answer.is_none_or(|answer| *answer == right) {
            vec![PlainValue(next)]
        } else {
            Vec::new()
        }
    }

    fn version(_: &ValueOperation, _: Option<&ValueAnswer>) -> u64 {
        0
    }
}

/// A key of the service, for checkers that allow only one next state. For an unknown version, it
/// holds the lowest possible one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct BoundedKv {
    value: Option<Vec<u8>>,
    version: u64,
    is_lowest: bool,
}

impl BoundedKv {
    /// Returns the same key with a version that an answer showed, or `None` if the key cannot have
    /// it.
    fn with_version(&self, version: u64) -> Option<BoundedKv> {
        let fits = if self.is_lowest { self.version <= version } else { self.version == version };
        let value = self.value.clone();
        (fits && value.is_some()).then_some(BoundedKv { value, version, is_lowest: false })
    }

    fn absent(&self) -> Option<BoundedKv> {
        self.value.is_none().then(|| self.clone())
    }

    fn write(&self, value: Vec<u8>, answer: Option<&Answer>) -> Option<BoundedKv> {
        let told = value.len() as u64;
        let value = Some(value);
        match answer {
            None => Some(BoundedKv { value, version: self.version + 1, is_lowest: true }),
            Some(Answer::Written { version, length })
                if *version > self.version && *length == told =>
            {
                Some(BoundedKv { value, version: *version, is_lowest: false })
            }
            Some(_) => None,
        }
    }

    fn step(&self, operation: &Operation, answer: Option<&Answer>) -> Option<BoundedKv> {
        match (operation, answer) {
            (Operation::Get, None) => Some(self.clone()),
            (Operation::Get, Some(Answer::Found { value, version })) => {
                let right = self.value.as_deref() == Some(value);
                self.with_version(*version).filter(|_| right)
            }
            (Operation::Get, Some(_)) => self.absent(),
            (Operation::Put { value }, _) => self.write(value.to_vec(), answer),
            (Operation::Append { suffix }, _) => {
                let old = self.value.as_deref().unwrap_or_default();
                self.write([old, suffix].concat(), answer)
            }
            (Operation::CompareAndSet { expected, .. }, Some(Answer::Conflict { present })) => {
                let right = expected != present;
                let next = present.map_or_else(|| self.absent(), |seen| self.with_version(seen));
                next.filter(|_| right)
            }
            (Operation::CompareAndSet { expected, value }, _) => {
                let next = expected.map_or_else(|| self.absent(), |seen| self.with_version(seen));
                match next {
                    Some(next) => next.write(value.to_vec(), answer),
                    // Without an answer, the operation may also have had no effect.
                    None => answer.is_none().then(|| self.clone()),
                }
            }
            (Operation::Delete, _) => {
                let seen = Answer::Deleted { existed: self.value.is_some() };
                let gone = BoundedKv { value: None, is_lowest: true, ..*self };
                answer.is_none_or(|answer| *answer == seen).then_some(gone)
            }
        }
    }
}

impl Plain for BoundedKv {
    type Operation = Operation;
    type Answer = Answer;

    fn next(&self, operation: &Operation, answer: Option<&Answer>, _: u64) -> Vec<BoundedKv> {
        self.step(operation, answer).into_iter().collect()
    }

    fn version(operation: &Operation, answer: Option<&Answer>) -> u64 {
        PlainKv::version(operation, answer)
    }
}
