//! Values, reduced to the parts that reads can distinguish.
//!
//! A value matters only if a later read returns it, or returns a longer value that begins with it.
//! Two values of the same length that are not a prefix of any value that a read returned cannot be
//! distinguished. So a model does not have to store bytes: a value is either a prefix of an
//! observed value, or it is unseen. This makes states small, and many of them become equal.

use super::Bytes;

/// All values that reads returned, sorted.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    values: Vec<Bytes>,
}

/// A value, in terms of the observed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The first `length` bytes of observed value number `of`, which is the first that begins with
    /// them.
    Seen { of: usize, length: usize },
    /// No observed value begins with this value.
    Unseen { length: usize },
}

impl Content {
    pub(super) fn length(self) -> usize {
        match self {
            Content::Seen { length, .. } | Content::Unseen { length } => length,
        }
    }
}

impl Observed {
    pub(super) fn new<'a>(values: impl Iterator<Item = &'a Bytes>) -> Observed {
        // Appending starts from the empty value, so it is included even if no read returned it.
        let mut values: Vec<Bytes> = values.cloned().chain([Bytes::default()]).collect();
        values.sort_unstable();
        values.dedup();
        Observed { values }
    }

    pub(super) fn content(&self, value: &[u8]) -> Content {
        self.append(Content::Seen { of: 0, length: 0 }, value)
    }

    /// Returns the value after a suffix is appended to it.
    pub(super) fn append(&self, content: Content, suffix: &[u8]) -> Content {
        let length = content.length() + suffix.len();
        let Content::Seen { of, length: old } = content else {
            return Content::Unseen { length };
        };
        // The values that begin with the old value are adjacent, from `of` on.
        let prefix = &self.values[of][..old];
        let behind = |value: &Bytes| value.strip_prefix(prefix).map(|rest| rest < suffix);
        let of = of + self.values[of..].partition_point(|value| behind(value) == Some(true));
        match self.values.get(of).and_then(|value| value.strip_prefix(prefix)) {
            Some(rest) if rest.starts_with(suffix) => Content::Seen { of, length },
            _ => Content::Unseen { length },
        }
    }

    /// Returns the bytes of a value, if it is seen.
    pub(super) fn bytes(&self, content: Content) -> Option<&[u8]> {
        match content {
            Content::Seen { of, length } => Some(&self.values[of][..length]),
            Content::Unseen { .. } => None,
        }
    }

    pub(super) fn is(&self, content: Content, value: &[u8]) -> bool {
        self.bytes(content) == Some(value)
    }

    pub(super) fn is_prefix(&self, content: Content, value: &[u8]) -> bool {
        self.bytes(content).is_some_and(|bytes| value.starts_with(bytes))
    }

    /// Returns whether no observed value contains `suffix`, so that appending it never makes an
    /// observed value. Always `false` for the empty suffix.
    pub(super) fn never_holds(&self, suffix: &[u8]) -> bool {
        // A prefix of another value contains no additional bytes.
        let is_last = |place: &usize| {
            let next = self.values.get(place + 1);
            next.is_none_or(|next| !next.starts_with(&self.values[*place]))
        };
        !suffix.is_empty()
            && (0..self.values.len()).filter(is_last).all(|place| {
                self.values[place].windows(suffix.len()).all(|window| window != suffix)
            })
    }

    pub(super) fn longest(&self) -> usize {
        self.values.iter().map(|value| value.len()).max().unwrap_or_default()
    }

    pub(super) fn describe(&self, content: Content) -> String {
        match content {
            Content::Seen { of, length } => Bytes::from(&self.values[of][..length]).to_string(),
            Content::Unseen { length } => format!("a value of length {length} that nobody read"),
        }
    }
}
