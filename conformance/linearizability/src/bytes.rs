//! Keys and values: bytes that are cheap to share. In JSON, they are text if they are valid UTF-8.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use itertools::Itertools;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A key or a value.
///
/// JSON has no type for bytes. Valid UTF-8 becomes a string, other bytes become `{"hex": "00ff"}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(Arc<[u8]>);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::from("")
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        Bytes(bytes.into())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes(bytes.into())
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Bytes {
        text.as_bytes().into()
    }
}

/// The greatest length that is printed in full.
const PRINTED: usize = 24;

/// Prints the bytes as ASCII text with escapes. The middle of long values is left out: values
/// usually differ at one of their ends.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len() <= PRINTED {
            return write!(f, "\"{}\"", self.escape_ascii());
        }
        let (head, tail) = (&self[..PRINTED / 2], &self[self.len() - PRINTED / 2..]);
        write!(f, "\"{}..{}\" ({} bytes)", head.escape_ascii(), tail.escape_ascii(), self.len())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Json {
    Text(String),
    Hex(Hex),
}

/// A separate struct, because only a struct can reject unknown fields.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hex {
    hex: String,
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = str::from_utf8(self) {
            return serializer.serialize_str(text);
        }
        let hex = self.iter().map(|byte| format!("{byte:02x}")).join("");
        Json::Hex(Hex { hex }).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::Text(text) => Ok(text.as_str().into()),
            Json::Hex(Hex { hex }) => decode_hex(&hex)
                .map(Bytes::from)
                .ok_or_else(|| de::Error::custom("`hex` holds pairs of hexadecimal digits")),
        }
    }
}

fn decode_hex(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    hex.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            &[high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}
