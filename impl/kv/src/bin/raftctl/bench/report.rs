//! The results of the benchmark, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::cpu::Cost;
use super::tally::{Latencies, Tally, per_second};
use crate::args::BenchArgs;
use crate::output;

/// The JSON report.
#[derive(Serialize)]
pub(super) struct Report {
    target: String,
    program_version: &'static str,
    value_size: usize,
    keys: u64,
    reads_percent: u8,
    seconds: f64,
    warm_up_seconds: f64,
    threads: u16,
    pub(super) runs: Vec<Run>,
}

/// A measurement with one number of clients.
#[derive(Serialize)]
pub(super) struct Run {
    clients: usize,
    pub(super) operations: u64,
    operations_per_second: f64,
    #[serde(flatten)]
    latency: Latency,
    error_count: u64,
    errors: BTreeMap<String, u64>,
    warm_up_errors: u64,
    redirections: u64,
    reads_of_missing_keys: u64,
    client_cpu: Option<Cost>,
    /// For a mixed load, the results of puts and of gets separately.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<Kind>,
    /// For each bucket, its lower and its upper bound in microseconds, and the number of requests
    /// that took at least the lower bound and less than the upper bound.
    histogram: Vec<Bucket>,
}

/// One kind of request.
#[derive(Serialize)]
struct Kind {
    name: &'static str,
    operations: u64,
    operations_per_second: f64,
    #[serde(flatten)]
    latency: Latency,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Serialize)]
struct Latency {
    #[serde(rename = "p50_us")]
    p50: u64,
    #[serde(rename = "p99_us")]
    p99: u64,
    #[serde(rename = "p999_us")]
    p999: u64,
    #[serde(rename = "max_us")]
    max: u64,
}

type Bucket = (u64, u64, u64);

impl Latency {
    fn of(histogram: &Histogram<u32>) -> Latency {
        Latency {
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

impl Run {
    pub(super) fn new(
        clients: usize,
        args: &BenchArgs,
        tally: &Tally,
        client_cpu: Option<Cost>,
    ) -> Run {
        let mut all = Latencies::new();
        let mut kinds = Vec::new();
        for (name, latencies) in [("puts", &tally.puts), ("gets", &tally.gets)] {
            all.add(latencies);
            kinds.push(Kind {
                name,
                operations: latencies.completed,
                operations_per_second: per_second(latencies.completed, args.duration),
                latency: Latency::of(&latencies.histogram),
            });
        }
        if matches!(args.reads, 0 | 100) {
            kinds.clear();
        }
        Run {
            clients,
            operations: all.completed,
            operations_per_second: per_second(all.completed, args.duration),
            latency: Latency::of(&all.histogram),
            error_count: tally.errors.values().sum(),
            errors: tally.errors.clone(),
            warm_up_errors: tally.early_errors,
            redirections: tally.redirections,
            reads_of_missing_keys: tally.missing,
            client_cpu,
            kinds,
            histogram: buckets(&all.histogram),
        }
    }
}

impl Report {
    pub(super) fn new(target: String, args: &BenchArgs) -> Report {
        Report {
            target,
            program_version: env!("CARGO_PKG_VERSION"),
            value_size: args.value_size,
            keys: args.keys,
            reads_percent: args.reads,
            seconds: args.duration.as_secs_f64(),
            warm_up_seconds: args.warm_up.as_secs_f64(),
            threads: args.threads,
            runs: Vec::new(),
        }
    }

    pub(super) fn text(&self, args: &BenchArgs) -> String {
        let mut out = format!(
            "{}; values of {}, {} keys, {} % reads\n\n",
            self.target,
            output::bytes(self.value_size as u64),
            output::count(self.keys),
            self.reads_percent
        );
        out += &self.table();
        out.push('\n');
        for run in &self.runs {
            out += &run.remarks();
        }
        if args.histogram {
            for run in &self.runs {
                let _ = writeln!(out, "\n{} clients:", run.clients);
                out += &bars(&run.histogram);
            }
        }
        out
    }

    fn table(&self) -> String {
        let unit = match self.reads_percent {
            0 => "puts/s",
            100 => "gets/s",
            _ => "ops/s",
        };
        let columns = ["clients", "", unit, "p50", "p99", "p99.9", "max", "errors"];
        let mut table = output::table(&columns, &[0, 2, 3, 4, 5, 6, 7]);
        for run in &self.runs {
            let mut row = |clients: String, kind: &str, rate: f64, l: Latency, errors: String| {
                let times = [l.p50, l.p99, l.p999, l.max];
                let times = times
                    .map(|time| if l.max == 0 { "-".to_owned() } else { output::micros(time) });
                let mut cells = vec![clients, kind.to_owned(), format!("{rate:.0}")];
                cells.extend(times);
                cells.push(errors);
                table.add_row(cells);
            };
            let errors = output::count(run.error_count);
            row(run.clients.to_string(), "", run.operations_per_second, run.latency, errors);
            for kind in &run.kinds {
                row(
                    String::new(),
                    kind.name,
                    kind.operations_per_second,
                    kind.latency,
                    String::new(),
                );
            }
        }
        output::lines(&table)
    }
}

impl Run {
    /// Returns the results that are not in the table.
    fn remarks(&self) -> String {
        let mut out = String::new();
        let clients = self.clients;
        if let Some(Cost { micros_per_operation, cores }) = self.client_cpu {
            let _ = writeln!(
                out,
                "{clients} clients cost {micros_per_operation:.1} us of CPU for each request, \
                 {cores:.2} cores in all."
            );
        }
        for (error, count) in &self.errors {
            let _ = writeln!(out, "{clients} clients: {} x {error}", output::count(*count));
        }
        let mut remark = |count: u64, text: &str| {
            if count > 0 {
                let _ = writeln!(out, "{clients} clients: {} {text}", output::count(count));
            }
        };
        remark(self.warm_up_errors, "errors during the warm-up");
        remark(self.redirections, "redirections");
        remark(self.reads_of_missing_keys, "reads found nothing; --fill writes keys first");
        out
    }
}

/// Returns the counts in buckets whose lower bounds begin with the digit 1, 2 or 5.
fn buckets(histogram: &Histogram<u32>) -> Vec<Bucket> {
    let decade = |exponent| [1, 2, 5].map(|digit| digit * 10_u64.pow(exponent));
    let edges: Vec<u64> = std::iter::once(0).chain((0..10).flat_map(decade)).collect();
    let mut buckets: Vec<Bucket> = edges.windows(2).map(|e| (e[0], e[1], 0)).collect();
    for value in histogram.iter_recorded() {
        let place = edges.partition_point(|edge| *edge <= value.value_iterated_to());
        if let Some(bucket) = buckets.get_mut(place.saturating_sub(1)) {
            bucket.2 += u64::from(value.count_at_value());
        }
    }
    let first = buckets.iter().position(|bucket| bucket.2 > 0).unwrap_or(buckets.len());
    let end = buckets.iter().rposition(|bucket| bucket.2 > 0).map_or(first, |last| last + 1);
    buckets[first..end].to_vec()
}

/// Returns a bar for each bucket.
fn bars(buckets: &[Bucket]) -> String {
    let all: u64 = buckets.iter().map(|bucket| bucket.2).sum();
    let most = buckets.iter().map(|bucket| bucket.2).max().unwrap_or(0).max(1);
    let mut out = String::new();
    for (from, to, count) in buckets {
        // The bar of a bucket that is not empty has at least one character.
        let length = (count * 50).div_ceil(most);
        let bar = "#".repeat(usize::try_from(length).unwrap_or(50));
        let percent = 100.0 * share(*count, all);
        let (from, to) = (output::micros(*from), output::micros(*to));
        let line =
            format!("{from:>8} .. {to:<8} {:>12} {percent:6.2} % {bar}", output::count(*count));
        out += line.trim_end();
        out.push('\n');
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "three digits are printed")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_everything() {
        let mut histogram = Histogram::new(3).expect("a histogram");
        for micros in [0, 1, 120, 199, 200, 4999, 12_000_000] {
            histogram.record(micros).expect("it grows");
        }
        let buckets = buckets(&histogram);
        assert_eq!(buckets.iter().map(|bucket| bucket.2).sum::<u64>(), 7);
        assert!(buckets.contains(&(100, 200, 2)), "{buckets:?}");
        assert!(buckets.contains(&(200, 500, 1)), "{buckets:?}");
        assert_eq!(buckets.first(), Some(&(0, 1, 1)));
        assert_eq!(buckets.last(), Some(&(10_000_000, 20_000_000, 1)));
        assert!(bars(&buckets).lines().all(|line| line.len() <= 100));
    }
}
