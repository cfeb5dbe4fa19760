//! A negative control on the properties themselves: Leader Completeness without the term of
//! commitment would report a violation in correct Raft.

use raft_checker::bounded_cluster::script;
use raft_checker::config::BoundedConfig;
use raft_checker::properties::View;
use raft_checker::replay::Replay;

/// A candidate of term 1 wins late, after a leader of term 2 has committed an entry that it lacks.
const LATE_WIN: &str = r#"
tier = "smoke"
about = "A slow candidate of a lower term wins late."
leaves-out = "Everything but the script and one step."
servers = 3
batch = 1
window = 2
disk = "atomic"
apply = "at-once"
script = [
  "n1 election timeout",
  "n2 <- n1 vote?",
  "n3 election timeout",
  "n3 election timeout",
  "n2 <- n3 vote? t2",
  "n3 <- n2 vote t2",
  "n2 <- n3 append",
  "n3 <- n2 ack 1",
  "n1 <- n2 vote t1",
]
[bounds]
max_term = 2
proposals = 0
heartbeats = 0
in_flight = 8
"#;

#[test]
fn leader_completeness_needs_the_term_of_commitment() {
    let config = BoundedConfig::parse("late.toml".as_ref(), LATE_WIN).expect("it is sound");
    let settings = config.settings.clone();
    let actions = script(&config);
    assert_eq!(actions.len(), 9);
    let replay = Replay::run(&settings, &actions).expect("every step is possible");
    assert!(replay.violation().is_none(), "it is correct Raft");

    let end = &replay.steps.last().expect("there are nine").after;
    let committed = &end.history.decided[0];
    let view = View::of(&end.servers[0]);
    assert_eq!(view.leads.map(|term| term.0), Some(1));
    assert!(committed.committed_in.is_some_and(|term| term.0 == 2));
    let naive = view.log.first() != Some(&committed.entry);
    assert!(naive, "a leader lacks a committed entry, so the naive property is broken");
}
