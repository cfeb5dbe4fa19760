//! Turns the local transitions that the checker found into paths that begin with a first start.
//!
//! Of all transitions that differ only by a renaming of the servers, the checker keeps one. Here,
//! these transitions become a graph. Its nodes are the states of one server up to renaming, and
//! each node has a shortest path from a server's first start. Production reaches each state by the
//! actions on this path. The state is never written into the server directly.

use std::collections::{HashMap, VecDeque};

use raft_checker::bounded_cluster::script;
use raft_checker::cluster::Cluster;
use raft_checker::cluster::rename::Renaming;
use raft_checker::cluster::server::Server;
use raft_checker::config::{BoundedConfig, Network};
use raft_checker::control::Control;
use raft_core::{NodeId, Paper};
use raft_trace::Action;

use super::fault_variant::{dice, is_batch};

/// All local transitions that the checker found in a configuration.
#[derive(Debug)]
pub struct Paths {
    states: Vec<State>,
    steps: Vec<Step>,
    /// The number of the checker's transitions that begin in a state to which no path leads.
    pub unreached: usize,
    renamings: Vec<Renaming>,
}

/// A state of one server, as it was first reached.
#[derive(Debug)]
struct State {
    server: Server,
    /// The step that first led to this state; `None` at the beginning of the configuration.
    from: Option<usize>,
    /// The actions of the server before the configuration begins.
    prefix: Vec<Action>,
    /// The steps that begin here.
    steps: Vec<usize>,
}

/// An action of a server in one of its states.
#[derive(Clone, Debug)]
pub struct Step {
    /// The state before the action.
    state: usize,
    /// The action.
    pub action: Action,
    /// The state after the action, and the renaming from the server after the action to the server
    /// that represents this state.
    to: Option<(usize, Renaming)>,
    /// The network over which the checker has reached it: the bounded one, if both.
    pub network: Network,
}

/// The states of servers up to renaming, by their canonical form.
struct Classes {
    renamings: Vec<Renaming>,
    known: HashMap<Server, (usize, usize)>,
}

impl Classes {
    /// Returns the canonical form of a server, and the number of the renaming that leads to it.
    fn canonical(&self, server: &Server) -> (Server, usize) {
        let renamed = self.renamings.iter().map(|renaming| renaming.server(server));
        // Any order will do, as long as it does not depend on the current ids of the servers.
        let least = renamed.enumerate().min_by_key(|(_, server)| dice(server));
        least.map_or_else(|| (server.clone(), 0), |(place, server)| (server, place))
    }

    /// Returns the canonical form of a server and of its action. The transition that the checker
    /// has kept, out of several equivalent ones, depends on its threads. The canonical form does
    /// not.
    fn canonical_step(&self, server: &Server, action: &Action) -> (Server, Action) {
        let renamed = self.renamings.iter().map(|renaming| (renaming, renaming.server(server)));
        let renamed: Vec<_> = renamed.map(|(by, server)| (by, dice(&server), server)).collect();
        let least = renamed.iter().map(|(_, dice, _)| *dice).min();
        let least = renamed.iter().filter(|(_, dice, _)| Some(*dice) == least);
        let steps = least.map(|(by, _, server)| (by.action(action), server));
        let chosen = steps.min_by_key(|(action, _)| dice(action));
        chosen.map_or_else(
            || (server.clone(), action.clone()),
            |(action, server)| (server.clone(), action),
        )
    }

    /// Returns the state of a server, and the renaming from it to the server that represents the
    /// state. If the state is not known, returns the canonical form and the number of its renaming.
    fn find(&self, server: &Server) -> Result<(usize, Renaming), Box<(Server, usize)>> {
        let (canonical, there) = self.canonical(server);
        match self.known.get(&canonical) {
            Some((state, representative)) => {
                let back = self.renamings[*representative].inverse();
                Ok((*state, self.renamings[there].then(&back)))
            }
            None => Err(Box::new((canonical, there))),
        }
    }
}

/// The local transitions of one server, in canonical form, each with the network over which the
/// checker has reached it.
type Samples = HashMap<Server, Vec<(Action, Network)>>;

/// Paths under construction.
pub(super) struct PathsBuilder<'a> {
    config: &'a BoundedConfig,
    classes: Classes,
    samples: Samples,
}

impl<'a> PathsBuilder<'a> {
    pub(super) fn new(config: &'a BoundedConfig) -> PathsBuilder<'a> {
        let renamings = Renaming::all(config.settings.servers);
        let classes = Classes { renamings, known: HashMap::new() };
        PathsBuilder { config, classes, samples: HashMap::new() }
    }

    /// Adds local transitions that the checker has reached over a network, unless they are known or
    /// the check is interrupted.
    pub(super) fn add<'t>(
        &mut self,
        transitions: impl Iterator<Item = (&'t Server, Action)>,
        network: Network,
        control: &Control,
    ) {
        for (server, action) in transitions {
            if control.is_interrupted() {
                return;
            }
            let (canonical, action) = self.classes.canonical_step(server, &action);
            let of_server = self.samples.entry(canonical).or_default();
            if network == Network::Bounded || of_server.iter().all(|(known, _)| *known != action) {
                of_server.push((action, network));
            }
        }
    }

    /// Returns the paths to all transitions, or to some of them if interrupted.
    pub(super) fn finish(self, control: &Control) -> Paths {
        let PathsBuilder { config, mut classes, mut samples } = self;
        let mut paths =
            Paths { states: Vec::new(), steps: Vec::new(), unreached: 0, renamings: Vec::new() };
        for (server, prefix) in beginnings(config, &script(config)) {
            paths.add_state(&mut classes, server, None, prefix);
        }
        let mut queue: VecDeque<usize> = (0..paths.states.len()).collect();
        while let Some(state) = queue.pop_front() {
            if control.is_interrupted() {
                break;
            }
            let (canonical, representative) = classes.canonical(&paths.states[state].server);
            let back = classes.renamings[representative].inverse();
            let mut here = samples.remove(&canonical).unwrap_or_default();
            here.sort_by_cached_key(|(action, network)| (*network == Network::Any, dice(action)));
            for (action, network) in here {
                let step = (back.action(&action), network);
                queue.extend(paths.add_step(&mut classes, config, state, step));
            }
        }
        paths.unreached = samples.values().map(Vec::len).sum();
        paths.renamings = classes.renamings;
        paths
    }
}

impl Paths {
    /// Adds the state of a server unless it is known. Returns the state, whether it is new, and the
    /// renaming from this server to the one that represents the state.
    fn add_state(
        &mut self,
        classes: &mut Classes,
        server: Server,
        from: Option<usize>,
        prefix: Vec<Action>,
    ) -> (usize, bool, Renaming) {
        match classes.find(&server) {
            Ok((state, renaming)) => (state, false, renaming),
            Err(unknown) => {
                let (canonical, representative) = *unknown;
                let number = self.states.len();
                classes.known.insert(canonical, (number, representative));
                self.states.push(State { server, from, prefix, steps: Vec::new() });
                (number, true, classes.renamings[0].clone())
            }
        }
    }

    /// Adds a step. Returns the state to which it leads if this state is new.
    fn add_step(
        &mut self,
        classes: &mut Classes,
        config: &BoundedConfig,
        state: usize,
        (action, network): (Action, Network),
    ) -> Option<usize> {
        let number = self.steps.len();
        let mut server = self.states[state].server.clone();
        let possible = server.run(&config.settings, &Paper, &action).is_ok();
        self.states[state].steps.push(number);
        let to = possible.then(|| self.add_state(classes, server, Some(number), Vec::new()));
        let new = to.as_ref().and_then(|(state, new, _)| new.then_some(*state));
        let to = to.map(|(state, _, renaming)| (state, renaming));
        self.steps.push(Step { state, action, to, network });
        new
    }

    /// Returns the number of states.
    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// Returns whether a step is the first one found that leads to its next state.
    pub fn is_first_way(&self, number: usize) -> bool {
        let to = self.steps.get(number).and_then(|step| step.to.as_ref());
        to.is_some_and(|(state, _)| self.states[*state].from == Some(number))
    }

    /// Returns whether a step is the first of all steps that begin in its state.
    pub fn is_first_of_its_state(&self, number: usize) -> bool {
        let step = self.steps.get(number);
        step.is_some_and(|step| self.states[step.state].steps.first() == Some(&number))
    }

    /// Returns all renamings of the servers.
    pub fn renamings(&self) -> &[Renaming] {
        &self.renamings
    }

    /// Returns all steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the server before a step.
    pub fn server(&self, step: &Step) -> &Server {
        &self.states[step.state].server
    }

    /// Returns the id of a step's server, and the actions of this server from its first start up to
    /// and including the step.
    pub fn path(&self, step: &Step) -> (NodeId, Vec<Action>) {
        let (mut actions, mut state) = (vec![step.action.clone()], step.state);
        while let Some(from) = self.states[state].from {
            actions.push(self.steps[from].action.clone());
            state = self.steps[from].state;
        }
        actions.extend(self.states[state].prefix.iter().rev().cloned());
        actions.reverse();
        (self.states[step.state].server.id, actions)
    }

    /// Returns the actions that can follow a step.
    pub fn next(&self, step: &Step) -> impl Iterator<Item = Action> + '_ {
        let to = step.to.clone();
        to.into_iter().flat_map(move |(state, renaming)| {
            // From the server that represents the state to the server after the step.
            let renaming = renaming.inverse();
            let steps = self.states[state].steps.iter();
            steps.map(move |number| renaming.action(&self.steps[*number].action))
        })
    }

    /// Returns up to `longest` actions that can follow a step in one batch with it. This is one of
    /// many possible sequences, and each run chooses the same one.
    pub fn run(&self, step: &Step, longest: usize) -> Vec<Action> {
        let mut run = Vec::new();
        let Some((mut state, renaming)) = step.to.clone() else { return run };
        // From the server that represents the state to the server after the step.
        let mut renaming = renaming.inverse();
        let mut last = step.action.clone();
        while run.len() < longest {
            let steps = self.states[state].steps.iter().map(|number| &self.steps[*number]);
            let named = steps.map(|step| (step, renaming.action(&step.action)));
            let fitting = named.filter(|(_, action)| is_batch(&last, action));
            let picked = fitting.min_by_key(|(_, action)| dice((&step.action, &run, action)));
            let Some((next, action)) = picked else { break };
            last = action.clone();
            run.push(action);
            let Some((to, there)) = &next.to else { break };
            renaming = there.inverse().then(&renaming);
            state = *to;
        }
        run
    }
}

/// Returns the servers at the beginning of a configuration, each with its actions before.
fn beginnings(config: &BoundedConfig, prefix: &[Action]) -> Vec<(Server, Vec<Action>)> {
    let mut cluster = Cluster::boot(&config.settings, &Paper);
    for action in prefix {
        // Each action is possible, because the checker has performed them before.
        let _ = cluster.act(&config.settings, &Paper, action);
    }
    let own = |id| prefix.iter().filter(move |action| action.server() == Some(id));
    let servers = cluster.servers.into_iter();
    let with_past = |server: Server| {
        let past = own(server.id).cloned().collect();
        (server, past)
    };
    servers.map(with_past).collect()
}
