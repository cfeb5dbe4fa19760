//! One server as a process.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::program::raftd;

/// The state of a server's process.
#[derive(Debug)]
enum Process {
    Down,
    Runs(Child),
    /// The process was halted by SIGSTOP.
    Halted(Child),
}

/// A server that can be started repeatedly on the same data.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) id: u64,
    directory: PathBuf,
    process: Process,
    /// The number of times it was killed.
    pub(crate) kills: u64,
}

impl Server {
    /// Creates a server that is down, with its files in an existing directory.
    pub(crate) fn new(id: u64, directory: &Path, config: &str) -> Server {
        let server =
            Server { id, directory: directory.to_owned(), process: Process::Down, kills: 0 };
        std::fs::write(server.path("toml"), config).expect("there is room for a configuration");
        server
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("n{}.{extension}", self.id))
    }

    /// Returns the path of its trace log.
    pub(crate) fn trace_log(&self) -> PathBuf {
        self.path("jsonl")
    }

    /// Returns the standard error output of all its processes.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    pub(crate) fn runs(&self) -> bool {
        matches!(self.process, Process::Runs(_))
    }

    pub(crate) fn is_down(&self) -> bool {
        matches!(self.process, Process::Down)
    }

    /// Starts it, unless it is up.
    pub(crate) fn start(&mut self) {
        if !self.is_down() {
            return;
        }
        let stderr = OpenOptions::new().append(true).create(true).open(self.path("stderr"));
        let mut command = Command::new(raftd());
        command.arg("run").arg("--config").arg(self.path("toml"));
        command.arg("--trace-log").arg(self.trace_log());
        // The pipe is closed when this test ends, for whatever reason. Then the server ends, too.
        command.arg("--until-stdin-ends").stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(stderr.expect("there is room for what it says"));
        self.process = Process::Runs(command.spawn().expect("raftd can be started"));
    }

    /// Sends SIGKILL, unless it is down.
    pub(crate) fn kill(&mut self) {
        self.still_there();
        if let Process::Runs(mut child) | Process::Halted(mut child) = self.take() {
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
            self.kills += 1;
        }
    }

    /// Sends SIGSTOP, if it runs.
    pub(crate) fn halt(&mut self) {
        self.still_there();
        self.process = match self.take() {
            Process::Runs(child) => {
                signal(&child, "STOP");
                Process::Halted(child)
            }
            other => other,
        };
    }

    /// Sends SIGCONT, if it is halted.
    pub(crate) fn go_on(&mut self) {
        self.process = match self.take() {
            Process::Halted(child) => {
                signal(&child, "CONT");
                Process::Runs(child)
            }
            other => other,
        };
    }

    /// Sends SIGTERM, if it runs. The process must end with exit code 0.
    pub(crate) fn terminate(&mut self) {
        self.still_there();
        let Process::Runs(mut child) = self.take() else { return };
        signal(&child, "TERM");
        let status = child.wait().expect("it is ours");
        assert_eq!(status.code(), Some(0), "n{} does not end well:\n{}", self.id, self.said());
    }

    /// Panics if it has ended by itself.
    pub(crate) fn still_there(&mut self) {
        if let Process::Runs(child) | Process::Halted(child) = &mut self.process
            && let Some(status) = child.try_wait().expect("it is ours")
        {
            panic!("n{} has ended by itself, {status}:\n{}", self.id, self.said());
        }
    }

    fn take(&mut self) -> Process {
        std::mem::replace(&mut self.process, Process::Down)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Process::Runs(child) | Process::Halted(child) = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends a signal by the program `kill`, because the standard library can send only SIGKILL.
fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "SIG{name} cannot be sent");
}
