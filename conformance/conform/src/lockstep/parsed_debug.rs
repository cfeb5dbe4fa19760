//! Parses the output of `Debug` into a tree, so that two values of any type can be compared part by
//! part.

/// The deepest nesting of values. A text with deeper nesting becomes a single leaf.
const DEEPEST: usize = 64;

/// A value as `Debug` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Anything without parts: a number, a string, the name of a variant.
    Leaf(String),
    /// `Name { field: value }`
    Struct(String, Vec<(String, Value)>),
    /// `Name(value, value)`; a tuple has no name.
    Tuple(String, Vec<Value>),
    /// `[value, value]`
    List(Vec<Value>),
    /// `{key: value}`
    Map(Vec<(Value, Value)>),
    /// `{value, value}`
    Set(Vec<Value>),
}

impl Value {
    /// Parses a value. A text that is not output of `Debug`, such as a sentence, becomes a single
    /// leaf.
    pub(super) fn parse(text: &str) -> Value {
        let mut parser = Parser { rest: text.trim(), depth: 0 };
        match parser.value() {
            Some(value) if parser.rest.is_empty() => value,
            _ => Value::Leaf(text.to_owned()),
        }
    }

    /// Returns the value without the names of types that wrap a single value: 3 for `Index(3)`.
    pub(super) fn bare(&self) -> &Value {
        match self {
            Value::Tuple(_, values) if values.len() == 1 => values[0].bare(),
            value => value,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let join =
            |values: &[Value]| values.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Value::Leaf(text) => f.write_str(text),
            Value::Struct(name, fields) => {
                let fields = fields.iter().map(|(name, value)| format!("{name}: {value}"));
                write!(f, "{name} {{ {} }}", fields.collect::<Vec<_>>().join(", "))
            }
            Value::Tuple(name, values) => write!(f, "{name}({})", join(values)),
            Value::List(values) => write!(f, "[{}]", join(values)),
            Value::Set(values) => write!(f, "{{{}}}", join(values)),
            Value::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| format!("{key}: {value}"));
                write!(f, "{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    /// The number of open brackets at the beginning of the rest.
    depth: usize,
}

impl Parser<'_> {
    fn value(&mut self) -> Option<Value> {
        let head = self.leaf();
        let is_name =
            |text: &str| text.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        if !is_name(head.trim()) {
            return Some(Value::Leaf(head.trim_end().to_owned()));
        }
        let name = head.trim().to_owned();
        if self.take("(") {
            return Some(Value::Tuple(name, self.items(")", Parser::value)?));
        }
        if name.is_empty() && self.take("[") {
            return Some(Value::List(self.items("]", Parser::value)?));
        }
        if self.take("{") {
            return if name.is_empty() { self.map_or_set() } else { self.fields(name) };
        }
        (!name.is_empty()).then_some(Value::Leaf(name))
    }

    fn fields(&mut self, name: String) -> Option<Value> {
        let field = |parser: &mut Self| {
            let name = parser.leaf().trim().to_owned();
            let value = if parser.take(":") { parser.value()? } else { Value::Leaf(String::new()) };
            Some((name, value))
        };
        Some(Value::Struct(name, self.items("}", field)?))
    }

    fn map_or_set(&mut self) -> Option<Value> {
        let pair = |parser: &mut Self| {
            let key = parser.value()?;
            let value = if parser.take(":") { Some(parser.value()?) } else { None };
            Some((key, value))
        };
        let pairs = self.items("}", pair)?;
        if pairs.iter().all(|(_, value)| value.is_none()) {
            return Some(Value::Set(pairs.into_iter().map(|(key, _)| key).collect()));
        }
        let pairs = pairs.into_iter().map(|(key, value)| Some((key, value?)));
        Some(Value::Map(pairs.collect::<Option<_>>()?))
    }

    fn items<T>(
        &mut self,
        end: &str,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(item(self)?);
            if !self.take(",") {
                if !self.take(end) {
                    return None;
                }
                break;
            }
        }
        self.depth -= 1;
        Some(items)
    }

    /// Takes a text if it comes next. Returns whether it does.
    fn take(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.trim_start().strip_prefix(text) else { return false };
        self.rest = rest;
        true
    }

    /// Takes the text up to the next bracket, comma or colon that is not inside a string.
    fn leaf(&mut self) -> String {
        let text = self.rest.trim_start();
        let mut letters = text.char_indices();
        let mut end = text.len();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => skip_string(&mut letters),
                ':' if text[at + 1..].starts_with(' ') => {
                    end = at;
                    break;
                }
                '{' | '[' | '(' | '}' | ']' | ')' | ',' => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        self.rest = &text[end..];
        text[..end].to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_debug_writes_is_read_and_written_again() {
        for text in [
            "3",
            "Some(Index(3))",
            "None",
            "[1, -2, 3.5s]",
            "[]",
            "{}",
            "(1, \"a\")",
            "{NodeId(1), NodeId(2)}",
            "{NodeId(1): Progress { next: Index(2), state: Probe }}",
            r#"Entry { term: Term(1), payload: Command("put {\", \"") }"#,
        ] {
            assert_eq!(Value::parse(text).to_string(), text);
        }
        assert!(matches!(Value::parse("{1: 2}"), Value::Map(_)));
        assert!(matches!(Value::parse("{1, 2}"), Value::Set(_)));
    }

    #[test]
    fn a_value_that_is_nested_too_deep_is_a_leaf() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(matches!(Value::parse(&nested(DEEPEST)), Value::List(_)));
        for text in [nested(DEEPEST + 1), nested(100_000), "[".repeat(100_000)] {
            assert_eq!(Value::parse(&text), Value::Leaf(text.clone()));
        }
    }

    #[test]
    fn what_debug_did_not_write_is_a_leaf() {
        for text in ["", "goes on", "broken: yes", "applied up to 3 with Ok(None)", "[1, 2", "a)"] {
            assert_eq!(Value::parse(text), Value::Leaf(text.to_owned()));
        }
    }
}
