//! `raftgate run` and `raftgate merge`, with plans whose checks are small scripts.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use itertools::Itertools as _;
use tempfile::TempDir;

/// A repository with one source and one check, which writes down that it ran.
fn repository(checks: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    };
    write("Cargo.toml", "");
    write("Cargo.lock", "");
    write("src/a.rs", "fn a() -> u8 { 1 }");
    write("specs/gate.toml", &format!("{HEAD}{checks}"));
    write("note.sh", "echo \"$*\" >> ran.txt");
    folder
}

const HEAD: &str = r#"
[budgets]
smoke = "1m"
quick = "1s"

[sources]
core = ["src"]
"#;

/// A check of the smoke tier that runs a command.
fn check(name: &str, command: &str) -> String {
    format!(
        r#"
[[check]]
name = "{name}"
about = "It is so."
tiers = ["smoke"]
budget = "20s"
command = "{command}"
reads = ["core"]
"#
    )
}

fn raftgate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_raftgate"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .expect("raftgate was built")
}

fn gate(folder: &TempDir, more: &[&str]) -> (Option<i32>, String) {
    let arguments = [&["run", "--programs", "programs"], more].concat();
    let output = raftgate(folder.path(), &arguments);
    let texts =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (output.status.code(), texts.concat())
}

/// Returns what the checks have written down.
fn ran(folder: &TempDir) -> Vec<String> {
    let text = fs::read_to_string(folder.path().join("ran.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).sorted().collect()
}

fn results(folder: &TempDir) -> serde_json::Value {
    let path = folder.path().join("target/raftgate/report/results.json");
    serde_json::from_str(&fs::read_to_string(path).expect("a report")).expect("JSON")
}

#[test]
fn a_check_that_passed_runs_again_only_if_what_it_reads_has_changed() {
    let folder = repository(&check("one", "sh note.sh one"));
    let source = folder.path().join("src/a.rs");
    assert_eq!(gate(&folder, &[]).0, Some(0));
    let (code, text) = gate(&folder, &[]);
    assert_eq!((code, ran(&folder).len()), (Some(0), 1), "{text}");
    assert!(text.contains("nothing they read has changed"), "{text}");
    assert_eq!(results(&folder)["checks"][0]["unchanged"], true);
    fs::write(&source, "/// A comment.\nfn a() -> u8 {\n    1 // one\n}\n").expect("written");
    assert_eq!((gate(&folder, &[]).0, ran(&folder).len()), (Some(0), 1));
    fs::write(&source, "fn a() -> u8 { 2 }").expect("written");
    assert_eq!((gate(&folder, &[]).0, ran(&folder).len()), (Some(0), 2));
    assert_eq!((gate(&folder, &["--no-cache"]).0, ran(&folder).len()), (Some(0), 3));
    // Another command is another check.
    let plan = format!("{HEAD}{}", check("one", "sh note.sh other"));
    fs::write(folder.path().join("specs/gate.toml"), plan).expect("written");
    assert_eq!((gate(&folder, &[]).0, ran(&folder).len()), (Some(0), 4));
}

#[test]
fn a_check_that_failed_runs_again_and_shows_its_output() {
    let folder = repository(&check("one", "sh fails.sh"));
    fs::write(folder.path().join("fails.sh"), "sh note.sh x; echo the reason; exit 1")
        .expect("written");
    for runs in 1..3 {
        let (code, text) = gate(&folder, &[]);
        assert_eq!((code, ran(&folder).len()), (Some(1), runs));
        assert!(text.contains("| the reason") && text.contains("Again: sh fails.sh"), "{text}");
    }
    let junit = fs::read_to_string(folder.path().join("target/raftgate/report/junit.xml"));
    assert!(junit.expect("it is there").contains("failures=\"1\""));
    let summary = fs::read_to_string(folder.path().join("target/raftgate/report/summary.md"));
    assert!(summary.expect("it is there").contains("### FAILED: one"));
}

#[test]
fn the_worst_check_decides() {
    let cases = [(0, 0), (4, 4), (5, 5), (6, 6), (3, 3), (1, 1), (2, 2), (70, 70)];
    for (code, expected) in cases {
        let folder = repository(&(check("one", "raftcheck one") + &check("two", "sh note.sh two")));
        program(&folder, &format!("exit {code}"));
        assert_eq!(gate(&folder, &[]).0, Some(expected));
        assert_eq!(ran(&folder), ["two"], "the other check runs all the same");
    }
}

/// Makes a program that stands for raftcheck.
fn program(folder: &TempDir, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.path().join("programs/raftcheck");
    fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it can be run");
}

#[test]
fn a_budget_that_is_used_up_is_incomplete() {
    let slow = check("one", "sleep 100").replace("20s", "100ms");
    let folder = repository(&slow);
    let (code, text) = gate(&folder, &[]);
    assert_eq!(code, Some(6), "{text}");
    assert!(text.contains("its budget was used up"), "{text}");
    assert_eq!(results(&folder)["checks"][0]["status"], "INCOMPLETE");
    let of_tier = check("a", "sleep 100") + &check("b", "sh note.sh b");
    let folder = repository(&of_tier.replace("\"smoke\"", "\"quick\""));
    // The check that is quicker by its budget comes first.
    let plan = folder.path().join("specs/gate.toml");
    let text = fs::read_to_string(&plan).expect("it is there").replacen("20s", "19s", 1);
    fs::write(&plan, text).expect("written");
    let (code, text) = gate(&folder, &["--tier", "quick"]);
    assert_eq!(code, Some(6), "{text}");
    assert!(text.contains("not begun: the budget of the tier was used up"), "{text}");
    assert!(ran(&folder).is_empty());
}

#[test]
fn a_report_of_a_program_is_part_of_the_results() {
    let folder =
        repository(&check("one", "raftcheck {out}").replace("reads", "reports = true\nreads"));
    program(&folder, "echo '{\"states\": 7}' > \"$3\"; touch \"$1/file\"");
    let (code, text) = gate(&folder, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(results(&folder)["checks"][0]["report"]["states"], 7);
    assert!(folder.path().join("target/raftgate/out/one/file").exists());
}

#[test]
fn shards_share_the_checks_and_are_merged() {
    let checks: Vec<String> =
        (0..5).map(|n| check(&format!("c{n}"), &format!("sh note.sh c{n}"))).collect();
    let folder = repository(&checks.concat());
    let mut files = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let report = format!("report-{}", &shard[..1]);
        let (code, text) = gate(&folder, &["--shard", shard, "--report", &report]);
        assert_eq!(code, Some(0), "{text}");
        files.push(format!("{report}/results.json"));
    }
    assert_eq!(ran(&folder), ["c0", "c1", "c2", "c3", "c4"], "each once");
    let merge = |files: &[String]| {
        let arguments = ["merge".to_owned()].into_iter().chain(files.iter().cloned());
        let arguments: Vec<String> = arguments.collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        raftgate(folder.path(), &arguments)
    };
    let merged = merge(&files);
    assert_eq!(merged.status.code(), Some(0));
    assert_eq!(results(&folder)["checks"].as_array().expect("a list").len(), 5);
    for wrong in [&files[..2], &[files[0].clone(), files[0].clone()], &["src/a.rs".to_owned()]] {
        let refused = merge(wrong);
        assert_eq!(refused.status.code(), Some(2));
        assert_eq!(
            String::from_utf8_lossy(&refused.stderr).matches("nothing was written").count(),
            1
        );
    }
    // Shards of other sources do not belong to the run.
    fs::write(folder.path().join("src/a.rs"), "fn b() {}").expect("written");
    assert_eq!(gate(&folder, &["--shard", "3/3", "--report", "report-3"]).0, Some(0));
    let refused = merge(&files);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("different sources"));
}

#[test]
fn a_list_runs_nothing() {
    let folder = repository(&check("one", "sh note.sh one"));
    let (code, text) = gate(&folder, &["--list"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("one") && text.contains("budget 20 s"), "{text}");
    assert!(ran(&folder).is_empty());
}

#[test]
fn a_plan_that_cannot_be_used_is_refused() {
    let folder = repository(&check("one", "sh note.sh one").replace("[\"core\"]", "[\"cores\"]"));
    let (code, text) = gate(&folder, &[]);
    assert_eq!(code, Some(2));
    assert!(text.contains("no such sources") && text.contains("gate.toml"), "{text}");
    fs::remove_file(folder.path().join("specs/gate.toml")).expect("it is there");
    let (code, text) = gate(&folder, &[]);
    assert_eq!(code, Some(2));
    assert!(text.contains("there is no specs/gate.toml"), "{text}");
    let folder = repository(&check("one", "sh note.sh one"));
    fs::remove_dir_all(folder.path().join("src")).expect("it is there");
    let (code, text) = gate(&folder, &[]);
    assert_eq!(code, Some(2));
    assert!(text.contains("cannot read") && ran(&folder).is_empty(), "{text}");
    let (code, text) = gate(&folder, &["--shard", "4/3"]);
    assert_eq!(code, Some(2), "{text}");
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let folder = repository(&check("one", "no-such-program"));
    let (code, text) = gate(&folder, &[]);
    assert_eq!(code, Some(2));
    assert!(text.contains("no-such-program: No such file"), "{text}");
}

#[test]
fn the_plan_of_the_repository_has_a_check_for_every_tier() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for tier in ["quick", "smoke", "nightly", "deep"] {
        let output = raftgate(&root, &["run", "--list", "--tier", tier]);
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty(), "{tier}");
    }
}
