//! The results as `JUnit` XML, which CI systems show.

use std::fmt::Write as _;

use super::results::{CheckResult, Results, Status};

/// Returns the results as a test suite.
pub(crate) fn xml(results: &Results) -> String {
    let count = |of: fn(&CheckResult) -> bool| results.checks.iter().filter(|c| of(c)).count();
    let failures = count(|check| is_failure(check.status));
    let errors = count(|check| check.status != Status::Passed) - failures;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuite name=\"raftgate {}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" \
         skipped=\"0\" time=\"{:.3}\">",
        results.tier.name(),
        results.checks.len(),
        results.seconds,
    );
    for check in &results.checks {
        let name = escape(&check.name);
        let _ = write!(
            out,
            "  <testcase classname=\"raftgate\" name=\"{name}\" time=\"{:.3}\"",
            check.seconds
        );
        let element = match check.status {
            Status::Passed => {
                out.push_str("/>\n");
                continue;
            }
            status if is_failure(status) => "failure",
            _ => "error",
        };
        let because = check.because.as_deref().unwrap_or(&check.about);
        let _ = writeln!(
            out,
            ">\n    <{element} type=\"{}\" message=\"{}\">{}</{element}>\n  </testcase>",
            check.status.name(),
            escape(because),
            escape(&check.output),
        );
    }
    out.push_str("</testsuite>\n");
    out
}

/// Returns whether a status is a result of the check, and not a hindrance.
fn is_failure(status: Status) -> bool {
    matches!(status, Status::Failed | Status::Diverged | Status::Changed | Status::Vacuous)
}

/// Escapes a text for XML, which has no way to write most control characters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                out.push('?');
            }
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escape("a<b> & \"c\"\u{1b}[0m"), "a&lt;b&gt; &amp; &quot;c&quot;?[0m");
    }
}
