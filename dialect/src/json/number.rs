//! Numbers that are no measures: integers as long as those of cards and accounts.

use std::borrow::Cow;

/// Digits from which on an integer may be a value worth hiding: 12 is the shortest card number.
pub(super) const LONG_INTEGER_DIGITS: usize = 12;

/// No number that means something to somebody has more.
const INTEGER_DIGITS_MAX: usize = 40;

/// Of a number with an exponent so many digits must be written: fewer are a measure.
const WRITTEN_DIGITS_MIN: usize = 10;

/// A number's parts: digits before and behind the point, and what the point is to be moved by.
struct Parts<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: Option<i32>,
}

/// Whether a number is an integer with digits enough.
pub(super) fn is_long_integer(number: &[u8]) -> bool {
    let Some(parts) = Parts::of(number) else { return false };
    match parts.exponent {
        None => parts.whole.len() >= LONG_INTEGER_DIGITS && parts.fraction.iter().all(|digit| *digit == b'0'),
        Some(_) => parts.integer().is_some_and(|digits| digits.len() >= LONG_INTEGER_DIGITS),
    }
}

/// The digits of an integer that is written with an exponent; any other number as it stands.
///
/// ```
/// use bulkhead_dialect::json::plain_integer;
///
/// assert_eq!(plain_integer(b"4.111111111111111e15").as_ref(), b"4111111111111111");
/// assert_eq!(plain_integer(b"-4111111111111111.0").as_ref(), b"-4111111111111111.0");
/// ```
#[must_use]
pub fn plain_integer(number: &[u8]) -> Cow<'_, [u8]> {
    let parts = Parts::of(number).filter(|parts| parts.exponent.is_some());
    parts.and_then(|parts| parts.integer()).map_or(Cow::Borrowed(number), Cow::Owned)
}

/// What a number is as an integer, however it is written: `1`, `1.0` and `10e-1` are the same to most readers.
pub(super) fn integer(number: &[u8]) -> Option<u64> {
    let parts = Parts::of(number)?;
    let digits = [parts.whole, parts.fraction].concat();
    if digits.iter().all(|digit| *digit == b'0') {
        return Some(0);
    }
    let point = i32::try_from(parts.whole.len()).ok()?.checked_add(parts.exponent.unwrap_or(0))?;
    let point = usize::try_from(point).ok().filter(|point| *point <= INTEGER_DIGITS_MAX)?;
    let (whole, fraction) = digits.split_at(point.min(digits.len()));
    let is_integer = !number.starts_with(b"-") && fraction.iter().all(|digit| *digit == b'0');
    let mut whole = std::str::from_utf8(whole).ok().filter(|_| is_integer)?.to_owned();
    whole.extend(std::iter::repeat_n('0', point.saturating_sub(whole.len())));
    whole.parse().ok()
}

impl<'a> Parts<'a> {
    fn of(number: &'a [u8]) -> Option<Self> {
        let number = number.strip_prefix(b"-").unwrap_or(number);
        let mark = number.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = number.split_at_checked(mark.unwrap_or(number.len()))?;
        let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        let (whole, fraction) = mantissa.split_at_checked(point)?;
        let exponent = match exponent.get(1..) {
            None => None,
            Some(digits) => Some(std::str::from_utf8(digits).ok()?.parse().ok()?),
        };
        Some(Self { whole, fraction: fraction.get(1..).unwrap_or_default(), exponent })
    }

    /// The digits of a number with an exponent, without leading zeros, if they are all before the point.
    fn integer(&self) -> Option<Vec<u8>> {
        let point = i32::try_from(self.whole.len()).ok()?.checked_add(self.exponent.unwrap_or(0))?;
        let point = usize::try_from(point).ok().filter(|point| *point <= INTEGER_DIGITS_MAX)?;
        let mut digits = [self.whole, self.fraction].concat();
        if digits.get(point..).unwrap_or_default().iter().any(|digit| *digit != b'0') {
            return None;
        }
        let written = digits.iter().skip_while(|digit| **digit == b'0').count();
        digits.resize(point, b'0');
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        (written >= WRITTEN_DIGITS_MIN).then_some(digits)
    }
}
