//! Nothing in a sequence diagram is cut, and no element covers another.

use raft_checker::diagram::layout::{Area, Arrow, Picture, Point, TextStyle};
use raft_checker::replay::Replay;
use raft_trace::Action;

use super::runs;

/// Half of the cross of a lost message, with its line.
const CROSS: i32 = 5;

/// The length and half the width of an arrow's head.
const HEAD: (i32, i32) = (8, 4);

#[test]
fn every_trace_of_the_corpus_is_drawn_without_overlaps() {
    for (name, about, replay) in runs::corpus() {
        check(&name, &replay, &about);
    }
}

#[test]
fn random_runs_are_drawn_without_overlaps() {
    let runs = runs::random();
    let five = runs.iter().filter(|replay| replay.start.servers.len() == 5).count();
    assert!(five > 10, "only {five} runs of five servers");
    for (number, replay) in runs.iter().enumerate() {
        check(&format!("random run {number}"), replay, "A random run");
    }
}

#[test]
fn a_marked_run_is_drawn_without_overlaps() {
    check("small", &runs::small(), &"A title that is longer than the picture is wide. ".repeat(9));
    check("small, no title", &runs::small(), "");
}

/// A run of one step and a run without steps are drawn as well.
#[test]
fn a_run_of_hardly_anything_is_drawn() {
    let mut replay = runs::small();
    replay.steps.truncate(1);
    check("one step", &replay, "one step");
    replay.steps.clear();
    check("no step", &replay, "no step");
}

/// Every other check relies on this: no font of fixed width has wider letters than 0.61 of its
/// size.
#[test]
fn letters_have_room_in_every_font_of_fixed_width() {
    let styles = [TextStyle::Title, TextStyle::Server, TextStyle::Action, TextStyle::Detail];
    for style in styles {
        assert!(style.advance() * 100 >= style.size() * 61, "{style:?}");
    }
}

#[test]
fn the_checks_notice_an_overlap() {
    let area = Area { left: 10, top: 10, right: 20, bottom: 20 };
    let at = |x, y| Point { x, y };
    assert!(crosses(area, at(0, 15), at(30, 15)));
    assert!(crosses(area, at(0, 0), at(30, 30)));
    assert!(!crosses(area, at(0, 9), at(30, 9)));
    assert!(!crosses(area, at(0, 15), at(15, 30)));
    assert!(!crosses(area, at(9, 0), at(9, 30)));
    assert!(overlap(area, Area { left: 19, top: 0, right: 30, bottom: 11 }));
    assert!(!overlap(area, Area { left: 20, top: 0, right: 30, bottom: 11 }));
}

fn check(name: &str, replay: &Replay, title: &str) {
    let picture = Picture::of(replay, title);
    let canvas = Area { left: 0, top: 0, right: picture.width, bottom: picture.height };
    check_texts(name, &picture, canvas);
    check_arrows(name, replay, &picture, canvas);
    check_lanes(name, replay, &picture, canvas);
}

fn check_texts(name: &str, picture: &Picture, canvas: Area) {
    for (place, text) in picture.texts.iter().enumerate() {
        let area = text.area();
        assert!(contains(canvas, area), "{name}: {text:?} leaves the picture");
        if let Some(lane) = text.lane {
            let lane = picture.lanes[lane].area;
            let inside = lane.left <= area.left && area.right <= lane.right;
            assert!(inside, "{name}: {text:?} leaves its lane {lane:?}");
        }
        for other in &picture.texts[place + 1..] {
            assert!(!overlap(area, other.area()), "{name}: {text:?} stands on {other:?}");
        }
        for block in picture.events.iter().chain(&picture.outages) {
            assert!(!overlap(area, *block), "{name}: {text:?} stands on {block:?}");
        }
    }
}

fn check_arrows(name: &str, replay: &Replay, picture: &Picture, canvas: Area) {
    for arrow in &picture.arrows {
        let tip = tip(arrow);
        assert!(contains(canvas, tip), "{name}: {arrow:?} leaves the picture");
        for text in &picture.texts {
            let area = text.area();
            let mut ways = arrow.points.windows(2);
            let runs_through = ways.any(|way| crosses(area, way[0], way[1]));
            assert!(!runs_through, "{name}: {arrow:?} runs through {text:?}");
            assert!(!overlap(area, tip), "{name}: {arrow:?} ends on {text:?}");
        }
        let end = arrow.points[arrow.points.len() - 1];
        let lane = picture.lanes.iter().find(|lane| {
            lane.area.left <= end.x && end.x <= lane.area.right && lane.area.top < end.y
        });
        if is_sample(arrow) {
            assert!(lane.is_none(), "{name}: {arrow:?} of the legend stands in a lane");
            continue;
        }
        let lane = lane.unwrap_or_else(|| panic!("{name}: {arrow:?} ends outside of all lanes"));
        let touches = |x: i32| tip.left <= x && x <= tip.right;
        if arrow.lost {
            assert!(!touches(lane.lifeline), "{name}: {arrow:?} is lost and reaches its lane");
        } else {
            let arrives = |event: &&Area| {
                (event.left == end.x || event.right == end.x)
                    && (event.top..event.bottom).contains(&end.y)
            };
            let arrives = picture.events.iter().any(|event| arrives(&event));
            assert!(arrives, "{name}: {arrow:?} arrives at no step");
        }
    }
    let ends = |lost: bool| {
        let in_lanes = picture.arrows.iter().filter(|arrow| !is_sample(arrow));
        in_lanes.filter(|arrow| arrow.lost == lost).count()
    };
    let count = |wanted: fn(&Action) -> bool| {
        replay.steps.iter().filter(|step| wanted(&step.action)).count()
    };
    assert_eq!(ends(false), count(|action| matches!(action, Action::Deliver(_))), "{name}");
    assert_eq!(ends(true), count(|action| matches!(action, Action::Drop(_))), "{name}");
}

fn check_lanes(name: &str, replay: &Replay, picture: &Picture, canvas: Area) {
    for pair in picture.lanes.windows(2) {
        assert!(pair[0].area.right <= pair[1].area.left, "{name}: {pair:?}");
    }
    for lane in &picture.lanes {
        assert!(contains(canvas, lane.area), "{name}: {lane:?} leaves the picture");
    }
    for block in picture.events.iter().chain(&picture.outages) {
        assert!(contains(canvas, *block), "{name}: {block:?} leaves the picture");
    }
    let in_lane = |area: &&Area| picture.lanes.iter().any(|lane| area.top >= lane.area.top);
    let outages = picture.outages.iter().filter(in_lane).count();
    let crashes = replay.steps.iter().filter(|s| matches!(s.action, Action::Crash { .. })).count();
    assert_eq!(outages, crashes, "{name}: outages");
    for number in 1..=replay.steps.len() {
        let label = format!("{number} ");
        let labelled =
            picture.texts.iter().any(|t| t.lane.is_some() && t.content.starts_with(&label));
        assert!(labelled, "{name}: step {number} has no label");
    }
}

/// Returns whether an arrow belongs to the legend. Those arrows are level. The arrow of a message
/// is not, because a message takes time.
fn is_sample(arrow: &Arrow) -> bool {
    arrow.points.first().map(|point| point.y) == arrow.points.last().map(|point| point.y)
}

/// Returns the area that the head or the cross of an arrow covers.
fn tip(arrow: &Arrow) -> Area {
    let end = arrow.points[arrow.points.len() - 1];
    let (back, side) = if arrow.lost { (CROSS, CROSS) } else { HEAD };
    if arrow.lost {
        let (left, right) = (end.x - CROSS, end.x + CROSS);
        return Area { left, right, top: end.y - side, bottom: end.y + side };
    }
    // The arrow comes from above and from one side.
    let before = arrow.points[arrow.points.len() - 2];
    let (left, right) =
        if before.x < end.x { (end.x - back, end.x) } else { (end.x, end.x + back) };
    Area { left, right, top: end.y - side, bottom: end.y + side }
}

fn contains(outer: Area, inner: Area) -> bool {
    outer.left <= inner.left
        && outer.top <= inner.top
        && inner.right <= outer.right
        && inner.bottom <= outer.bottom
}

/// Returns whether two areas have more than an edge in common.
fn overlap(one: Area, other: Area) -> bool {
    one.left < other.right
        && other.left < one.right
        && one.top < other.bottom
        && other.top < one.bottom
}

/// Returns whether a straight line meets an area.
fn crosses(area: Area, from: Point, to: Point) -> bool {
    let beside = from.x.max(to.x) < area.left
        || from.x.min(to.x) > area.right
        || from.y.max(to.y) < area.top
        || from.y.min(to.y) > area.bottom;
    // Returns the side of the line on which a corner is.
    let side = |x: i32, y: i32| {
        let (dx, dy) = (i64::from(to.x - from.x), i64::from(to.y - from.y));
        (dx * i64::from(y - from.y) - dy * i64::from(x - from.x)).signum()
    };
    let corners = [
        side(area.left, area.top),
        side(area.right, area.top),
        side(area.left, area.bottom),
        side(area.right, area.bottom),
    ];
    !(beside || corners == [1; 4] || corners == [-1; 4])
}
