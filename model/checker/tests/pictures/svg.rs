//! The text of a picture: well-formed, in both themes.

use raft_checker::diagram::{Theme, svg};

use super::runs;

/// Every element is closed, and no text from a client or a file is read as an element.
#[test]
fn a_picture_is_well_formed_whatever_it_says() {
    let text = svg(&runs::small(), "a <b> & c\u{1} \u{1f600} \"d\"", Theme::Auto);
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("an element ends");
        let element = &rest[start + 1..end];
        let name = element.trim_start_matches('/').split([' ', '/']).next().unwrap_or("");
        assert!(["svg", "style", "rect", "path", "circle", "text"].contains(&name), "<{element}>");
        if element.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "<{element}>");
        } else if !element.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(text.contains("a &lt;b&gt; &amp; c"), "{text}");
    assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'));
}

#[test]
fn the_theme_decides_the_colours() {
    let picture = |theme| svg(&runs::small(), "", theme);
    let (auto, light, dark) = (picture(Theme::Auto), picture(Theme::Light), picture(Theme::Dark));
    let white = ".raft-run .paper{fill:#ffffff}";
    let black = ".raft-run .paper{fill:#0d1117}";
    assert!(light.contains(white) && !light.contains(black) && !light.contains("@media"));
    assert!(dark.contains(black) && !dark.contains(white) && !dark.contains("@media"));
    // A program that does not know the media query has read the light colours before it.
    let (before, after) =
        auto.split_once("@media (prefers-color-scheme:dark)").expect("a question");
    assert!(before.contains(white) && after.contains(black));
    let body = |text: &str| text.split_once("</style>").expect("a style sheet").1.to_owned();
    assert_eq!(body(&light), body(&dark), "only colours differ");
    assert_eq!(body(&light), body(&auto), "only colours differ");
}

/// Every class that is used has a colour in both themes.
#[test]
fn everything_in_a_picture_has_a_colour() {
    for theme in [Theme::Light, Theme::Dark] {
        let text = svg(&runs::small(), "title", theme);
        let (style, body) = text.split_once("</style>").expect("a style sheet");
        for part in body.split("class=\"").skip(1) {
            let class = part.split(['"', ' ']).next().expect("a class");
            let colours = style.lines().filter(|line| line.contains('#'));
            let mut selectors = colours.flat_map(|line| line.split(['{', ','])).map(str::trim);
            assert!(selectors.any(|it| it == format!(".raft-run .{class}")), "{class}: {style}");
        }
    }
}
