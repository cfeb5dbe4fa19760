//! The text that a program prints, even if nobody reads it.
//!
//! `println!` panics when a pipe is closed or a disk is full. An [`Output`] stores the failure
//! instead and drops the rest of the text, so that the program can still return its verdict. A
//! closed pipe is not an error. Every other failure is an error at the end of the program.

use std::fmt;
use std::io::{self, Write};

/// The destination of the text for people.
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
    /// Creates an output that writes to standard output.
    pub fn stdout() -> Output {
        Output { stream: Stream::Stdout, failed: None }
    }

    /// Creates an output that writes to standard error, because standard output has another
    /// purpose.
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

    /// Prints formatted text. `write!` and `writeln!` call this method.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) {
        self.print(&text.to_string());
    }

    /// Returns whether some text could not be printed.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Returns whether the reader has closed the pipe, so that further output is useless.
    pub fn is_closed(&self) -> bool {
        self.failed.as_ref().is_some_and(is_closed)
    }

    /// Ends the output. A closed pipe is not an error.
    ///
    /// # Errors
    ///
    /// The first failure, if some text could not be printed.
    pub fn finish(self) -> Result<(), PrintError> {
        match self.failed {
            Some(error) if !is_closed(&error) => Err(PrintError(error)),
            _ => Ok(()),
        }
    }
}

/// The error for text that could not be printed.
#[derive(Debug, thiserror::Error)]
#[error("cannot print: {0}")]
pub struct PrintError(io::Error);

/// Returns whether an error means that the reader has closed the pipe.
pub fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Prints a line on standard error. Ignores a failure, because there is no other place to report
/// it.
pub fn complain(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints an error, with advice on what to do about it, on standard error.
pub fn complain_with_help(message: &str, help: Option<String>) {
    let mut diagnostic = miette::MietteDiagnostic::new(message);
    diagnostic.help = help;
    complain_with_source(&miette::Report::new(diagnostic));
}

/// Prints an error, which may refer to a place in a text, on standard error.
pub fn complain_with_source(report: &miette::Report) {
    let theme = miette::GraphicalTheme::none();
    let handler = miette::GraphicalReportHandler::new_themed(theme).with_width(100);
    let mut out = String::new();
    match handler.render_report(&mut out, report.as_ref()) {
        Ok(()) => complain(out.trim_end()),
        Err(_) => complain(format_args!("error: {report}")),
    }
}
