//! The fixed texts of all detectors, told apart by their first three bytes.

use memchr::memchr;

use super::{WINDOW, is_word_before};
use crate::automaton::ESCAPE_BYTES_MAX;

/// As many keys as three bytes have of which five bits count.
const KEYS: usize = 1 << 15;

/// One fixed text of one rule.
#[derive(Debug)]
pub(super) struct Literal {
    pub(super) text: Box<[u8]>,
    pub(super) ignore_case: bool,
    pub(super) at_word_start: bool,
    /// A byte that follows within so many bytes of the start.
    pub(super) then: Option<(u8, usize)>,
    /// How many bytes must be looked at from here on; for a context word all of it.
    pub(super) reach: usize,
}

impl Literal {
    /// A context word. Whether it starts a word is seen later, and so is where its match starts.
    pub(super) fn context(word: &str) -> Self {
        let text = word.as_bytes().into();
        Self { text, ignore_case: true, at_word_start: false, then: None, reach: word.len() }
    }

    /// A context word does not, which is why only words of the catalogue have a reach.
    fn may_start_inside_a_word(&self) -> bool {
        !self.at_word_start && self.reach == 0
    }

    fn starts_at(&self, text: &[u8], start: usize) -> bool {
        let Some(found) = text.get(start..start + self.text.len()) else { return false };
        let same =
            if self.ignore_case { found.eq_ignore_ascii_case(&self.text) } else { *found == *self.text };
        same && !(self.at_word_start && is_word_before(text, start))
            && self.then.is_none_or(|(byte, within)| {
                let end = text.len().min(start.saturating_add(within));
                text.get(start..end).is_some_and(|reach| memchr(byte, reach).is_some())
            })
    }
}

/// Fixed texts by key.
#[derive(Debug)]
pub(super) struct Literals {
    /// A bit per key: whether a text has it. Of a thousand texts few have the key of a word of prose.
    known: Box<[u64; KEYS / 64]>,
    /// The same for texts that may start behind a letter or digit.
    inside_words: Box<[u64; KEYS / 64]>,
    /// Sorted by key.
    texts: Vec<(u16, Literal)>,
}

impl Literals {
    /// Texts shorter than a window are left out; no detector has such a gate.
    pub(super) fn new(literals: Vec<Literal>) -> Self {
        let keyed = literals.into_iter().filter_map(|literal| {
            let window = *literal.text.first_chunk::<WINDOW>()?;
            Some((key(window), literal))
        });
        let mut texts: Vec<(u16, Literal)> = keyed.collect();
        texts.sort_by_key(|(key, _)| *key);
        let bits_of = |is_wanted: fn(&Literal) -> bool| {
            let mut bits = Box::new([0; KEYS / 64]);
            for (key, _) in texts.iter().filter(|(_, literal)| is_wanted(literal)) {
                if let Some(bits) = bits.get_mut(usize::from(*key) / 64) {
                    *bits |= 1 << (key % 64);
                }
            }
            bits
        };
        let known = bits_of(|_| true);
        let inside_words = bits_of(Literal::may_start_inside_a_word);
        Self { known, inside_words, texts }
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether a text may start with these bytes.
    #[inline]
    pub(super) fn may_start_with(&self, window: [u8; WINDOW]) -> bool {
        has(&self.known, key(window))
    }

    /// Whether one starts at `at`, and the farthest reach of those that do.
    pub(super) fn reach_at(&self, text: &[u8], at: usize) -> Option<usize> {
        let key = key(*text.get(at..)?.first_chunk()?);
        // Of prose most keys stand inside words.
        if !has(&self.inside_words, key) && is_inside_a_word(text, at) {
            return None;
        }
        let from = self.texts.partition_point(|(other, _)| *other < key);
        let same = self.texts.get(from..)?.iter().take_while(|(other, _)| *other == key);
        let found = same.filter(|(_, literal)| literal.starts_at(text, at));
        found.map(|(_, literal)| literal.reach).max()
    }
}

#[inline]
fn has(bits: &[u64; KEYS / 64], key: u16) -> bool {
    bits.get(usize::from(key) / 64).is_some_and(|bits| bits >> (key % 64) & 1 == 1)
}

/// Whether a letter or digit stands before `at`, and surely no escape.
fn is_inside_a_word(text: &[u8], at: usize) -> bool {
    let near = text.get(at.saturating_sub(ESCAPE_BYTES_MAX)..at).unwrap_or_default();
    near.last().is_some_and(u8::is_ascii_alphanumeric) && !near.contains(&b'\\')
}

/// The low five bits of each byte: letters of both cases have the same.
#[inline]
fn key([a, b, c]: [u8; WINDOW]) -> u16 {
    let low = |byte: u8| u16::from(byte & 31);
    low(a) | low(b) << 5 | low(c) << 10
}
