//! Sizes and times as people write them: `2GiB`, `200ms`.

use std::time::Duration;

use super::ConfigError;

/// Sizes: binary units only, so that nobody has to guess.
const SIZES: [(&str, u64); 5] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("B", 1),
];
/// Times, in microseconds.
const TIMES: [(&str, u64); 3] = [("us", 1), ("ms", 1_000), ("s", 1_000_000)];

/// Reads a size in bytes.
pub(super) fn bytes(field: &str, text: &str) -> Result<u64, ConfigError> {
    parse(text, &SIZES).ok_or_else(|| {
        let allowed = "a whole number and B, KiB, MiB, GiB or TiB, for example \"2GiB\"";
        ConfigError::value(field, text, allowed)
    })
}

/// Reads a time.
pub(super) fn duration(field: &str, text: &str) -> Result<Duration, ConfigError> {
    parse(text, &TIMES)
        .map(Duration::from_micros)
        .ok_or_else(|| {
            let allowed = "a whole number and us, ms or s, for example \"200ms\"";
            ConfigError::value(field, text, allowed)
        })
}

/// Writes a size so that [`bytes`] reads it back.
pub(super) fn show_bytes(bytes: u64) -> String {
    show(bytes, &SIZES)
}

/// Writes a time so that [`duration`] reads it back, in whole microseconds.
pub(super) fn show_duration(time: Duration) -> String {
    show(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), &TIMES)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units
        .iter()
        .find(|(name, _)| *name == unit.trim_start_matches(' '))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// In the greatest unit that leaves a whole number.
fn show(number: u64, units: &[(&str, u64)]) -> String {
    let whole = units
        .iter()
        .filter(|(_, factor)| number.is_multiple_of(*factor));
    let (name, factor) = whole
        .max_by_key(|(_, factor)| *factor)
        .expect("one unit is 1");
    format!("{}{name}", number / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read() {
        assert_eq!(bytes("f", "2GiB").unwrap(), 2 << 30);
        assert_eq!(bytes("f", "512 MiB").unwrap(), 512 << 20);
        assert_eq!(bytes("f", "7B").unwrap(), 7);
        assert_eq!(duration("f", "200ms").unwrap(), Duration::from_millis(200));
        assert_eq!(duration("f", "1s").unwrap(), Duration::from_secs(1));
    }

    #[test]
    fn what_has_no_unit_or_overflows_is_refused() {
        for text in [
            "",
            "2",
            "GiB",
            "-1GiB",
            "2GB",
            "2gib",
            "1.5GiB",
            "99999999999TiB",
            "2GiB ",
        ] {
            assert!(bytes("f", text).is_err(), "{text}");
        }
        for text in ["", "5", "ms", "-1ms", "1m", "1 h", "99999999999999999999s"] {
            assert!(duration("f", text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for number in [0, 1, 1023, 1024, 3 << 20, 2 << 30, u64::MAX] {
            assert_eq!(bytes("f", &show_bytes(number)).unwrap(), number);
        }
        assert_eq!(show_bytes(2 << 30), "2GiB");
        assert_eq!(show_duration(Duration::from_millis(200)), "200ms");
    }
}
