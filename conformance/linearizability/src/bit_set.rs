//! Sets of small numbers.

/// A set of numbers below some bound, one bit for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BitSet {
    words: Vec<u64>,
}

impl BitSet {
    pub(super) fn new(bound: usize) -> BitSet {
        BitSet { words: vec![0; bound.div_ceil(64)] }
    }

    pub(super) fn insert(&mut self, number: usize) {
        self.words[number / 64] |= 1 << (number % 64);
    }

    pub(super) fn remove(&mut self, number: usize) {
        self.words[number / 64] &= !(1 << (number % 64));
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        self.words[number / 64] & (1 << (number % 64)) != 0
    }

    pub(super) fn is_subset(&self, other: &BitSet) -> bool {
        self.words.iter().zip(&other.words).all(|(one, other)| one & !other == 0)
    }

    /// Returns the numbers from `start` on that are not in the set. A few missing numbers below
    /// `start` and above the bound may be included.
    pub(super) fn missing(&self, start: usize) -> impl Iterator<Item = usize> {
        let words = self.words.iter().enumerate().skip(start / 64);
        words.flat_map(|(place, word)| bits(!word).map(move |bit| place * 64 + bit))
    }

    /// Returns a compact form of the set. It is short if most low numbers are in the set and most
    /// high numbers are not.
    pub(super) fn frontier(&self) -> Frontier {
        let full = self.words.iter().take_while(|word| **word == u64::MAX).count();
        let used = self.words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        Frontier { full, rest: self.words.get(full..used).unwrap_or_default().into() }
    }
}

/// A compact form of a [`BitSet`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Frontier {
    full: usize,
    rest: Box<[u64]>,
}

fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.checked_sub(1)?;
        Some(bit as usize)
    })
}
