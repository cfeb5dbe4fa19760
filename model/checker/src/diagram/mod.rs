//! Pictures: sequence diagrams of a run, as SVG for viewers and as Mermaid for documents, and curves
//! over time.
//!
//! ```text
//! Replay --message_arrows--> messages and their outcomes --layout--> Picture --svg--> text
//! ```
//!
//! [`layout`] computes coordinates and does not depend on SVG. [`mod@svg`] writes the coordinates
//! down and computes none. Tests check the coordinates.

pub mod curve_plot;
pub mod layout;
pub mod mermaid;
mod message_arrows;
pub mod svg;

pub use mermaid::mermaid;
pub use svg::{Theme, svg};
