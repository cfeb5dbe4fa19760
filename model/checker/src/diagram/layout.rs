//! The layout of a sequence diagram: coordinates in pixels, x to the right, y down.
//!
//! There is a lane for each server, as wide as its longest label, and a row for each step. Labels
//! and arrows have separate areas, so that no arrow crosses a label:
//!
//! ```text
//!        lane of n1             lane of n2
//!    +---+-------------+    +---+-------------+
//!    : | :             :    : | :             :
//!    : #===================>* | :             :   a message leaves n1 and crosses other lanes
//!    : | : 1 label     :    :\| :             :   above the label of its row,
//!    : | :             :    : # :             :   waits in the channel beside the lifeline of n2,
//!    : | :             :    : | : 2 label     :   and arrives there in a later row
//!    +---+-------------+    +---+-------------+
//!   channel  labels        channel  labels
//! ```

use std::fmt::Write as _;

use raft_core::NodeId;
use raft_trace::Action;

use super::message_arrows::{MessageArrow, message_arrows};
use crate::notation::{describe_action, describe_server};
use crate::properties::Property;
use crate::replay::Replay;
use crate::text_width::wrapped;

/// The width of the channel where messages wait, on each side of a lifeline.
const CHANNEL: i32 = 26;

/// The distance between elements that must not touch each other.
const GAP: i32 = 6;

/// The margin on the left and on the right.
const MARGIN: i32 = 16;

/// The width before the first lane, for the marks of steps.
const MARKS: i32 = 30;

/// The distance from one line of text to the next.
const LINE: i32 = 14;

/// The distance from the top of a row to the arrival of messages.
const ARRIVAL: i32 = 8;

/// The distance from the arrival of messages in a row to their departure.
const DEPARTURE: i32 = 6;

/// Half the width of the block on a lifeline that stands for a step.
const EVENT: i32 = 4;

/// The number of letters after which a label goes on in the next line.
const LABEL_LETTERS: usize = 44;

/// The least width of the head and the legend.
const NARROWEST: i32 = 720;

/// A sequence diagram of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// The width of the whole picture.
    pub width: i32,
    /// The height of the whole picture.
    pub height: i32,
    /// The servers, from left to right.
    pub lanes: Vec<Lane>,
    /// The marked steps, behind everything else.
    pub bands: Vec<Band>,
    /// The times when servers are down.
    pub outages: Vec<Area>,
    /// The blocks on the lifelines, one for each step of a server.
    pub events: Vec<Area>,
    /// The messages.
    pub arrows: Vec<Arrow>,
    /// All texts.
    pub texts: Vec<Text>,
}

/// A point of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The distance from the left.
    pub x: i32,
    /// The distance from the top.
    pub y: i32,
}

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its left side.
    pub left: i32,
    /// Its upper side.
    pub top: i32,
    /// Its right side.
    pub right: i32,
    /// Its lower side.
    pub bottom: i32,
}

/// The lane of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The server.
    pub server: NodeId,
    /// The area of the lane.
    pub area: Area,
    /// The distance of its lifeline from the left.
    pub lifeline: i32,
}

/// A marked step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Its area.
    pub area: Area,
    /// The reason for the mark.
    pub mark: Mark,
}

/// The reason why a step is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It breaks a property.
    Violation,
    /// A later step contradicts it.
    Contradicted,
}

/// The arrow of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// The points on its way.
    pub points: Vec<Point>,
    /// Whether it ends in a cross instead of a head.
    pub lost: bool,
    /// Whether the network made the message, as a copy of another. Then the arrow begins in a ring.
    pub is_copy: bool,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The beginning of the first letter, on the base line.
    pub at: Point,
    /// The content.
    pub content: String,
    /// The style.
    pub style: TextStyle,
    /// The number of the lane that it belongs to, counted from 0.
    pub lane: Option<usize>,
}

/// The style of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextStyle {
    /// The title of the picture.
    Title,
    /// The name of a server.
    Server,
    /// An action.
    Action,
    /// The new state of a server, or the legend.
    Detail,
    /// A text about a marked step.
    Marked(Mark),
}

impl TextStyle {
    /// Returns the size of the letters.
    pub const fn size(self) -> i32 {
        match self {
            TextStyle::Title | TextStyle::Server => 14,
            TextStyle::Action | TextStyle::Detail | TextStyle::Marked(_) => 11,
        }
    }

    /// Returns the width of a letter. Fonts of fixed width take 0.5 to 0.61 of the size; this is
    /// more.
    pub const fn advance(self) -> i32 {
        match self.size() {
            14 => 9,
            _ => 7,
        }
    }
}

impl Text {
    /// Returns the area that the text takes.
    pub fn area(&self) -> Area {
        let Point { x, y } = self.at;
        let right = x + length(&self.content) * self.style.advance();
        Area { left: x, top: y - self.style.size(), right, bottom: y + self.style.size() / 4 }
    }
}

impl Picture {
    /// Makes the picture of a run.
    pub fn of(replay: &Replay, title: &str) -> Picture {
        let rows = rows(replay);
        let mut picture = Picture::default();
        picture.place_lanes(replay, &rows);
        let head = picture.draw_head(replay, title);
        let names = picture.draw_legend(replay, head + LINE) + 2 * LINE;
        let first = names + GAP;
        picture.name_lanes(names);
        let (places, end) = picture.place_rows(&rows, first);
        picture.draw_marks(&rows, &places);
        picture.draw_labels(&rows, &places);
        picture.draw_outages(replay, &places, end);
        // Messages that leave together share a part of their ways. Those that arrived are drawn on
        // top.
        let (lost, arrived): (Vec<_>, Vec<_>) =
            message_arrows(replay).into_iter().partition(|arrow| arrow.lost);
        for arrow in lost.iter().chain(&arrived) {
            picture.draw_message(arrow, &places);
        }
        for lane in &mut picture.lanes {
            (lane.area.top, lane.area.bottom) = (first, end);
        }
        picture.name_lanes(end + 2 * LINE);
        picture.height = end + 3 * LINE;
        picture
    }

    fn place_lanes(&mut self, replay: &Replay, rows: &[Row]) {
        let mut left = MARKS;
        for (place, server) in replay.start.servers.iter().enumerate() {
            let labels = rows.iter().filter(|row| row.lane == place).flat_map(|row| &row.lines);
            let longest = labels.map(|(text, _)| length(text)).max().unwrap_or(0);
            let lifeline = left + GAP + CHANNEL;
            let labels = longest * TextStyle::Action.advance();
            let right = lifeline + CHANNEL + GAP + labels + GAP;
            let area = Area { left, top: 0, right, bottom: 0 };
            self.lanes.push(Lane { server: server.id, area, lifeline });
            left = right;
        }
        self.width = (left + MARGIN).max(NARROWEST);
    }

    /// Writes a paragraph. Returns the base line of its last line.
    fn write(&mut self, text: &str, style: TextStyle, at: Point) -> i32 {
        let letters = (self.width - MARGIN - at.x) / style.advance();
        let step = style.size() + 4;
        let mut y = at.y - step;
        for content in wrapped(text, usize::try_from(letters).unwrap_or(1)) {
            y += step;
            self.texts.push(Text { at: Point { x: at.x, y }, content, style, lane: None });
        }
        y
    }

    /// Writes the title of the run and its outcome. Returns the base line of the last line.
    fn draw_head(&mut self, replay: &Replay, title: &str) -> i32 {
        let mut at = Point { x: MARGIN, y: 2 * LINE };
        if !title.trim().is_empty() {
            at.y = self.write(title, TextStyle::Title, at) + LINE + GAP;
        }
        let (servers, steps) = (replay.start.servers.len(), replay.steps.len());
        let mut outcome = format!("{servers} servers, {steps} steps: ");
        match replay.violation() {
            Some((place, broken)) => {
                let names: Vec<&str> = broken.iter().map(Property::name).collect();
                let names = names.join(", ");
                let _ = write!(outcome, "step {} breaks {names}", place + 1);
            }
            None => outcome.push_str("nothing is broken"),
        }
        if let Some(earlier) = replay.contradicted() {
            let _ = write!(outcome, ", and contradicts step {}", earlier + 1);
        }
        self.write(&outcome, TextStyle::Detail, at)
    }

    /// Explains the elements that occur in the picture. Returns the base line of the last line.
    fn draw_legend(&mut self, replay: &Replay, top: i32) -> i32 {
        const TEXT: i32 = MARGIN + 64;
        let (begin, end, middle) = (MARGIN + 4, MARGIN + 48, MARGIN + 26);
        let occurs =
            |wanted: &dyn Fn(&Action) -> bool| replay.steps.iter().any(|step| wanted(&step.action));
        let mut y = top;
        let mut entry = |picture: &mut Picture, sample: &dyn Fn(&mut Picture, i32), text: &str| {
            y += LINE + 4;
            sample(picture, y - 4);
            y = picture.write(text, TextStyle::Detail, Point { x: TEXT, y });
        };
        let arrow = |lost, is_copy| {
            move |picture: &mut Picture, y| {
                let points = vec![Point { x: begin, y }, Point { x: end, y }];
                picture.arrows.push(Arrow { points, lost, is_copy });
            }
        };
        let block = |half: i32, y: i32| Area {
            left: middle - half,
            top: y - EVENT,
            right: middle + half,
            bottom: y + EVENT,
        };
        let band = |mark| {
            move |picture: &mut Picture, y: i32| {
                let area =
                    Area { left: begin, top: y - EVENT - 2, right: end, bottom: y + EVENT + 2 };
                picture.bands.push(Band { area, mark });
            }
        };
        let outage = |picture: &mut Picture, y| picture.outages.push(block(end - middle, y));
        if occurs(&|action| matches!(action, Action::Deliver(_))) {
            let text = "a message, from the step that sent it to the step that received it; \
                        messages still under way at the end are not drawn";
            entry(self, &arrow(false, false), text);
        }
        if occurs(&|action| matches!(action, Action::Drop(_))) {
            entry(self, &arrow(true, false), "a message that was lost");
        }
        if occurs(&|action| matches!(action, Action::Duplicate(_))) {
            entry(self, &arrow(false, true), "a copy of a message, made by the network");
        }
        if occurs(&|action| matches!(action, Action::Crash { .. })) {
            entry(self, &outage, "the server is down");
        }
        if replay.violation().is_some() {
            entry(self, &band(Mark::Violation), "X  the step that breaks a property");
        }
        if replay.contradicted().is_some() {
            let text = ">  the earlier step that it contradicts";
            entry(self, &band(Mark::Contradicted), text);
        }
        let event = |picture: &mut Picture, y| picture.events.push(block(EVENT, y));
        let text = "a step, with its number; below it what the server is now, if that changed: \
                    L2 v1 {3} [-1 a2] c4 is a leader (F follower, C candidate) of term 2 that \
                    voted for n1, with a snapshot up to index 3, a blank entry of term 1, command a \
                    of term 2, and commit index 4; a3 is the last index applied, w2 counts writes \
                    that are not durable yet";
        entry(self, &event, text);
        y
    }

    fn name_lanes(&mut self, baseline: i32) {
        let style = TextStyle::Server;
        let names = self.lanes.iter().enumerate().map(|(place, lane)| {
            let content = lane.server.to_string();
            let x = lane.lifeline - length(&content) * style.advance() / 2;
            Text { at: Point { x, y: baseline }, content, style, lane: Some(place) }
        });
        self.texts.extend(names.collect::<Vec<_>>());
    }

    /// Returns the areas of the rows, and the end of the last one.
    fn place_rows(&self, rows: &[Row], first: i32) -> (Vec<Area>, i32) {
        let mut top = first;
        let mut places = Vec::new();
        for row in rows {
            let lines = i32::try_from(row.lines.len()).unwrap_or(0);
            let bottom = top + ARRIVAL + DEPARTURE + GAP + lines * LINE + GAP;
            places.push(Area { left: GAP, top, right: self.width - GAP, bottom });
            top = bottom;
        }
        (places, top + LINE)
    }

    fn draw_marks(&mut self, rows: &[Row], places: &[Area]) {
        for (row, area) in rows.iter().zip(places) {
            let Some(mark) = row.mark else { continue };
            self.bands.push(Band { area: *area, mark });
            let content = if mark == Mark::Violation { "X" } else { ">" }.to_owned();
            let at = Point { x: MARGIN - GAP, y: area.top + ARRIVAL + DEPARTURE + GAP + LINE - 3 };
            let style = TextStyle::Marked(mark);
            self.texts.push(Text { at, content, style, lane: None });
        }
    }

    fn draw_labels(&mut self, rows: &[Row], places: &[Area]) {
        for (row, area) in rows.iter().zip(places) {
            let Some(lane) = self.lanes.get(row.lane) else { continue };
            if row.on_lifeline {
                let (left, right) = (lane.lifeline - EVENT, lane.lifeline + EVENT);
                let arrival = area.top + ARRIVAL;
                let (top, bottom) = (arrival - EVENT, arrival + DEPARTURE + EVENT);
                self.events.push(Area { left, top, right, bottom });
            }
            let x = lane.lifeline + CHANNEL + GAP;
            let mut y = area.top + ARRIVAL + DEPARTURE + GAP - 3;
            for (content, style) in &row.lines {
                y += LINE;
                let (content, style) = (content.clone(), *style);
                self.texts.push(Text { at: Point { x, y }, content, style, lane: Some(row.lane) });
            }
        }
    }

    /// Draws the times when servers are down. Such a time begins with the step after which the
    /// server has no process, and ends with the step after which it has one.
    fn draw_outages(&mut self, replay: &Replay, places: &[Area], end: i32) {
        for (place, lane) in self.lanes.iter().enumerate() {
            let (left, right) = (lane.lifeline - EVENT, lane.lifeline + EVENT);
            let mut since = None;
            for (step, area) in replay.steps.iter().zip(places) {
                let is_down = step.after.servers[place].process.is_none();
                let y = area.top + ARRIVAL + DEPARTURE;
                match since {
                    None if is_down => since = Some(y),
                    Some(top) if !is_down => {
                        self.outages.push(Area { left, top, right, bottom: y });
                        since = None;
                    }
                    _ => {}
                }
            }
            if let Some(top) = since {
                self.outages.push(Area { left, top, right, bottom: end });
            }
        }
    }

    fn draw_message(&mut self, arrow: &MessageArrow, places: &[Area]) {
        let lane = |id: NodeId| self.lanes.iter().find(|lane| lane.server == id);
        let (Some(from), Some(to)) = (lane(arrow.envelope.from), lane(arrow.envelope.to)) else {
            return;
        };
        let side = if from.lifeline < to.lifeline { -1 } else { 1 };
        let leaves = places[arrow.departure.step].top + ARRIVAL + DEPARTURE;
        let ends = places[arrow.ends_at].top + ARRIVAL;
        let before = if arrow.lost { CHANNEL / 2 } else { EVENT };
        let mut points = Vec::new();
        if !arrow.departure.is_copy {
            points.push(Point { x: from.lifeline, y: leaves });
        }
        points.push(Point { x: to.lifeline + side * CHANNEL, y: leaves });
        points.push(Point { x: to.lifeline + side * before, y: ends });
        let (lost, is_copy) = (arrow.lost, arrow.departure.is_copy);
        self.arrows.push(Arrow { points, lost, is_copy });
    }
}

/// A step of the run, before it has a place.
struct Row {
    /// The number of its lane, counted from 0.
    lane: usize,
    /// Whether the step is one of the lane's server.
    on_lifeline: bool,
    lines: Vec<(String, TextStyle)>,
    mark: Option<Mark>,
}

fn rows(replay: &Replay) -> Vec<Row> {
    let violation = replay.violation();
    let contradicted = replay.contradicted();
    let mut before = &replay.start;
    let mut rows = Vec::new();
    for (place, step) in replay.steps.iter().enumerate() {
        let (server, on_lifeline) = match &step.action {
            Action::Drop(envelope) | Action::Duplicate(envelope) => (Some(envelope.to), false),
            action => (action.server(), true),
        };
        let servers = &replay.start.servers;
        let lane = servers.iter().position(|other| Some(other.id) == server).unwrap_or(0);
        let mut paragraphs =
            vec![(format!("{} {}", place + 1, describe_action(&step.action)), TextStyle::Action)];
        if let (Some(was), Some(is)) = (before.servers.get(lane), step.after.servers.get(lane)) {
            let (was, is) = (describe_server(was), describe_server(is));
            if was != is {
                paragraphs.push((is, TextStyle::Detail));
            }
        }
        let mut mark = None;
        if let Some((_, broken)) = violation.filter(|(violation, _)| *violation == place) {
            mark = Some(Mark::Violation);
            for property in broken.iter() {
                let text = format!("breaks {}", property.name());
                paragraphs.push((text, TextStyle::Marked(Mark::Violation)));
            }
        } else if let Some((violation, _)) = violation.filter(|_| contradicted == Some(place)) {
            mark = Some(Mark::Contradicted);
            let text = format!("step {} contradicts this", violation + 1);
            paragraphs.push((text, TextStyle::Marked(Mark::Contradicted)));
        }
        let lines = paragraphs.into_iter().flat_map(|(text, style)| {
            wrapped(&text, LABEL_LETTERS).into_iter().map(move |line| (line, style))
        });
        rows.push(Row { lane, on_lifeline, lines: lines.collect(), mark });
        before = &step.after;
    }
    rows
}

/// Returns how many letters wide a text is; letters such as Chinese ones count twice.
fn length(text: &str) -> i32 {
    i32::try_from(textwrap::core::display_width(text)).unwrap_or(i32::MAX / 64)
}
