//! Sequence diagrams of a run: SVG for eyes, Mermaid for documents.
//!
//! ```text
//! Replay --flights--> messages and their fates --layout--> Picture --svg--> text
//! ```
//!
//! [`layout`] computes coordinates and knows nothing of SVG; [`mod@svg`] writes them down and computes
//! nothing. Tests look at the coordinates.

mod flights;
pub mod layout;
pub mod mermaid;
pub mod svg;

pub use mermaid::mermaid;
pub use svg::{Theme, svg};
