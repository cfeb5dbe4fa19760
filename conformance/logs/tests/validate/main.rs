//! Logs of clusters that are what they should be are explained; logs that were changed are refused
//! where they were changed.

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
