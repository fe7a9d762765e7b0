//! Dates inside of numbers.

use super::checksum::{digits, number};

/// Whether a day and month exist in some year.
pub(super) fn is_day(day: u64, month: u64) -> bool {
    let days = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// Two digits from `from` on, as a number.
pub(super) fn pair(text: &[u8], from: usize) -> u64 {
    number(digits(text).skip(from).take(2))
}

/// A date of birth in one of the usual notations, between 1900 and 2099: the day exists.
pub(crate) fn date_of_birth(text: &[u8]) -> bool {
    let parts: Vec<u64> =
        text.split(|byte| !byte.is_ascii_digit()).map(|part| number(digits(part))).collect();
    match *parts {
        [year, month, day] if year >= 1000 => is_day(day, month),
        // Whether the day or the month comes first depends on the country.
        [day, month, _] => is_day(day, month) || is_day(month, day),
        _ => false,
    }
}
