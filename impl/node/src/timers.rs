//! The election timer and the heartbeat timer (paper, sections 5.2 and 5.6).

use std::time::Duration;

use raft_core::Input;

/// The times that a server waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The shortest election timeout. The paper's range is 150 to 300 ms.
    pub election_min: Duration,
    /// The longest election timeout.
    pub election_max: Duration,
    /// How often a leader shows that it is alive.
    pub heartbeat: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            election_min: Duration::from_millis(150),
            election_max: Duration::from_millis(300),
            heartbeat: Duration::from_millis(50),
        }
    }
}

/// The delay from which on a late election timer starts no election. After such a delay, the
/// process or the whole machine was stopped for a while, messages from a leader may be waiting
/// unread, and an election would be premature.
const STOOD_STILL: Duration = Duration::from_millis(100);

/// The two timers of a server. The caller chooses the origin of time, but time must never go back.
#[derive(Clone, Debug)]
pub struct Timers {
    timing: Timing,
    election: Duration,
    heartbeat: Duration,
}

impl Timers {
    /// Starts both timers at `now`. `random` is a fresh random number.
    pub fn new(timing: Timing, now: Duration, random: u64) -> Timers {
        let mut timers = Timers { timing, election: now, heartbeat: now + timing.heartbeat };
        timers.reset_election(now, random);
        timers
    }

    /// Resets the election timer to a timeout that `random` selects from the range.
    pub fn reset_election(&mut self, now: Duration, random: u64) {
        let Timing { election_min, election_max, .. } = self.timing;
        let spread = election_max.saturating_sub(election_min).as_nanos().max(1);
        let extra = u64::try_from(u128::from(random) % spread).unwrap_or(0);
        self.election = now + election_min + Duration::from_nanos(extra);
    }

    /// Extends the election timeout by the time for which the server read no messages.
    pub fn stood_still(&mut self, time: Duration) {
        self.election += time;
    }

    /// Returns the time at which [`fire`](Timers::fire) must be called next.
    pub fn next(&self, leads: bool) -> Duration {
        if leads { self.heartbeat } else { self.election }
    }

    /// Returns the input that is due at `now`, if any.
    pub fn fire(&mut self, now: Duration, leads: bool, random: u64) -> Option<Input> {
        if leads {
            if now < self.heartbeat {
                return None;
            }
            self.heartbeat = now + self.timing.heartbeat;
            return Some(Input::Heartbeat);
        }
        if now < self.election {
            return None;
        }
        let late = now.saturating_sub(self.election);
        self.reset_election(now, random);
        (late < STOOD_STILL).then_some(Input::ElectionTimeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn timeouts_are_spread_over_the_whole_range() {
        let mut timers = Timers::new(Timing::default(), Duration::ZERO, 0);
        assert_eq!(timers.next(false), 150 * MS);
        timers.reset_election(MS, 150_000_000 - 1);
        assert!(timers.next(false) > 300 * MS && timers.next(false) <= 301 * MS);
    }

    #[test]
    fn a_timer_fires_once_and_starts_anew() {
        let mut timers = Timers::new(Timing::default(), Duration::ZERO, 0);
        assert_eq!(timers.fire(149 * MS, false, 0), None);
        assert_eq!(timers.fire(151 * MS, false, 0), Some(Input::ElectionTimeout));
        assert_eq!(timers.fire(151 * MS, false, 0), None);
        assert_eq!(timers.next(false), 301 * MS);
    }

    #[test]
    fn a_server_that_stood_still_listens_before_it_campaigns() {
        let mut timers = Timers::new(Timing::default(), Duration::ZERO, 0);
        assert_eq!(timers.fire(10_000 * MS, false, 0), None);
        assert_eq!(timers.fire(10_151 * MS, false, 0), Some(Input::ElectionTimeout));
    }

    #[test]
    fn a_leader_has_no_election_timer_and_a_follower_no_heartbeat() {
        let mut timers = Timers::new(Timing::default(), Duration::ZERO, 0);
        assert_eq!(timers.fire(200 * MS, true, 0), Some(Input::Heartbeat));
        assert_eq!(timers.fire(220 * MS, true, 0), None);
        assert_eq!(timers.fire(220 * MS, false, 0), Some(Input::ElectionTimeout));
    }
}
