//! A replica answers every request in time, even while no other server answers the replica.

use std::collections::BTreeSet;
use std::time::Duration;

use raft_core::{
    AppendEntriesReply, AppendOutcome, Bytes, Config, Index, Limits, LogPosition, Message, Node,
    NodeId, Paper, ReadRound, RequestVoteReply, Term,
};
use raft_node::applier::Done;
use raft_node::log_store::{Files, Identity, LogStore, Sizes};
use raft_node::orders::{Free, Order};
use raft_node::peer_message::PeerMessage;
use raft_node::replica::Replica;
use raft_node::shell::Task;
use raft_node::snapshot_store::SnapshotName;
use raft_node::timers::Timing;
use raft_node::{Bounds, ProposeError, ReadError};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);
const SECOND: Duration = Duration::from_secs(1);
const FREE: Free = Free { disk: true, machine: true };

/// One of three servers, with its answers to clients. Its disk and its state machine take no time.
struct Server {
    replica: Replica,
    log: LogStore,
    answers: Vec<Order>,
}

fn empty_log(voters: BTreeSet<NodeId>) -> LogStore {
    let file = || Box::new(InMemoryBackend::new()) as Box<dyn StorageBackend>;
    let files = Files { logs: [file(), file()], witness: file() };
    let identity = Identity { cluster: "test".into(), node: ONE, voters, disk: 1 };
    LogStore::open(files, &identity, 1, Sizes::default()).unwrap().0
}

impl Server {
    /// Returns a leader of term 1 at the time of one second. Server 2 has its blank entry.
    fn leads() -> Server {
        let voters = BTreeSet::from([ONE, TWO, THREE]);
        let config = Config { id: ONE, voters: voters.clone(), limits: Limits::default() };
        let node = Node::boot(&Paper, config).unwrap();
        let bounds = Bounds { request_timeout: 5 * SECOND, ..Bounds::default() };
        // The election timer is checked when it expires, so that it is not too late for an
        // election.
        let replica = Replica::new(node, Timing::default(), bounds, Duration::ZERO, 1, None);
        let mut server = Server { replica, log: empty_log(voters), answers: Vec::new() };
        server.advance(server.replica.timer());
        let vote = RequestVoteReply { term: Term(1), granted: true };
        server.hear(SECOND, Message::RequestVoteReply(vote));
        assert!(server.replica.leads());
        server.acknowledge(SECOND, 1, 0);
        assert_eq!(server.replica.shell().node().commit_index, Index(1));
        server
    }

    fn hear(&mut self, now: Duration, message: Message) {
        self.replica.hear(now, TWO, PeerMessage::Message(message));
        self.work(now);
    }

    fn acknowledge(&mut self, now: Duration, index: u64, round: u64) {
        let outcome = AppendOutcome::Matched { match_index: Index(index) };
        let reply = AppendEntriesReply { term: Term(1), outcome, read_round: ReadRound(round) };
        self.hear(now, Message::AppendEntriesReply(reply));
    }

    fn advance(&mut self, now: Duration) {
        self.replica.advance(now, false);
        self.work(now);
    }

    fn work(&mut self, now: Duration) {
        loop {
            let orders = self.replica.orders(now, FREE);
            if orders.is_empty() {
                return;
            }
            for order in orders {
                match order {
                    Order::Commit { mark, writes } => {
                        let durable = self.log.commit_up_to(mark, writes).unwrap();
                        self.replica.durable(now, &durable);
                    }
                    Order::Apply { task: Task::Apply { first, entries }, .. } => {
                        let index = first.prev().plus(entries.len());
                        let answers = vec![Bytes::empty(); entries.len()];
                        self.replica.applied(now, Done { index, answers });
                    }
                    Order::AnswerProposal(..) | Order::AnswerRead(..) => self.answers.push(order),
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn a_leader_that_nobody_answers_answers_its_clients_when_their_time_is_over() {
    let mut server = Server::leads();
    let command = server.replica.propose(SECOND, Bytes::from("x")).unwrap();
    let first = server.replica.read(SECOND);
    server.advance(SECOND);
    // Later reads wait while earlier reads prove the leadership.
    let later: Vec<_> = (0..8)
        .map(|number| {
            let now = 2 * SECOND + number * Duration::from_millis(1);
            let id = server.replica.read(now);
            server.advance(now);
            id
        })
        .collect();
    server.advance(Duration::from_millis(5999));
    assert!(server.answers.is_empty());
    assert!(server.replica.deadline(FREE) <= 6 * SECOND);
    server.advance(6 * SECOND);
    let [Order::AnswerProposal(id, said), Order::AnswerRead(read, heard)] = &server.answers[..]
    else {
        panic!("{} answers", server.answers.len())
    };
    assert_eq!((*id, said), (command, &Err(ProposeError::Unknown)));
    assert_eq!((*read, heard), (first, &Err(ReadError::TimedOut)));
    assert_eq!(server.replica.shell().unanswered(), 1, "the command is still under way");

    server.answers.clear();
    server.advance(8 * SECOND);
    let timed_out = |order: &Order| match order {
        Order::AnswerRead(id, Err(ReadError::TimedOut)) => *id,
        _ => panic!("another answer"),
    };
    let answered: Vec<_> = server.answers.iter().map(timed_out).collect();
    assert_eq!(answered, later);

    // Later results for these requests must not lead to second answers. Four groups of reads were
    // in progress.
    server.answers.clear();
    server.acknowledge(9 * SECOND, 2, 4);
    assert_eq!(server.replica.shell().node().last_applied, Index(2));
    assert!(server.answers.is_empty());
    let read = server.replica.read(9 * SECOND);
    server.advance(9 * SECOND);
    server.acknowledge(9 * SECOND, 2, 5);
    let [Order::AnswerRead(id, Ok(Index(2)))] = &server.answers[..] else { panic!("no answer") };
    assert_eq!(*id, read);
}

#[test]
fn reads_that_wait_are_answered_when_the_leader_is_deposed() {
    let mut server = Server::leads();
    let reads: Vec<_> = (0..8)
        .map(|_| {
            let id = server.replica.read(SECOND);
            server.advance(SECOND);
            id
        })
        .collect();
    let higher = RequestVoteReply { term: Term(2), granted: false };
    server.hear(SECOND, Message::RequestVoteReply(higher));
    server.advance(SECOND);
    let refused = |order: &Order| match order {
        Order::AnswerRead(id, Err(ReadError::NotLeader { leader: None })) => *id,
        _ => panic!("another answer"),
    };
    let answered: BTreeSet<_> = server.answers.iter().map(refused).collect();
    assert_eq!(answered, reads.into_iter().collect());
}

#[test]
fn the_status_says_when_each_server_was_heard_and_what_a_leader_knows_of_its_log() {
    let server = Server::leads();
    let status = server.replica.status(4 * SECOND);
    assert_eq!(status.peers[&TWO].last_heard, Some(3 * SECOND));
    assert_eq!(status.peers[&THREE].last_heard, None);
    let known = |id| status.peers[&id].progress.map(|progress| progress.match_index);
    assert_eq!((known(TWO), known(THREE)), (Some(Index(1)), Some(Index(0))));
}

#[test]
fn a_follower_makes_its_state_durable_with_each_snapshot_and_a_leader_does_not() {
    let syncs = |server: &mut Server| {
        let orders = server.replica.orders(SECOND, FREE);
        orders.iter().filter(|order| matches!(order, Order::SyncState)).count()
    };
    let mut server = Server::leads();
    let position = LogPosition { term: Term(1), index: Index(1) };
    let name = SnapshotName { last_included: position, length: 3, checksum: 4 };
    server.replica.snapshot_stored(name);
    assert_eq!(syncs(&mut server), 0);
    let higher = RequestVoteReply { term: Term(2), granted: false };
    server.hear(SECOND, Message::RequestVoteReply(higher));
    server.replica.snapshot_stored(name);
    assert_eq!(syncs(&mut server), 1);
    assert_eq!(syncs(&mut server), 0, "once is enough");
}
