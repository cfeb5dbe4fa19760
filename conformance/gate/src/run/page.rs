//! The results as one HTML page, which needs no network.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use raft_cli::quantity::count;
use serde_json::{Value, json};

use super::counterexample::{AskedRule, Counterexample};
use super::results::{Change, CheckResult, Results, Status};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Returns the page.
pub(crate) fn page(results: &Results) -> String {
    let title = format!("{}: raftgate {}", results.verdict.name(), results.tier.name());
    let not_passed = || results.checks.iter().filter(|check| check.status != Status::Passed);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 class=(colour(results.verdict)) { (results.headline()) }
                    (facts(results))
                    (navigation(results))
                }
                main {
                    @if let Some(change) = &results.change { (changed(change)) }
                    @if not_passed().next().is_some() {
                        section id="failed" {
                            h2 { "What did not pass" }
                            @for check in not_passed() { (failed(check)) }
                        }
                    }
                    (proved(results))
                    (checks(results))
                    (ledgers(results))
                }
                footer {
                    p { "Made from " code { "results.json" } " beside this page, which has the same data." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn colour(status: Status) -> &'static str {
    match status {
        Status::Passed => "good",
        Status::Incomplete | Status::Vacuous | Status::Changed => "warn",
        Status::Failed | Status::Diverged | Status::Unusable | Status::Broken => "bad",
    }
}

fn facts(results: &Results) -> Markup {
    html! {
        p.quiet {
            @if let Some(commit) = &results.commit {
                "Commit " code { (commit.trim_end_matches('+')) }
                @if commit.ends_with('+') { " with further changes" }
                ". "
            }
            (format!("{:.0} s", results.seconds))
            @if let Some(budget) = results.budget_seconds { (format!(" of {budget:.0} s")) }
            "."
        }
    }
}

fn navigation(results: &Results) -> Markup {
    let has_failed = results.checks.iter().any(|check| check.status != Status::Passed);
    html! {
        nav aria-label="Parts of the report" {
            ul {
                @if results.change.is_some() { li { a href="#changed" { "What has changed" } } }
                @if has_failed { li { a href="#failed" { "What did not pass" } } }
                li { a href="#proved" { "What was proved" } }
                li { a href="#checks" { "All checks" } }
                li { a href="#ledgers" { "Ledgers" } }
            }
        }
    }
}

fn changed(change: &Change) -> Markup {
    let lists = [
        ("Functions of raft-core", &change.functions),
        ("Rules that they ask", &change.rules),
        ("Mutants that take these rules out, tried first", &change.mutants),
    ];
    html! {
        section id="changed" {
            h2 { "What has changed since " code { (change.since) } }
            p { "Files that differ: " (change.files.len()) "." }
            @for (what, names) in lists {
                @if !names.is_empty() {
                    p { (what) ": " @for name in names { code { (name) } " " } }
                }
            }
            details {
                summary { "The files" }
                ul { @for file in &change.files { li { code { (file) } } } }
            }
        }
    }
}

fn failed(check: &CheckResult) -> Markup {
    let changes = check.report.as_ref().map_or(&Value::Null, |report| &report["baseline_changes"]);
    html! {
        article {
            h3 { span.status.(colour(check.status)) { (check.status.name()) } " " (check.name) }
            p { "What it says if it passes: " (check.about) }
            @if let Some(because) = &check.because { p { strong { (because) } } }
            p { "Again: " code { (check.command) } }
            @for run in &check.counterexamples { (counterexample(run)) }
            @for change in changes.as_array().into_iter().flatten() { (baseline_change(change)) }
            @if !check.output.is_empty() {
                details open[check.counterexamples.is_empty()] {
                    summary { "Output" }
                    pre tabindex="0" { (check.output) }
                }
            }
        }
    }
}

/// Shows a counterexample with its steps. The script finds the states of the servers in the element.
fn counterexample(run: &Counterexample) -> Markup {
    let start = json!({ "action": "", "servers": run.start });
    let states = run.steps.iter().map(|s| json!({ "action": s.action, "servers": s.servers }));
    let states: Vec<Value> = std::iter::once(start).chain(states).collect();
    // A script ends at the first `</`, wherever it is.
    let states = Value::from(states).to_string().replace('<', "\\u003c");
    let violation = &run.steps[run.violation - 1];
    html! {
        div.run data-violation=(run.violation) {
            script type="application/json" { (PreEscaped(states)) }
            h4 { (run.configuration) ": " (run.steps.len()) " steps" }
            @for (property, sentence) in &run.violates {
                p.broken {
                    strong { (property) } " is violated at step " (run.violation) ". " (sentence)
                    @if let Some(earlier) = run.contradicts {
                        " It contradicts what happened at step " (earlier) "."
                    }
                }
            }
            (scrubber(run))
            (steps(run))
            h4 { "Rules at step " (run.violation) ": " code { (violation.action) } }
            (rules(&violation.rules))
            details {
                summary { "Sequence diagram" }
                div.picture tabindex="0" { (PreEscaped(&run.svg)) }
            }
            p { "The trace: " code { "raftcheck replay " (run.trace) } }
        }
    }
}

fn scrubber(run: &Counterexample) -> Markup {
    html! {
        div.bar {
            button.before type="button" { "Before (k)" }
            input type="range" min="0" max=(run.steps.len()) value=(run.violation) aria-label="Step";
            button.after type="button" { "After (j)" }
        }
        p aria-live="polite" {}
        dl.servers {
            @for (name, text) in run.servers.iter().zip(&run.start) {
                div { dt { (name) } dd { (text) } }
            }
        }
    }
}

fn steps(run: &Counterexample) -> Markup {
    let before = |place: usize| place.checked_sub(1).map_or(&run.start, |b| &run.steps[b].servers);
    let class = |place: usize| {
        let number = Some(place + 1);
        match number {
            number if number == Some(run.violation) => "violation",
            number if number == run.contradicts => "contradicted",
            _ => "",
        }
    };
    html! {
        div.wide tabindex="0" {
            table {
                caption { "Each row shows the servers that the step changed." }
                thead {
                    tr {
                        th scope="col" { "step" } th scope="col" { "action" }
                        @for server in &run.servers { th scope="col" { (server) } }
                    }
                }
                tbody {
                    @for (place, step) in run.steps.iter().enumerate() {
                        tr class=(class(place)) {
                            th scope="row" { (place + 1) }
                            td { (step.action) }
                            @for (now, then) in step.servers.iter().zip(before(place)) {
                                td { @if now != then { (now) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn rules(rules: &[AskedRule]) -> Markup {
    html! {
        div.wide tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" { "rule" } th scope="col" { "answer" }
                        th scope="col" { "sentence" } th scope="col" { "source" }
                        th scope="col" { "code" }
                    }
                }
                tbody {
                    @for rule in rules {
                        tr {
                            td { (rule.name) } td { (rule.answer) } td { (rule.sentence) }
                            td { (rule.source) }
                            td { @for place in &rule.places { (place.replace('`', "")) br; } }
                        }
                    }
                }
            }
        }
    }
}

/// Shows what differs from the baseline, from the report of `raftcheck check`.
fn baseline_change(change: &Value) -> Markup {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (step, transitions) = (&change["example"], &change["transitions"]);
    let cause = if step["before"].is_object() { &step["before"] } else { &step["now"] };
    let effect = |step: &Value| {
        let sends = step["sends"].as_array().into_iter().flatten();
        let sends = sends.map(|message| format!("; sends {}", text(message)));
        format!("{}{}", text(&step["after"]), sends.collect::<String>())
    };
    html! {
        h4 { (text(&change["name"])) ", " (text(&change["network"])) " network" }
        @if change["is_new"] == true { p { "It is not in the baseline." } }
        @if cause.is_object() {
            p { "A local transition that differs:" }
            dl.servers {
                div { dt { "server" } dd { (text(&cause["server"])) } }
                div { dt { "input" } dd { (text(&cause["input"])) } }
                div { dt { "before" } dd {
                    @if step["before"].is_object() { (effect(&step["before"])) } @else { "does not happen" }
                } }
                div { dt { "now" } dd {
                    @if step["now"].is_object() { (effect(&step["now"])) } @else { "does not happen" }
                } }
            }
        }
        (numbers("Counts", &change["counts"]))
        (numbers("Local transitions, by kind", transitions))
    }
}

fn numbers(title: &str, changes: &Value) -> Markup {
    let number = |value: &Value| value.as_u64().map_or_else(|| "none".to_owned(), count);
    let changes = changes.as_array().map(Vec::as_slice).unwrap_or_default();
    html! {
        @if !changes.is_empty() {
            details {
                summary { (title) " (" (changes.len()) ")" }
                div.wide tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { "" } th.number scope="col" { "before" }
                            th.number scope="col" { "now" }
                        } }
                        tbody {
                            @for change in changes {
                                tr {
                                    td { (change["name"].as_str().unwrap_or_default()) }
                                    td.number { (number(&change["before"])) }
                                    td.number { (number(&change["now"])) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Shows the configurations that hold, with their bounds.
fn proved(results: &Results) -> Markup {
    let reports = results.checks.iter().filter_map(|check| check.report.as_ref());
    let configs: Vec<&Value> = reports
        .filter_map(|report| report["configs"].as_array())
        .flatten()
        .filter(|config| config["distinct_states"].is_u64() && config["verdict"] == "HOLDS")
        .collect();
    let any = configs.iter().filter(|config| config["network"] == "any").count();
    let number = |value: &Value| value.as_u64().map(count).unwrap_or_default();
    html! {
        section id="proved" {
            h2 { "What was proved" }
            @if configs.is_empty() {
                p { "Nothing: no configuration was explored to its end and holds." }
            } @else {
                p {
                    "In every state that these configurations can reach within their bounds on terms, "
                    "commands, crashes, snapshots and reads, the properties of the paper's Figure 3 hold. "
                    (any) " of " (configs.len()) " have any network: messages are lost, repeated and "
                    "reordered without bounds. Nothing is proved beyond the bounds; "
                    code { "raftcheck list" } " says what they leave out."
                }
                div.wide tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { "configuration" } th scope="col" { "network" }
                            th.number scope="col" { "states" } th.number scope="col" { "transitions" }
                            th.number scope="col" { "properties tested" }
                        } }
                        tbody {
                            @for config in configs {
                                tr {
                                    td { (config["name"].as_str().unwrap_or_default()) }
                                    td { (config["network"].as_str().unwrap_or_default()) }
                                    td.number { (number(&config["distinct_states"])) }
                                    td.number { (number(&config["transitions"])) }
                                    td.number {
                                        (config["properties_tested"].as_array().map_or(0, Vec::len))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn checks(results: &Results) -> Markup {
    html! {
        section id="checks" {
            h2 { "All checks" }
            div.wide tabindex="0" {
                table {
                    thead { tr {
                        th scope="col" { "check" } th scope="col" { "status" }
                        th.number scope="col" { "time" } th.number scope="col" { "budget" }
                        th scope="col" { "what it says, and the command" }
                    } }
                    tbody {
                        @for check in &results.checks {
                            tr {
                                td { (check.name) }
                                td { span.status.(colour(check.status)) { (check.status.name()) } }
                                td.number {
                                    @if check.unchanged { "before" } @else {
                                        (format!("{:.1} s", check.seconds))
                                    }
                                }
                                td.number { (format!("{:.0} s", check.budget_seconds)) }
                                td { (check.about) br; code { (check.command) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Shows the reports of the checks as they are: coverage, mutants, conformance, seeds.
fn ledgers(results: &Results) -> Markup {
    let has_output = |check: &&CheckResult| !check.output.is_empty();
    html! {
        section id="ledgers" {
            h2 { "Ledgers" }
            p { "The output of every check that passed: counts, coverage, mutants, conformance, seeds." }
            @for check in results.checks.iter().filter(has_output) {
                @if check.status == Status::Passed {
                    details {
                        summary { (check.name) }
                        pre tabindex="0" { (check.output) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::counterexample::RunStep;
    use super::super::plan::Tier;
    use super::super::results::SCHEMA;
    use super::*;

    fn check(status: Status) -> CheckResult {
        CheckResult {
            name: "one </script><b>".to_owned(),
            about: "It is so.".to_owned(),
            command: "raftcheck check".to_owned(),
            status,
            because: None,
            exit_code: Some(1),
            unchanged: false,
            seconds: 1.0,
            budget_seconds: 2.0,
            key: String::new(),
            output: "<script>alert(1)</script>".to_owned(),
            report: None,
            counterexamples: Vec::new(),
        }
    }

    fn of(check: CheckResult) -> String {
        page(&Results {
            schema: SCHEMA,
            tier: Tier::Smoke,
            verdict: check.status,
            exit_code: check.status.exit().code(),
            commit: Some("0123456789ab+".to_owned()),
            key: String::new(),
            shard: None,
            change: None,
            seconds: 1.0,
            budget_seconds: None,
            checks: vec![check],
        })
    }

    #[test]
    fn texts_are_no_markup() {
        let page = of(check(Status::Failed));
        assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
        assert_eq!(page.matches("</script>").count(), 1, "that of the page itself");
    }

    #[test]
    fn the_states_of_a_run_cannot_end_its_script() {
        let step = RunStep {
            action: "n1 <- client: </script>".to_owned(),
            servers: vec!["L1 [</script>]".to_owned()],
            rules: Vec::new(),
        };
        let run = Counterexample {
            configuration: "small".to_owned(),
            trace: "run.jsonl".to_owned(),
            violates: vec![("vote-once".to_owned(), "One vote.".to_owned())],
            servers: vec!["n1".to_owned()],
            start: vec!["F0 []".to_owned()],
            steps: vec![step],
            violation: 1,
            contradicts: None,
            svg: "<svg></svg>".to_owned(),
            mermaid: String::new(),
        };
        let page = of(CheckResult { counterexamples: vec![run], ..check(Status::Failed) });
        assert_eq!(page.matches("</script>").count(), 2, "that of the run, and that of the page");
        assert!(page.contains("<strong>vote-once</strong> is violated at step 1. One vote."));
    }

    #[test]
    fn the_page_needs_no_network() {
        let page = of(check(Status::Passed));
        for part in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(part), "{part}");
        }
    }
}
