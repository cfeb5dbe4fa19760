//! The results as Markdown, for a pull request.

use std::fmt::Write as _;

use super::results::{CheckResult, Results, Status};

/// The most lines of the output of a check.
const MOST_LINES: usize = 60;

/// Returns a summary of the results.
pub(crate) fn summary(results: &Results) -> String {
    let mut out = format!("## {}\n\n", escape(&results.headline()));
    if let Some(commit) = &results.commit {
        let _ = writeln!(out, "Commit `{commit}`, {:.0} s.\n", results.seconds);
    }
    if let Some(change) = &results.change {
        let _ =
            writeln!(out, "Since `{}`, {} files have changed.\n", change.since, change.files.len());
        for (what, names) in [
            ("Functions of raft-core", &change.functions),
            ("Their rules", &change.rules),
            ("Mutants that take these rules out", &change.mutants),
        ] {
            if !names.is_empty() {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let _ = writeln!(out, "- {what}: {}", names.join(", "));
            }
        }
        out.push('\n');
    }
    out.push_str("| check | status | time | budget |\n| --- | --- | ---: | ---: |\n");
    for check in &results.checks {
        let time =
            if check.unchanged { "before".to_owned() } else { format!("{:.1} s", check.seconds) };
        let _ = writeln!(
            out,
            "| {} | {} | {time} | {:.0} s |",
            escape(&check.name),
            check.status.name(),
            check.budget_seconds
        );
    }
    for check in results.checks.iter().filter(|check| check.status != Status::Passed) {
        write_check(&mut out, check);
    }
    out
}

fn write_check(out: &mut String, check: &CheckResult) {
    let _ = writeln!(out, "\n### {}: {}\n", check.status.name(), escape(&check.name));
    let _ = writeln!(out, "{}\n", escape(check.because.as_deref().unwrap_or(&check.about)));
    let _ = writeln!(out, "Again: `{}`\n", check.command);
    for run in &check.counterexamples {
        for (property, sentence) in &run.violates {
            let (property, sentence) = (escape(property), escape(sentence));
            let (configuration, step) = (escape(&run.configuration), run.violation);
            let _ = writeln!(
                out,
                "**{property}** is violated in {configuration} at step {step}. {sentence}\n"
            );
        }
        let _ = writeln!(
            out,
            "<details><summary>Its run</summary>\n\n```mermaid\n{}\n```\n\n</details>\n",
            run.mermaid.trim_end()
        );
    }
    let skipped = check.output.lines().count().saturating_sub(MOST_LINES);
    let lines: Vec<&str> = check.output.lines().skip(skipped).collect();
    let fence = fence(&check.output);
    if !lines.is_empty() {
        let _ = writeln!(
            out,
            "<details><summary>Output</summary>\n\n{fence}text\n{}\n{fence}\n\n</details>",
            lines.join("\n")
        );
    }
}

/// Returns a fence that the text does not contain.
fn fence(text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// Escapes a text for a line of Markdown.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '|' | '<' | '>' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            '\n' => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_longer_than_every_one_in_the_text() {
        assert_eq!(fence("a"), "```");
        assert_eq!(fence("```text\n````"), "`````");
    }

    #[test]
    fn a_line_cannot_break_a_table() {
        assert_eq!(escape("a|b\n<c>"), "a\\|b \\<c\\>");
    }
}
