//! What a program prints, also where nobody reads it.
//!
//! `println!` panics when a pipe is closed or a disk is full. An [`Output`] remembers the failure and
//! drops the rest of the text instead, so that a verdict is not lost: a closed pipe ends the program
//! quietly, and anything else is an error at its end.

use std::fmt;
use std::io::{self, Write};

/// Where the text for people goes.
#[derive(Debug)]
pub struct Output {
    stream: Stream,
    failed: Option<io::Error>,
}

#[derive(Clone, Copy, Debug)]
enum Stream {
    Stdout,
    Stderr,
}

impl Output {
    /// Text goes to standard output.
    pub fn stdout() -> Output {
        Output { stream: Stream::Stdout, failed: None }
    }

    /// Text goes to standard error, because standard output is for something else.
    pub fn stderr() -> Output {
        Output { stream: Stream::Stderr, failed: None }
    }

    /// Prints a text as it is.
    pub fn print(&mut self, text: &str) {
        self.print_bytes(text.as_bytes());
    }

    /// Prints bytes as they are.
    pub fn print_bytes(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let write = |out: &mut dyn Write| out.write_all(bytes).and_then(|()| out.flush());
        let written = match self.stream {
            Stream::Stdout => write(&mut io::stdout().lock()),
            Stream::Stderr => write(&mut io::stderr().lock()),
        };
        self.failed = written.err();
    }

    /// What `write!` and `writeln!` call.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) {
        self.print(&text.to_string());
    }

    /// Whether something could not be printed.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether nobody reads on, so that there is no use in going on for somebody who does.
    pub fn is_closed(&self) -> bool {
        self.failed.as_ref().is_some_and(is_closed)
    }

    /// Why not everything was printed. That nobody read it is no failure.
    ///
    /// # Errors
    ///
    /// The first failure.
    pub fn finish(self) -> Result<(), PrintError> {
        match self.failed {
            Some(error) if !is_closed(&error) => Err(PrintError(error)),
            _ => Ok(()),
        }
    }
}

/// Text could not be printed.
#[derive(Debug, thiserror::Error)]
#[error("cannot print: {0}")]
pub struct PrintError(io::Error);

/// Whether an error says that nobody reads what was written.
pub fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// A line on standard error. If nobody reads it, there is nobody left to tell.
pub fn complain(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// What went wrong and what to do about it, on standard error.
pub fn complain_with_help(message: &str, help: Option<String>) {
    let mut diagnostic = miette::MietteDiagnostic::new(message);
    diagnostic.help = help;
    complain_with_source(&miette::Report::new(diagnostic));
}

/// The same for a message that may point into a text.
pub fn complain_with_source(report: &miette::Report) {
    let theme = miette::GraphicalTheme::none();
    let handler = miette::GraphicalReportHandler::new_themed(theme).with_width(100);
    let mut out = String::new();
    match handler.render_report(&mut out, report.as_ref()) {
        Ok(()) => complain(out.trim_end()),
        Err(_) => complain(format_args!("error: {report}")),
    }
}
