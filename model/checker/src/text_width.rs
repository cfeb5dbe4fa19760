//! Line breaking of texts, to the width of the terminal or to a hundred columns.

use std::io::{self, IsTerminal as _};

use textwrap::{Options, WordSeparator, WordSplitter};

/// The width of output where there is no terminal, and of sentences everywhere.
pub const WIDTH: usize = 100;

/// Returns the width of the terminal that is the standard output, or [`WIDTH`] if it is none.
pub fn terminal_width() -> usize {
    let size = if io::stdout().is_terminal() { terminal_size::terminal_size() } else { None };
    // Some terminals do not know their size and report 0.
    size.map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0).unwrap_or(WIDTH)
}

/// Breaks a text into lines of at most `width` letters; all but the first are indented by two. A
/// word that is too long is broken as well.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let options = Options::new(width)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .subsequent_indent("  ");
    textwrap::wrap(text, options).into_iter().map(String::from).collect()
}

/// Breaks a text into indented lines of at most [`WIDTH`] columns. A word is never broken.
pub fn wrap(text: &str, indent: &str) -> String {
    wrap_to(text, indent, WIDTH)
}

/// Breaks a text into indented lines of at most `most` columns, or [`WIDTH`] if that is less. A
/// word is never broken.
pub fn wrap_to(text: &str, indent: &str, most: usize) -> String {
    let most = most.min(WIDTH);
    let (mut out, mut width) = (indent.to_owned(), indent.len());
    for word in text.split_whitespace() {
        if width > indent.len() && width + 1 + word.len() > most {
            out.push('\n');
            out.push_str(indent);
            width = indent.len();
        } else if width > indent.len() {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += word.len();
    }
    out
}
