//! `raftcheck mutants`: show that a green result means something.

use std::path::{Path, PathBuf};

use raft_checker::config::{BoundedConfig, Catalog, Tier};
use raft_checker::mutants::{self, Mutant, Origin, matrix, trial};
use raft_checker::properties::Property;

use crate::args::MutantArgs;
use crate::failure::Failure;
use crate::watch;
use raft_checker::exit::Exit;

type Tried<'a> = (&'a Mutant, trial::Trial);

pub(crate) fn run(folder: Option<PathBuf>, args: &MutantArgs) -> Result<Exit, Failure> {
    let catalog = Catalog::read(&folder.map_or_else(Catalog::folder, Ok)?)?;
    let all = mutants::all();
    let chosen = choose(&all, &args.ids)?;
    let mut smoke: Vec<Tried<'_>> = Vec::new();
    let mut nightly: Vec<Tried<'_>> = Vec::new();
    for mutant in chosen {
        let configs = configs(&catalog, mutant)?;
        let of_smoke: Vec<_> =
            configs.iter().filter(|config| config.tier == Tier::Smoke).cloned().collect();
        let tried = attempt(mutant, &of_smoke, args);
        let enough = of_smoke.len() == configs.len() || tried.is_killed_as_named(mutant);
        if enough || args.is_smoke() {
            if !of_smoke.is_empty() && enough {
                report(mutant, &tried);
                smoke.push((mutant, tried));
            }
        } else {
            let tried = attempt(mutant, &configs, args);
            report(mutant, &tried);
            nightly.push((mutant, tried));
        }
    }
    finish(&smoke, &nightly, args)
}

fn attempt(mutant: &Mutant, configs: &[BoundedConfig], args: &MutantArgs) -> trial::Trial {
    let threads = args.search.threads();
    let explore = |control: &_| trial::run(mutant, configs, threads, control);
    watch::watch(&mutant.id, &args.search, explore).0
}

fn choose<'a>(all: &'a [Mutant], ids: &[String]) -> Result<Vec<&'a Mutant>, Failure> {
    if ids.is_empty() {
        return Ok(all.iter().collect());
    }
    let find = |id: &String| {
        let found = all.iter().find(|mutant| mutant.id.eq_ignore_ascii_case(id));
        found.ok_or_else(|| {
            let distance = |m: &&Mutant| strsim::damerau_levenshtein(&m.id, &id.to_uppercase());
            let nearest = all.iter().min_by_key(distance).map_or("", |mutant| &mutant.id);
            Failure::UnknownMutant { id: id.clone(), nearest: nearest.to_owned() }
        })
    };
    ids.iter().map(find).collect()
}

fn configs(catalog: &Catalog, mutant: &Mutant) -> Result<Vec<BoundedConfig>, Failure> {
    mutant.configs.iter().map(|name| Ok(catalog.find(name)?)).collect()
}

fn report(mutant: &Mutant, tried: &trial::Trial) {
    let by = |kill: &trial::Kill| {
        let broken: Vec<&str> = kill.properties.iter().map(|p| Property::name(*p)).collect();
        format!("{}, {}, depth {}", broken.join(", "), kill.config, kill.depth)
    };
    let verdict = match (&tried.killed, mutant.survives) {
        (Some(kill), _) => format!("killed: {}", by(kill)),
        (None, Some(_)) => "survives, explained".to_owned(),
        (None, None) => "SURVIVES".to_owned(),
    };
    println!("{:28} {verdict}", mutant.id);
    if let Some(named) = &tried.named {
        println!("{:28}   and {}", "", by(named));
    } else if let Some(named) = mutant.breaks.filter(|_| !tried.is_killed_as_named(mutant)) {
        println!("{:28}   {} not within these bounds", "", named.name());
    }
}

fn finish(smoke: &[Tried<'_>], nightly: &[Tried<'_>], args: &MutantArgs) -> Result<Exit, Failure> {
    let all = || smoke.iter().chain(nightly);
    let wrong: Vec<&Tried<'_>> =
        all().filter(|(mutant, tried)| !tried.is_explained(mutant)).collect();
    let killed = all().filter(|(_, tried)| tried.killed.is_some()).count();
    let controls = all().filter(|(mutant, _)| mutant.origin == Origin::Control).count();
    println!("\n{killed} of {} mutants killed; {controls} are controls.", all().count());
    for (mutant, _) in &wrong {
        println!("UNEXPLAINED: {}: {}", mutant.id, mutant.wrong);
    }
    let smoke = matrix::section(SMOKE, smoke);
    if let Some(path) = &args.check {
        let text = read(path)?;
        if !text.contains(&smoke) {
            println!("STALE: the smoke part of {} is not what was just found.", path.display());
            println!("Write it again with `raftcheck mutants --write {}`.", path.display());
            return Ok(Exit::Vacuous);
        }
        println!("{} is current.", path.display());
    }
    if let Some(path) = &args.write {
        let nightly = matrix::section("What needs the nightly tier", nightly);
        let tried: Vec<_> = all().cloned().collect();
        let needed = matrix::vacuity(&tried);
        let text = format!("{}{smoke}{nightly}{needed}", matrix::ABOUT);
        std::fs::write(path, text)
            .map_err(|source| Failure::Write { path: path.clone(), source })?;
    }
    if let Some(path) = &args.json {
        let trials: Vec<_> = all().map(|(_, tried)| tried).collect();
        let text = serde_json::to_string_pretty(&trials).expect("trials are plain data");
        crate::failure::write_new(path, text.as_bytes(), "name another file")?;
    }
    Ok(if wrong.is_empty() { Exit::Fine } else { Exit::Vacuous })
}

const SMOKE: &str = "What the smoke tier kills";

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|source| Failure::Read { path: path.to_owned(), source })
}
