//! The output of numbers, tables and bytes for people and for pipes: at most 100 columns wide,
//! without colour.

use std::io::{self, Write as _};

use comfy_table::{CellAlignment, Table, presets};
pub(crate) use raft_cli::quantity::{bytes, count};

use crate::failure::Failure;

/// Prints a text. A closed pipe is returned as [`Failure::Closed`], which ends the program without
/// an error.
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

/// Creates a table without lines. `numbers` are the places of the columns that contain numbers.
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

/// Returns a table as text, without spaces at the ends of lines.
pub(crate) fn lines(table: &Table) -> String {
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

/// Formats a time in microseconds with three digits.
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
    fn times_have_three_digits() {
        let times = [5, 1234, 12_345, 123_456, 1_234_567].map(micros);
        assert_eq!(times, ["5 us", "1.23 ms", "12.3 ms", "123 ms", "1.23 s"]);
    }
}
