//! One node of raft-core against a plain list: whatever honest servers send it, in any order, with
//! repeats, late writes and crashes, its log, its commit index, its disk and its answers are what
//! Figure 2 says, and nothing is acknowledged or applied before it is durable.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`figure_2`] | what a follower does to its log, on a list |
//! | [`shell`] | a disk, an outbox and a state machine around a node |
//! | [`follower`] | the node follows leaders of one honest history |
//! | [`leader`] | the node leads followers whose logs are those lists |

mod figure_2;
mod follower;
mod leader;
mod shell;
