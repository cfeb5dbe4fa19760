//! The search for a linearization: Wing and Gong's algorithm, with Lowe's memory of configurations.
//!
//! The search places the answered operations one after another. An operation can be placed next if
//! it was invoked before the first return among the operations that are not placed yet. If no
//! operation can be placed, the search goes back. The following reductions keep the search short,
//! and none of them misses an order:
//!
//! - *Reads at once.* If a read can be placed and does not change the state, the search places it
//!   and tries nothing else here. In any linearization that continues from here, this read can be
//!   moved to the front.
//! - *Ranks.* Of the remaining operations, only those with the lowest [rank](Model::rank) or
//!   without a rank are tried.
//! - *Operations of unknown outcome only where they are needed.* The operations of unknown outcome
//!   that take effect form chains. Each chain stands directly before an answered operation, its
//!   goal. At the end of the order, no operation of unknown outcome is needed. Shorter chains are
//!   tried first. An operation that [overwrites](Effect::Overwrites) can only begin a chain,
//!   because everything before it in the chain can be left out. A chain is extended by operations
//!   that [build](Effect::Builds) only if they can [lead](Model::within_reach) to its goal or to an
//!   operation that overwrites. A chain is not extended once its goal can be placed, if the goal
//!   overwrites. Two operations that build, and that lead to the same state in either order, are
//!   tried in one order only. Of operations that are [alike](Model::alike), the one that was
//!   invoked first is used first.
//! - *Short chains first.* The search is repeated with longer chains until no chain was too long to
//!   be tried. If an order exists, it seldom needs long chains.
//! - *Memory.* A configuration consists of the placed operations, the state, and the used
//!   operations of unknown outcome. A configuration is hopeless if an earlier one had the same
//!   placed operations and a state that [covers](Model::covers) this state, and had used no
//!   operation of unknown outcome that is not used in this one.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Instant;

use super::bit_set::{BitSet, Frontier};
use super::conflict_window::window;
use super::model::{Effect, Model};
use super::{Call, Limit};

/// The result of a search.
pub(super) enum Found<M: Model> {
    /// The indexes of calls, in an order that explains all answers.
    Order(Vec<usize>),
    /// There is no such order. Of the returned calls, those that are not needed to show this are
    /// marked as not done.
    Nothing(Furthest, Vec<Call<M::Operation, M::Answer>>),
    /// The limit was reached.
    GaveUp(Furthest),
}

/// The result of an attempt.
enum Attempt {
    Order(Vec<usize>),
    /// There is no order.
    Nothing,
    /// There may be an order, with longer chains or after more steps.
    TooLate,
}

/// The furthest point that a search reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Furthest {
    /// The longest beginning of an order that was found.
    pub(super) order: Vec<usize>,
    /// The number of answers in it.
    answers: usize,
    /// All calls that returned before this time can be put into an order.
    pub(super) deadline: u64,
}

/// The limit and the step count that all searches of one check share.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    limit: Limit,
    started: Instant,
    /// The number of states that were computed or compared.
    pub(super) steps: u64,
}

impl Budget {
    pub(super) fn new(limit: Limit) -> Budget {
        Budget { limit, started: Instant::now(), steps: 0 }
    }

    fn is_spent(&self) -> bool {
        self.steps > self.limit.steps || self.started.elapsed() > self.limit.time
    }
}

/// Searches for an order of calls, all of one key. If this takes long, it also searches for a
/// [window](super::conflict_window) of the calls that has no order.
pub(super) fn search<M: Model>(
    calls: &[Call<M::Operation, M::Answer>],
    budget: &mut Budget,
) -> Found<M> {
    let revealed = M::infer(calls);
    let model = M::new(&revealed);
    let mut patience = budget.limit.patience;
    let mut search = Search::new(&model, &revealed, budget);
    loop {
        match search.attempt(patience) {
            Attempt::Order(order) => return Found::Order(order),
            Attempt::Nothing => return Found::Nothing(search.furthest, calls.to_vec()),
            Attempt::TooLate if search.budget.is_spent() => return Found::GaveUp(search.furthest),
            Attempt::TooLate => {}
        }
        for behind in (0..).map_while(|power| 1_usize.checked_shl(power)) {
            let deadline = search.furthest.deadline;
            let Some(calls) = window(&model, calls, deadline, behind) else { break };
            let revealed = M::infer(&calls);
            let model = M::new(&revealed);
            let mut search = Search::new(&model, &revealed, search.budget);
            search.longest_chain = usize::MAX;
            if let Attempt::Nothing = search.attempt(patience) {
                return Found::Nothing(search.furthest, calls);
            }
        }
        patience = patience.saturating_mul(4).max(1);
        search.start_again();
    }
}

/// An operation whose answer is known.
struct Known<'a, M: Model> {
    call: usize,
    invoked: u64,
    returned: u64,
    operation: &'a M::Operation,
    answer: &'a M::Answer,
    rank: Option<u64>,
    effect: Effect,
}

/// An operation of unknown outcome that may have had an effect.
struct Pending<'a, M: Model> {
    call: usize,
    invoked: u64,
    operation: &'a M::Operation,
    effect: Effect,
    /// The last operation before this one that is alike.
    twin: Option<usize>,
}

/// A chain of operations of unknown outcome, and the known operation directly after it.
struct Move<S> {
    chain: Vec<usize>,
    goal: usize,
    /// The state after the known operation.
    state: S,
}

/// A chain that may be extended.
struct Chain<S> {
    unknown: Vec<usize>,
    goal: usize,
    /// The state before the last operation of the chain.
    before: S,
    /// The state after the whole chain.
    state: S,
}

/// A configuration, with the moves that are left to try.
struct Frame<S> {
    state: S,
    /// The first return among the operations that are not placed. Only operations that were invoked
    /// before it can be placed.
    deadline: u64,
    /// The moves to try. The last one is tried first.
    moves: Vec<Move<S>>,
    /// The chains to extend, all of one length.
    chains: Vec<Chain<S>>,
    /// The chain and the goal that were placed last.
    placed: Option<(Vec<usize>, usize)>,
    /// The first known operation that is not placed.
    first: usize,
    /// The first position in [`Search::by_rank`] whose operation is not placed.
    lowest: usize,
}

/// The state of a search.
struct Search<'a, M: Model> {
    model: &'a M,
    known: Vec<Known<'a, M>>,
    unknown: Vec<Pending<'a, M>>,
    /// The known operations that have a rank, ordered by rank.
    by_rank: Vec<usize>,
    placed: BitSet,
    used: BitSet,
    seen: HashMap<Frontier, Vec<(M::State, BitSet)>>,
    furthest: Furthest,
    /// The greatest length of a chain.
    longest_chain: usize,
    /// The step count at which this attempt ends.
    end: u64,
    /// Whether this attempt left out a chain that was too long.
    is_cut_short: bool,
    budget: &'a mut Budget,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(
        model: &'a M,
        calls: &'a [Call<M::Operation, M::Answer>],
        budget: &'a mut Budget,
    ) -> Search<'a, M> {
        let known = known(model, calls);
        let unknown = unknown(model, calls);
        let mut by_rank: Vec<usize> =
            (0..known.len()).filter(|index| known[*index].rank.is_some()).collect();
        by_rank.sort_by_key(|index| known[*index].rank);
        Search {
            placed: BitSet::new(known.len()),
            used: BitSet::new(unknown.len()),
            model,
            known,
            unknown,
            by_rank,
            seen: HashMap::new(),
            furthest: Furthest::default(),
            longest_chain: 1,
            end: u64::MAX,
            is_cut_short: false,
            budget,
        }
    }

    /// Prepares another attempt, with chains that may be longer by one.
    fn start_again(&mut self) {
        self.longest_chain += 1;
        self.is_cut_short = false;
        self.placed = BitSet::new(self.known.len());
        self.used = BitSet::new(self.unknown.len());
        self.seen.clear();
    }

    /// Searches for an order with chains of the allowed length, for at most `patience` steps.
    fn attempt(&mut self, patience: u64) -> Attempt {
        self.end = self.budget.steps.saturating_add(patience);
        let mut behind = Vec::new();
        let mut frame = self.frame(self.model.initial(), None, (0, 0));
        while behind.len() < self.known.len() {
            if let Some(Move { chain, goal, state }) = self.next_move(&mut frame) {
                self.place(&chain, goal);
                if self.is_hopeless(&state) {
                    self.take_back(&chain, goal);
                } else {
                    let next = self.frame(state, Some((chain, goal)), (frame.first, frame.lowest));
                    behind.push(std::mem::replace(&mut frame, next));
                }
            } else {
                self.note(&behind, &frame);
                if let Some((chain, goal)) = &frame.placed {
                    self.take_back(chain, *goal);
                }
                match behind.pop() {
                    Some(back) => frame = back,
                    None if self.is_cut_short || self.is_over() => return Attempt::TooLate,
                    None => return Attempt::Nothing,
                }
            }
            if self.is_over() {
                self.note(&behind, &frame);
                return Attempt::TooLate;
            }
        }
        Attempt::Order(self.order(&behind, &frame))
    }

    fn is_over(&self) -> bool {
        self.budget.steps > self.end || self.budget.is_spent()
    }

    /// Records how far the search came. It is called where the search goes back or ends.
    fn note(&mut self, behind: &[Frame<M::State>], last: &Frame<M::State>) {
        self.furthest.deadline = self.furthest.deadline.max(last.deadline);
        if behind.len() > self.furthest.answers {
            self.furthest.answers = behind.len();
            self.furthest.order = self.order(behind, last);
        }
    }

    /// Returns the placed calls, in order.
    fn order(&self, behind: &[Frame<M::State>], last: &Frame<M::State>) -> Vec<usize> {
        let placed = behind.iter().chain([last]).filter_map(|frame| frame.placed.as_ref());
        placed
            .flat_map(|(chain, goal)| {
                let chain = chain.iter().map(|index| self.unknown[*index].call);
                chain.chain([self.known[*goal].call])
            })
            .collect()
    }

    fn place(&mut self, chain: &[usize], goal: usize) {
        self.placed.insert(goal);
        for index in chain {
            self.used.insert(*index);
        }
    }

    fn take_back(&mut self, chain: &[usize], goal: usize) {
        self.placed.remove(goal);
        for index in chain {
            self.used.remove(*index);
        }
    }

    /// Returns whether the placed operations were already tried with this state, or with one that
    /// covers it. If not, records them as tried.
    fn is_hopeless(&mut self, state: &M::State) -> bool {
        let tried = self.seen.entry(self.placed.frontier()).or_default();
        self.budget.steps += tried.len() as u64;
        let (model, used) = (self.model, &self.used);
        if tried.iter().any(|(old, fewer)| fewer.is_subset(used) && model.covers(old, state)) {
            return true;
        }
        tried.push((state.clone(), used.clone()));
        false
    }

    /// Returns the configuration after a move, with its moves that have no chain.
    fn frame(
        &mut self,
        state: M::State,
        placed: Option<(Vec<usize>, usize)>,
        (first, lowest): (usize, usize),
    ) -> Frame<M::State> {
        let first = self.placed.missing(first).next().unwrap_or(self.known.len());
        let is_placed = |index: &&usize| self.placed.contains(**index);
        let lowest = lowest + self.by_rank[lowest..].iter().take_while(is_placed).count();
        let (candidates, deadline) = self.candidates(first, lowest);
        let mut frame = Frame {
            deadline,
            moves: Vec::new(),
            chains: Vec::new(),
            placed,
            first,
            lowest,
            state: state.clone(),
        };
        for goal in candidates {
            let next = self.answer(&state, goal);
            if self.known[goal].effect == Effect::Reads && next.as_ref() == Some(&state) {
                frame.moves = vec![Move { chain: Vec::new(), goal, state }];
                frame.chains = Vec::new();
                break;
            }
            let (before, state) = (state.clone(), state.clone());
            let chain = Chain { unknown: Vec::new(), goal, before, state };
            self.add(&mut frame, chain, next);
        }
        frame
    }

    /// Returns the known operations that may be placed next, and the first return among all
    /// operations that are not placed. The operations with the earliest returns come last.
    fn candidates(&self, first: usize, lowest: usize) -> (Vec<usize>, u64) {
        let mut deadline = u64::MAX;
        let mut candidates = Vec::new();
        for index in self.placed.missing(first) {
            match self.known.get(index) {
                Some(known) if known.invoked <= deadline => {
                    deadline = deadline.min(known.returned);
                    candidates.push(index);
                }
                _ => break,
            }
        }
        let lowest = self.by_rank.get(lowest).and_then(|index| self.known[*index].rank);
        candidates.retain(|index| {
            let rank = self.known[*index].rank;
            rank.is_none() || rank == lowest
        });
        candidates.sort_by_key(|index| Reverse(self.known[*index].returned));
        (candidates, deadline)
    }

    /// Returns the state after a known operation.
    fn answer(&mut self, state: &M::State, goal: usize) -> Option<M::State> {
        self.budget.steps += 1;
        let Known { operation, answer, .. } = &self.known[goal];
        self.model.step(state, operation, Some(answer))
    }

    /// Returns whether operations that build can extend a chain so that its goal, or an operation
    /// of [`Effect::OverwritesIf`], becomes possible.
    fn may_build(&self, chain: &Chain<M::State>, available: &[usize]) -> bool {
        let Known { operation, answer, .. } = &self.known[chain.goal];
        let overwrites = |index: &&usize| self.unknown[**index].effect == Effect::OverwritesIf;
        self.model.within_reach(&chain.state, operation, Some(answer))
            || available.iter().filter(overwrites).any(|index| {
                !chain.unknown.contains(index)
                    && self.model.within_reach(&chain.state, self.unknown[*index].operation, None)
            })
    }

    /// Adds the move that a chain makes possible, if there is one, and adds the chain if it may be
    /// extended.
    fn add(&self, frame: &mut Frame<M::State>, chain: Chain<M::State>, next: Option<M::State>) {
        let overwrites =
            matches!(self.known[chain.goal].effect, Effect::Overwrites | Effect::OverwritesIf);
        let is_final = next.is_some() && overwrites;
        if let Some(state) = next {
            frame.moves.push(Move { chain: chain.unknown.clone(), goal: chain.goal, state });
        }
        if !is_final && !self.unknown.is_empty() {
            frame.chains.push(chain);
        }
    }

    /// Returns the next move to try from a configuration.
    fn next_move(&mut self, frame: &mut Frame<M::State>) -> Option<Move<M::State>> {
        while frame.moves.is_empty() && !frame.chains.is_empty() && !self.is_over() {
            self.lengthen(frame);
        }
        frame.moves.pop()
    }

    /// Extends all chains by one operation of unknown outcome, in every possible way.
    fn lengthen(&mut self, frame: &mut Frame<M::State>) {
        let invoked = self.unknown.partition_point(|pending| pending.invoked <= frame.deadline);
        let available: Vec<usize> =
            (0..invoked).filter(|index| !self.used.contains(*index)).collect();
        for chain in std::mem::take(&mut frame.chains) {
            let may_build = self.may_build(&chain, &available);
            for &index in &available {
                let Some(state) = self.continued(frame, &chain, index, may_build) else { continue };
                if chain.unknown.len() == self.longest_chain {
                    self.is_cut_short = true;
                    return;
                }
                let next = self.answer(&state, chain.goal);
                let mut unknown = chain.unknown.clone();
                unknown.push(index);
                let before = chain.state.clone();
                self.add(frame, Chain { unknown, goal: chain.goal, before, state }, next);
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// Returns the state after a chain and one more operation, or `None` if that operation is
    /// useless here.
    fn continued(
        &mut self,
        frame: &Frame<M::State>,
        chain: &Chain<M::State>,
        index: usize,
        may_build: bool,
    ) -> Option<M::State> {
        let Pending { operation, effect, twin, .. } = &self.unknown[index];
        let is_useful = match effect {
            Effect::Reads => false,
            Effect::Builds => may_build,
            Effect::Overwrites => chain.unknown.is_empty(),
            Effect::OverwritesIf => true,
        };
        let is_gone = |index: usize| self.used.contains(index) || chain.unknown.contains(&index);
        if !is_useful || chain.unknown.contains(&index) || twin.is_some_and(|twin| !is_gone(twin)) {
            return None;
        }
        self.budget.steps += 1;
        let state = self.model.step(&chain.state, operation, None)?;
        let gains =
            !self.model.covers(&chain.state, &state) && !self.model.covers(&frame.state, &state);
        (gains && !self.is_swapped(chain, index, &state)).then_some(state)
    }

    /// Returns whether the chain's last operation and the next one also lead to the same state in
    /// the other order, the order in which they were invoked.
    fn is_swapped(&mut self, chain: &Chain<M::State>, index: usize, state: &M::State) -> bool {
        let Some(&last) = chain.unknown.last().filter(|last| index < **last) else { return false };
        let (first, second) = (&self.unknown[index], &self.unknown[last]);
        if first.effect != Effect::Builds || second.effect != Effect::Builds {
            return false;
        }
        self.budget.steps += 2;
        let middle = self.model.step(&chain.before, first.operation, None);
        let swapped = middle.and_then(|middle| self.model.step(&middle, second.operation, None));
        swapped.as_ref() == Some(state)
    }
}

fn known<'a, M: Model>(model: &M, calls: &'a [Call<M::Operation, M::Answer>]) -> Vec<Known<'a, M>> {
    let mut known: Vec<_> = calls
        .iter()
        .enumerate()
        .filter_map(|(index, call)| {
            let (returned, answer) = call.answer()?;
            Some(Known {
                call: index,
                invoked: call.invoked,
                returned,
                operation: &call.operation,
                answer,
                rank: model.rank(&call.operation, answer),
                effect: model.effect(&call.operation, Some(answer)),
            })
        })
        .collect();
    known.sort_by_key(|known| known.invoked);
    known
}

fn unknown<'a, M: Model>(
    model: &M,
    calls: &'a [Call<M::Operation, M::Answer>],
) -> Vec<Pending<'a, M>> {
    let mut unknown: Vec<Pending<'a, M>> = calls
        .iter()
        .enumerate()
        .filter(|(_, call)| call.is_unknown())
        .map(|(index, call)| Pending {
            call: index,
            invoked: call.invoked,
            operation: &call.operation,
            effect: model.effect(&call.operation, None),
            twin: None,
        })
        .filter(|pending| pending.effect != Effect::Reads)
        .collect();
    unknown.sort_by_key(|pending| pending.invoked);
    for index in 1..unknown.len() {
        let is_alike =
            |other: &usize| model.alike(unknown[*other].operation, unknown[index].operation);
        unknown[index].twin = (0..index).rev().find(is_alike);
    }
    unknown
}
