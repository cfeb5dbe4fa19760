//! Values, as far as anybody will ever see them.
//!
//! A value matters for what it, or a value that begins with it, looks like to a later read. One
//! that is no prefix of any value that any read returned cannot be told from another such one of
//! the same length. So a model need not remember bytes: a value is a prefix of an observed one, or
//! it is unseen. States become small, and many become the same.

use super::Bytes;

/// All values that reads returned, in order.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    values: Vec<Bytes>,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The first `length` bytes of observed value number `of`, the first that begins so.
    Seen { of: usize, length: usize },
    /// No observed value begins so.
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
        // The empty value is where appending begins, observed or not.
        let mut values: Vec<Bytes> = values.cloned().chain([Bytes::default()]).collect();
        values.sort_unstable();
        values.dedup();
        Observed { values }
    }

    pub(super) fn content(&self, value: &[u8]) -> Content {
        self.append(Content::Seen { of: 0, length: 0 }, value)
    }

    /// What a value becomes when a suffix is appended to it.
    pub(super) fn append(&self, content: Content, suffix: &[u8]) -> Content {
        let length = content.length() + suffix.len();
        let Content::Seen { of, length: old } = content else {
            return Content::Unseen { length };
        };
        // The values that begin with the old one stand side by side, from `of` on.
        let prefix = &self.values[of][..old];
        let behind = |value: &Bytes| value.strip_prefix(prefix).map(|rest| rest < suffix);
        let of = of + self.values[of..].partition_point(|value| behind(value) == Some(true));
        match self.values.get(of).and_then(|value| value.strip_prefix(prefix)) {
            Some(rest) if rest.starts_with(suffix) => Content::Seen { of, length },
            _ => Content::Unseen { length },
        }
    }

    /// The bytes, of a value that is seen.
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

    /// Whether no observed value can be made by appending `suffix`.
    pub(super) fn never_holds(&self, suffix: &[u8]) -> bool {
        // A value that begins another one holds nothing more.
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
