//! One node of raft-core, compared with a plain list. Correct servers send it any messages, in any
//! order, with repeats, and there are late writes and crashes. Its log, its commit index, its disk
//! and its answers are as Figure 2 says, and nothing is acknowledged or applied before it is
//! durable.
//!
//! | module | content |
//! | --- | --- |
//! | [`figure_2`] | the operations of a follower on its log, as a list |
//! | [`shell`] | a disk, an outbox and a state machine around a node |
//! | [`follower`] | the node follows leaders of one correct history |
//! | [`leader`] | the node leads followers whose logs are those lists |

mod figure_2;
mod follower;
mod leader;
mod shell;
