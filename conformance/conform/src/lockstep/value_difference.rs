//! The parts in which two values differ, each with its place.

use super::parsed_debug::Value;

/// A part in which two values differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The place of the part in the value: names of fields, numbers and keys from outside in, as in
    /// `log[3].term`; empty if the values differ as a whole. The entries of a log are numbered by
    /// their indexes, the items of other lists from 0.
    pub path: String,
    /// The part in the model; `None` if the model lacks it.
    pub model: Option<String>,
    /// The part in the production node; `None` if the node lacks it.
    pub node: Option<String>,
}

/// Returns the parts in which two values differ, from left to right.
pub(super) fn differences(model: &Value, node: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", model, node, &mut found);
    found
}

fn compare(path: &str, model: &Value, node: &Value, found: &mut Vec<Difference>) {
    if model == node {
        return;
    }
    if let (Some(model), Some(node)) = (log_by_index(model), log_by_index(node)) {
        return compare(path, &model, &node, found);
    }
    match (model, node) {
        (Value::Struct(name, model), Value::Struct(other, node)) if name == other => {
            compare_parts(model, node, |field| join(path, field), found);
        }
        (Value::Tuple(name, model), Value::Tuple(other, node))
            if name == other && model.len() == node.len() =>
        {
            let only = model.len() == 1;
            for (number, (model, node)) in model.iter().zip(node).enumerate() {
                let path = if only { path.to_owned() } else { format!("{path}[{number}]") };
                compare(&path, model, node, found);
            }
        }
        (Value::List(model), Value::List(node)) => {
            let number = |values: &[Value]| values.iter().cloned().enumerate().collect::<Vec<_>>();
            compare_parts(&number(model), &number(node), |at| format!("{path}[{at}]"), found);
        }
        (Value::Map(model), Value::Map(node)) => {
            compare_parts(model, node, |key| format!("{path}[{}]", key.bare()), found);
        }
        (Value::Set(model), Value::Set(node)) => {
            let missing = |here: &[Value], there: &[Value]| {
                let values = here.iter().filter(|value| !there.contains(value)).cloned();
                Value::Set(values.collect()).to_string()
            };
            let (model, node) = (missing(model, node), missing(node, model));
            found.push(Difference {
                path: path.to_owned(),
                model: Some(model).filter(|text| text != "{}"),
                node: Some(node).filter(|text| text != "{}"),
            });
        }
        _ => found.push(Difference {
            path: path.to_owned(),
            model: Some(model.to_string()),
            node: Some(node.to_string()),
        }),
    }
}

/// Compares parts that have the same name, and adds the parts that one side lacks.
fn compare_parts<K: PartialEq>(
    model: &[(K, Value)],
    node: &[(K, Value)],
    place: impl Fn(&K) -> String,
    found: &mut Vec<Difference>,
) {
    let named = |parts: &'_ [(K, Value)], name: &K| {
        parts.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    };
    for (name, value) in model {
        match named(node, name) {
            Some(other) => compare(&place(name), value, &other, found),
            None => found.push(Difference {
                path: place(name),
                model: Some(value.to_string()),
                node: None,
            }),
        }
    }
    for (name, value) in node {
        if named(model, name).is_none() {
            found.push(Difference {
                path: place(name),
                model: None,
                node: Some(value.to_string()),
            });
        }
    }
}

/// Joins the path of a value and the path of a part inside it.
pub(super) fn join(path: &str, part: &str) -> String {
    let dot = if path.is_empty() || part.is_empty() || part.starts_with('[') { "" } else { "." };
    format!("{path}{dot}{part}")
}

/// Returns a log with its entries as separate parts, named by their indexes; `None` if the value is
/// not a log.
fn log_by_index(value: &Value) -> Option<Value> {
    let Value::Struct(name, fields) = value else { return None };
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
    let (snapshot, Value::List(entries)) = (field("snapshot")?, field("entries")?) else {
        return None;
    };
    let Value::Struct(_, position) = snapshot else { return None };
    let (_, base) = position.iter().find(|(field, _)| field == "last_included_index")?;
    let Value::Leaf(base) = base.bare() else { return None };
    let first = base.parse::<u64>().ok()?.checked_add(1)?;
    let entries = (first..).zip(entries).map(|(index, entry)| (format!("[{index}]"), entry));
    let parts = std::iter::once(("snapshot".to_owned(), snapshot)).chain(entries);
    Some(Value::Struct(name.clone(), parts.map(|(name, value)| (name, value.clone())).collect()))
}

#[cfg(test)]
mod tests {
    use raft_core::{Entry, Index, Log, Payload, PersistentState, Snapshot, Term};

    use super::*;

    fn found(model: &str, node: &str) -> Vec<String> {
        let differences = differences(&Value::parse(model), &Value::parse(node));
        let text = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
        let lines = differences.into_iter().map(|Difference { path, model, node }| {
            format!("{path}: {} | {}", text(model), text(node))
        });
        lines.collect()
    }

    #[test]
    fn every_part_that_differs_is_found_and_no_other() {
        let model = "Leader(L { followers: {NodeId(2): P { next: Index(3), sent: 1 }}, round: 0 })";
        let node = "Leader(L { followers: {NodeId(2): P { next: Index(4), sent: 1 }}, round: 7 })";
        assert_eq!(found(model, node), ["followers[2].next: 3 | 4", "round: 0 | 7"]);
        assert_eq!(found(model, model), Vec::<String>::new());
    }

    #[test]
    fn what_one_side_lacks_is_named() {
        assert_eq!(found("[1, 2]", "[1]"), ["[1]: 2 | nothing"]);
        assert_eq!(found("{N(1): 5}", "{N(1): 5, N(2): 6}"), ["[2]: nothing | 6"]);
        assert_eq!(found("{N(1), N(2)}", "{N(2)}"), [": {N(1)} | nothing"]);
        assert_eq!(found("Some(S { a: 1 })", "None"), [": Some(S { a: 1 }) | None"]);
        assert_eq!(
            found("Follower { leader: 1 }", "Candidate"),
            [": Follower { leader: 1 } | Candidate"]
        );
    }

    #[test]
    fn sentences_differ_as_a_whole() {
        assert_eq!(found("goes on", "broken: yes"), [": goes on | broken: yes"]);
    }

    #[test]
    fn the_entries_of_a_log_have_their_indexes() {
        let entry = |term| Entry { term: Term(term), payload: Payload::Noop };
        let snapshot = Snapshot { last_included_index: Index(2), ..Snapshot::none() };
        let state = |terms: &[u64]| {
            let log = Log::new(snapshot.clone(), terms.iter().copied().map(entry).collect());
            format!("{:?}", PersistentState { log, ..PersistentState::default() })
        };
        assert_eq!(found(&state(&[1, 1]), &state(&[2, 1])), ["log[3].term: 1 | 2"]);
        let longer = found(&state(&[1]), &state(&[1, 5]));
        assert_eq!(longer, ["log[4]: nothing | Entry { term: Term(5), payload: Noop }"]);
    }
}
