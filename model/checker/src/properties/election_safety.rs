//! **Election Safety** (paper, Figure 3 and section 5.2): at most one leader can be elected in a
//! given term.
//!
//! Exactly: no two servers lead the same term in one state, *and* over the whole run a term is won
//! at most once, also not twice by one server that forgot. The second half is kept by the
//! [history](crate::cluster::history); each half alone misses bugs that the other one sees.
//!
//! Witness: two servers lead at once, in different terms.

use super::View;

/// Whether two servers lead the same term.
pub fn broken(a: &View, b: &View) -> bool {
    a.leads.is_some() && a.leads == b.leads
}

/// Whether a deposed leader does not know it yet.
pub fn witnessed(a: &View, b: &View) -> bool {
    a.leads.is_some() && b.leads.is_some() && a.leads != b.leads
}
