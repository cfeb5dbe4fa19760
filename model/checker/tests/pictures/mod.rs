//! The views of a run: tables, and sequence diagrams as SVG and in Mermaid's language. Nothing is
//! cut, and no element covers another. The views of small runs are compared with stored files, word
//! for word; `BLESS=1 cargo test -p raft-checker --test library pictures` writes these files again.

mod geometry;
mod golden;
mod runs;
mod svg;
mod tables;
