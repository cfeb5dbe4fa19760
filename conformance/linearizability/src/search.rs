//! The search for a linearization: Wing and Gong's, with Lowe's memory of configurations.
//!
//! Operations whose answer is known are placed one after the other; next may be placed whatever was
//! invoked before the first answer among the operations that are not placed yet. Where nothing can
//! be placed, the search goes back. What keeps it short, with an argument why nothing is missed:
//!
//! - *Reads at once.* If a read can be placed and tells nothing that the state does not hold already,
//!   it is placed, and nothing else is tried here: in any linearization that goes on from here, it
//!   can be moved to the front.
//! - *Ranks.* Only operations of the lowest [rank](Model::rank) that is left, or of none, are tried.
//! - *Operations of unknown outcome only where they are needed.* Those that take effect stand in
//!   chains, each directly before an operation whose answer is known; at the very end they need not
//!   stand at all. Shorter chains are tried first. In a chain, whatever stands before an operation
//!   that [overwrites](Effect::Overwrites) can be left out, so such a one only begins a chain; a
//!   chain grows by operations that [build](Effect::Builds) only if they [lead](Model::within_reach)
//!   to its goal or to one that overwrites; a chain is not made longer once its goal overwrites and
//!   can be placed; two that build and lead to the same state in either order stand in one order;
//!   and of operations that are [alike](Model::alike), the first that was invoked is used first.
//! - *Short chains first.* The search is repeated with longer chains until none was too long to be
//!   tried. Where an order exists, it mostly needs no long ones.
//! - *Memory.* A configuration is what was placed, the state, and which operations of unknown outcome
//!   were used up. It is hopeless if one with the same placed operations was, that had a state which
//!   [covers](Model::covers) this one's and had used up no other operations.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Instant;

use super::bit_set::{BitSet, Frontier};
use super::conflict_window::window;
use super::model::{Effect, Model};
use super::{Call, Limit};

/// How a search ended.
pub(super) enum Found<M: Model> {
    /// Indexes of calls, in an order that explains all answers.
    Order(Vec<usize>),
    /// There is no such order. Those of the calls that show it; others are not done there.
    Nothing(Furthest, Vec<Call<M::Operation, M::Answer>>),
    /// The limit was reached.
    GaveUp(Furthest),
}

/// How an attempt ended.
enum Attempt {
    Order(Vec<usize>),
    /// There is no order.
    Nothing,
    /// There may be one, with longer chains or after more steps.
    TooLate,
}

/// How far a search came.
#[derive(Clone, Debug, Default)]
pub(super) struct Furthest {
    /// The longest beginning of an order that was found.
    pub(super) order: Vec<usize>,
    /// How many answers it holds.
    answers: usize,
    /// What returned before this can be put into an order.
    pub(super) deadline: u64,
}

/// What the searches of one check share.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    limit: Limit,
    started: Instant,
    /// How many times a model was asked for a next state.
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

/// Searches for an order of calls, all of one key. Where that takes long, for a
/// [window](super::conflict_window) that has none.
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
    /// The one before it that is alike.
    twin: Option<usize>,
}

/// Operations of unknown outcome, and the known one that they stand before.
struct Move<S> {
    chain: Vec<usize>,
    goal: usize,
    /// The state after the known one.
    state: S,
}

/// A chain that may be made longer.
struct Chain<S> {
    unknown: Vec<usize>,
    goal: usize,
    /// The state before the last of them.
    before: S,
    /// The state after all of them.
    state: S,
}

/// A configuration.
struct Frame<S> {
    state: S,
    /// The first answer among what is not placed: only what was invoked before can be placed.
    deadline: u64,
    /// What to try, the last first.
    moves: Vec<Move<S>>,
    /// What longer chains are made of, all of one length.
    chains: Vec<Chain<S>>,
    /// The chain and the goal that were placed last.
    placed: Option<(Vec<usize>, usize)>,
    /// The first that is not placed.
    first: usize,
    /// The first in [`Search::by_rank`] that is not placed.
    lowest: usize,
}

/// A search under way.
struct Search<'a, M: Model> {
    model: &'a M,
    known: Vec<Known<'a, M>>,
    unknown: Vec<Pending<'a, M>>,
    /// Known operations that have a rank, in its order.
    by_rank: Vec<usize>,
    placed: BitSet,
    used: BitSet,
    seen: HashMap<Frontier, Vec<(M::State, BitSet)>>,
    furthest: Furthest,
    /// How long chains may be.
    longest_chain: usize,
    /// After how many steps this attempt ends.
    end: u64,
    /// Whether this attempt left out anything.
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

    /// Allows longer chains than before.
    fn start_again(&mut self) {
        self.longest_chain += 1;
        self.is_cut_short = false;
        self.placed = BitSet::new(self.known.len());
        self.used = BitSet::new(self.unknown.len());
        self.seen.clear();
    }

    /// Searches for an order without longer chains than are allowed now, for so many steps.
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

    /// Notes how far the search came, where it goes back or ends.
    fn note(&mut self, behind: &[Frame<M::State>], last: &Frame<M::State>) {
        self.furthest.deadline = self.furthest.deadline.max(last.deadline);
        if behind.len() > self.furthest.answers {
            self.furthest.answers = behind.len();
            self.furthest.order = self.order(behind, last);
        }
    }

    /// The calls that were placed, in order.
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

    /// Whether what is placed, with this state, was tried before; notes that it was.
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

    /// The configuration after a move, with its moves without a chain.
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

    /// The known operations that may be placed next, those that returned first at the end, and the
    /// first answer among all that are not placed.
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

    /// The state after a known operation.
    fn answer(&mut self, state: &M::State, goal: usize) -> Option<M::State> {
        self.budget.steps += 1;
        let Known { operation, answer, .. } = &self.known[goal];
        self.model.step(state, operation, Some(answer))
    }

    /// Whether a chain may come to its goal, or to something that overwrites, by operations that
    /// build.
    fn may_build(&self, chain: &Chain<M::State>, available: &[usize]) -> bool {
        let Known { operation, answer, .. } = &self.known[chain.goal];
        let overwrites = |index: &&usize| self.unknown[**index].effect == Effect::OverwritesIf;
        self.model.within_reach(&chain.state, operation, Some(answer))
            || available.iter().filter(overwrites).any(|index| {
                !chain.unknown.contains(index)
                    && self.model.within_reach(&chain.state, self.unknown[*index].operation, None)
            })
    }

    /// Notes a chain, and the move that it makes possible, if it does.
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

    /// What to try next from a configuration.
    fn next_move(&mut self, frame: &mut Frame<M::State>) -> Option<Move<M::State>> {
        while frame.moves.is_empty() && !frame.chains.is_empty() && !self.is_over() {
            self.lengthen(frame);
        }
        frame.moves.pop()
    }

    /// Makes all chains longer by one operation of unknown outcome, in every way.
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

    /// The state after a chain and one more operation, unless that is of no use.
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

    /// Whether the chain's last operation and the one behind it lead to the same state in the other
    /// order, in which they were invoked.
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
