//! Every trace in `specs/corpus` replays to its end under the paper's rules, breaks nothing on the
//! way, and ends in a state from which every majority can recover. So the runs that were
//! interesting once (a scenario, a bug that was found and fixed) are checked from then on.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use raft_checker::cluster::Cluster;
use raft_checker::properties::can_recover;
use raft_core::Paper;
use raft_trace::ClusterTrace;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/corpus");

fn files() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(CORPUS).expect("the corpus is a folder");
    let mut files: Vec<PathBuf> = folder.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

fn read(path: &Path) -> Result<ClusterTrace, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    ClusterTrace::read(BufReader::new(file)).map_err(|error| error.to_string())
}

/// Replays a trace. An error names the step and the problem.
fn replay(path: &Path) -> Result<(), String> {
    let ClusterTrace { settings, actions, .. } = read(path)?;
    let mut cluster = Cluster::boot(&settings, &Paper);
    for (step, action) in (1..).zip(&actions) {
        let seen = cluster
            .act(&settings, &Paper, action)
            .map_err(|why| format!("step {step} is not possible any more: {why}"))?;
        if let Some(property) = seen.broken.iter().next() {
            return Err(format!("step {step} breaks {}", property.name()));
        }
    }
    match can_recover::check(&settings, &Paper, &cluster) {
        Ok(_) => Ok(()),
        Err(stuck) => Err(format!("at the end {:?} cannot recover", stuck.majority)),
    }
}

#[test]
fn every_trace_replays_and_breaks_nothing() {
    let failures: Vec<String> = files()
        .iter()
        .filter_map(|path| Some(format!("{}: {}", path.display(), replay(path).err()?)))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_corpus_is_there_and_says_what_it_shows() {
    let files = files();
    assert!(files.len() >= 9, "only {} traces", files.len());
    for path in files {
        let trace = read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!trace.about.is_empty() && !trace.actions.is_empty(), "{}", path.display());
    }
}
