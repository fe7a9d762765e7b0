//! Bytes in hex with something between them: `41 4b`, `41:4b`, `0x41, 0x4b`.

use std::ops::Range;

use super::characters::Characters;

/// The fewest bytes that are looked at; six are an address of a network card.
const COUNT_MIN: usize = 12;

/// The shortest dump.
const DUMP_BYTES_MIN: usize = 3 * COUNT_MIN - 1;

/// How many bytes tell whether a dump holds text.
const HEAD_BYTES: usize = 24;

/// The most that stands between two bytes: a comma, a line end, an indent.
const GAP_BYTES_MAX: usize = 16;

fn is_gap(byte: u8) -> bool {
    matches!(byte, b' ' | b',' | b':' | b'-' | b'\t' | b'\r' | b'\n')
}

/// Calls `each` with every dump that holds text, and the text.
pub(super) fn texts(text: &[u8], mut each: impl FnMut(Range<usize>, &[u8])) {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || is_gap(*byte) || matches!(byte, b'x' | b'X');
    let mut at = 0;
    // How far it is known that all is part of dumps.
    let mut known = 0;
    while let Some(window) = text.get(known.max(at)..at + DUMP_BYTES_MIN) {
        // From the window's end: prose has another letter near it.
        if let Some(other) = window.iter().rposition(|byte| !is_part(byte)) {
            at = known.max(at) + other + 1;
            continue;
        }
        known = at + DUMP_BYTES_MIN;
        let (dump, bytes) = read(text, at);
        let head = bytes.get(..HEAD_BYTES).unwrap_or(&bytes);
        if let Some(characters) = Characters::of(head).filter(|_| bytes.len() >= COUNT_MIN) {
            each(dump.clone(), &characters.into_utf8(bytes));
        }
        // No dump begins in the word that ended this one.
        let rest = text.get(dump.end..).unwrap_or_default();
        let gap = rest.iter().take_while(|byte| is_gap(**byte)).count();
        at = dump.end + gap + rest.iter().skip(gap).take_while(|byte| !is_gap(**byte)).count();
    }
}

/// The bytes written from `at` on, and where they stand.
fn read(text: &[u8], at: usize) -> (Range<usize>, Vec<u8>) {
    let mut dump = at..at;
    let mut bytes = Vec::new();
    loop {
        let rest = text.get(dump.end..).unwrap_or_default();
        let gap = rest.iter().take(GAP_BYTES_MAX).take_while(|byte| is_gap(**byte)).count();
        let word = rest.get(gap..).unwrap_or_default();
        let digits = word.strip_prefix(b"0x").or_else(|| word.strip_prefix(b"0X")).unwrap_or(word);
        // The end of a word is no byte: `see 41 4b`.
        let is_inside = bytes.is_empty() && gap == 0 && is_word_before(text, at);
        let Some(byte) = byte(digits).filter(|_| !is_inside) else { return (dump, bytes) };
        if bytes.is_empty() {
            dump.start += gap;
        }
        bytes.push(byte);
        dump.end += gap + word.len() - digits.len() + 2;
    }
}

fn is_word_before(text: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| text.get(before)).is_some_and(u8::is_ascii_alphanumeric)
}

/// The byte whose two digits a word is.
fn byte(word: &[u8]) -> Option<u8> {
    let &[high, low, ref behind @ ..] = word else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let is_whole = !behind.first().is_some_and(u8::is_ascii_alphanumeric);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok().filter(|_| is_whole)
}
