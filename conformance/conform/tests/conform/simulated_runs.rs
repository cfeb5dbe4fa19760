//! The servers of a simulated cluster behave like the model.

use std::time::Duration;

use raft_checker::control::Control;
use raft_conform::Progress;
use raft_conform::simulated_run::trace;
use raft_conform::trace::hold;
use raft_simulation::simulate::{Length, run};

#[test]
fn what_each_server_does_in_a_run_is_what_the_model_does() {
    for seed in 0..3 {
        let length = Length { chaos: Duration::from_secs(3), ..Length::default() };
        let outcome = run(seed, 3, length, true);
        assert_eq!(outcome.broken, None, "seed {seed} with {:?}", outcome.faults);
        let held = hold(&trace(&outcome), &Control::default(), &Progress::default());
        let (held, found) = held.unwrap();
        assert!(found.is_none(), "seed {seed}: {found:?}");
        assert!(held.steps > 200, "{held:?}");
    }
}
