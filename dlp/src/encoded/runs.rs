//! Base64 and hex: long runs of their digits that hold text.

use std::borrow::Cow;
use std::ops::Range;

use super::characters::Characters;

/// The shortest run that is looked at: 18 bytes of base64, 12 of hex.
const RUN_BYTES_MIN: usize = 24;

/// How much of a run is decoded to see whether it holds text: 24 bytes of base64.
const HEAD_BYTES: usize = 32;

/// How many places in a line are tried as the encoded value's start, behind the punctuation it may contain.
const STARTS_MAX: usize = 8;

/// The most that stands between two lines of a run: an indent, and what quotes or joins them.
const JOINT_BYTES_MAX: usize = 64;

/// What is no digit of base64.
const OTHER: u8 = 0xff;

/// By byte: the number of a base64 digit, in either alphabet (RFC 4648, sections 4 and 5).
static DIGITS: [u8; 256] = {
    let mut digits = [OTHER; 256];
    let mut cells: &mut [u8] = &mut digits;
    let mut byte = 0_u8;
    while let [cell, others @ ..] = cells {
        *cell = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => OTHER,
        };
        byte = byte.wrapping_add(1);
        cells = others;
    }
    digits
};

fn digit(byte: u8) -> u8 {
    DIGITS.get(usize::from(byte)).copied().unwrap_or(OTHER)
}

fn is_digit(byte: &u8) -> bool {
    digit(*byte) < 64
}

/// Digits over one line or more.
struct Run<'a> {
    place: Range<usize>,
    digits: Cow<'a, [u8]>,
    /// Where each line but the first begins: among the digits and in the text.
    lines: Vec<(usize, usize)>,
}

/// Calls `each` with every run that holds text, and the text.
pub(super) fn texts(text: &[u8], mut each: impl FnMut(Range<usize>, &[u8])) {
    let mut at = 0;
    while let Some(window) = text.get(at..at + RUN_BYTES_MIN) {
        // From the window's end: in prose this looks at every fourth byte or so.
        if let Some(last) = window.iter().rposition(|byte| !is_digit(byte)) {
            at += last + 1;
            continue;
        }
        let run = Run::read(text, at);
        at = run.place.end;
        for notation in [BASE64, HEX] {
            run.texts(&notation, |start, decoded| each(start..at, decoded));
        }
    }
}

impl<'a> Run<'a> {
    /// The run that begins at `start`, with its padding.
    fn read(text: &'a [u8], start: usize) -> Self {
        let line = |at: usize| {
            let rest = text.get(at..).unwrap_or_default();
            rest.get(..rest.iter().take_while(|byte| is_digit(byte)).count()).unwrap_or_default()
        };
        let mut digits = Cow::Borrowed(line(start));
        let mut lines = Vec::new();
        let mut end = start + digits.len();
        loop {
            let rest = text.get(end..).unwrap_or_default();
            let joint = joint(rest).unwrap_or_default();
            let next = if joint == 0 { &[] } else { line(end + joint) };
            if next.is_empty() {
                let padding = rest.iter().take(2).take_while(|&&byte| byte == b'=').count();
                return Self { place: start..end + padding, digits, lines };
            }
            lines.push((digits.len(), end + joint));
            digits.to_mut().extend_from_slice(next);
            end += joint + next.len();
        }
    }

    /// Calls `each` with every text in the run and where it starts: in a line where it may, and of those that share the
    /// bounds of their groups the first, because it goes on to the end of the run.
    fn texts(&self, notation: &Notation, mut each: impl FnMut(usize, &[u8])) {
        let lines = std::iter::once((0, self.place.start)).chain(self.lines.iter().copied());
        let ends = self.lines.iter().map(|(begin, _)| *begin).chain([self.digits.len()]);
        let mut found = Vec::new();
        for ((begin, place), end) in lines.zip(ends) {
            let Some(line) = self.digits.get(begin..end) else { continue };
            let places = 0..line.len().min(2 * HEAD_BYTES);
            for start in places.filter(|at| (notation.may_start)(line, *at)).take(STARTS_MAX) {
                let Some(digits) = self.digits.get(begin + start..) else { continue };
                let bound = (begin + start) % notation.group;
                if found.contains(&bound) || digits.len() < RUN_BYTES_MIN {
                    continue;
                }
                let head = (notation.decode)(digits.get(..HEAD_BYTES).unwrap_or(digits));
                if let Some(characters) = Characters::of(&head).filter(|_| head.len() >= RUN_BYTES_MIN / 2) {
                    found.push(bound);
                    each(place + start, &characters.into_utf8((notation.decode)(digits)));
                }
            }
        }
    }
}

/// How bytes are written in digits.
struct Notation {
    /// Whether a value may start at a place of a line.
    may_start: fn(&[u8], usize) -> bool,
    decode: fn(&[u8]) -> Vec<u8>,
    /// How many digits belong together.
    group: usize,
}

const BASE64: Notation = Notation { may_start: base64_may_start, decode: base64, group: 4 };
const HEX: Notation = Notation { may_start: hex_may_start, decode: hex, group: 2 };

/// What stands between two lines: a break, as it is or written out, and what indents, quotes or joins them.
fn joint(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut is_broken = false;
    while at < JOINT_BYTES_MAX {
        at += match text.get(at..)? {
            // As JSON inside JSON has it.
            [b'\\', b'r' | b'n', ..] => {
                is_broken = true;
                2
            }
            [b'\r' | b'\n', ..] => {
                is_broken = true;
                1
            }
            [b' ' | b'\t' | b'\\' | b'"' | b'\'' | b'`' | b',' | b'>' | b'|' | b'#' | b'*', ..] => 1,
            // Behind the break it would be a digit.
            [b'+' | b'.', ..] if !is_broken => 1,
            _ => break,
        };
    }
    is_broken.then_some(at)
}

/// In front of the value there may be a path or a name that looks like digits.
fn base64_may_start(line: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| line.get(before)).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

fn base64(digits: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0);
    for &byte in digits {
        bits = bits << 6 | u32::from(digit(byte) & 63);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count & 0xff) as u8);
        }
    }
    decoded
}

/// A digit in front of the value shifts the pairs.
fn hex_may_start(line: &[u8], at: usize) -> bool {
    let prefix = if line.starts_with(b"0x") || line.starts_with(b"0X") { 2 } else { 0 };
    (prefix..prefix + 2).contains(&at) && line.iter().skip(prefix).all(u8::is_ascii_hexdigit)
}

/// The bytes of hex digits, up to what is none.
fn hex(digits: &[u8]) -> Vec<u8> {
    let values = digits.iter().map_while(|&digit| char::from(digit).to_digit(16));
    let values: Vec<u8> = values.filter_map(|value| u8::try_from(value).ok()).collect();
    values.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}
