//! Tests that damaged files are refused or make no difference, without a panic.

use std::fs;

use raft_logs::validate::{Options, validate};

use crate::cluster::{Cluster, Dice};

/// Damages a text in one of several ways.
fn damage(text: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(text.len());
    let length = dice.below(200).min(text.len() - at);
    match dice.below(6) {
        0 => text[at] = dice.next().to_le_bytes()[0],
        1 => drop(text.drain(at..at + length)),
        2 => {
            let copy = text[at..at + length].to_vec();
            let to = dice.below(text.len());
            text.splice(to..to, copy);
        }
        3 => text.truncate(at),
        // A digit becomes the largest number.
        4 => {
            let digit = text[at..].iter().position(u8::is_ascii_digit);
            let at = digit.map_or(0, |digit| at + digit);
            text.splice(at..=at, u64::MAX.to_string().into_bytes());
        }
        _ => {
            let digit = text[at..].iter().position(u8::is_ascii_digit);
            let at = digit.map_or(0, |digit| at + digit);
            text.splice(at..=at, (1_u64 << 62).to_string().into_bytes());
        }
    }
}

#[test]
fn a_damaged_log_is_refused_or_does_not_matter_and_never_panics() {
    let mut dice = Dice(11);
    let (mut unreadable, mut refused) = (0, 0);
    for seed in 0..10 {
        let mut cluster = Cluster::ran(seed, 400);
        if seed % 2 == 1 {
            cluster.stop_and_begin_new_logs();
            cluster.run(400);
        }
        let options = Options { resumed: seed % 2 == 1 };
        let (_directory, paths) = cluster.logs.write();
        for _ in 0..60 {
            let path = &paths[dice.below(3)];
            let sound = fs::read(path).expect("it was written");
            let mut damaged = sound.clone();
            (0..=dice.below(2)).for_each(|_| damage(&mut damaged, &mut dice));
            fs::write(path, damaged).expect("there is room for files");
            match validate(&paths, options, &mut |_| {}) {
                Err(_) => unreadable += 1,
                Ok(report) => refused += u32::from(!report.is_explained()),
            }
            fs::write(path, sound).expect("there is room for files");
        }
    }
    assert!(unreadable > 100 && refused > 100, "{unreadable} {refused}");
}
