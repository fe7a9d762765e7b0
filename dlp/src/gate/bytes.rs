//! Finds addresses and telephone numbers by a byte that all of them have.

use memchr::memchr;

use super::{Shape, Stop, is_local_part, is_word_before};
use crate::gate::digits::is_separator;

/// The longest telephone number in bytes, with two separators between any two digits.
const NUMBER_BYTES_MAX: usize = 56;

/// The longest IPv6 address in bytes.
const ADDRESS_BYTES_MAX: usize = 39;

/// What a byte stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Marker {
    At,
    Plus,
    Colon,
}

impl Marker {
    pub(super) const ALL: [Self; 3] = [Self::At, Self::Plus, Self::Colon];

    pub(super) fn shape(self) -> Shape {
        match self {
            Self::At => Shape::Email,
            Self::Plus => Shape::PlusDigits,
            Self::Colon => Shape::HexColons,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::At => b'@',
            Self::Plus => b'+',
            Self::Colon => b':',
        }
    }

    /// Where its match may start, if the text around it is of the kind.
    fn start(self, text: &[u8], at: usize) -> Option<usize> {
        let before = at.checked_sub(1);
        let has = |place: usize, fits: fn(u8) -> bool| text.get(place).is_some_and(|&byte| fits(byte));
        match self {
            Self::At => before.filter(|&before| {
                has(before, is_local_part)
                    && has(at + 1, |byte| byte.is_ascii_alphanumeric() || !byte.is_ascii())
            }),
            Self::Plus => is_phone_like(text, at).then_some(at),
            Self::Colon => before
                .filter(|&before| has(before, |byte| byte.is_ascii_hexdigit()) && is_ipv6_like(text, before)),
        }
    }
}

/// Looks for one byte.
#[derive(Debug)]
pub(super) struct ByteFinder {
    marker: Marker,
}

impl ByteFinder {
    pub(super) fn new(marker: Marker) -> Self {
        Self { marker }
    }

    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Stop> {
        let mut at = from;
        loop {
            at += memchr(self.marker.byte(), text.get(at..)?)?;
            if let Some(start) = self.marker.start(text, at) {
                return Some(Stop { start, window: at });
            }
            at += 1;
        }
    }
}

/// Whether seven digits follow a '+', the first of them at once.
fn is_phone_like(text: &[u8], at: usize) -> bool {
    let run = text.get(at + 1..).unwrap_or_default();
    run.first().is_some_and(u8::is_ascii_digit)
        && run
            .iter()
            .take(NUMBER_BYTES_MAX)
            .take_while(|&&byte| byte.is_ascii_digit() || is_separator(byte))
            .filter(|byte| byte.is_ascii_digit())
            .count()
            >= 7
}

/// Whether a hex group at a word's start ends at `at` and goes on like an address: eight groups or a "::".
///
/// The group may start in the middle of a run of hex digits, where an escape ends.
fn is_ipv6_like(text: &[u8], at: usize) -> bool {
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
