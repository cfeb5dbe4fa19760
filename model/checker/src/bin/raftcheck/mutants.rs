//! `raftcheck mutants`: runs the mutants, to show that a success means something.

use std::path::Path;

use raft_checker::config::{BoundedConfig, Catalog, Tier};
use raft_checker::exit_code::Exit;
use raft_checker::mutants::{self, Mutant, Origin, matrix, trial};
use raft_checker::properties::Property;
use raft_checker::text_width::wrap;
use raft_cli::file::Destination;
use raft_cli::options::similar;
use raft_cli::output::Output;
use raft_cli::progress::Share;
use serde::Serialize;

use crate::args::MutantArgs;
use crate::failure::{Failure, read};
use crate::watch::Watch;

type Tried<'a> = (&'a Mutant, trial::Trial);

/// The mutants that were tried, by the tier that decides about them.
#[derive(Default)]
struct Results<'a> {
    smoke: Vec<Tried<'a>>,
    nightly: Vec<Tried<'a>>,
    /// The number of mutants that are finished, those included that the smoke tier does not decide.
    done: usize,
    /// Whether a limit cut one of them short.
    cut: bool,
}

/// The JSON report.
#[derive(Serialize)]
struct Json<'a> {
    verdict: &'static str,
    exit_code: u8,
    mutants_not_tried: usize,
    mutants: Vec<&'a trial::Trial>,
}

pub(crate) fn run(folder: Option<&Path>, args: &MutantArgs) -> Result<Exit, Failure> {
    let all = mutants::all();
    if args.list {
        return list(&all);
    }
    let catalog = Catalog::open(folder)?;
    let chosen = choose(&all, &args.ids)?;
    let (mut out, json) = args.json.open()?;
    let write =
        args.write.as_ref().map(|path| Destination::new(path, path.exists())).transpose()?;
    let earlier = args.check.as_deref().map(read).transpose()?;
    let mut results = Results::default();
    let mut watch = Watch::new(&args.search);
    for mutant in &chosen {
        // If the output is closed, nobody reads the results any more.
        if watch.is_interrupted() || out.is_closed() {
            break;
        }
        let share = Share { done: results.done as u64, all: chosen.len() as u64 };
        let attempt = |configs: &[BoundedConfig], watch: &mut Watch<'_>| {
            let threads = args.search.threads.number();
            let explore = |control: &_| trial::run(mutant, configs, threads, control);
            watch.run(&mutant.id, Some(share), explore).0
        };
        let configs = configs(&catalog, mutant)?;
        results.try_one(mutant, &configs, args.tier.is_some(), &mut watch, &mut out, attempt);
    }
    let not_tried = chosen.len() - results.done;
    let exit = results.finish(&mut out, not_tried, args, earlier.as_deref(), write.as_ref())?;
    json.write(&results.json(exit, not_tried))?;
    out.finish()?;
    Ok(exit)
}

fn list(all: &[Mutant]) -> Result<Exit, Failure> {
    let mut out = Output::stdout();
    for mutant in all {
        writeln!(out, "{}\n{}", mutant.id, wrap(mutant.wrong, "    "));
    }
    out.finish()?;
    Ok(Exit::Fine)
}

fn choose<'a>(all: &'a [Mutant], ids: &[String]) -> Result<Vec<&'a Mutant>, Failure> {
    if ids.is_empty() {
        return Ok(all.iter().collect());
    }
    let find = |id: &String| {
        let found = all.iter().find(|mutant| mutant.id.eq_ignore_ascii_case(id));
        found.ok_or_else(|| {
            let similar = similar(id, all.iter().map(|mutant| mutant.id.as_str()));
            Failure::UnknownMutant { id: id.clone(), similar }
        })
    };
    ids.iter().map(find).collect()
}

fn configs(catalog: &Catalog, mutant: &Mutant) -> Result<Vec<BoundedConfig>, Failure> {
    mutant.configs.iter().map(|name| Ok(catalog.find(name)?)).collect()
}

impl<'a> Results<'a> {
    /// Tries a mutant on the configurations of the smoke tier, and on all if those do not decide.
    fn try_one(
        &mut self,
        mutant: &'a Mutant,
        configs: &[BoundedConfig],
        only_smoke: bool,
        watch: &mut Watch<'_>,
        out: &mut Output,
        attempt: impl Fn(&[BoundedConfig], &mut Watch<'_>) -> trial::Trial,
    ) {
        let of_smoke: Vec<_> =
            configs.iter().filter(|config| config.tier == Tier::Smoke).cloned().collect();
        let mut tried = attempt(&of_smoke, watch);
        let enough = of_smoke.len() == configs.len() || tried.is_killed_as_named(mutant);
        if !enough && !only_smoke {
            if watch.is_interrupted() {
                return;
            }
            tried = attempt(configs, watch);
        }
        if watch.is_interrupted() && tried.cut {
            return;
        }
        self.done += 1;
        self.cut |= tried.cut;
        if !enough && !only_smoke {
            report(out, mutant, &tried);
            self.nightly.push((mutant, tried));
        } else if enough && !of_smoke.is_empty() {
            report(out, mutant, &tried);
            self.smoke.push((mutant, tried));
        }
    }

    fn all(&self) -> impl Iterator<Item = &Tried<'a>> {
        self.smoke.iter().chain(&self.nightly)
    }

    fn json(&self, exit: Exit, mutants_not_tried: usize) -> Json<'_> {
        let verdict = match exit {
            Exit::Fine => "EXPLAINED",
            Exit::Incomplete => "INCOMPLETE",
            _ => "UNEXPLAINED",
        };
        let mutants = self.all().map(|(_, tried)| tried).collect();
        Json { verdict, exit_code: exit.code(), mutants_not_tried, mutants }
    }

    fn finish(
        &self,
        out: &mut Output,
        not_tried: usize,
        args: &MutantArgs,
        earlier: Option<&str>,
        write: Option<&Destination>,
    ) -> Result<Exit, Failure> {
        let unexplained = |(mutant, tried): &&Tried<'_>| !tried.cut && !tried.is_explained(mutant);
        let killed = self.all().filter(|(mutant, tried)| tried.kill(mutant).is_some()).count();
        let controls = self.all().filter(|(mutant, _)| mutant.origin == Origin::Control).count();
        let all = self.all().count();
        writeln!(out, "\n{killed} of {all} mutants killed; {controls} are controls.");
        for (mutant, _) in self.all().filter(unexplained) {
            writeln!(out, "UNEXPLAINED: {}: {}", mutant.id, mutant.wrong);
        }
        if not_tried > 0 || self.cut {
            let cut = self.all().filter(|(_, tried)| tried.cut).count();
            writeln!(out, "INCOMPLETE: {not_tried} mutants were not tried, {cut} were cut short.");
            return Ok(Exit::Incomplete);
        }
        let smoke = matrix::section(SMOKE, &self.smoke);
        if let (Some(path), Some(text)) = (&args.check, earlier) {
            let path = path.display();
            if !text.contains(&smoke) {
                writeln!(out, "STALE: the smoke part of {path} is not what was just found.");
                writeln!(out, "Write it again with `raftcheck mutants --write {path}`.");
                return Ok(Exit::Vacuous);
            }
            writeln!(out, "{path} is current.");
        }
        if let Some(file) = write {
            let nightly = matrix::section("What needs the nightly tier", &self.nightly);
            let tried: Vec<_> = self.all().cloned().collect();
            let needed = matrix::vacuity(&tried);
            file.write(format!("{}{smoke}{nightly}{needed}", matrix::ABOUT).as_bytes())?;
        }
        let explained = self.all().find(unexplained).is_none();
        Ok(if explained { Exit::Fine } else { Exit::Vacuous })
    }
}

fn report(out: &mut Output, mutant: &Mutant, tried: &trial::Trial) {
    let by = |kill: &trial::Kill| {
        let broken: Vec<&str> = kill.properties.iter().map(|p| Property::name(*p)).collect();
        format!("{}, {}, depth {}", broken.join(", "), kill.config, kill.depth)
    };
    let verdict = match (tried.kill(mutant), mutant.survives) {
        (Some(kill), _) => format!("killed: {}", by(kill)),
        (None, _) if tried.cut => "cut short".to_owned(),
        (None, Some(_)) => "survives, explained".to_owned(),
        (None, None) => "SURVIVES".to_owned(),
    };
    writeln!(out, "{:28} {verdict}", mutant.id);
    if mutant.survives.is_none() && tried.any_network.killed.is_none() && !tried.cut {
        writeln!(out, "{:28}   SURVIVES over any network", "");
    }
    if mutant.survives.is_some()
        && let Some(kill) = &tried.any_network.killed
    {
        writeln!(out, "{:28}   killed over any network: {}", "", by(kill));
    }
    if let Some(named) = &tried.named {
        writeln!(out, "{:28}   and {}", "", by(named));
    } else if let Some(named) = mutant.breaks.filter(|_| !tried.is_killed_as_named(mutant)) {
        writeln!(out, "{:28}   {} not within these bounds", "", named.name());
    }
}

const SMOKE: &str = "What the smoke tier kills";
