//! What people look at when they look at a run: tables, sequence diagrams as SVG and in Mermaid's
//! language. Nothing is cut, nothing stands on something else, and small ones are kept word for word;
//! `BLESS=1 cargo test -p raft-checker --test pictures` writes those anew.

#[path = "../schedules/choice.rs"]
mod choice;
mod geometry;
mod golden;
mod runs;
mod svg;
mod tables;
