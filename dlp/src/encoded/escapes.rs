//! Notations that replace single characters: each is undone where it stands.

use std::ops::Range;

use memchr::{memchr_iter, memchr3_iter};

use super::{entities, unseen};
use crate::view::Offsets;

/// The longest escape: an entity with leading zeros, of which there may be any number.
const ESCAPE_BYTES_MAX: usize = 64;

/// Each program that quotes a text doubles its backslashes.
const BACKSLASHES_MAX: usize = 8;

/// Which escapes are undone together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// `%41`, `%u0041`, `&#65;`, `&commat;`, and what languages write with backslashes: `\u0041`, `\x41`, `\101`, `\_`.
    Escapes,
    /// `=41` and soft line breaks. By itself, because `=41` is also a parameter with a number.
    QuotedPrintable,
    /// Tags, of texts that are no views.
    Tags,
}

/// One escape: how long it is and what it stands for.
struct Escape {
    len: usize,
    character: Character,
}

enum Character {
    Byte(u8),
    Char(char),
    Nothing,
}

impl Notation {
    /// Those of views.
    pub(super) const ALL: [Self; 2] = [Self::Escapes, Self::QuotedPrintable];

    /// The escape that `text` begins with.
    fn read(self, text: &[u8]) -> Option<Escape> {
        match (self, text.first()?) {
            (Self::Escapes, b'%') if text.get(1) == Some(&b'u') => {
                let escape = unicode_escape(text.get(1..)?)?;
                Some(Escape { len: escape.len + 1, ..escape })
            }
            (Self::Escapes, b'%') => byte_escape(text, 1),
            (Self::Escapes, b'&') => entity(text),
            (Self::Escapes, b'\\') => backslash_escape(text),
            (Self::QuotedPrintable, b'=') => match text {
                [_, b'\n', ..] => Some(Escape { len: 2, character: Character::Nothing }),
                [_, b'\r', b'\n', ..] => Some(Escape { len: 3, character: Character::Nothing }),
                _ => byte_escape(text, 1),
            },
            (Self::Tags, _) => Some(Escape { len: 4, character: Character::Byte(unseen::tag_at(text)?) }),
            _ => None,
        }
    }

    /// Where escapes may begin.
    fn marks(self, text: &[u8], each: impl FnMut(usize)) {
        match self {
            Self::Escapes => memchr3_iter(b'%', b'&', b'\\', text).for_each(each),
            Self::QuotedPrintable => memchr_iter(b'=', text).for_each(each),
            Self::Tags => memchr_iter(unseen::LEAD, text).for_each(each),
        }
    }
}

/// Undoes the escapes of a text together with the text around them, up to `reach` bytes. `each` gets the place of the
/// stretch, what it becomes and the way back.
pub(super) fn islands(
    text: &[u8],
    notation: Notation,
    reach: usize,
    mut each: impl FnMut(usize, &[u8], &Offsets),
) {
    let mut island: Option<Range<usize>> = None;
    let mut until = 0;
    notation.marks(text, |at| {
        let Some(escape) = text.get(at..).and_then(|rest| notation.read(rest)).filter(|_| at >= until) else {
            return;
        };
        until = at + escape.len;
        let near = at.saturating_sub(reach)..(until + reach).min(text.len());
        match &mut island {
            Some(island) if near.start <= island.end => island.end = near.end,
            island => {
                if let Some(done) = island.replace(near) {
                    undo(text, notation, done, &mut each);
                }
            }
        }
    });
    if let Some(last) = island {
        undo(text, notation, last, &mut each);
    }
}

fn undo(
    text: &[u8],
    notation: Notation,
    island: Range<usize>,
    each: &mut impl FnMut(usize, &[u8], &Offsets),
) {
    let source = text.get(island.clone()).unwrap_or_default();
    let mut decoded = Vec::with_capacity(source.len());
    let mut offsets = Offsets::default();
    let mut done = 0;
    notation.marks(source, |at| {
        let Some(escape) = source.get(at..).and_then(|rest| notation.read(rest)).filter(|_| at >= done)
        else {
            return;
        };
        decoded.extend_from_slice(source.get(done..at).unwrap_or_default());
        offsets.keep(at - done);
        let before = decoded.len();
        match escape.character {
            Character::Byte(byte) => decoded.push(byte),
            Character::Char(character) => {
                decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Character::Nothing => {}
        }
        offsets.replace(escape.len, decoded.len() - before);
        done = at + escape.len;
    });
    let rest = source.get(done..).unwrap_or_default();
    decoded.extend_from_slice(rest);
    offsets.keep(rest.len());
    each(island.start, &decoded, &offsets);
}

/// Two hex digits behind a mark of `mark` bytes.
fn byte_escape(text: &[u8], mark: usize) -> Option<Escape> {
    let byte = u8::try_from(number(text.get(mark..mark + 2)?, 16)?).ok()?;
    Some(Escape { len: mark + 2, character: Character::Byte(byte) })
}

/// `\u0041`, `\u{41}`, `\U00000041`, `\x41`, `\101`, punctuation that needs no escape, as Markdown has it, and the end of
/// a line that goes on in the next.
///
/// Text that went through several programs has several backslashes.
fn backslash_escape(text: &[u8]) -> Option<Escape> {
    let mark = backslashes(text);
    let rest = text.get(mark..)?;
    let escape = match rest.first()? {
        b'x' => byte_escape(rest, 1),
        b'\n' => Some(Escape { len: 1, character: Character::Nothing }),
        b'\r' if rest.get(1) == Some(&b'\n') => Some(Escape { len: 2, character: Character::Nothing }),
        b'u' if rest.get(1) == Some(&b'{') => braced_escape(rest),
        b'u' => unicode_escape(rest),
        b'U' => scalar_escape(rest.get(1..9)?, 9),
        b'0'..=b'3' => {
            let byte = u8::try_from(number(rest.get(..3)?, 8)?).ok()?;
            Some(Escape { len: 3, character: Character::Byte(byte) })
        }
        punctuation if b"-_.@+/:=#~ ".contains(punctuation) => {
            Some(Escape { len: 1, character: Character::Byte(*punctuation) })
        }
        _ => None,
    }?;
    Some(Escape { len: mark + escape.len, ..escape })
}

fn backslashes(text: &[u8]) -> usize {
    text.iter().take(BACKSLASHES_MAX).take_while(|byte| **byte == b'\\').count()
}

/// `u{41}`
fn braced_escape(text: &[u8]) -> Option<Escape> {
    let near = text.get(2..text.len().min(ESCAPE_BYTES_MAX))?;
    let digits = near.get(..near.iter().position(|byte| *byte == b'}')?)?;
    scalar_escape(digits, digits.len() + 3)
}

fn scalar_escape(digits: &[u8], len: usize) -> Option<Escape> {
    Some(Escape { len, character: Character::Char(char::from_u32(number(digits, 16)?)?) })
}

/// `u0041`, or two for one character beyond U+FFFF, with backslashes between them.
fn unicode_escape(text: &[u8]) -> Option<Escape> {
    let unit = |text: &[u8]| u16::try_from(number(text.strip_prefix(b"u")?.get(..4)?, 16)?).ok();
    let next = text.get(5..).unwrap_or_default();
    let mark = backslashes(next);
    let low = next.get(mark..).filter(|_| mark > 0).and_then(unit);
    let character = char::decode_utf16([unit(text)?, low.unwrap_or(0)]).next()?.ok()?;
    let len = if character.len_utf16() == 2 { 10 + mark } else { 5 };
    Some(Escape { len, character: Character::Char(character) })
}

/// `&#64;`, `&#x40;` (the semicolon may be missing, as browsers have it) or a name.
fn entity(text: &[u8]) -> Option<Escape> {
    let near = text.get(..text.len().min(ESCAPE_BYTES_MAX))?;
    let Some(rest) = near.strip_prefix(b"&#") else {
        let (character, len) = entities::named(near)?;
        return Some(Escape { len, character: Character::Char(character) });
    };
    let (mark, radix) = if matches!(rest.first(), Some(b'x' | b'X')) { (1, 16) } else { (0, 10) };
    let digits = rest.get(mark..)?;
    let count = digits.iter().take_while(|&&digit| char::from(digit).is_digit(radix)).count();
    let character = char::from_u32(number(digits.get(..count)?, radix)?)?;
    let semicolon = usize::from(digits.get(count) == Some(&b';'));
    Some(Escape { len: 2 + mark + count + semicolon, character: Character::Char(character) })
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let add =
        |number: u32, &digit: &u8| number.checked_mul(radix)?.checked_add(char::from(digit).to_digit(radix)?);
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}
