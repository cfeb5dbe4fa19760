//! Several processes that explore together reach what one reaches.

#[path = "support/doorbell.rs"]
mod doorbell;
#[path = "support/loopback.rs"]
mod loopback;
#[path = "../examples/two_phase_commit/system.rs"]
mod system;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use doorbell::{DOORBELL, Doorbell};
use loopback::addresses;
use raft_explore::any_network::{
    Hosts, HostsError, Options, Outcome, PeerError, Scale, SearchError, search, search_at_scale,
};
use raft_explore::control::{Control, StopReason};
use raft_explore::{RunStep, System};
use system::{Action, CONSISTENT, TwoPhaseCommit};

const CORRECT: TwoPhaseCommit = TwoPhaseCommit { participants: 4, enough: 4 };

/// Commits without asking the last participant.
const HASTY: TwoPhaseCommit = TwoPhaseCommit { participants: 4, enough: 3 };

type Result<S = TwoPhaseCommit> = std::result::Result<Outcome<S>, SearchError>;

fn run<S: System>(system: S, options: Options, identity: u64, hosts: Hosts) -> Result<S> {
    run_until(system, options, identity, hosts, &Control::default())
}

fn run_until<S: System>(
    system: S,
    options: Options,
    identity: u64,
    hosts: Hosts,
    control: &Control,
) -> Result<S> {
    let scale = Scale { identity, hosts: Some(hosts), checkpoints: None };
    search_at_scale(&Arc::new(system), options, &scale, control)
}

fn together<S: System + Copy + 'static>(
    system: S,
    options: Options,
    count: usize,
) -> Vec<Outcome<S>> {
    let addresses = addresses(count);
    let start = |process| {
        let hosts = Hosts::new(addresses.clone(), process).expect("the process exists");
        thread::spawn(move || run(system, options, 1, hosts))
    };
    let processes: Vec<_> = (0..count).map(start).collect();
    let outcome = |process: thread::JoinHandle<Result<S>>| process.join().expect("no panic");
    processes.into_iter().map(|process| outcome(process).expect("no process fails")).collect()
}

#[test]
fn each_process_has_the_outcome_of_one_that_explores_alone() {
    for symmetry in [false, true] {
        for prune in [false, true] {
            let options = Options { symmetry, prune, ..Options::default() };
            let alone = search(&Arc::new(CORRECT), options, &Control::default());
            for count in 2..=3 {
                for outcome in together(CORRECT, options, count) {
                    assert!(outcome.complete && outcome.removals_hold);
                    assert_eq!(outcome.kept, alone.kept);
                    assert_eq!(outcome.findings, alone.findings);
                    assert_eq!(outcome.local_transitions, alone.local_transitions);
                    assert!(outcome.violation.is_none());
                }
            }
        }
    }
}

#[test]
fn the_first_process_has_the_run_of_a_violation_and_all_know_of_it() {
    for outcome in together(HASTY, Options::default(), 3).iter().enumerate() {
        let (process, outcome) = outcome;
        assert_eq!(outcome.findings.broken, CONSISTENT);
        assert!(!outcome.complete);
        assert_eq!(outcome.violation.is_some(), process == 0);
        let Some((steps, broken)) = &outcome.violation else { continue };
        assert_eq!(*broken, CONSISTENT);
        let gives_up = |step: &RunStep<_>| matches!(step, RunStep::Act(_, Action::GiveUp));
        assert_eq!(steps.iter().filter(|step| gives_up(step)).count(), 1);
    }
}

#[test]
fn all_processes_know_that_a_claim_about_messages_is_wrong() {
    let wrong = Doorbell { forgets_what_rings_while_asleep: true, ..DOORBELL };
    for count in 2..=4 {
        for outcome in together(wrong, Options::default(), count) {
            assert!(outcome.complete && !outcome.removals_hold);
        }
    }
}

/// Starts two processes, each with its identity and options. Both must refuse the other.
fn refuse_each_other([first, second]: [(u64, Options); 2]) {
    let addresses = addresses(2);
    let start = |process, (identity, options)| {
        let hosts = Hosts::new(addresses.clone(), process).expect("the process exists");
        thread::spawn(move || run(CORRECT, options, identity, hosts))
    };
    for process in [start(0, first), start(1, second)] {
        let result = process.join().expect("no panic");
        assert!(matches!(result, Err(SearchError::Peer(PeerError::Foreign { .. }))));
    }
}

#[test]
fn processes_that_explore_something_else_are_refused_by_both() {
    refuse_each_other([(1, Options::default()), (2, Options::default())]);
}

#[test]
fn processes_that_reduce_otherwise_are_refused_by_both() {
    let plain = Options { symmetry: false, ..Options::default() };
    refuse_each_other([(1, Options::default()), (1, plain)]);
}

#[test]
fn a_process_that_counts_the_processes_otherwise_is_refused() {
    let addresses = addresses(3);
    let first = Hosts::new(addresses[..2].to_vec(), 0).expect("the process exists");
    let second = Hosts::new(addresses, 1).expect("the process exists");
    let control = Arc::new(Control::default());
    let stop = Arc::clone(&control);
    let other =
        thread::spawn(move || run_until(CORRECT, Options::default(), 1, second, &control).err());
    let error = run(CORRECT, Options::default(), 1, first).err().expect("the other is refused");
    assert!(error.to_string().ends_with("counts 3 processes, this one 2"), "{error}");
    stop.stop(StopReason::Interrupted);
    assert!(other.join().expect("no panic").is_some());
}

/// Returns the greeting of process 1 of 2 and the byte that confirms it, made from process 0's.
fn greeting(answered: &mut TcpStream) -> [u8; 33] {
    let mut greeting = [1; 33];
    answered.read_exact(&mut greeting[..32]).expect("the process greets");
    greeting[24..32].copy_from_slice(&1u64.to_le_bytes());
    greeting
}

fn connect(address: &str) -> TcpStream {
    loop {
        if let Ok(stream) = TcpStream::connect(address) {
            return stream;
        }
        thread::yield_now();
    }
}

#[test]
fn a_stray_connection_is_ignored_and_a_lost_process_is_reported() {
    let addresses = addresses(2);
    let hosts = Hosts::new(addresses.clone(), 0).expect("the process exists");
    let process = thread::spawn(move || run(CORRECT, Options::default(), 1, hosts).err());
    let mut stray = connect(&addresses[0]);
    stray.write_all(&[7; 32]).expect("it is connected");
    let mut peer = connect(&addresses[0]);
    let greeting = greeting(&mut peer);
    peer.write_all(&greeting).expect("it is connected");
    drop(peer);
    let error = process.join().expect("no panic").expect("the process is lost");
    assert!(error.to_string().starts_with("lost process 1 at 127.0.0.1:"), "{error}");
}

#[test]
fn a_process_that_gave_up_before_it_was_greeted_does_not_count() {
    let addresses = addresses(2);
    let hosts = |process| Hosts::new(addresses.clone(), process).expect("the process exists");
    let (first, second) = (hosts(0), hosts(1));
    let process = thread::spawn(move || run(CORRECT, Options::default(), 1, first));
    let mut peer = connect(&addresses[0]);
    let greeting = greeting(&mut peer);
    peer.write_all(&greeting[..32]).expect("it is connected");
    drop(peer);
    assert!(run(CORRECT, Options::default(), 1, second).expect("nothing fails").complete);
    assert!(process.join().expect("no panic").expect("nothing fails").complete);
}

#[test]
fn a_block_that_is_no_block_ends_the_search() {
    for block in [vec![0xff; 8], [4u64.to_le_bytes().to_vec(), vec![0xff; 4]].concat()] {
        let addresses = addresses(2);
        let hosts = Hosts::new(addresses.clone(), 0).expect("the process exists");
        let process = thread::spawn(move || run(CORRECT, Options::default(), 1, hosts).err());
        let mut peer = connect(&addresses[0]);
        let greeting = greeting(&mut peer);
        peer.write_all(&[greeting.as_slice(), &block].concat()).expect("it is connected");
        let error = process.join().expect("no panic").expect("the block is refused");
        assert!(error.to_string().starts_with("lost process 1 at 127.0.0.1:"), "{error}");
    }
}

#[test]
fn waiting_for_the_others_can_be_stopped() {
    let hosts = Hosts::new(addresses(2), 0).expect("the process exists");
    let control = Control::default();
    control.stop(StopReason::TimeLimit);
    let error = run_until(CORRECT, Options::default(), 1, hosts, &control).err();
    assert!(matches!(
        error,
        Some(SearchError::Peer(PeerError::Stopped { reason: StopReason::TimeLimit, .. }))
    ));
}

#[test]
fn a_list_without_this_process_is_refused() {
    let refused = HostsError::NoSuchProcess { process: 2, addresses: 2 };
    assert_eq!(Hosts::new(addresses(2), 2).err(), Some(refused));
    assert!(matches!(Hosts::new(vec![String::new(); 2_000], 0), Err(HostsError::TooMany(2_000))));
    for other in ["# comment", "host", "host:", ":7400", "host:70000"] {
        let error = Hosts::new(vec![other.to_owned()], 0).err();
        assert_eq!(error, Some(HostsError::NotAnAddress(other.to_owned())));
    }
}
