//! Where the model and production differ, and the part of it that a person wants to see.

use std::fmt::{self, Debug};

use crate::server::Failure;

/// Where the model and production differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// What differs.
    pub field: String,
    /// What the model says.
    pub model: String,
    /// What the production node says.
    pub node: String,
}

/// The part of a difference that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowed {
    /// Where in the value it is: the names of fields from outside in, and places in lists.
    pub place: String,
    /// What the model says there.
    pub model: String,
    /// What the production node says there.
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

    /// The innermost part of both values that holds all of the difference at its beginning.
    pub fn narrowed(&self) -> Narrowed {
        let Divergence { model, node, .. } = self;
        let same = model.chars().zip(node.chars()).take_while(|(model, node)| model == node);
        let same: usize = same.map(|(letter, _)| letter.len_utf8()).sum();
        let Place { path, start } = Place::of(&model[..same]);
        let part = |text: &str| {
            let item = &text[start..];
            item[..item_length(item)].trim_end().to_owned()
        };
        Narrowed { place: path.join("."), model: part(model), node: part(node) }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Divergence { field, model, node } = self;
        write!(f, "{field}\n  model: {model}\n  node:  {node}")
    }
}

/// Nothing, or the difference.
pub(crate) fn same<T: PartialEq + Debug>(
    field: &str,
    model: &T,
    node: &T,
) -> Result<(), Divergence> {
    if model == node { Ok(()) } else { Err(Divergence::of(field, model, node)) }
}

/// An item of a value as `Debug` writes it.
struct Place {
    /// What it is inside of, from outside in.
    path: Vec<String>,
    /// Where it begins, in bytes.
    start: usize,
}

/// A bracket that is open.
struct Open {
    /// Whether it is that of a tuple, whose items alone say little.
    tuple: bool,
    /// What stands before it: the name of a field, of a type, or the number in a list.
    label: String,
    /// Where its present item begins.
    item: usize,
    /// Which item that is.
    number: usize,
}

impl Place {
    /// The item in which a text ends.
    fn of(text: &str) -> Place {
        let mut open = vec![Open { tuple: false, label: String::new(), item: 0, number: 0 }];
        let mut letters = text.char_indices();
        while let Some((at, letter)) = letters.next() {
            let depth = open.len();
            let Some(inner) = open.last_mut() else { break };
            match letter {
                '"' => skip_string(&mut letters),
                '{' | '[' | '(' => {
                    let label = label(&text[inner.item..at], inner.number);
                    let tuple = letter == '(';
                    open.push(Open { tuple, label, item: at + 1, number: 0 });
                }
                '}' | ']' | ')' if depth > 1 => drop(open.pop()),
                ',' => (inner.item, inner.number) = (at + 1, inner.number + 1),
                _ => {}
            }
        }
        while open.len() > 1 && open.last().is_some_and(|inner| inner.tuple) {
            open.pop();
        }
        let item = open.last().map_or(0, |inner| inner.item);
        let start = item + text[item..].len() - text[item..].trim_start().len();
        let labels = open.into_iter().map(|inner| inner.label);
        Place { path: labels.filter(|label| !label.is_empty()).collect(), start }
    }
}

fn label(before: &str, number: usize) -> String {
    let before = before.trim();
    match before.split_once(':') {
        Some((field, _)) => field.to_owned(),
        None if before.is_empty() => format!("#{number}"),
        None => before.to_owned(),
    }
}

fn skip_string(letters: &mut std::str::CharIndices<'_>) {
    while let Some((_, letter)) = letters.next() {
        match letter {
            '"' => return,
            '\\' => drop(letters.next()),
            _ => {}
        }
    }
}

/// How long the item is with which a text begins, in bytes.
fn item_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => skip_string(&mut letters),
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' | ',' if depth == 0 => return at,
            '}' | ']' | ')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(model: &str, node: &str) -> (String, String, String) {
        let (model, node) = (model.to_owned(), node.to_owned());
        let found = Divergence { field: String::new(), model, node }.narrowed();
        (found.place, found.model, found.node)
    }

    fn texts(place: &str, model: &str, node: &str) -> (String, String, String) {
        (place.to_owned(), model.to_owned(), node.to_owned())
    }

    #[test]
    fn the_field_that_differs_is_found_with_its_place() {
        let model = "Leader(L { followers: {NodeId(2): P { next: Index(3), sent: 1 }}, round: 0 })";
        let node = "Leader(L { followers: {NodeId(2): P { next: Index(4), sent: 1 }}, round: 0 })";
        let place = "Leader.L.followers.NodeId(2)";
        assert_eq!(narrowed(model, node), texts(place, "next: Index(3)", "next: Index(4)"));
    }

    #[test]
    fn an_item_of_a_list_is_named_by_its_number() {
        let found =
            narrowed("[Entry { a: 1 }, Entry { a: 2 }]", "[Entry { a: 1 }, Entry { a: 3 }]");
        assert_eq!(found, texts("#0.Entry", "a: 2", "a: 3"));
        assert_eq!(narrowed("[1, 2]", "[1]"), texts("#0", "1", "1"));
    }

    #[test]
    fn brackets_and_commas_inside_of_strings_are_letters() {
        let found = narrowed(r#"S { a: "x,{\"", b: 1 }"#, r#"S { a: "x,{\"", b: 2 }"#);
        assert_eq!(found, texts("S", "b: 1", "b: 2"));
    }

    #[test]
    fn what_is_no_value_at_all_is_shown_as_it_is() {
        assert_eq!(narrowed("starts", "broken: yes"), texts("", "starts", "broken: yes"));
        assert_eq!(narrowed("", "a)"), texts("", "", "a"));
    }
}
