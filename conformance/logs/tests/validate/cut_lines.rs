//! A kill may cut the last line of an incarnation short.

use raft_logs::validate::{Options, ReadError, validate};

use crate::cluster::Cluster;
use crate::logs::Logs;

/// Returns logs of which one ends with a line that is cut short, and the number of that line.
fn cut_at_the_end(seed: u64, place: usize) -> (Logs, u64) {
    let mut cluster = Cluster::ran(seed, 800);
    let cut = cluster.cut_line(place);
    let mut logs = cluster.logs;
    logs.files[place].push(cut);
    let line = logs.files[place].len() as u64;
    (logs, line)
}

#[test]
fn a_cut_last_line_of_a_file_is_reported_and_fine() {
    for seed in 0..30 {
        for place in 0..3 {
            let (logs, line) = cut_at_the_end(seed, place);
            let report = logs.validate().expect("a cut line is no damage");
            assert!(report.is_explained(), "{}", report.explain());
            assert_eq!(report.servers[place].cut_lines.last(), Some(&line));
        }
    }
}

#[test]
fn a_last_line_is_whole_without_its_end_of_line() {
    let cluster = Cluster::ran(2, 800);
    let (_directory, paths) = cluster.logs.write();
    let text = std::fs::read_to_string(&paths[0]).expect("it was just written");
    std::fs::write(&paths[0], text.trim_end()).expect("there is room for files");
    let report = validate(&paths, Options::default(), &mut |_| {});
    let report = report.expect("every line can be read");
    assert!(report.is_explained());
    assert_eq!(report.steps(), cluster.logs.validate().expect("it can be read").steps());
}

#[test]
fn an_incarnation_does_not_go_on_after_a_cut_line() {
    for seed in 0..30 {
        let mut cluster = Cluster::ran(seed, 800);
        let cut = cluster.cut_line(0);
        let mut logs = cluster.logs;
        let Some(line) = (0..logs.files[0].len()).rev().find(|line| logs.goes_on_after(0, *line))
        else {
            continue;
        };
        logs.files[0].insert(line + 1, cut);
        let error = logs.validate().expect_err("the middle of a log is damaged");
        let ReadError::Line { line: found, .. } = error else { panic!("{error}") };
        assert_eq!(found, line as u64 + 2);
    }
}

#[test]
fn a_line_that_is_wrong_is_not_one_that_is_cut() {
    let mut logs = Cluster::ran(2, 200).logs;
    logs.files[1].push("{\"step\":nonsense}".to_owned());
    let error = logs.validate().expect_err("it is damaged");
    let ReadError::Line { line, .. } = error else { panic!("{error}") };
    assert_eq!(line, logs.files[1].len() as u64);
}

#[test]
fn a_start_may_be_cut_short_too() {
    let mut cluster = Cluster::ran(2, 200);
    let start = cluster.logs.files[0][0].clone();
    let start = start[start.find("{\"schema\"").expect("a start")..].to_owned();
    let next = cluster.cut_line(0);
    cluster.logs.files[0].push(format!("{next}{}", &start[..start.len() / 2]));
    let report = cluster.logs.validate().expect("a cut line is no damage");
    assert!(report.is_explained(), "{}", report.explain());
    assert!(report.servers[0].cut_lines.len() >= 2);
}
