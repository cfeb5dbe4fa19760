//! A message which states that its sender leads and is busy with a snapshot resets the election
//! timer only if the sender may be the leader.

use std::collections::BTreeSet;
use std::time::Duration;

use raft_core::{Config, Input, Limits, Node, NodeId, Paper, RequestVote, Term, step};
use raft_node::Bounds;
use raft_node::peer_message::PeerMessage;
use raft_node::replica::Replica;
use raft_node::timers::Timing;

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);

/// Returns a follower in term 5 that knows no leader.
fn replica() -> Replica {
    let voters = BTreeSet::from([ONE, TWO, THREE]);
    let config = Config { id: ONE, voters, limits: Limits::default() };
    let mut node = Node::boot(&Paper, config).unwrap();
    let request = RequestVote { term: Term(5), last_log: node.log.last() };
    let message = raft_core::Message::RequestVote(request);
    step(&Paper, &mut node, Input::Receive { from: TWO, message }, &mut Vec::new());
    Replica::new(node, Timing::default(), Bounds::default(), Duration::ZERO, 1, None)
}

#[test]
fn a_leader_of_an_earlier_term_does_not_keep_the_election_timer_from_running_out() {
    let later = Duration::from_millis(100);
    for (term, heeded) in [(4, false), (5, true), (6, true)] {
        let mut replica = replica();
        let before = replica.timer();
        replica.hear(later, THREE, PeerMessage::LeaderAlive(Term(term)));
        assert_eq!(replica.timer() != before, heeded, "term {term}");
    }
}
