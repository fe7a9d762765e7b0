//! Gates of detectors whose matches have no fixed text: numbers, addresses.

use super::{WINDOW, is_word_before};

/// The longest run that is looked at for a number, in bytes.
const RUN_BYTES_MAX: usize = 80;

/// No match that is gated by digits is longer than this; the longest is a card number with two separators between
/// any two digits.
const NUMBER_BYTES_MAX: usize = 56;

/// The longest IPv6 address in bytes.
const ADDRESS_BYTES_MAX: usize = 39;

/// How far before its window a match may start: the local part of an e-mail address.
const WORD_BYTES_MAX: usize = 64;

/// What the matches of a detector look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An e-mail address: a word, '@', a letter or digit.
    Email,
    /// So many digits, with at most two separators between them, and a '(' before them at most.
    Digits {
        /// The fewest digits of a match.
        min: usize,
    },
    /// Four numbers with dots between them.
    DottedQuad,
    /// '+' and seven digits or more, with at most two separators between them.
    PlusDigits,
    /// Two capital letters and two digits at a word's start.
    Iban,
    /// An IPv6 address that starts with a group of hex digits at a word's start.
    HexColons,
}

/// The tests for shapes; several shapes may share one.
#[derive(Clone, Copy, Debug)]
pub(super) enum ShapeGate {
    Email,
    Digits,
    PlusDigits,
    Iban,
    HexColons,
}

impl ShapeGate {
    pub(super) const ALL: [Self; 5] =
        [Self::Email, Self::Digits, Self::PlusDigits, Self::Iban, Self::HexColons];

    pub(super) fn of(shape: Shape) -> Self {
        match shape {
            Shape::Email => Self::Email,
            Shape::Digits { .. } | Shape::DottedQuad => Self::Digits,
            Shape::PlusDigits => Self::PlusDigits,
            Shape::Iban => Self::Iban,
            Shape::HexColons => Self::HexColons,
        }
    }

    /// The bytes of which every match contains three in a row.
    pub(super) fn window(self) -> [fn(u8) -> bool; WINDOW] {
        let digit = |byte: u8| byte.is_ascii_digit();
        let capital = |byte: u8| byte.is_ascii_uppercase();
        let hex = |byte: u8| byte.is_ascii_hexdigit();
        match self {
            Self::Email => [is_local_part, |byte| byte == b'@', |byte| byte.is_ascii_alphanumeric()],
            // With single separators every number has a digit, one byte, and a digit somewhere; with more, groups.
            Self::Digits => [digit, |byte| byte.is_ascii_digit() || is_separator(byte), digit],
            Self::PlusDigits => {
                [|byte| byte == b'+', digit, |byte| byte.is_ascii_digit() || is_separator(byte)]
            }
            Self::Iban => [capital, capital, digit],
            Self::HexColons => [hex, |byte| byte == b':', |byte| byte.is_ascii_hexdigit() || byte == b':'],
        }
    }
}

/// What a run of digits and separators must have for one of the enabled detectors to match in it.
#[derive(Debug, Default)]
pub(super) struct DigitNeeds {
    digits_min: Option<usize>,
    dotted_quad: bool,
}

impl DigitNeeds {
    pub(super) fn add(&mut self, shape: Shape) {
        match shape {
            Shape::Digits { min } => {
                self.digits_min = Some(self.digits_min.map_or(min, |known| known.min(min)));
            }
            Shape::DottedQuad => self.dotted_quad = true,
            _ => {}
        }
    }

    /// Looks at the run around a window: where a number may start in it, or up to where none does.
    pub(super) fn look(&self, text: &[u8], at: usize) -> Result<usize, usize> {
        // The first window of a number stands at its first or second digit, and a '(' may come before.
        let mut start = at;
        for fits in [|byte: u8| byte.is_ascii_digit(), |byte: u8| byte == b'('] {
            if start.checked_sub(1).and_then(|before| text.get(before)).is_some_and(|&byte| fits(byte)) {
                start -= 1;
            }
        }
        let run = text.get(start..).unwrap_or_default();
        let (mut digits, mut dots, mut separators) = (0, 0, 0);
        for (&byte, offset) in run.iter().zip(0..RUN_BYTES_MAX) {
            if byte.is_ascii_digit() {
                digits += 1;
                separators = 0;
                if self.digits_min.is_some_and(|min| digits >= min)
                    || self.dotted_quad && dots >= 3 && digits >= 4
                {
                    return Ok(start);
                }
                continue;
            }
            separators += 1;
            dots += usize::from(byte == b'.');
            if !is_separator(byte) || separators > 2 {
                return Err(start + offset);
            }
        }
        // The run goes on, but numbers that start this early would have been complete.
        Err(if run.len() <= RUN_BYTES_MAX { text.len() } else { start + RUN_BYTES_MAX - NUMBER_BYTES_MAX })
    }
}

/// Whether seven digits follow a '+'.
pub(super) fn is_phone_like(text: &[u8], at: usize) -> bool {
    let run = text.get(at + 1..).unwrap_or_default().iter().take(NUMBER_BYTES_MAX);
    run.take_while(|&&byte| byte.is_ascii_digit() || is_separator(byte))
        .filter(|byte| byte.is_ascii_digit())
        .count()
        >= 7
}

pub(super) fn is_iban_like(text: &[u8], at: usize) -> bool {
    text.get(at + WINDOW).is_some_and(u8::is_ascii_digit) && !is_word_before(text, at)
}

/// Whether a hex group at a word's start ends at `at` and goes on like an address: eight groups or a "::".
///
/// The group may start in the middle of a run of hex digits, where an escape ends.
pub(super) fn is_ipv6_like(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default().iter().rev();
    let more = before.take(3).take_while(|byte| byte.is_ascii_hexdigit()).count();
    if (at - more..=at).all(|start| is_word_before(text, start)) {
        return false;
    }
    let (mut colons, mut after_colon) = (0, false);
    for &byte in text.get(at + 1..).unwrap_or_default().iter().take(ADDRESS_BYTES_MAX) {
        if byte == b':' {
            colons += 1;
            if after_colon || colons == 7 {
                return true;
            }
        } else if !byte.is_ascii_hexdigit() {
            return false;
        }
        after_colon = byte == b':';
    }
    false
}

/// The start of the word around `start`, not before `from`.
///
/// A window further on may belong to a match that starts before `start`; such a match covers everything
/// between the two, and all of it fits into a word.
pub(super) fn word_start(text: &[u8], from: usize, start: usize) -> usize {
    let start = start.max(from);
    let before = text.get(from.max(start.saturating_sub(WORD_BYTES_MAX))..start).unwrap_or_default();
    start - before.iter().rev().take_while(|&&byte| is_local_part(byte)).count()
}

fn is_local_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'\t' | b'\r' | b'\n')
}
