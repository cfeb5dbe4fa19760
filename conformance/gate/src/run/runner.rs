//! Runs one command with a budget.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// The interval at which the budget and interrupts are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The time that a program has to end by itself once it was told to.
const GRACE: Duration = Duration::from_secs(10);

/// The most bytes of a program's output that are kept: its end.
const MOST_OUTPUT: u64 = 64 << 10;

/// The way in which a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With an exit code; none if a signal ended it.
    ByItself(Option<i32>),
    /// It was told to end, because its budget was used up.
    OutOfBudget,
    /// It was told to end, because the user wanted it.
    Interrupted,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ended: Ended,
    pub(crate) took: Duration,
    /// The end of its output, standard output and standard error together.
    pub(crate) output: String,
}

/// A command to run.
pub(crate) struct Job<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [String],
    pub(crate) folder: &'a Path,
    /// The file that gets the whole output.
    pub(crate) log: PathBuf,
    pub(crate) budget: Duration,
}

impl Job<'_> {
    /// Runs the command in a process group of its own. `watch` is called now and then with the time
    /// since the start, and returns whether the user wants the program to end.
    ///
    /// # Errors
    ///
    /// If the program cannot be started or its output cannot be kept.
    pub(crate) fn run(&self, mut watch: impl FnMut(Duration) -> bool) -> std::io::Result<Finished> {
        let log = File::create(&self.log)?;
        let mut command = Command::new(self.program);
        command.args(self.arguments).current_dir(self.folder).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let signal = |signal: Signal| {
            // A group that has ended gets no signal.
            let _ = group.map(|group| kill_process_group(group, signal));
        };
        let (done, ended) = channel();
        std::thread::scope(|scope| {
            scope.spawn(move || done.send(child.wait()));
            let mut told: Option<(Ended, Instant)> = None;
            let status = loop {
                match ended.recv_timeout(LOOK) {
                    Ok(status) => break status,
                    Err(RecvTimeoutError::Disconnected) => unreachable!("the thread sends first"),
                    Err(RecvTimeoutError::Timeout) => {}
                }
                let elapsed = started.elapsed();
                let wants_end = watch(elapsed);
                match told {
                    None if wants_end || elapsed >= self.budget => {
                        let why = if wants_end { Ended::Interrupted } else { Ended::OutOfBudget };
                        told = Some((why, Instant::now()));
                        signal(Signal::TERM);
                    }
                    Some((_, when)) if when.elapsed() >= GRACE => signal(Signal::KILL),
                    _ => {}
                }
            };
            let by_itself = Ended::ByItself(status?.code());
            let output = tail(&self.log)?;
            let ended = told.map_or(by_itself, |(why, _)| why);
            Ok(Finished { ended, took: started.elapsed(), output })
        })
    }
}

/// Returns the end of a file.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(len.saturating_sub(MOST_OUTPUT)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
