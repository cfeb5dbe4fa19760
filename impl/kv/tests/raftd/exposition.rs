//! A strict parser of Prometheus' text format, version 0.0.4.

use std::collections::{BTreeMap, BTreeSet};

/// One sample: its name, its labels and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A metric with all its samples.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Family {
    pub(crate) help: String,
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

/// All metrics by name.
pub(crate) type Exposition = BTreeMap<String, Family>;

/// Parses a text and checks these rules: a metric is described before its samples, which are next
/// to each other; names, labels and escapes are well-formed; counters end in `_total` and are not
/// negative; the buckets of a histogram add up.
pub(crate) fn parse(text: &str) -> Result<Exposition, String> {
    if !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let mut families = Exposition::new();
    let mut help = None;
    let mut current: Option<String> = None;
    for line in text.lines().filter(|line| !line.is_empty()) {
        let wrong = |why: &str| format!("{why}: {line}");
        if let Some(described) = line.strip_prefix("# HELP ") {
            let (name, what) = described.split_once(' ').ok_or_else(|| wrong("no help"))?;
            if what.is_empty() || help.replace((name.to_owned(), what.to_owned())).is_some() {
                return Err(wrong("help without a type, or none"));
            }
        } else if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').ok_or_else(|| wrong("no type"))?;
            let (helped, help) = help.take().ok_or_else(|| wrong("a type without help"))?;
            if helped != name || !is_name(name, true) {
                return Err(wrong("a name that does not fit"));
            }
            if !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(wrong("an unknown type"));
            }
            let family = Family { help, kind: kind.to_owned(), samples: Vec::new() };
            if families.insert(name.to_owned(), family).is_some() {
                return Err(wrong("a metric that comes twice"));
            }
            current = Some(name.to_owned());
        } else {
            let sample = sample(line).map_err(|why| wrong(&why))?;
            let name = current.as_ref().ok_or_else(|| wrong("a sample of nothing"))?;
            let family = families.get_mut(name).ok_or_else(|| wrong("a sample of nothing"))?;
            if !belongs(&sample.name, name, &family.kind) {
                return Err(wrong("a sample that does not stand with its metric"));
            }
            family.samples.push(sample);
        }
    }
    families.iter().try_for_each(|(name, family)| check(name, family))?;
    Ok(families)
}

fn belongs(sample: &str, family: &str, kind: &str) -> bool {
    let suffix = sample.strip_prefix(family);
    match kind {
        "histogram" => suffix.is_some_and(|s| ["_bucket", "_sum", "_count"].contains(&s)),
        _ => suffix == Some(""),
    }
}

/// Returns whether the text is a valid name of a metric or of a label. A label must not have
/// colons.
fn is_name(text: &str, of_metric: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (of_metric && c == ':');
    text.chars().all(fits) && text.starts_with(|c: char| !c.is_ascii_digit())
}

fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").ok_or("a label without a value")?;
            let (value, after) = quoted(after)?;
            if !is_name(label, false) || labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("a bad label {label}"));
            }
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        value => value.parse().map_err(|_| format!("not a number: {value}"))?,
    };
    Ok(Sample { name: name.to_owned(), labels, value })
}

/// Returns the value of a label up to its closing quote, without escapes, and the rest of the text.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[place + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                _ => return Err("an unknown escape".to_owned()),
            },
            c => value.push(c),
        }
    }
    Err("a label that does not end".to_owned())
}

fn check(name: &str, family: &Family) -> Result<(), String> {
    let Family { kind, samples, .. } = family;
    if samples.is_empty() {
        return Err(format!("{name} has no samples"));
    }
    let mut seen = BTreeSet::new();
    for Sample { name, labels, .. } in samples {
        if !seen.insert((name, labels)) {
            return Err(format!("{name}{labels:?} comes twice"));
        }
    }
    if (kind == "counter") != name.ends_with("_total") {
        return Err(format!("{name} is a {kind}; counters, and no others, end in _total"));
    }
    if ["_bucket", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix)) {
        return Err(format!("{name} looks like a part of a histogram"));
    }
    for (unit, others) in
        [("_seconds", ["_ms", "_us", "_minutes"]), ("_bytes", ["_kb", "_mib", "_mb"])]
    {
        let stem = name.strip_suffix("_total").unwrap_or(name);
        if others.iter().any(|other| stem.ends_with(other)) {
            return Err(format!("{name} is not in base units"));
        }
        if stem.contains(unit) && !stem.ends_with(unit) {
            return Err(format!("{name} does not end in its unit"));
        }
    }
    match kind.as_str() {
        "histogram" => check_histogram(name, samples),
        "counter" if samples.iter().any(|sample| sample.value.is_nan() || sample.value < 0.0) => {
            Err(format!("{name} is negative"))
        }
        _ => Ok(()),
    }
}

fn check_histogram(name: &str, samples: &[Sample]) -> Result<(), String> {
    /// The buckets with their bounds, the sum and the count.
    type Series = (Vec<(f64, f64)>, Option<f64>, Option<f64>);
    let mut series: BTreeMap<BTreeMap<String, String>, Series> = BTreeMap::new();
    for sample in samples {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le");
        let (buckets, sum, count) = series.entry(labels).or_default();
        match (bound, sample.name.strip_prefix(name)) {
            (Some(bound), Some("_bucket")) => {
                let bound = if bound == "+Inf" { Ok(f64::INFINITY) } else { bound.parse() };
                let bound = bound.map_err(|_| format!("{name}: a bound that is no number"))?;
                buckets.push((bound, sample.value));
            }
            (None, Some("_sum")) => *sum = Some(sample.value),
            (None, Some("_count")) => *count = Some(sample.value),
            _ => return Err(format!("{name}: le belongs to buckets, and to nothing else")),
        }
    }
    for (labels, (buckets, sum, count)) in series {
        let ascending =
            buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let last = buckets.last().filter(|bucket| bucket.0 == f64::INFINITY);
        if !ascending || last.map(|bucket| bucket.1) != count || count.is_none() || sum.is_none() {
            return Err(format!("the buckets of {name}{labels:?} do not add up"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse;

    const SOUND: &str = "# HELP a_total A.\n# TYPE a_total counter\na_total{l=\"x \\\"}\\\\\"} 1\n\
         a_total{l=\"y\"} 2\n\n# HELP t_seconds T.\n# TYPE t_seconds histogram\n\
         t_seconds_bucket{le=\"0.5\"} 1\nt_seconds_bucket{le=\"+Inf\"} 3\nt_seconds_sum 2.5\n\
         t_seconds_count 3\n";

    #[test]
    fn a_sound_text_is_read() {
        let families = parse(SOUND).unwrap();
        assert_eq!(families["a_total"].samples[0].labels["l"], "x \"}\\");
        assert_eq!(families["t_seconds"].samples.len(), 4);
    }

    #[test]
    fn a_text_that_breaks_a_rule_is_refused() {
        for (line, other) in [
            ("# HELP a_total A.\n", ""),
            ("# TYPE a_total counter\n", ""),
            ("a_total counter", "a_total gauge"),
            ("a_total{l=\"y\"} 2", "a_total{l=\"x \\\"}\\\\\"} 2"),
            ("a_total{l=\"y\"} 2", "a_total{l=\"y\"} -2"),
            ("a_total{l=\"y\"} 2", "a_total{l=\"y\\t\"} 2"),
            ("a_total{l=\"y\"} 2", "a_total{l:m=\"y\"} 2"),
            ("a_total{l=\"y\"} 2", "a_total{l=\"y\"} two"),
            ("a_total{l=\"y\"} 2", "b_total{l=\"y\"} 2"),
            ("a_total{l=\"y\"} 2\n\n", "a_total{l=\"y\"} 2\nt_seconds_sum 1\n\n"),
            ("{le=\"0.5\"} 1", "{le=\"0.5\"} 4"),
            ("{le=\"+Inf\"} 3", "{le=\"+Inf\"} 2"),
            ("{le=\"+Inf\"} 3", "{le=\"9\"} 3"),
            ("{le=\"+Inf\"} 3", "{le=\"0.1\"} 3"),
            ("t_seconds_sum 2.5\n", ""),
            ("t_seconds_count 3\n", ""),
            ("t_seconds_count 3\n", "t_seconds_count 3"),
        ] {
            let broken = SOUND.replacen(line, other, 1);
            assert_ne!(broken, SOUND);
            assert!(parse(&broken).is_err(), "{broken}");
        }
        let milliseconds = SOUND.replace("t_seconds", "t_ms");
        assert!(parse(&milliseconds).is_err(), "{milliseconds}");
    }
}
