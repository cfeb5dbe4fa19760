//! Sequence diagrams of a run: SVG for eyes, Mermaid for documents.
//!
//! ```text
//! Replay --message_arrows--> messages and what became of them --layout--> Picture --svg--> text
//! ```
//!
//! [`layout`] computes coordinates and knows nothing of SVG; [`mod@svg`] writes them down and computes
//! nothing. Tests look at the coordinates.

pub mod layout;
pub mod mermaid;
mod message_arrows;
pub mod svg;

pub use mermaid::mermaid;
pub use svg::{Theme, svg};
