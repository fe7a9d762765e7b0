//! What stands before a byte, as far as it decides whether a candidate may start there.

/// What stands before a candidate: what its pattern's first look-around can tell, and an escape that has begun.
///
/// A channel may carry JSON inside JSON, and then `\n` is one character of the value in two bytes. So the
/// letter of such an escape, and the digits of `\uXXXX`, start no candidate and are no word bytes for what
/// follows them. Nobody says which channels carry JSON: the rule is the same for every text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Text,
    LineFeed,
    CarriageReturn,
    Word,
    NonWord,
    /// One backslash or more: JSON inside JSON inside JSON has two before the letter of an escape.
    Backslash,
    /// `\u` and fewer than four hex digits; so many more belong to it.
    FourDigits,
    ThreeDigits,
    TwoDigits,
    OneDigit,
}

/// The longest escape in bytes: `\uXXXX`.
pub(crate) const ESCAPE_BYTES_MAX: usize = 6;

impl Before {
    /// What a pattern tells apart.
    pub(crate) const SEEN: [Self; 5] =
        [Self::Text, Self::LineFeed, Self::CarriageReturn, Self::Word, Self::NonWord];

    /// What stands inside an escape.
    pub(crate) const ESCAPES: [Self; 5] =
        [Self::Backslash, Self::FourDigits, Self::ThreeDigits, Self::TwoDigits, Self::OneDigit];

    /// How many states there are.
    pub(crate) const COUNT: usize = Self::SEEN.len() + Self::ESCAPES.len();

    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; Self::COUNT] = {
        let [a, b, c, d, e] = Self::SEEN;
        let [f, g, h, i, j] = Self::ESCAPES;
        [a, b, c, d, e, f, g, h, i, j]
    };

    /// What stands before `position`; the same as stepping over every byte from the start of the text.
    pub(crate) fn at(text: &[u8], position: usize) -> Self {
        let before = text.get(..position).unwrap_or(text);
        // An escape whose letter is in the earlier part has ended before the last byte: read it as plain text.
        let (earlier, last) = before.split_at(before.len().saturating_sub(ESCAPE_BYTES_MAX));
        let start = match earlier.last() {
            None => Self::Text,
            Some(b'\\') => Self::Backslash,
            Some(_) => Self::NonWord,
        };
        last.iter().fold(start, |state, &byte| state.then(byte))
    }

    /// What a pattern sees: an escape that has ended is no word byte.
    pub(crate) fn seen(self) -> Self {
        if Self::SEEN.contains(&self) { self } else { Self::NonWord }
    }

    /// What stands before the byte after this one.
    #[inline]
    pub(crate) fn then(self, byte: u8) -> Self {
        let row = THEN.get(self as usize);
        row.and_then(|row| row.get(usize::from(byte))).copied().unwrap_or(Self::NonWord)
    }

    const fn then_by_rule(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Backslash, b'u') => Self::FourDigits,
            _ if !self.is_in_escape(byte) => Self::from_byte(byte),
            (Self::FourDigits, _) => Self::ThreeDigits,
            (Self::ThreeDigits, _) => Self::TwoDigits,
            (Self::TwoDigits, _) => Self::OneDigit,
            _ => Self::NonWord,
        }
    }

    /// Whether the next byte, if it is this one, is an escape's letter or digit, so that nothing starts at it.
    pub(crate) const fn is_in_escape(self, byte: u8) -> bool {
        match self {
            Self::Text | Self::LineFeed | Self::CarriageReturn | Self::Word | Self::NonWord => false,
            Self::Backslash => matches!(byte, b'n' | b't' | b'r' | b'b' | b'f' | b'u'),
            Self::FourDigits | Self::ThreeDigits | Self::TwoDigits | Self::OneDigit => {
                byte.is_ascii_hexdigit()
            }
        }
    }

    const fn from_byte(byte: u8) -> Self {
        match byte {
            b'\n' => Self::LineFeed,
            b'\r' => Self::CarriageReturn,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' => Self::Word,
            b'\\' => Self::Backslash,
            _ => Self::NonWord,
        }
    }

    /// A byte that a pattern takes for this, for the automaton's own classification.
    pub(crate) fn sample(self) -> Option<u8> {
        match self {
            Self::Text => None,
            Self::LineFeed => Some(b'\n'),
            Self::CarriageReturn => Some(b'\r'),
            Self::Word => Some(b'a'),
            _ => Some(b' '),
        }
    }
}

/// What stands after each state and byte. A branch instead costs a stream a nanosecond per byte.
static THEN: [[Before; 256]; Before::COUNT] = {
    let mut table = [[Before::NonWord; 256]; Before::COUNT];
    let mut rest: &mut [[Before; 256]] = &mut table;
    let mut states: &[Before] = &Before::ALL;
    while let ([state, other_states @ ..], [row, other_rows @ ..]) = (states, rest) {
        let mut cells: &mut [Before] = row;
        let mut byte = 0;
        while let [cell, other_cells @ ..] = cells {
            *cell = state.then_by_rule(byte);
            byte = byte.wrapping_add(1);
            cells = other_cells;
        }
        (states, rest) = (other_states, other_rows);
    }
    table
};

#[cfg(test)]
mod tests;
