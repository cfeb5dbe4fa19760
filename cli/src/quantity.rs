//! Counts and sizes as text.

/// Formats a number with separators between thousands.
pub fn count(number: u64) -> String {
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

/// Formats a size in bytes with a decimal unit, rounded to a tenth of the unit.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if size < 1000 {
        return format!("{size} B");
    }
    let mut unit: u128 = 1000;
    let mut names = UNITS.into_iter();
    loop {
        let name = names.next().unwrap_or("EB");
        let tenths = (u128::from(size) * 10 + unit / 2) / unit;
        // 999,950 bytes are 1.0 MB, not 1000.0 kB.
        if tenths < 10_000 || name == "EB" {
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
        unit *= 1000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn sizes_are_rounded_and_not_cut() {
        let sizes = [0, 999, 1000, 1500, 1950, 1949, 999_949, 999_950, 20_000_000];
        let shown = [
            "0 B", "999 B", "1.0 kB", "1.5 kB", "2.0 kB", "1.9 kB", "999.9 kB", "1.0 MB", "20.0 MB",
        ];
        assert_eq!(sizes.map(bytes), shown);
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        assert_eq!(bytes(3_500_000_000_000), "3.5 TB");
    }
}
