//! Topics of events.

use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// What an event is about, in four letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Starts and crashes
    Boot,
    /// Timers, and the heartbeats that they cause
    Timr,
    /// Roles, votes and requests for votes
    Elec,
    /// New terms
    Term,
    /// What clients propose
    Clnt,
    /// Entries on their way, what was answered, entries that are dropped from a log
    Log,
    /// Writes, and what is durable
    Disk,
    /// The commit index
    Cmit,
    /// What the state machine has applied
    Appl,
    /// Snapshots: taken, sent, installed
    Snap,
    /// Linearizable reads
    Read,
    /// Messages that were lost, repeated or refused
    Drop,
    /// A server that stops because it contradicts itself
    Halt,
    /// A property that the run breaks (cluster traces only)
    Fail,
}

impl Topic {
    /// All topics, in the order in which they are listed.
    pub const ALL: [Topic; 14] = [
        Topic::Boot,
        Topic::Timr,
        Topic::Elec,
        Topic::Term,
        Topic::Clnt,
        Topic::Log,
        Topic::Disk,
        Topic::Cmit,
        Topic::Appl,
        Topic::Snap,
        Topic::Read,
        Topic::Drop,
        Topic::Halt,
        Topic::Fail,
    ];

    /// Returns the name of the topic in the picture.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Boot => "BOOT",
            Topic::Timr => "TIMR",
            Topic::Elec => "ELEC",
            Topic::Term => "TERM",
            Topic::Clnt => "CLNT",
            Topic::Log => "LOG",
            Topic::Disk => "DISK",
            Topic::Cmit => "CMIT",
            Topic::Appl => "APPL",
            Topic::Snap => "SNAP",
            Topic::Read => "READ",
            Topic::Drop => "DROP",
            Topic::Halt => "HALT",
            Topic::Fail => "FAIL",
        }
    }

    /// Returns the style of the topic on a terminal. It uses only the sixteen colours that users
    /// can configure.
    pub const fn style(self) -> Style {
        let colour = match self {
            Topic::Boot => AnsiColor::White,
            Topic::Timr => AnsiColor::BrightBlack,
            Topic::Elec => AnsiColor::Yellow,
            Topic::Term => AnsiColor::BrightYellow,
            Topic::Clnt => AnsiColor::Cyan,
            Topic::Log => AnsiColor::Blue,
            Topic::Disk => AnsiColor::BrightBlue,
            Topic::Cmit => AnsiColor::Green,
            Topic::Appl => AnsiColor::BrightGreen,
            Topic::Snap => AnsiColor::Magenta,
            Topic::Read => AnsiColor::BrightCyan,
            Topic::Drop => AnsiColor::BrightMagenta,
            Topic::Halt | Topic::Fail => AnsiColor::Red,
        };
        let style = colour.on_default();
        if matches!(self, Topic::Boot | Topic::Halt | Topic::Fail) { style.bold() } else { style }
    }
}
