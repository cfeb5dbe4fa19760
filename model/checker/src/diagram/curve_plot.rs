//! A plot of curves over time, as SVG text.

use std::fmt::Write as _;

use super::svg::escape;

/// A curve with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name.
    pub name: String,
    /// Its points: seconds, ascending, and a value.
    pub points: Vec<(f64, f64)>,
}

/// A plot with its own axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// The curves; at most [`MOST_CURVES`] have colours of their own.
    pub curves: Vec<Curve>,
}

/// The number of colours.
pub const MOST_CURVES: usize = 6;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;

/// The distance between two names beside a plot.
const LINE: f64 = 16.0;

/// The colours of curves, in the light and in the dark theme. They differ in brightness as well.
const COLOURS: [(&str, &str); MOST_CURVES] = [
    ("#0969da", "#58a6ff"),
    ("#c2410c", "#f0883e"),
    ("#1a7f37", "#56d364"),
    ("#8250df", "#bc8cff"),
    ("#7d5300", "#e3b341"),
    ("#57606a", "#a3adb8"),
];

/// Returns panels as one picture, each below the one before. The unit of values is thousands.
pub fn svg(panels: &[Panel]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "there are few panels")]
    let height = HEIGHT * panels.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<style>\n{}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n",
        style()
    );
    let mut top = 0.0;
    for panel in panels {
        write_panel(&mut out, panel, top);
        top += HEIGHT;
    }
    out += "</svg>\n";
    out
}

fn style() -> String {
    let themed = |dark: bool| {
        let pick = |light: &'static str, other: &'static str| if dark { other } else { light };
        let mut rules = format!(
            ".paper{{fill:{}}}text{{fill:{}}}.axis{{stroke:{}}}.curve{{fill:none;stroke-width:2}}\n",
            pick("#ffffff", "#0d1117"),
            pick("#1f2328", "#e6edf3"),
            pick("#8c959f", "#6e7681"),
        );
        for (number, (light, other)) in COLOURS.iter().enumerate() {
            let colour = pick(light, other);
            let _ = writeln!(
                rules,
                ".curve-{number}{{stroke:{colour}}}.name-{number}{{fill:{colour}}}"
            );
        }
        rules
    };
    format!("{}@media(prefers-color-scheme:dark){{\n{}}}\n", themed(false), themed(true))
}

fn write_panel(out: &mut String, panel: &Panel, top: f64) {
    let points = || panel.curves.iter().flat_map(|curve| &curve.points);
    let longest = round_up(points().map(|point| point.0).fold(0.0, f64::max));
    let highest = round_up(points().map(|point| point.1).fold(0.0, f64::max) / 1e3);
    let (bottom, right) = (top + HEIGHT - BOTTOM, WIDTH - RIGHT);
    let x = |seconds: f64| LEFT + seconds / longest * (right - LEFT);
    let y = |value: f64| bottom - value / 1e3 / highest * (bottom - top - TOP);
    let title = escape(&panel.title);
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>",
        top + 22.0
    );
    let _ = writeln!(
        out,
        "<path class=\"axis\" fill=\"none\" d=\"M{LEFT} {} V{bottom} H{right}\"/>",
        top + TOP
    );
    for part in [0.0, 0.5, 1.0] {
        let (seconds, thousands) = (longest * part, highest * part);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{seconds} s</text>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{thousands} k</text>",
            x(seconds),
            bottom + 18.0,
            LEFT - 8.0,
            y(thousands * 1e3) + 4.0
        );
    }
    let mut line = top + TOP + LINE / 2.0;
    for (number, curve) in panel.curves.iter().enumerate() {
        let colour = number % MOST_CURVES;
        let path: Vec<String> = curve
            .points
            .iter()
            .map(|(seconds, value)| format!("{:.1},{:.1}", x(*seconds), y(*value)))
            .collect();
        let _ = writeln!(
            out,
            "<polyline class=\"curve curve-{colour}\" points=\"{}\"/>",
            path.join(" ")
        );
        let name = escape(&curve.name);
        let _ = writeln!(
            out,
            "<text class=\"name-{colour}\" x=\"{}\" y=\"{line}\">{name}</text>",
            right + 12.0
        );
        line += LINE;
    }
}

/// Returns the next number above that is 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let mut unit = 1.0;
    while unit < value {
        let larger = [1.0, 2.0, 5.0].map(|factor| factor * unit);
        if let Some(enough) = larger.into_iter().find(|enough| *enough >= value) {
            return enough;
        }
        unit *= 10.0;
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_above_all_values() {
        for (value, end) in [(0.0, 1.0), (1.2, 2.0), (3.0, 5.0), (7.0, 10.0), (861.6, 1000.0)] {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn every_curve_has_a_line_and_an_escaped_name() {
        let curve =
            |name: &str| Curve { name: name.to_owned(), points: vec![(0.0, 0.0), (1.0, 5e3)] };
        let panel = Panel { title: "a & b".to_owned(), curves: vec![curve("<x>"), curve("y")] };
        let text = svg(&[panel]);
        assert_eq!(text.matches("<polyline").count(), 2);
        assert!(text.contains("a &amp; b") && text.contains("&lt;x&gt;") && !text.contains("<x>"));
        // The highest value is at the top of the plot, the last moment at its right end.
        assert!(text.contains("570.0,40.0"), "{text}");
    }
}
