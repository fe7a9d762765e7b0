//! Texts in characters that show nothing: for a reader they are not there, a model may read them.
//!
//! - Tags (U+E0020 to U+E007E) are ASCII. Variation selectors are bytes: U+FE00 to U+FE0F those below 16, U+E0100 to
//!   U+E01EF the others.
//! - A stretch of characters that show nothing is a text of its own, so that what stands around it touches nothing.

use std::mem;
use std::ops::Range;

use memchr::memchr_iter;

use crate::view::{Offsets, fold_character};

/// The first byte of all tags and of all selectors that are printable bytes.
pub(super) const LEAD: u8 = 0xf3;

/// What a tag stands for.
fn tag(character: char) -> Option<u8> {
    match character {
        '\u{e0020}'..='\u{e007e}' => u8::try_from(u32::from(character) & 0x7f).ok(),
        _ => None,
    }
}

/// What a variation selector stands for.
fn selector(character: char) -> Option<u8> {
    let code = u32::from(character);
    match character {
        '\u{fe00}'..='\u{fe0f}' => u8::try_from(code & 0xf).ok(),
        '\u{e0100}'..='\u{e01ef}' => u8::try_from((code & 0xff) + 16).ok(),
        _ => None,
    }
}

/// The tag that `text` begins with.
pub(super) fn tag_at(text: &[u8]) -> Option<u8> {
    tag(std::str::from_utf8(text.get(..4)?).ok()?.chars().next()?)
}

/// Calls `each` with every text in such characters: where it stands, what it says and the way back.
pub(super) fn texts(text: &[u8], mut each: impl FnMut(Range<usize>, &[u8], &Offsets)) {
    if memchr_iter(LEAD, text).any(|at| text.get(at + 1) == Some(&0xa0)) {
        spelled(text, tag, &mut each);
        spelled(text, selector, &mut each);
    }
}

/// Calls `each` with what every stretch says in one alphabet.
fn spelled(
    text: &[u8],
    byte_of: fn(char) -> Option<u8>,
    each: &mut impl FnMut(Range<usize>, &[u8], &Offsets),
) {
    let (mut start, mut at) = (0, 0);
    let (mut decoded, mut offsets) = (Vec::new(), Offsets::default());
    let mut end = |stretch: Range<usize>, decoded: &mut Vec<u8>, offsets: &mut Offsets| {
        let (decoded, offsets) = (mem::take(decoded), mem::take(offsets));
        if !decoded.is_empty() {
            each(stretch, &decoded, &offsets);
        }
    };
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            let len = character.len_utf8();
            if fold_character(character) == Some(b"") {
                let byte = byte_of(character);
                decoded.extend(byte);
                offsets.replace(len, usize::from(byte.is_some()));
            } else {
                end(start..at, &mut decoded, &mut offsets);
                start = at + len;
            }
            at += len;
        }
        if !chunk.invalid().is_empty() {
            end(start..at, &mut decoded, &mut offsets);
            at += chunk.invalid().len();
            start = at;
        }
    }
    end(start..at, &mut decoded, &mut offsets);
}
