//! The measurement of one exploration by one engine.

use raft_checker::check::{Report, Verdict};
use raft_cli::quantity::count;
use serde::{Deserialize, Serialize};

use crate::args::EngineArg;

/// The progress of a search at some time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Since the search began.
    pub(crate) seconds: f64,
    /// The number of distinct states.
    pub(crate) states: u64,
}

/// What one engine did on one configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// The configuration.
    pub(crate) config: String,
    /// The engine.
    pub(crate) engine: EngineArg,
    /// The number of threads.
    pub(crate) threads: usize,
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// The number of kept states.
    pub(crate) states: u64,
    /// The number of steps from them.
    pub(crate) steps: u64,
    /// The time.
    pub(crate) seconds: f64,
    /// The peak memory of the process.
    pub(crate) peak_bytes: u64,
    /// The progress.
    pub(crate) samples: Vec<Sample>,
}

impl Measurement {
    /// Returns the measurement of a check that has ended.
    pub(crate) fn of(
        report: &Report,
        engine: EngineArg,
        threads: usize,
        peak_bytes: u64,
        samples: Vec<Sample>,
    ) -> Measurement {
        Measurement {
            config: report.name.clone(),
            engine,
            threads,
            verdict: report.verdict,
            states: report.distinct_states,
            steps: report.transitions,
            seconds: report.seconds,
            peak_bytes,
            samples,
        }
    }

    /// Returns its numbers as text: states, steps, time, millions of steps and thousands of states per
    /// second, bytes per state.
    #[expect(clippy::cast_precision_loss, reason = "rates need two digits")]
    pub(crate) fn numbers(&self) -> [String; 6] {
        let Measurement { states, steps, seconds, peak_bytes, .. } = *self;
        let per_second = |number: u64| number as f64 / seconds.max(1e-9);
        [
            count(states),
            count(steps),
            format!("{seconds:.1} s"),
            format!("{:.2}", per_second(steps) / 1e6),
            format!("{:.0}", per_second(states) / 1e3),
            count(peak_bytes / states.max(1)),
        ]
    }
}
