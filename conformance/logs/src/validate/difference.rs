//! Finds the first difference between two values.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// The number of characters of a value that are shown.
const SHOWN: usize = 60;

/// The first place at which the log differs from the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The path of the field, from the outside in: `after.commit`, `effects[1].send.to`.
    pub field: String,
    /// The value in the model.
    pub model: String,
    /// The value in the log.
    pub log: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { field, model, log } = self;
        write!(f, "{field}: {model} in the model, {log} in the log")
    }
}

/// Returns the first difference between two values of one type, if there is one.
pub(super) fn first_difference<T: Serialize>(name: &str, model: &T, log: &T) -> Option<Difference> {
    let value = |of: &T| serde_json::to_value(of).unwrap_or(Value::Null);
    descend(name.to_owned(), Some(&value(model)), Some(&value(log)))
}

fn descend(field: String, model: Option<&Value>, log: Option<&Value>) -> Option<Difference> {
    if model == log {
        return None;
    }
    match (model, log) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => a
            .keys()
            .chain(b.keys())
            .find_map(|key| descend(format!("{field}.{key}"), a.get(key), b.get(key))),
        (Some(Value::Array(a)), Some(Value::Array(b))) => (0..a.len().max(b.len()))
            .find_map(|place| descend(format!("{field}[{place}]"), a.get(place), b.get(place))),
        _ => Some(Difference { field, model: show(model), log: show(log) }),
    }
}

fn show(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}
