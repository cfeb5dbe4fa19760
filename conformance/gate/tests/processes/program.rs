//! Builds and locates `raftd`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Returns the path of the program, built with the profile of this test.
pub(crate) fn raftd() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(build);
    &PROGRAM
}

/// Builds the program with cargo, because only cargo knows whether an existing file is up to date.
/// If it is, this takes no time.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a file");
    // <target>/<profile>/deps/<test>
    let place = test.ancestors().nth(2).expect("cargo puts tests into a folder of a profile");
    let target = place.parent().expect("a profile's folder stands in the target folder");
    let profile = match place.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    // A program has other features of its dependencies if a test is built with it. With some test,
    // and for the whole workspace, they are those of `cargo test`, which has built them already.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--bin", "raftd", "--test", "interrupt"]);
    cargo.args(["--profile", profile]);
    cargo.arg("--target-dir").arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    // Cargo sets variables about the test's package. To build scripts, they would look like a
    // change.
    let about_this = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| about_this.iter().any(|prefix| name.starts_with(prefix)))
        {
            cargo.env_remove(name);
        }
    }
    let status = cargo.status().expect("cargo can be started");
    assert!(status.success(), "raftd cannot be built: {cargo:?}");
    let program = place.join(format!("raftd{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "cargo has built no {}", program.display());
    program
}
