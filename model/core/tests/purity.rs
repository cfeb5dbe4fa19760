//! The crate is pure. It depends on serde and nothing else, and its sources contain no name that
//! stands for I/O, a clock, randomness or a panic.

use std::fs;
use std::path::{Path, PathBuf};

fn crate_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the lines of those tables of the manifest whose name satisfies `is_meant`.
fn tables(manifest: &str, is_meant: fn(&str) -> bool) -> Vec<String> {
    let mut meant = false;
    let mut lines = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            meant = is_meant(name.trim_matches(|c| c == '[' || c == ']'));
        } else if meant && !line.is_empty() && !line.starts_with('#') {
            lines.push(line.to_owned());
        }
    }
    lines
}

#[test]
fn serde_is_the_only_dependency() {
    let manifest = fs::read_to_string(crate_root().join("Cargo.toml")).expect("it is there");
    let dependencies =
        tables(&manifest, |name| name.ends_with("dependencies") && name != "dev-dependencies");
    assert_eq!(dependencies, ["serde.workspace = true"]);
    assert!(!crate_root().join("build.rs").exists());
    assert!(tables(&manifest, |name| name == "features").is_empty());
}

fn sources() -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(crate_root().join("src")).expect("it is there");
    let files = files.map(|file| file.expect("it can be listed").path());
    let read = |path: PathBuf| {
        assert!(path.is_file(), "{} is not looked into", path.display());
        let text = fs::read_to_string(&path).expect("it is text");
        (path, text)
    };
    files.map(read).collect()
}

/// Returns the code without comments, on one line, so that a line break hides nothing from a
/// search.
fn code(source: &str) -> String {
    let uncommented = |line: &str| line.split("//").next().unwrap_or("").to_owned();
    let lines: Vec<String> = source.lines().map(uncommented).collect();
    lines.join(" ")
}

/// Returns the names, keywords and lifetimes in the code.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let is_in_word = |c: char| c.is_alphanumeric() || c == '_' || c == '\'';
    code.split(move |c| !is_in_word(c)).filter(|word| !word.is_empty())
}

#[test]
fn nothing_in_the_sources_reaches_outside() {
    const FORBIDDEN: &[&str] = &[
        // Clocks, disks, networks, threads, the environment, randomness.
        "Instant",
        "SystemTime",
        "fs",
        "net",
        "io",
        "process",
        "thread",
        "env",
        "rand",
        // Collections whose order differs from run to run.
        "HashMap",
        "HashSet",
        // State that does not belong to a node.
        "static",
        "thread_local",
        "Cell",
        "RefCell",
        "Mutex",
        "atomic",
        // Output.
        "print",
        "println",
        "eprint",
        "eprintln",
        "dbg",
    ];
    for (path, source) in sources() {
        let code = code(&source);
        let found = words(&code).find(|word| FORBIDDEN.contains(word));
        assert_eq!(found, None, "in {}", path.display());
        let squeezed: String = code.split_whitespace().collect();
        assert!(!squeezed.contains("std::{"), "in {}", path.display());
        for module in ["std::time", "std::net", "std::fs"] {
            assert!(!squeezed.contains(module), "in {}", path.display());
        }
    }
}

#[test]
fn the_crate_forbids_unsafe_code_by_itself() {
    let lib = fs::read_to_string(crate_root().join("src/lib.rs")).expect("it is there");
    assert!(lib.lines().any(|line| line == "#![forbid(unsafe_code)]"));
}

#[test]
fn nothing_in_the_sources_panics_on_purpose() {
    const FORBIDDEN: &[&str] = &[
        ".unwrap()",
        ".expect(",
        ".unwrap_err()",
        ".expect_err(",
        "panic!",
        "unreachable!",
        "todo!",
        "unimplemented!",
        "assert!",
        "assert_eq!",
        "assert_ne!",
    ];
    for (path, source) in sources() {
        let squeezed: String = code(&source).split_whitespace().collect();
        let found = FORBIDDEN.iter().find(|text| squeezed.contains(**text));
        assert_eq!(found, None, "in {}", path.display());
    }
}
