//! Logs of a real cluster that were changed afterwards are refused at the place of the change.

use std::fs;
use std::path::{Path, PathBuf};

use itertools::Itertools;
use raft_core::Index;
use raft_logs::validate::{Options, Refusal, Report, validate};
use raft_trace::{NodeDigest, NodeRecord};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::clients::Load;
use crate::cluster::Cluster;
use crate::verdict::{Floor, judge, trace_logs};

/// The number of places that are changed in each way.
const PLACES: usize = 12;

#[test]
fn what_is_taken_out_swapped_or_changed_in_the_logs_is_found_where_it_was() {
    let mut cluster = Cluster::started("");
    let load = Load::start(&cluster, 7);
    load.wait_for(&mut cluster, 50);
    let leader = cluster.leader();
    cluster.kill(leader);
    load.wait_for(&mut cluster, 50);
    judge(&mut cluster, load, Floor { answered: 150, elections: 2, kills: 1, resets: 0 });

    let logs = Logs::read(&trace_logs(&cluster));
    let directory = cluster.directory().join("tampered");
    fs::create_dir(&directory).expect("there is room for a directory");
    let mut random = SmallRng::seed_from_u64(7);
    at_places(&logs, &mut random, |changed, server, line, _| {
        changed.files[server].remove(line);
        let place = changed.contradiction(&directory, server);
        assert_eq!(place.line, line, "{place:?}");
        assert!(matches!(place.refusal, Refusal::Sequence { .. }), "{place:?}");
        true
    });
    at_places(&logs, &mut random, |changed, server, line, random| {
        if !change(&mut changed.files[server][line], random) {
            return false;
        }
        let place = changed.contradiction(&directory, server);
        assert_eq!(place.line, line, "{place:?}");
        assert!(matches!(place.refusal, Refusal::Diverges { .. }), "{place:?}");
        true
    });
    at_places(&logs, &mut random, |changed, server, line, _| {
        if !swap(&mut changed.files[server], line) {
            return false;
        }
        let place = changed.contradiction(&directory, server);
        assert!([line, line + 1].contains(&place.line), "{line}: {place:?}");
        true
    });
}

#[test]
fn the_order_in_which_logs_are_given_does_not_matter() {
    let mut cluster = Cluster::started("");
    let load = Load::start(&cluster, 8);
    load.wait_for(&mut cluster, 100);
    judge(&mut cluster, load, Floor { answered: 100, elections: 1, kills: 0, resets: 0 });
    let logs = trace_logs(&cluster);
    let reports = logs.iter().cloned().permutations(3).map(|logs| {
        let report = validate(&logs, Options::default(), &mut |_| {}).expect("they can be read");
        assert!(report.is_explained(), "{logs:?}:\n{}", report.explain());
        report.to_json()
    });
    let reports: Vec<Value> = reports.collect();
    assert_eq!(reports.len(), 6);
    assert!(reports.iter().all_equal(), "{reports:#?}");
}

/// The lines of the logs of all servers.
#[derive(Clone, Debug)]
struct Logs {
    files: Vec<Vec<String>>,
}

/// The place at which a log is contradicted: the line, counted from 0, and the reason.
#[derive(Debug)]
struct Place {
    line: usize,
    refusal: Refusal,
}

impl Logs {
    fn read(paths: &[PathBuf]) -> Logs {
        let lines = |path: &PathBuf| {
            let text = fs::read_to_string(path).expect("it was read before");
            text.lines().map(str::to_owned).collect()
        };
        Logs { files: paths.iter().map(lines).collect() }
    }

    fn validate(&self, directory: &Path) -> Report {
        let paths = self.files.iter().enumerate().map(|(place, lines)| {
            let path = directory.join(format!("n{}.jsonl", place + 1));
            fs::write(&path, lines.join("\n") + "\n").expect("there is room for files");
            path
        });
        let paths: Vec<PathBuf> = paths.collect();
        validate(&paths, Options::default(), &mut |_| {}).expect("every line can be read")
    }

    /// Returns the place at which the log of a server is contradicted. The logs of other servers
    /// may wait for steps that this log has lost. They may be contradicted only by a circle of
    /// servers that wait for each other.
    fn contradiction(&self, directory: &Path, server: usize) -> Place {
        let report = self.validate(directory);
        let is_own = |id: u64| id == server as u64 + 1;
        let (own, others): (Vec<_>, Vec<_>) =
            report.contradictions().partition(|(log, _)| is_own(log.id.0));
        let is_circle = |refusal: &Refusal| matches!(refusal, Refusal::Circle { .. });
        assert!(others.iter().all(|(_, other)| is_circle(&other.refusal)), "{others:?}");
        let [(_, incomplete)] = own.as_slice() else { panic!("{}", report.explain()) };
        let line = usize::try_from(incomplete.line).expect("a short file") - 1;
        Place { line, refusal: incomplete.refusal.clone() }
    }

    /// Returns whether a line is a step that another step of the same incarnation follows.
    fn goes_on_after(&self, server: usize, line: usize) -> bool {
        let lines = &self.files[server];
        [line, line + 1]
            .iter()
            .all(|line| lines.get(*line).is_some_and(|line| digest(line).is_some()))
    }
}

/// Changes the logs in one way, at many random places.
fn at_places(
    logs: &Logs,
    random: &mut SmallRng,
    mut tamper: impl FnMut(&mut Logs, usize, usize, &mut SmallRng) -> bool,
) {
    let mut changed = 0;
    for _ in 0..100 * PLACES {
        let server = random.random_range(0..logs.files.len());
        let line = random.random_range(0..logs.files[server].len());
        if logs.goes_on_after(server, line) && tamper(&mut logs.clone(), server, line, random) {
            changed += 1;
        }
        if changed == PLACES {
            return;
        }
    }
    panic!("only {changed} places could be changed");
}

/// Returns the digest of the server after a step.
fn digest(line: &str) -> Option<NodeDigest> {
    match NodeRecord::parse(line) {
        Ok(NodeRecord::Step { after, .. }) => Some(after),
        _ => None,
    }
}

/// Increases a number in the effects or the digest of a step. Returns false if there is none.
fn change(line: &mut String, random: &mut SmallRng) -> bool {
    let Ok(mut step) = serde_json::from_str::<Value>(line) else { return false };
    let part = ["/step/after", "/step/effects"][random.random_range(0..2)];
    let mut numbers = Vec::new();
    step.pointer_mut(part).into_iter().for_each(|part| numbers_in(part, &mut numbers));
    if numbers.is_empty() {
        return false;
    }
    let place = random.random_range(0..numbers.len());
    let number = &mut *numbers[place];
    *number = json!(number.as_u64().expect("all are unsigned") + random.random_range(1..4));
    *line = step.to_string();
    true
}

fn numbers_in<'a>(value: &'a mut Value, found: &mut Vec<&'a mut Value>) {
    match value {
        Value::Number(_) => found.push(value),
        Value::Array(items) => items.iter_mut().for_each(|item| numbers_in(item, found)),
        Value::Object(fields) => fields.values_mut().for_each(|field| numbers_in(field, found)),
        _ => {}
    }
}

/// Swaps a step and the next one, and keeps the sequence numbers of the lines. Returns false if the
/// swap might not be detectable. It is detectable if the second step increases the term, the commit
/// index or the applied index, because these never decrease.
fn swap(lines: &mut [String], first: usize) -> bool {
    let grows = |digest: NodeDigest| -> [Index; 3] {
        [Index(digest.term.0), digest.commit, digest.applied]
    };
    let (Ok(one), Ok(other)) =
        (NodeRecord::parse(&lines[first]), NodeRecord::parse(&lines[first + 1]))
    else {
        return false;
    };
    let (Some(before), Some(after)) = (digest(&lines[first]), digest(&lines[first + 1])) else {
        return false;
    };
    if grows(before) == grows(after) {
        return false;
    }
    let NodeRecord::Step { seq, .. } = one else { return false };
    lines[first] = line_of(other, seq);
    lines[first + 1] = line_of(one, seq + 1);
    true
}

/// Returns a step as a line with another sequence number.
fn line_of(mut record: NodeRecord, number: u64) -> String {
    if let NodeRecord::Step { seq, .. } = &mut record {
        *seq = number;
    }
    let mut bytes = Vec::new();
    record.write(&mut bytes).expect("memory takes it");
    String::from_utf8(bytes).expect("JSON is text").trim_end().to_owned()
}
