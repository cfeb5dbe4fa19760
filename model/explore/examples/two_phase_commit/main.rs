//! Explores two-phase commit over any network, correct and with a mistake, and prints the run that the
//! mistake allows.

mod system;

use std::sync::Arc;

use raft_explore::RunStep;
use raft_explore::any_network::{Options, search};
use raft_explore::control::Control;
use system::TwoPhaseCommit;

fn main() {
    for (about, enough) in [("correct", 3), ("commits when two of three are prepared", 2)] {
        let system = Arc::new(TwoPhaseCommit { participants: 3, enough });
        let options = Options { threads: 2, ..Options::default() };
        let outcome = search(&system, options, &Control::default());
        println!("{about}: {:?}", outcome.kept);
        for step in outcome.violation.into_iter().flat_map(|(run, _)| run) {
            match step {
                RunStep::Receive(message) => println!("  receive {message:?}"),
                RunStep::Act(server, action) => println!("  server {server}: {action:?}"),
                RunStep::Lose(_) | RunStep::Repeat(_) => {} // Only a bounded network does this.
            }
        }
    }
}
