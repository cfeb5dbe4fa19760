//! Numbers, tables and bytes for people and pipes: 100 columns, no colour needed.

use std::io::{self, Write as _};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::args::JsonArgs;
use crate::failure::{Failure, refuse_existing, write_file};

/// Prints a text. A closed pipe is no error, but a reason to stop.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Prints bytes as they are.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Output(error),
    })
}

impl JsonArgs {
    /// Better now than after the work.
    pub(crate) fn refuse_existing(&self) -> Result<(), Failure> {
        self.path.as_deref().map_or(Ok(()), |path| refuse_existing(path, self.force))
    }

    /// Writes the results, if they are wanted.
    pub(crate) fn write(&self, results: &impl Serialize) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        let text = serde_json::to_string_pretty(results).map_err(io::Error::other);
        let text = text.map_err(|source| Failure::Write { path: path.clone(), source })?;
        write_file(path, (text + "\n").as_bytes(), self.force, false)
    }
}

/// A table without lines. The numbered columns are numbers.
pub(crate) fn table(columns: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns.to_vec());
    for (place, column) in table.column_iter_mut().enumerate() {
        let right = numbers.contains(&place);
        column.set_cell_alignment(if right { CellAlignment::Right } else { CellAlignment::Left });
        column.set_padding((1, 0));
    }
    table
}

/// A table as text, without blanks at the ends of lines.
pub(crate) fn lines(table: &Table) -> String {
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

/// A number with separators between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size in bytes, in words.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| size >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", size / unit, size % unit * 10 / unit),
        None => format!("{size} B"),
    }
}

/// A time of some microseconds, with three digits.
pub(crate) fn micros(micros: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are printed")]
    let number = micros as f64;
    match micros {
        0..1000 => format!("{micros} us"),
        1000..10_000 => format!("{:.2} ms", number / 1e3),
        10_000..100_000 => format!("{:.1} ms", number / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", number / 1e3),
        _ => format!("{:.2} s", number / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 999, 1500, 20_000_000].map(bytes), ["0 B", "999 B", "1.5 kB", "20.0 MB"]);
        let times = [5, 1234, 12_345, 123_456, 1_234_567].map(micros);
        assert_eq!(times, ["5 us", "1.23 ms", "12.3 ms", "123 ms", "1.23 s"]);
    }
}
