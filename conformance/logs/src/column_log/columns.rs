//! Writes events in one column for each server.
//!
//! ```text
//!    step topic| n1                        | n2
//!       1 TIMR | election timeout          |
//!       1 TERM | C1 c0 a0 term 1, was 0    |
//!       2 ELEC |                           | <- n1 vote? t1 log start
//! ```
//!
//! Every line is complete by itself, so that other tools can cut and search the picture. If a text
//! continues in the next line, that line repeats the step and the topic. If the columns were too
//! narrow to be read, all servers share one column, and every line names its server. The margin
//! shows the [`Flag`](super::event::Flag) of an event, or `>` at a step that the user asked for.

use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::{Effects, Style};
use raft_checker::text_width::{WIDTH, wrapped};
use raft_core::NodeId;

use super::event::Event;
use super::event_topic::Topic;

/// The smallest width of a column. If columns were narrower, all servers would share one.
pub const NARROWEST: usize = 12;

/// The width of the margin, the step and the topic.
const LEFT: usize = 1 + 7 + 1 + 5;

/// The bar before each column.
const BAR: &str = "| ";

/// The layout of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The width of the whole picture.
    pub width: usize,
    /// Whether a text that does not fit is cut, with `..` at the end, instead of continuing in the
    /// next line.
    pub cut: bool,
    /// Whether topics have colours.
    pub coloured: bool,
    /// The step that is marked with `>`.
    pub around: Option<u64>,
}

impl Default for Layout {
    fn default() -> Layout {
        Layout { width: WIDTH, cut: false, coloured: false, around: None }
    }
}

/// Writes events in one column for each server.
#[derive(Clone, Debug)]
pub struct Columns {
    servers: Vec<NodeId>,
    layout: Layout,
    /// Whether the names of all current servers have been written.
    headed: bool,
}

impl Columns {
    /// Creates columns for these servers, in this order. Another server gets a column with its
    /// first event. Then all columns are sorted by server.
    pub fn new(servers: Vec<NodeId>, layout: Layout) -> Columns {
        Columns { servers, layout, headed: false }
    }

    /// Returns the width of the whole picture.
    pub fn width(&self) -> usize {
        self.layout.width
    }

    /// Writes an event. The servers' names are written above the first event, and again after a
    /// server was added.
    ///
    /// # Errors
    ///
    /// Returns the errors of `out`.
    pub fn write(&mut self, event: &Event, mut out: impl Write) -> io::Result<()> {
        let place = match self.servers.iter().position(|server| *server == event.server) {
            Some(place) => place,
            None => self.add(event.server),
        };
        if !std::mem::replace(&mut self.headed, true) {
            self.write_names(&mut out)?;
        }
        let (columns, width) = self.columns();
        let (place, name) = if columns == self.servers.len() {
            (place, String::new())
        } else {
            (0, format!("{} ", event.server))
        };
        let mark = match event.flag.mark() {
            ' ' if self.layout.around == Some(event.step) => '>',
            mark => mark,
        };
        let room = width.saturating_sub(name.len());
        let texts =
            if self.layout.cut { vec![cut(&event.text, room)] } else { wrapped(&event.text, room) };
        for text in texts {
            let text = format!("{name}{text}");
            write!(out, "{mark}{:>7} ", event.step)?;
            self.styled(event.topic, format_args!("{:<5}", event.topic.name()), &mut out)?;
            for _ in 0..place {
                write!(out, "{BAR}{:width$}", "")?;
            }
            out.write_all(BAR.as_bytes())?;
            self.styled(event.topic, format_args!("{text}"), &mut out)?;
            if place + 1 < columns {
                write!(out, "{:pad$}", "", pad = width.saturating_sub(text.chars().count()))?;
                for _ in place + 2..columns {
                    write!(out, "{BAR}{:width$}", "")?;
                }
                out.write_all(BAR.trim_end().as_bytes())?;
            }
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn add(&mut self, server: NodeId) -> usize {
        self.servers.push(server);
        self.servers.sort_unstable();
        self.headed = false;
        self.servers.iter().position(|other| *other == server).unwrap_or(0)
    }

    fn write_names(&self, mut out: impl Write) -> io::Result<()> {
        let (columns, width) = self.columns();
        let names: Vec<String> = if columns == self.servers.len() {
            self.servers.iter().map(NodeId::to_string).collect()
        } else {
            vec!["server".to_owned()]
        };
        let bold =
            if self.layout.coloured { Style::new().effects(Effects::BOLD) } else { Style::new() };
        let mut line = format!("{:>8} {:<5}", "step", "topic");
        for name in names {
            let _ = write!(line, "{BAR}{name:width$}");
        }
        writeln!(out, "{bold}{}{bold:#}", line.trim_end())
    }

    fn styled(
        &self,
        topic: Topic,
        text: std::fmt::Arguments,
        mut out: impl Write,
    ) -> io::Result<()> {
        if self.layout.coloured {
            let style = topic.style();
            write!(out, "{style}{text}{style:#}")
        } else {
            out.write_fmt(text)
        }
    }

    /// Returns the number of columns, one for each server or one for all, and the width of each.
    fn columns(&self) -> (usize, usize) {
        let room = self.layout.width.saturating_sub(LEFT);
        let width = |columns: usize| (room / columns).saturating_sub(BAR.len());
        match self.servers.len() {
            servers if servers > 0 && width(servers) >= NARROWEST => (servers, width(servers)),
            _ => (1, width(1).max(NARROWEST)),
        }
    }
}

/// Shortens a text to a width. A text that was cut ends with `..`.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    format!("{kept}..")
}
