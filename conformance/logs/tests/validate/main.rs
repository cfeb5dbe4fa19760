//! Tests that the logs of correct clusters are explained, and that changed logs are refused where
//! they were changed.

mod circle;
mod cluster;
mod cut_lines;
mod garbage;
mod healthy;
mod logs;
mod neighbours;
mod removed;
mod resumed;
mod rewritten;
