//! Files for the tests, and functions that show them.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use raft_logs::column_log::{Filter, Form, Layout, LogError, NodeLog, Options, show};
use raft_trace::NodeRecord;

/// Returns the path of a file of the corpus.
pub(crate) fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/corpus").join(name)
}

/// Returns the paths of all files of the corpus.
pub(crate) fn whole_corpus() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(corpus("")).expect("the corpus is there");
    let paths = folder.map(|entry| entry.expect("a file").path());
    let mut traces: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
    traces.sort();
    assert!(!traces.is_empty(), "the corpus is empty");
    traces
}

/// Writes records as the lines of a log.
pub(crate) fn lines(records: &[NodeRecord]) -> String {
    let mut bytes = Vec::new();
    for record in records {
        record.write(&mut bytes).expect("memory takes it");
    }
    String::from_utf8(bytes).expect("JSON is text")
}

/// Creates a log in memory.
pub(crate) fn in_memory(name: &str, text: String) -> NodeLog {
    NodeLog::new(Path::new(name), Box::new(Cursor::new(text)))
}

/// Shows files. Returns the output, and the errors in the files.
pub(crate) fn shown(files: &[PathBuf], options: &Options) -> (String, Vec<LogError>) {
    let mut out = Vec::new();
    let errors = show(files, options, &mut out, &mut || panic!("nothing grows"));
    (String::from_utf8(out).expect("text"), errors.expect("memory takes it"))
}

/// Shows files without errors, in columns.
pub(crate) fn picture(files: &[PathBuf], filter: Filter, layout: Layout) -> String {
    let options = Options { filter, form: Form::Columns(layout), follow: false };
    let (text, errors) = shown(files, &options);
    assert!(errors.is_empty(), "{errors:?}");
    text
}

/// Returns the lines that show events.
pub(crate) fn event_lines(text: &str) -> Vec<&str> {
    let step = |line: &&str| line.get(1..8).is_some_and(|step| step.trim().parse::<u64>().is_ok());
    text.lines().filter(step).collect()
}
