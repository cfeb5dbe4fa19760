//! Changes that look wrong but are correct. A suite that reports one of these is wrong itself.

use raft_core::{Effect, Input, LogWrite, Message, Rule, TermAt, Unsynced, Write};

use super::{Change, Moment, Mutant, Origin, Outcome, bugs};

fn control(id: &str, wrong: &'static str) -> Mutant {
    Mutant::new(Origin::Control, id, "", wrong)
}

/// Returns all negative controls.
pub(super) fn all() -> Vec<Mutant> {
    vec![
        control(
            "NC-PE-06",
            "truncating and appending are two writes, and a crash may come between",
        )
        .with(Change::After(bugs::truncates_first))
        .on(&["persistence-2", "persistence-3"])
        .survives("a conflicting suffix is not committed, so losing it alone loses nothing"),
        control("NC-EL-10", "votes of an earlier candidacy are kept, among three servers")
            .with(Change::Answer(Rule::ForgetOldVotes, |_, _| false))
            .on(&["election-3", "figure-8-3"])
            .survives(
                "any vote beside its own makes a candidate of three a leader: none is left over",
            ),
        control("NC-EL-08b", "2 * votes >= n is enough, among three servers")
            .with(Change::Value(Rule::ElectionQuorum, |m, _| {
                m.before.config.voters.len().div_ceil(2) as u64
            }))
            .on(&["election-3", "election-5"])
            .survives("the same number as a majority when the number of servers is odd"),
        control("NC-SN-12", "a snapshot from a leader of an older term is installed all the same")
            .with(Change::After(installs_anyway))
            .on(&["snapshot-3", "snapshot-3-terms"])
            .survives("what a snapshot holds is committed, whoever sends it"),
    ]
}

/// Installs a snapshot that the rules have refused because of its sender's term.
fn installs_anyway(moment: &Moment<'_>, outcome: Outcome<'_>) {
    let Input::Receive { message: Message::InstallSnapshot(request), .. } = moment.input else {
        return;
    };
    let (node, snapshot) = (outcome.node, &request.snapshot);
    let base = snapshot.last_included_index;
    let agrees = node.log.term_at(base) == TermAt::Present(snapshot.last_included_term);
    let news = base > node.commit_index && !agrees;
    if request.term >= moment.before.current_term || node.is_leader() || !news {
        return;
    }
    let mark = node.disk.issued.next();
    node.disk.issued = mark;
    node.log.install(snapshot.clone());
    node.disk.unsynced = [Unsynced { first: base, mark }].into();
    (node.commit_index, node.apply_requested) = (base, base);
    let write = Write { vote: None, log: Some(LogWrite::Install(snapshot.clone())) };
    outcome.effects.insert(0, Effect::Persist { mark, write });
    outcome.effects.push(Effect::Restore { snapshot: snapshot.clone(), after: mark });
}
