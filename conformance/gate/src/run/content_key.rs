//! A key for the content of sources. Sources that mean the same to the compiler have the same key:
//! comments and layout make no difference.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use sha2::{Digest, Sha256};

/// A hash of contents, as 64 hexadecimal digits.
pub(crate) type ContentKey = String;

/// Returns the key of a text.
pub(crate) fn of_texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> ContentKey {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hex(&hasher.finalize())
}

/// Returns the key of files and folders with everything in them.
///
/// # Errors
///
/// If one of them cannot be read.
pub(crate) fn of_files(root: &Path, paths: &[PathBuf]) -> io::Result<ContentKey> {
    let mut files = BTreeMap::new();
    for path in paths {
        collect(root, path, &mut files)?;
    }
    let mut hasher = Sha256::new();
    for (path, content) in files {
        for part in [path.to_string_lossy().as_bytes(), &content] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
}

fn digit(four_bits: u8) -> char {
    char::from_digit(u32::from(four_bits), 16).unwrap_or('?')
}

/// Adds the meaning of every file at a path.
fn collect(root: &Path, path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    let full = root.join(path);
    let with_path = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot read {}: {error}", full.display()))
    };
    if full.is_dir() {
        for entry in std::fs::read_dir(&full).map_err(with_path)? {
            let name = entry.map_err(with_path)?.file_name();
            if !name.to_string_lossy().starts_with('.') {
                collect(root, &path.join(name), files)?;
            }
        }
        return Ok(());
    }
    let content = std::fs::read(&full).map_err(with_path)?;
    let meaning = match full.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => without_comments(&content),
        _ => None,
    };
    files.insert(path.to_owned(), meaning.unwrap_or(content));
    Ok(())
}

/// Returns the tokens of a Rust source without comments; none if it is no Rust.
fn without_comments(content: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(content).ok()?;
    let tokens = TokenStream::from_str(text).ok()?;
    let mut out = String::new();
    write_tokens(tokens, &mut out);
    Some(out.into_bytes())
}

/// Writes tokens, each in a line, without the attributes that documentation comments stand for.
fn write_tokens(tokens: TokenStream, out: &mut String) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut place = 0;
    while place < tokens.len() {
        if let Some(length) = doc_attribute(&tokens[place..]) {
            place += length;
            continue;
        }
        match &tokens[place] {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                out.push_str(open);
                out.push('\n');
                write_tokens(group.stream(), out);
                out.push_str(close);
            }
            token => out.push_str(&token.to_string()),
        }
        out.push('\n');
        place += 1;
    }
}

/// Returns the number of tokens of a documentation comment at the beginning of a list: `#[doc = ".."]`
/// or `#![doc = ".."]`.
fn doc_attribute(tokens: &[TokenTree]) -> Option<usize> {
    let is = |place: usize, sign: char| matches!(tokens.get(place), Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
    let length = if is(0, '#') && is(1, '!') { 3 } else { 2 };
    let Some(TokenTree::Group(group)) = tokens.get(length - 1).filter(|_| is(0, '#')) else {
        return None;
    };
    let mut inner = group.stream().into_iter();
    let is_doc = matches!(inner.next(), Some(TokenTree::Ident(name)) if name == "doc");
    let is_text = matches!(inner.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == '=');
    let is_literal = matches!(inner.next(), Some(TokenTree::Literal(_)));
    (is_doc && is_text && is_literal && inner.next().is_none()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(files: &[(&str, &str)]) -> ContentKey {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join("src").join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
            std::fs::write(path, text).expect("it can be written");
        }
        of_files(folder.path(), &[PathBuf::from("src")]).expect("it can be read")
    }

    #[test]
    fn comments_and_layout_make_no_difference() {
        let plain = key(&[("a.rs", "fn a(x: u8) -> bool { x > 1 }")]);
        let commented = "//! A module.\n/// A function.\nfn a(x: u8)\n-> bool { // why\n x > 1 }\n";
        assert_eq!(key(&[("a.rs", commented)]), plain);
        assert_ne!(key(&[("a.rs", "fn a(x: u8) -> bool { x > 2 }")]), plain);
        assert_ne!(key(&[("a.rs", "fn a(x: u8) -> bool { x >= 1 }")]), plain);
    }

    #[test]
    fn other_attributes_and_texts_count() {
        let with = |text: &str| key(&[("a.rs", text)]);
        assert_ne!(with("#[cfg(test)] fn a() {}"), with("fn a() {}"));
        assert_ne!(with("#[doc(hidden)] fn a() {}"), with("fn a() {}"));
        assert_ne!(with("fn a() { b(\"// x\") }"), with("fn a() { b(\"// y\") }"));
    }

    #[test]
    fn names_and_places_of_files_count() {
        let one = key(&[("a.rs", "fn a() {}"), ("b/c.toml", "x = 1")]);
        assert_ne!(key(&[("a.rs", "fn a() {}"), ("b/d.toml", "x = 1")]), one);
        assert_ne!(key(&[("a.rs", "fn a() {}"), ("b/c.toml", "x = 2")]), one);
        assert_eq!(key(&[("b/c.toml", "x = 1"), ("a.rs", "fn  a() {}")]), one);
    }

    #[test]
    fn a_file_that_is_no_rust_counts_as_it_is() {
        assert_ne!(key(&[("a.rs", "fn a( // x")]), key(&[("a.rs", "fn a( // y")]));
    }

    #[test]
    fn a_file_that_does_not_exist_is_an_error() {
        let error = of_files(Path::new("/nowhere"), &[PathBuf::from("src")]);
        assert!(error.expect_err("an error").to_string().contains("/nowhere/src"));
    }
}
