//! The traces of the corpus conform.

use crate::support::{corpus, held, read};

#[test]
fn every_trace_of_the_corpus_conforms() {
    let paths = corpus();
    assert!(!paths.is_empty());
    for path in paths {
        let trace = read(&path);
        let (done, found) = held(&trace).expect("the model can do it");
        assert!(found.is_none(), "{}: {found:#?}", path.display());
        let own = trace.actions.iter().filter(|action| action.server().is_some()).count();
        assert_eq!(done.steps, own as u64, "{}", path.display());
        assert!(done.crash_points > 0 && done.faults > 0 && done.asked > 0, "{done:?}");
    }
}
