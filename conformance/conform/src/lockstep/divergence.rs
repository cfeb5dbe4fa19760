//! A difference between the model and production, and the parts of it that reports show.

use std::fmt::{self, Debug};

use super::parsed_debug::Value;
use super::value_difference::{Difference, differences, join};
use raft_simulation::failure::Failure;

/// The beginning of the model's side if the model allows several values.
const ONE_OF: &str = "one of ";

/// A difference between the model and production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The name or a description of the field that differs.
    pub field: String,
    /// The value in the model.
    pub model: String,
    /// The value in the production node.
    pub node: String,
}

impl Divergence {
    pub(crate) fn of(field: &str, model: impl Debug, node: impl Debug) -> Divergence {
        let (model, node) = (format!("{model:?}"), format!("{node:?}"));
        Divergence { field: field.to_owned(), model, node }
    }

    pub(crate) fn failure(field: &str, failure: &Failure) -> Divergence {
        let model = "goes on".to_owned();
        Divergence { field: field.to_owned(), model, node: failure.to_string() }
    }

    /// Returns the parts that differ, from left to right, and at least one. If the model allows
    /// several values, returns the parts of the value that differs in the fewest parts.
    pub fn differences(&self) -> Vec<Difference> {
        let node = Value::parse(&self.node);
        let parts = |model: &Value| differences(model, &node);
        let allowed = self.model.strip_prefix(ONE_OF).map(Value::parse);
        let nearest = match &allowed {
            Some(Value::List(values)) => values.iter().map(parts).min_by_key(Vec::len),
            _ => None,
        };
        let mut found = nearest.unwrap_or_else(|| parts(&Value::parse(&self.model)));
        let is_name = self.field.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        if is_name {
            for difference in &mut found {
                difference.path = join(&self.field, &difference.path);
            }
        }
        if found.is_empty() {
            let (model, node) = (Some(self.model.clone()), Some(self.node.clone()));
            found.push(Difference { path: String::new(), model, node });
        }
        found
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Divergence { field, model, node } = self;
        write!(f, "{field}\n  model: {model}\n  node:  {node}")
    }
}

/// Returns an error if two values differ.
pub(crate) fn same<T: PartialEq + Debug>(
    field: &str,
    model: &T,
    node: &T,
) -> Result<(), Divergence> {
    if model == node { Ok(()) } else { Err(Divergence::of(field, model, node)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(field: &str, model: &str, node: &str) -> Vec<String> {
        let divergence =
            Divergence { field: field.to_owned(), model: model.to_owned(), node: node.to_owned() };
        divergence.differences().into_iter().map(|difference| difference.path).collect()
    }

    #[test]
    fn a_path_begins_with_the_field_if_that_is_a_name() {
        let (model, node) = ("[S { a: 1, b: 1 }]", "[S { a: 2, b: 3 }]");
        assert_eq!(paths("writes", model, node), ["writes[0].a", "writes[0].b"]);
        assert_eq!(paths("the writes on their way", model, node), ["[0].a", "[0].b"]);
        assert_eq!(paths("voted_for", "None", "Some(1)"), ["voted_for"]);
        assert_eq!(paths("role", "L(S { a: 1 })", "L(S { a: 2 })"), ["role.a"]);
    }

    #[test]
    fn of_several_allowed_values_the_nearest_is_compared() {
        let model = "one of [S { a: 1, b: 1 }, S { a: 2, b: 1 }, S { a: 3, b: 4 }]";
        assert_eq!(paths("what is left", model, "S { a: 2, b: 9 }"), ["b"]);
        assert_eq!(paths("what is left", "one of []", "S { a: 2 }"), [""]);
    }

    #[test]
    fn a_divergence_always_shows_something() {
        assert_eq!(paths("the answer", "same", "same"), [""]);
    }
}
