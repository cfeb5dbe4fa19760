//! **Election Safety** (paper, Figure 3 and section 5.2): at most one leader can be elected in a
//! given term.
//!
//! Exactly: no two servers lead the same term in one state, *and* over the whole run a term is won
//! at most once. One server must not win the same term twice either, for example after a crash that
//! lost its term. The [history](crate::cluster::history) checks the second half. Each half alone
//! misses bugs that the other one detects.
//!
//! Witness: two servers lead at once, in different terms.

use super::View;

/// Returns whether two servers lead the same term.
pub fn broken(a: &View, b: &View) -> bool {
    a.leads.is_some() && a.leads == b.leads
}

/// Returns whether two servers lead different terms: the one with the older term does not know yet
/// that it is deposed.
pub fn witnessed(a: &View, b: &View) -> bool {
    a.leads.is_some() && b.leads.is_some() && a.leads != b.leads
}
