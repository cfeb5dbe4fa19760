//! Options that several programs have.

use std::ops::Range;
use std::time::Duration;

/// Parses a duration such as `90s`, `1m 30s` or `200ms`. A number without a unit is in seconds:
/// `90` or `1.5`.
///
/// # Errors
///
/// A message about the mistake in the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    const FORM: &str = "write a number of seconds, or a number with a unit, such as 90s or 10m";
    let text = text.trim();
    let is_number = text.contains(|letter: char| letter.is_ascii_digit())
        && text.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    if !is_number {
        return humantime::parse_duration(text).map_err(|error| format!("{error}; {FORM}"));
    }
    let seconds: f64 = text.parse().map_err(|_| FORM.to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "it is too long".to_owned())
}

/// Parses a [`duration`] that must not be zero.
///
/// # Errors
///
/// A message about the mistake in the text.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must not be zero".to_owned()),
        duration => Ok(duration),
    }
}

/// Parses a range of seeds `A..B`, which does not include B. A single number N means `0..N`.
///
/// # Errors
///
/// The text has another form, or the range is empty.
pub fn seeds(text: &str) -> Result<Range<u64>, String> {
    let bad = || format!("{text:?} is not of the form A..B, or a number of seeds");
    let (first, end) = text.split_once("..").unwrap_or(("0", text));
    let (first, end) = (first.parse().map_err(|_| bad())?, end.parse().map_err(|_| bad())?);
    if first < end { Ok(first..end) } else { Err(format!("there is no seed in {text}")) }
}

/// On how many threads a program works.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct ThreadsArgs {
    /// How many threads work [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl ThreadsArgs {
    /// Returns the given number of threads, or the number of processors.
    pub fn number(self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(processors, usize::from)
    }
}

/// The maximum number of similar names to suggest.
const SIMILAR: usize = 3;

/// Returns the known names that are similar to `name`, the most similar first. The list is empty if
/// no name is similar.
pub fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let name = name.to_lowercase();
    let near = |known: &'a str| {
        let lower = known.to_lowercase();
        let distance = strsim::damerau_levenshtein(&name, &lower);
        let longest = name.chars().count().max(lower.chars().count());
        let begins = !name.is_empty() && lower.starts_with(&name);
        (begins || distance <= longest / 3).then_some((distance, known))
    };
    let mut near: Vec<_> = known.into_iter().filter_map(near).collect();
    near.sort_unstable();
    near.into_iter().take(SIMILAR).map(|(_, name)| name.to_owned()).collect()
}

/// Returns a question about an unknown name, such as `did you mean a, b or c?`. Returns `otherwise`
/// if there are no similar names.
pub fn did_you_mean(similar: &[String], otherwise: &str) -> String {
    match similar {
        [] => otherwise.to_owned(),
        [name] => format!("did you mean {name}?"),
        [names @ .., last] => format!("did you mean {} or {last}?", names.join(", ")),
    }
}

/// Returns a path as one word of a shell command. The path is quoted if it contains characters that
/// a shell might interpret.
pub fn shell_word(path: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "/._-+:,@%=".contains(letter);
    if !path.is_empty() && path.chars().all(plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_without_a_unit_is_in_seconds() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for wrong in
            ["", ".", "1.2.3", "-1", "1x", "ten", "inf", "NaN", "1e9", "99999999999999999999"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(positive_duration("0").is_err() && positive_duration("0ms").is_err());
        assert_eq!(positive_duration("2"), Ok(Duration::from_secs(2)));
    }

    #[test]
    fn seeds_are_a_range_or_a_number() {
        assert_eq!(seeds("3..7"), Ok(3..7));
        assert_eq!(seeds("10"), Ok(0..10));
        for wrong in ["", "0", "7..3", "3..3", "a..b", "-1", "1..", "18446744073709551616"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_similar_names_are_told() {
        let known = ["EL-04", "EL-09", "PE-11", "commit-own-term-only"];
        assert_eq!(similar("el-4", known), ["EL-04"]);
        assert_eq!(similar("EL", known), ["EL-04", "EL-09"]);
        assert_eq!(similar("commit-own-term", known), ["commit-own-term-only"]);
        assert!(similar("XX-99", known).is_empty());
        assert_eq!(did_you_mean(&[], "there is none"), "there is none");
        let three = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(did_you_mean(&three, ""), "did you mean a, b or c?");
        assert_eq!(did_you_mean(&three[..1], ""), "did you mean a?");
    }

    #[test]
    fn a_path_with_a_blank_is_quoted() {
        assert_eq!(shell_word("traces/a-1.jsonl"), "traces/a-1.jsonl");
        assert_eq!(shell_word("my traces/a"), "'my traces/a'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
