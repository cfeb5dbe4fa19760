//! A picture as SVG text.

use std::fmt::Write as _;

use super::layout::{Area, Arrow, Mark, Picture, Point, Text, TextStyle};
use crate::replay::Replay;

/// The colours of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Light or dark as the reader's system prefers; light in programs that know no preference.
    #[default]
    Auto,
    /// Dark letters on white.
    Light,
    /// Bright letters on black.
    Dark,
}

/// Fonts in which all letters have the same width.
const FONTS: &str = "'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace";

/// Half of the cross with which a lost message ends.
const CROSS: i32 = 4;

/// The rules of a style sheet, and for each the colour in the light and in the dark theme. They
/// apply only inside the picture, which may be part of a larger document.
const COLOURS: [(&str, &str, &str); 14] = [
    (".paper{fill:", "#ffffff", "#0d1117"),
    (".title,.server,.action{fill:", "#1f2328", "#e6edf3"),
    (".detail{fill:", "#57606a", "#a3adb8"),
    (".violation{fill:", "#b3141d", "#ff8a80"),
    (".contradicted{fill:", "#7d5300", "#e3b341"),
    (".violation-band{fill:", "#ffe3e0", "#4c1519"),
    (".contradicted-band{fill:", "#fff3c4", "#3b2e04"),
    (".lifeline{stroke:", "#c5ccd3", "#3d444d"),
    (".outage{fill:", "#8c959f", "#6e7681"),
    (".event{fill:", "#1f2328", "#e6edf3"),
    (".message{stroke:", "#0969da", "#58a6ff"),
    (".head{fill:", "#0969da", "#58a6ff"),
    (".lost{stroke:", "#c2410c", "#f0883e"),
    (".ring{stroke:", "#0969da", "#58a6ff"),
];

/// The rules that do not depend on the theme.
const FORMS: &str = "\
.raft-run .lifeline,.raft-run .message,.raft-run .lost,.raft-run .ring{fill:none}
.raft-run .lost{stroke-dasharray:4 3}
.raft-run .cross{stroke-dasharray:none;stroke-width:2}
.raft-run .title,.raft-run .server{font-size:14px;font-weight:bold}
.raft-run .action,.raft-run .detail,.raft-run .violation,.raft-run .contradicted{font-size:11px}
.raft-run .violation,.raft-run .contradicted{font-weight:bold}
";

/// Returns the run as an SVG picture: a lane for each server, time going down. The title describes
/// the run and may be empty.
pub fn svg(replay: &Replay, title: &str, theme: Theme) -> String {
    write_picture(&Picture::of(replay, title), theme)
}

fn write_picture(picture: &Picture, theme: Theme) -> String {
    let Picture { width, height, .. } = picture;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"raft-run\" \
         viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"{FONTS}\">\n<style>\n{}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n",
        style_sheet(theme)
    );
    for band in &picture.bands {
        let class = match band.mark {
            Mark::Violation => "violation-band",
            Mark::Contradicted => "contradicted-band",
        };
        write_area(&mut out, class, band.area);
    }
    for lane in &picture.lanes {
        let Area { top, bottom, .. } = lane.area;
        let _ = writeln!(out, "<path class=\"lifeline\" d=\"M{} {top}V{bottom}\"/>", lane.lifeline);
    }
    picture.outages.iter().for_each(|area| write_area(&mut out, "outage", *area));
    picture.arrows.iter().for_each(|arrow| write_arrow(&mut out, arrow));
    picture.events.iter().for_each(|area| write_area(&mut out, "event", *area));
    picture.texts.iter().for_each(|text| write_text(&mut out, text));
    out.push_str("</svg>\n");
    out
}

fn style_sheet(theme: Theme) -> String {
    let colours = |dark: bool| {
        let mut rules = String::new();
        for (rule, light_colour, dark_colour) in COLOURS {
            let colour = if dark { dark_colour } else { light_colour };
            let (selectors, name) = rule.split_once('{').unwrap_or((rule, ""));
            let selectors: Vec<String> =
                selectors.split(',').map(|selector| format!(".raft-run {selector}")).collect();
            let _ = writeln!(rules, "{}{{{name}{colour}}}", selectors.join(","));
        }
        rules
    };
    match theme {
        Theme::Light => format!("{}{FORMS}", colours(false)),
        Theme::Dark => format!("{}{FORMS}", colours(true)),
        Theme::Auto => {
            let dark = colours(true);
            format!("{}{FORMS}@media (prefers-color-scheme:dark){{\n{dark}}}\n", colours(false))
        }
    }
}

fn write_area(out: &mut String, class: &str, area: Area) {
    let Area { left, top, right, bottom } = area;
    let (width, height) = (right - left, bottom - top);
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" \
         rx=\"2\"/>"
    );
}

fn write_arrow(out: &mut String, arrow: &Arrow) {
    let [first, .., before, end] = arrow.points.as_slice() else {
        let [first, end] = arrow.points.as_slice() else { return };
        return write_way(out, arrow, *first, *first, *end);
    };
    write_way(out, arrow, *first, *before, *end);
}

fn write_way(out: &mut String, arrow: &Arrow, first: Point, before: Point, end: Point) {
    let class = if arrow.lost { "lost" } else { "message" };
    let ways: Vec<String> = arrow.points.iter().map(|Point { x, y }| format!("{x} {y}")).collect();
    let _ = writeln!(out, "<path class=\"{class}\" d=\"M{}\"/>", ways.join("L"));
    if arrow.is_copy {
        let Point { x, y } = first;
        let _ = writeln!(out, "<circle class=\"ring\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>");
    }
    let Point { x, y } = end;
    if arrow.lost {
        let (left, right, top, bottom) = (x - CROSS, x + CROSS, y - CROSS, y + CROSS);
        let _ = writeln!(
            out,
            "<path class=\"lost cross\" \
             d=\"M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}\"/>"
        );
    } else {
        let angle = f64::from(y - before.y).atan2(f64::from(x - before.x)).to_degrees();
        let _ = writeln!(
            out,
            "<path class=\"head\" transform=\"translate({x} {y})rotate({angle:.1})\" \
             d=\"M0 0L-8 -3.5V3.5z\"/>"
        );
    }
}

fn write_text(out: &mut String, text: &Text) {
    let class = match text.style {
        TextStyle::Title => "title",
        TextStyle::Server => "server",
        TextStyle::Action => "action",
        TextStyle::Detail => "detail",
        TextStyle::Marked(Mark::Violation) => "violation",
        TextStyle::Marked(Mark::Contradicted) => "contradicted",
    };
    let Point { x, y } = text.at;
    let content = escape(&text.content);
    // Continuation lines begin with blanks, which have to be kept.
    let _ = writeln!(
        out,
        "<text class=\"{class}\" xml:space=\"preserve\" x=\"{x}\" y=\"{y}\">{content}</text>"
    );
}

/// Escapes a text for XML. XML does not allow control characters, so they become blanks.
/// Returns a text as it stands in SVG.
pub(super) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace(char::is_control, " ")
}
