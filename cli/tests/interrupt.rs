//! The first signal is a request, and the second one ends the process. The test needs a separate
//! process for that, so it starts its own program again as a child.

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
fn main() {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};

    use raft_cli::interrupt::Interrupt;

    if std::env::args().any(|argument| argument == "child") {
        let interrupt = Interrupt::listen();
        println!("listening");
        while !interrupt.requested() {
            std::thread::yield_now();
        }
        println!("requested");
        // This loop has no end, so that only a signal ends the process.
        loop {
            std::thread::park();
        }
    }
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        let mut child = command.arg("child").stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut next = || lines.next().and_then(Result::ok);
        let id = child.id().to_string();
        let kill = || Command::new("kill").args(["-s", name, &id]).status().expect("kill");
        assert_eq!(next().as_deref(), Some("listening"));
        assert!(kill().success());
        assert_eq!(next().as_deref(), Some("requested"), "the first signal is a request");
        assert!(kill().success());
        assert_eq!(child.wait().expect("it ends").signal(), Some(number), "the second one is none");
        let _ = writeln!(std::io::stdout(), "SIG{name} twice: ok");
    }
}
