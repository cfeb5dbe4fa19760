//! `raftgate merge`: the results of several shards as one.

use std::collections::BTreeSet;
use std::path::PathBuf;

use raft_checker::exit_code::Exit;
use raft_checker::text_width::wrap;
use raft_cli::output::Output;

use super::report;
use super::results::{Results, SCHEMA, Status};
use crate::failure::Failure;

/// Put the results of the shards of one run together, and write a report.
///
/// Ends as `raftgate run` would have ended without shards.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The file results.json of every shard
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the report goes; files of an earlier one are replaced
    #[arg(long, value_name = "DIR", default_value = "target/raftgate/report")]
    report: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut all = Vec::new();
    for path in &args.files {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Failure::Read { path: path.clone(), source })?;
        all.push(parse(&text).map_err(|what| refuse(format!("{}: {what}", path.display())))?);
    }
    let merged = merge(all).map_err(refuse)?;
    report::write(&args.report, &merged)?;
    let mut out = Output::stdout();
    writeln!(out, "{}", wrap(&merged.headline(), ""));
    writeln!(out, "The report is in {}.", args.report.display());
    out.finish()?;
    Ok(merged.verdict.exit())
}

fn refuse(what: String) -> Failure {
    let advice = "name the results of all shards of one run, each once; nothing was written";
    Failure::Input { what, advice: advice.to_owned() }
}

fn parse(text: &str) -> Result<Results, String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(SCHEMA) => {}
        Some(other) => {
            return Err(format!("schema {other}, and this program reads schema {SCHEMA}"));
        }
        None => return Err("it has no schema, so it is no file of results".to_owned()),
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Puts the results of all shards of a run together.
fn merge(all: Vec<Results>) -> Result<Results, String> {
    let mut all = all.into_iter();
    let Some(first) = all.next() else { return Err("there are no results".to_owned()) };
    let Some(shard) = first.shard else {
        return Err("these are the results of a whole run, and not of a shard".to_owned());
    };
    let (mut merged, mut indexes) = (first, BTreeSet::from([shard.index]));
    for other in all {
        let other_shard = other.shard.ok_or("one of the files has the results of a whole run")?;
        if (other.tier, other_shard.count) != (merged.tier, shard.count) {
            return Err(format!(
                "they do not belong together: shard {} of {} of the tier {}, and shard {} of {} of the \
                 tier {}",
                shard.index,
                shard.count,
                merged.tier.name(),
                other_shard.index,
                other_shard.count,
                other.tier.name(),
            ));
        }
        if other.key != merged.key {
            return Err(format!(
                "they do not belong together: shards {} and {} have checked different sources",
                shard.index, other_shard.index
            ));
        }
        if !indexes.insert(other_shard.index) {
            return Err(format!("shard {} is there twice", other_shard.index));
        }
        merged.seconds = merged.seconds.max(other.seconds);
        merged.change = merged.change.or(other.change);
        merged.checks.extend(other.checks);
    }
    let missing: Vec<String> = (1..=shard.count)
        .filter(|index| !indexes.contains(index))
        .map(|index| index.to_string())
        .collect();
    if !missing.is_empty() {
        return Err(format!("shard {} of {} is missing", missing.join(", "), shard.count));
    }
    merged.checks.sort_by(|a, b| a.name.cmp(&b.name));
    merged.verdict = Status::worst(merged.checks.iter().map(|check| check.status));
    merged.exit_code = merged.verdict.exit().code();
    merged.shard = None;
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::super::plan::Tier;
    use super::super::results::Shard;
    use super::*;

    fn shard(index: usize, count: usize) -> Results {
        Results {
            schema: SCHEMA,
            tier: Tier::Smoke,
            verdict: Status::Passed,
            exit_code: 0,
            commit: None,
            key: "k".to_owned(),
            shard: Some(Shard { index, count }),
            change: None,
            seconds: 1.0,
            budget_seconds: None,
            checks: Vec::new(),
        }
    }

    #[test]
    fn all_shards_of_a_run_are_a_run() {
        let merged = merge(vec![shard(2, 2), shard(1, 2)]).expect("they belong together");
        assert_eq!(merged.shard, None);
    }

    #[test]
    fn shards_that_do_not_belong_together_are_refused() {
        let other = |change: fn(&mut Results)| {
            let mut other = shard(2, 2);
            change(&mut other);
            merge(vec![shard(1, 2), other]).expect_err("they do not belong together")
        };
        assert!(other(|r| r.tier = Tier::Nightly).contains("nightly"));
        assert!(other(|r| r.key = "l".to_owned()).contains("different sources"));
        assert!(other(|r| r.shard = None).contains("whole run"));
        assert!(other(|r| r.shard = Some(Shard { index: 1, count: 2 })).contains("twice"));
        assert!(other(|r| r.shard = Some(Shard { index: 2, count: 3 })).contains("of 3"));
        assert!(merge(vec![shard(1, 2)]).expect_err("one is missing").contains("shard 2 of 2"));
    }

    #[test]
    fn other_files_are_no_results() {
        assert!(parse("{").expect_err("no JSON").contains("JSON"));
        assert!(parse("{}").expect_err("no schema").contains("schema"));
        assert!(parse("{\"schema\": 9}").expect_err("another one").contains("schema 9"));
        assert!(parse("{\"schema\": 1}").is_err());
        let written = serde_json::to_string(&shard(1, 2)).expect("plain data");
        assert_eq!(parse(&written).expect("it is one"), shard(1, 2));
    }
}
