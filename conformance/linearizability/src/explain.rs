//! Explains to people why a key is not linearizable.
//!
//! Linearizability is a safety property. So in a history that is not linearizable, there is a first
//! wrong answer: without this answer, the history up to it is linearizable. The search for it
//! begins where the first search got stuck. Calls that were under way when this answer came count
//! as calls of unknown outcome, and later calls are ignored. The explanation shows the longest
//! beginning of an order that the search found for the calls up to that answer, the state after it,
//! and the calls that have no place in it.

use std::collections::HashSet;
use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::history::until;
use super::search::{Budget, Found, Furthest, search};
use super::{Call, Model};

/// The number of calls of the order that are printed.
const SHOWN: usize = 8;

/// An explanation why the calls of one key are not linearizable.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The first wrong answer. Without it and without later answers, the examined calls are
    /// linearizable. `None` if the limit was reached before the answer was found.
    pub broken_by: Option<Line>,
    /// The longest beginning of an order that was found.
    pub prefix: Vec<Line>,
    /// The state after this beginning, in words.
    pub state: String,
    /// The answered calls that are not in this beginning.
    pub stuck: Vec<Line>,
    /// The number of calls of unknown outcome that are not in this beginning.
    pub unused: usize,
}

/// A call in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The call's position in the history.
    pub place: usize,
    /// The client that made the call.
    pub client: u64,
    /// The time of the invocation.
    pub invoked: u64,
    /// The time of the return, if the call returned.
    pub returned: Option<u64>,
    /// The requested operation.
    pub operation: String,
    /// The answer; `None` if it is unknown.
    pub answer: Option<String>,
}

impl Line {
    pub(super) fn new<O: fmt::Display, A: fmt::Display>(place: usize, call: &Call<O, A>) -> Line {
        Line {
            place,
            client: call.client,
            invoked: call.invoked,
            returned: call.answer().map(|(returned, _)| returned),
            operation: call.operation.to_string(),
            answer: call.answer().map(|(_, answer)| answer.to_string()),
        }
    }
}

impl Explanation {
    /// Explains why calls are not linearizable, given how far a search for an order came.
    pub(super) fn new<M: Model>(
        calls: &[Call<M::Operation, M::Answer>],
        places: &[usize],
        furthest: &Furthest,
        budget: &mut Budget,
    ) -> Explanation {
        let mut returns: Vec<(u64, usize)> = calls
            .iter()
            .enumerate()
            .filter_map(|(index, call)| Some((call.answer()?.0, index)))
            .collect();
        returns.sort_unstable();
        // The search could place everything that returned before this deadline.
        let fine = returns.partition_point(|(returned, _)| *returned < furthest.deadline);
        match first_wrong::<M>(calls, &returns, fine, budget) {
            Some(Wrong { calls, order, answer }) => {
                Explanation::of::<M>(&calls, places, &order, Some(answer))
            }
            None => Explanation::of::<M>(calls, places, &furthest.order, None),
        }
    }

    /// Describes how far a search came before it gave up.
    pub(super) fn so_far<M: Model>(
        calls: &[Call<M::Operation, M::Answer>],
        places: &[usize],
        furthest: &Furthest,
    ) -> Explanation {
        Explanation::of::<M>(&until(calls, furthest.deadline), places, &furthest.order, None)
    }

    fn of<M: Model>(
        calls: &[Call<M::Operation, M::Answer>],
        places: &[usize],
        order: &[usize],
        wrong: Option<usize>,
    ) -> Explanation {
        let line = |index: usize| Line::new(places[index], &calls[index]);
        let in_order: HashSet<usize> = order.iter().copied().collect();
        let left = || (0..calls.len()).filter(|index| !in_order.contains(index));
        Explanation {
            broken_by: wrong.map(line),
            prefix: order.iter().map(|index| line(*index)).collect(),
            state: describe::<M>(calls, order),
            stuck: left().filter(|index| calls[*index].answer().is_some()).map(line).collect(),
            unused: left().filter(|index| calls[*index].is_unknown()).count(),
        }
    }
}

/// The first wrong answer, and the order that was found for the calls before it.
struct Wrong<M: Model> {
    /// The calls up to the wrong answer.
    calls: Vec<Call<M::Operation, M::Answer>>,
    /// The longest beginning of an order.
    order: Vec<usize>,
    /// The index of the call with the wrong answer.
    answer: usize,
}

/// Finds the first wrong answer. Usually this is the answer at which the search got stuck. Returns
/// `None` if the limit was reached.
fn first_wrong<M: Model>(
    calls: &[Call<M::Operation, M::Answer>],
    returns: &[(u64, usize)],
    mut fine: usize,
    budget: &mut Budget,
) -> Option<Wrong<M>> {
    let (mut wrong, mut found, mut stride) = (returns.len() + 1, None, 1);
    while fine + 1 < wrong {
        // First upwards in growing strides, then by bisection.
        let middle = (fine + stride).min(usize::midpoint(fine, wrong)).min(returns.len());
        let (last, index) = returns[middle - 1];
        match search::<M>(&until(calls, last), budget) {
            Found::Order(_) => (fine, stride) = (middle, stride * 2),
            Found::Nothing(furthest, shortened) => {
                wrong = middle;
                found = Some(Wrong { calls: shortened, order: furthest.order, answer: index });
            }
            Found::GaveUp(_) => return None,
        }
    }
    found
}

/// Describes the state after an order.
fn describe<M: Model>(calls: &[Call<M::Operation, M::Answer>], order: &[usize]) -> String {
    let model = M::new(calls);
    let revealed = M::infer(calls);
    let step = |state: M::State, index: &usize| {
        let answer = revealed[*index].answer().map(|(_, answer)| answer);
        model.step(&state, &calls[*index].operation, answer)
    };
    let last = order.iter().try_fold(model.initial(), step);
    last.map_or_else(String::new, |state| model.describe(&state))
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = self.answer.as_deref().unwrap_or("?");
        write!(f, "client {}: {} -> {answer}", self.client, self.operation)
    }
}

impl fmt::Display for Explanation {
    /// Writes at most 100 columns per line if operations and answers are as short as those of the
    /// key-value service.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = &self.broken_by {
            writeln!(f, "The first answer that nothing explains:\n    {line}\n")?;
        }
        let hidden = self.prefix.len().saturating_sub(SHOWN);
        writeln!(f, "The longest order that was found places {} calls:\n", self.prefix.len())?;
        let numbered = self.prefix.iter().zip(1..).skip(hidden);
        write_table(f, numbered.map(|(line, number)| (number.to_string(), line)))?;
        writeln!(f, "\nThen the key is {}, and these are left:\n", self.state)?;
        let stuck = self.stuck.iter().map(|line| {
            let mark = if Some(line) == self.broken_by.as_ref() { "X" } else { "-" };
            (mark.to_owned(), line)
        });
        write_table(f, stuck)?;
        match self.unused {
            0 => Ok(()),
            unused => writeln!(f, "\nNor do {unused} calls of unknown outcome help."),
        }
    }
}

pub(super) fn write_table<'a>(
    f: &mut fmt::Formatter<'_>,
    rows: impl Iterator<Item = (String, &'a Line)>,
) -> fmt::Result {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "client", "called", "returned", "operation", "answer"]);
    for (mark, line) in rows {
        let returned =
            line.returned.map_or_else(|| "?".to_owned(), |returned| returned.to_string());
        let answer = line.answer.clone().unwrap_or_else(|| "?".to_owned());
        let (client, invoked) = (line.client.to_string(), line.invoked.to_string());
        table.add_row([mark, client, invoked, returned, line.operation.clone(), answer]);
    }
    for column in table.column_iter_mut().take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(f, "{}", table.trim_fmt())
}
