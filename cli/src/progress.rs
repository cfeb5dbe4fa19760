//! The progress of long work, on standard error. On a terminal it is a line that changes, elsewhere
//! it is a new line every ten seconds.

use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::complain;
use crate::quantity::count;

/// The time between two reports of progress by the work.
pub const INTERVAL: Duration = Duration::from_millis(50);

/// The time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The share of the work that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The amount of work that is done.
    pub done: u64,
    /// The total amount of work.
    pub all: u64,
}

/// The display of the progress of the work.
#[derive(Debug)]
pub struct Progress {
    /// `None` where there is no terminal.
    bar: Option<ProgressBar>,
    began: Instant,
    next_draw: Duration,
    next_line: Duration,
    forecast: Forecast,
}

impl Progress {
    /// Creates a display, which is empty until the first call of [`show`](Progress::show).
    pub fn new() -> Progress {
        let bar = std::io::stderr().is_terminal().then(new_bar);
        let forecast = Forecast::default();
        let next_draw = Duration::ZERO;
        Progress { bar, began: Instant::now(), next_draw, next_line: LINE_EVERY, forecast }
    }

    /// Shows a description of the work, and the share that is done if it is known.
    pub fn show(&mut self, what: impl fmt::Display, share: Option<Share>) {
        let elapsed = self.began.elapsed();
        let due = if self.bar.is_some() { self.next_draw } else { self.next_line };
        if elapsed < due {
            return;
        }
        let left = share.and_then(|share| self.forecast.left(share, elapsed));
        if let Some(bar) = &self.bar {
            self.next_draw = elapsed + INTERVAL;
            bar.set_message(line(&what, share, elapsed, left));
            bar.tick();
        } else {
            self.next_line = elapsed + LINE_EVERY;
            complain(line(&what, share, elapsed, left));
        }
    }

    /// Clears the line on the terminal, until something is shown again.
    pub fn clear(&mut self) {
        if let Some(bar) = &mut self.bar {
            bar.finish_and_clear();
            *bar = new_bar();
        }
    }
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}");
    ProgressBar::new_spinner().with_style(style.expect("the template is sound"))
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

/// A forecast of the time for the rest, from the average speed since the current count began.
#[derive(Clone, Copy, Debug, Default)]
struct Forecast {
    begin: Option<(Share, Duration)>,
}

impl Forecast {
    fn left(&mut self, share: Share, elapsed: Duration) -> Option<Duration> {
        let (first, since) = match self.begin {
            Some(begin) if begin.0.all == share.all => begin,
            _ => *self.begin.insert((share, elapsed)),
        };
        let done = share.done.checked_sub(first.done).filter(|done| *done > 0)?;
        let (time, rest) = (elapsed.saturating_sub(since), share.all.saturating_sub(share.done));
        #[expect(clippy::cast_precision_loss, reason = "a forecast needs two digits")]
        let factor = rest as f64 / done as f64;
        Duration::try_from_secs_f64(time.as_secs_f64() * factor).ok()
    }
}

fn line(
    what: impl fmt::Display,
    share: Option<Share>,
    elapsed: Duration,
    left: Option<Duration>,
) -> String {
    let whole = |time: Duration| humantime::format_duration(Duration::from_secs(time.as_secs()));
    let mut out = what.to_string();
    if let Some(Share { done, all }) = share {
        let percent = u128::from(done) * 100 / u128::from(all.max(1));
        let _ = write!(out, "  {} of {} ({percent} %)", count(done), count(all));
    }
    let _ = write!(out, "  {}", whole(elapsed));
    if let Some(left) = left {
        let _ = write!(out, ", about {} left", whole(left));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_is_made_of_what_is_done_since_the_counting_began() {
        let seconds = Duration::from_secs;
        let mut forecast = Forecast::default();
        assert_eq!(forecast.left(Share { done: 0, all: 100 }, seconds(20)), None);
        assert_eq!(forecast.left(Share { done: 25, all: 100 }, seconds(30)), Some(seconds(30)));
        assert_eq!(forecast.left(Share { done: 100, all: 100 }, seconds(60)), Some(seconds(0)));
        // Work with another total has its own speed.
        assert_eq!(forecast.left(Share { done: 5, all: 10 }, seconds(61)), None);
    }

    #[test]
    fn a_line_says_what_how_much_and_how_long() {
        let share = Some(Share { done: 1234, all: 4936 });
        let text =
            line("election-3", share, Duration::from_millis(12_900), Some(Duration::from_secs(75)));
        assert_eq!(text, "election-3  1,234 of 4,936 (25 %)  12s, about 1m 15s left");
        assert_eq!(line("election-3", None, Duration::from_secs(3), None), "election-3  3s");
    }
}
