//! The view of a text that detectors see: what a reader would take for ASCII is ASCII.
//!
//! - The view of a text is the views of its characters one after the other: no state, so no cut matters.
//! - ASCII stays. Characters without a mark of their own vanish: format characters, variation selectors, fillers,
//!   enclosing marks. Digits of all scripts, compatibility forms (full width, mathematical alphabets, circled,
//!   super- and subscript, ligatures, spaces), dashes, dots and look-alikes of ASCII letters become ASCII.
//! - No view is longer than its text: the few characters that stand for more ASCII than they have bytes stay.
//! - Everything else stays as its bytes: letters with marks of their own (`ü`), other scripts, and bytes that are
//!   no UTF-8.

mod folds;
mod offsets;
mod pattern;

use std::sync::LazyLock;

use folds::FOLDS;
pub(crate) use offsets::Offsets;
pub(crate) use pattern::fold_pattern;

/// What a range of characters looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fold {
    /// All of them like this.
    Same(&'static str),
    /// The first like this character, the next like the one after it, and so on.
    From(u8),
}

/// A range of characters, first and last, and what they look like.
type Row = (u32, u32, Fold);

/// Characters of one page of the table.
const PAGE: usize = 128;

/// All ASCII characters, so that one of them can be had as a text.
static ASCII: [u8; 128] = {
    let mut all = [0; 128];
    let mut rest: &mut [u8] = &mut all;
    let mut byte = 0;
    while let [first, others @ ..] = rest {
        *first = byte;
        byte += 1;
        rest = others;
    }
    all
};

/// The folds by character. Nearly all pages are the empty one.
struct Table {
    /// The page of every 128 characters.
    pages: Vec<u16>,
    /// By page and character: one more than the index of its text; 0 where it stays.
    cells: Vec<[u16; PAGE]>,
    texts: Vec<&'static [u8]>,
}

/// Builds the table, which takes milliseconds, if it is not there.
pub(crate) fn make_ready() {
    LazyLock::force(&TABLE);
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table {
        pages: vec![0; (char::MAX as usize + 1) / PAGE],
        cells: vec![[0; PAGE]],
        texts: ASCII.chunks(1).collect(),
    };
    for &(first, last, fold) in FOLDS {
        let shared = match fold {
            Fold::From(_) => 0,
            Fold::Same(text) => table.add(text.as_bytes()),
        };
        for (code, offset) in (first..=last).zip(1..) {
            table.set(
                code as usize,
                if let Fold::From(byte) = fold { u16::from(byte) + offset } else { shared },
            );
        }
    }
    table
});

impl Table {
    fn add(&mut self, text: &'static [u8]) -> u16 {
        let index = self.texts.iter().position(|known| *known == text).unwrap_or_else(|| {
            self.texts.push(text);
            self.texts.len() - 1
        });
        u16::try_from(index + 1).unwrap_or_default()
    }

    fn set(&mut self, code: usize, cell: u16) {
        let Some(page) = self.pages.get_mut(code / PAGE) else { return };
        if *page == 0 {
            *page = u16::try_from(self.cells.len()).unwrap_or_default();
            self.cells.push([0; PAGE]);
        }
        let cells = self.cells.get_mut(usize::from(*page));
        if let Some(place) = cells.and_then(|cells| cells.get_mut(code % PAGE)) {
            *place = cell;
        }
    }

    #[inline]
    fn look_up(&self, character: char) -> Option<&'static [u8]> {
        let code = character as usize;
        let page = self.pages.get(code / PAGE).copied().unwrap_or_default();
        let cell = *self.cells.get(usize::from(page))?.get(code % PAGE)?;
        self.texts.get(usize::from(cell).checked_sub(1)?).copied()
    }
}

/// What a character becomes; `None` where it stays.
#[inline]
pub(crate) fn fold_character(character: char) -> Option<&'static [u8]> {
    if character.is_ascii() { None } else { TABLE.look_up(character) }
}

/// The length of a text in bytes as detectors see it: without what shows nothing.
///
/// ```
/// assert_eq!(bulkhead_dlp::visible_len("no\u{200b}thing".as_bytes()), 7);
/// ```
#[must_use]
pub fn visible_len(text: &[u8]) -> usize {
    if text.is_ascii() { text.len() } else { of(text).map_or(text.len(), |(view, _)| view.len()) }
}

/// The view of a text whose way back nobody needs.
pub(crate) fn fold(text: &str) -> String {
    let mut view = Vec::with_capacity(text.len());
    fold_onto(text.as_bytes(), &mut view, &mut Offsets::default());
    // Whole characters were replaced by ASCII, so this loses nothing.
    String::from_utf8_lossy(&view).into_owned()
}

/// What a text goes on with at some place.
enum Next {
    Character(char, usize),
    /// A byte that belongs to no character.
    Broken,
    /// The beginning of a character that ends with the text.
    Incomplete,
}

/// The character that `bytes` begin with.
///
/// Goes by what has been read so far and nothing else: what is broken is so whatever follows.
#[inline]
fn next(bytes: &[u8]) -> Next {
    let Some((&lead, rest)) = bytes.split_first() else { return Next::Incomplete };
    // The ranges of the second byte leave out overlong forms, surrogates and what lies beyond U+10FFFF
    // (Unicode, table 3-7).
    let (width, second, bits) = match lead {
        0..0x80 => return Next::Character(char::from(lead), 1),
        0xc2..0xe0 => (2, 0x80..=0xbf, lead & 0x1f),
        0xe0 => (3, 0xa0..=0xbf, 0),
        0xed => (3, 0x80..=0x9f, 0x0d),
        0xe1..0xf0 => (3, 0x80..=0xbf, lead & 0x0f),
        0xf0 => (4, 0x90..=0xbf, 0),
        0xf4 => (4, 0x80..=0x8f, 4),
        0xf1..0xf4 => (4, 0x80..=0xbf, lead & 7),
        _ => return Next::Broken,
    };
    let mut code = u32::from(bits);
    let mut expected = second;
    for at in 0..width - 1 {
        let Some(&byte) = rest.get(at) else { return Next::Incomplete };
        if !expected.contains(&byte) {
            return Next::Broken;
        }
        code = code << 6 | u32::from(byte & 0x3f);
        expected = 0x80..=0xbf;
    }
    char::from_u32(code).map_or(Next::Broken, |character| Next::Character(character, width))
}

/// Appends the view of `text` and tells `offsets` about it; returns how much of the text that was.
///
/// All of it, but for a character whose end is not there yet.
pub(crate) fn fold_onto(text: &[u8], view: &mut Vec<u8>, offsets: &mut Offsets) -> usize {
    let table = &*TABLE;
    let (mut at, mut copied) = (0, 0);
    loop {
        at += ascii_run(text.get(at..).unwrap_or_default());
        let rest = text.get(at..).unwrap_or_default();
        let (folded, len) = match next(rest) {
            Next::Character(character, len) => (table.look_up(character), len),
            Next::Broken => (None, 1),
            Next::Incomplete => {
                view.extend_from_slice(text.get(copied..at).unwrap_or_default());
                offsets.keep(at - copied);
                return at;
            }
        };
        if let Some(folded) = folded {
            view.extend_from_slice(text.get(copied..at).unwrap_or_default());
            offsets.keep(at - copied);
            view.extend_from_slice(folded);
            offsets.replace(len, folded.len());
            copied = at + len;
        }
        at += len;
    }
}

/// The whole text's view and the way back; `None` where the text is its own view.
pub(crate) fn of(text: &[u8]) -> Option<(Vec<u8>, Offsets)> {
    let mut at = 0;
    loop {
        at += ascii_run(text.get(at..).unwrap_or_default());
        let rest = text.get(at..).unwrap_or_default();
        at += match next(rest) {
            Next::Character(character, _) if fold_character(character).is_some() => break,
            Next::Character(_, len) => len,
            Next::Broken => 1,
            Next::Incomplete => return None,
        };
    }
    let (before, rest) = text.split_at_checked(at)?;
    let mut view = Vec::with_capacity(text.len());
    let mut offsets = Offsets::default();
    view.extend_from_slice(before);
    offsets.keep(before.len());
    let folded = fold_onto(rest, &mut view, &mut offsets);
    let incomplete = rest.get(folded..).unwrap_or_default();
    view.extend_from_slice(incomplete);
    offsets.keep(incomplete.len());
    Some((view, offsets))
}

/// How many ASCII bytes the text begins with.
#[inline]
fn ascii_run(text: &[u8]) -> usize {
    const BLOCK: usize = 32;
    // A block at a time without a branch inside, which the compiler turns into vector instructions.
    let blocks =
        text.chunks_exact(BLOCK).take_while(|block| block.iter().fold(0, |all, &byte| all | byte) < 0x80);
    let start = blocks.count() * BLOCK;
    let rest = text.get(start..).unwrap_or_default();
    start + rest.iter().take_while(|byte| byte.is_ascii()).count()
}

#[cfg(test)]
mod tests;
