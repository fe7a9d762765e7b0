//! Where a match may start: cheap tests that let a whole-text scan jump over clean text.
//!
//! - Sound: for every valid match, some finder stops at a place that is not after its start.
//! - Each finder looks for one kind of thing that matches contain: fixed texts, runs of digits, long words, a
//!   byte such as '@'. It jumps over what cannot contain it and looks closer at the rest, within a bound, so
//!   that the whole stays linear in the text.
//! - A detector that needs a context word is looked for near such words only.
//! - A detector without a usable gate makes the scan look at every byte.

mod bytes;
mod digits;
mod long_words;
mod positions;
mod texts;

use std::sync::Arc;

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, Look};

use crate::automaton::Automaton;
use crate::before::{Before, ESCAPE_BYTES_MAX};
use crate::custom::fixed_start;
use crate::detector::Detector;
use bytes::{ByteFinder, Marker};
use digits::DigitFinder;
use long_words::LongWordFinder;
pub(crate) use positions::Positions;
use texts::{TextFinder, Wanted};

/// The shortest fixed text that can be a gate.
const TEXT_BYTES_MIN: usize = 3;

/// The most fixed texts of all rules together; with more, most places pass and looking for them gains nothing.
const TEXTS_MAX: usize = 4096;

/// A class of more bytes than this ends the fixed text of a pattern.
const TEXT_CLASS_MAX: usize = 8;

/// How far before what a finder finds a match may start, if all between the two can stand in a word: the local
/// part of an e-mail address.
const WORD_BYTES_MAX: usize = 64;

/// What every match of a detector contains at or near its start.
#[derive(Debug)]
pub(crate) enum Gate {
    /// Nothing that could be tested for.
    Anywhere,
    /// One of these texts at its start.
    Texts(Vec<FixedText>),
    /// One of these words before it; see [`crate::context`].
    Context(&'static [&'static str]),
    /// Bytes of certain kinds at fixed places.
    Positions(Positions),
    /// Something that a test written for it knows.
    Shape(Shape),
}

/// A text that matches of a detector start with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FixedText {
    /// In lower case where case does not count.
    pub(crate) bytes: Box<[u8]>,
    pub(crate) ignore_case: bool,
    /// Whether the byte before the match is no word byte.
    pub(crate) at_word_start: bool,
    /// A byte that stands somewhere in the match.
    then: Option<u8>,
}

/// What the matches of a detector look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An e-mail address: a word, '@', a letter or digit of any script.
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

impl Gate {
    /// The gate of a pattern, from the fixed texts it starts with.
    pub(crate) fn from_prefixes(hir: &Hir) -> Self {
        let sequence = Extractor::new().limit_class(TEXT_CLASS_MAX).extract(hir);
        let Some(literals) = sequence.literals() else { return Self::Anywhere };
        let at_word_start = starts_at_word(hir);
        let texts = literals.iter().map(|literal| FixedText {
            bytes: literal.as_bytes().into(),
            ignore_case: false,
            at_word_start,
            then: None,
        });
        Self::from_texts(texts.collect())
    }

    /// The gate of a pattern that starts with one of these words in any case.
    pub(crate) fn from_words(words: &[&str], hir: &Hir) -> Self {
        let at_word_start = starts_at_word(hir);
        Self::from_texts(words.iter().map(|word| FixedText::in_any_case(word, at_word_start)).collect())
    }

    /// The gate of a pattern that starts with one of these words where a part of a name starts: at a word's start
    /// and after an underscore in any case, inside a word with a capital and then small letters.
    pub(crate) fn from_name_parts(words: &[&str]) -> Self {
        let forms = |word: &&str| {
            let (first, rest) = word.split_at_checked(1).unwrap_or_default();
            let capitalised = first.to_ascii_uppercase() + rest;
            let inside = FixedText {
                bytes: capitalised.into_bytes().into(),
                ignore_case: false,
                at_word_start: false,
                then: None,
            };
            [FixedText::in_any_case(word, true), FixedText::in_any_case(&format!("_{word}"), false), inside]
        };
        Self::from_texts(words.iter().flat_map(forms).collect())
    }

    /// The gate of a list of terms.
    pub(crate) fn from_terms(terms: &[String], ignore_case: bool) -> Self {
        let text = |term: &String| {
            let start = fixed_start(term);
            let bytes = if ignore_case { start.to_ascii_lowercase() } else { start.to_owned() };
            FixedText { ignore_case, bytes: bytes.into_bytes().into(), at_word_start: false, then: None }
        };
        Self::from_texts(terms.iter().map(text).collect())
    }

    /// The gate of a pattern that has none of those, from its automaton.
    pub(crate) fn from_positions(automaton: &Automaton, hir: &Hir) -> Self {
        let positions = starts_at_word(hir).then(|| Positions::of(automaton));
        positions.flatten().map_or(Self::Anywhere, Self::Positions)
    }

    fn from_texts(texts: Vec<FixedText>) -> Self {
        if texts.is_empty() || texts.iter().any(|text| text.bytes.len() < TEXT_BYTES_MIN) {
            return Self::Anywhere;
        }
        Self::Texts(texts)
    }

    /// Adds a byte that every match contains.
    pub(crate) fn then(self, byte: u8) -> Self {
        let with_byte = |text| FixedText { then: Some(byte), ..text };
        match self {
            Self::Texts(texts) => Self::Texts(texts.into_iter().map(with_byte).collect()),
            other => other,
        }
    }
}

impl FixedText {
    fn in_any_case(word: &str, at_word_start: bool) -> Self {
        let bytes = word.to_ascii_lowercase().into_bytes().into();
        Self { bytes, ignore_case: true, at_word_start, then: None }
    }
}

/// Whether no match of a pattern starts after a word byte.
fn starts_at_word(hir: &Hir) -> bool {
    hir.properties().look_set_prefix().contains(Look::WordAscii)
}

/// A place to look at: no match starts between where the search began and `start`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) start: usize,
    /// How far must be looked at least: what made the gate open, which may be after `start`.
    pub(crate) window: usize,
}

/// Looks for one kind of thing that matches contain.
#[derive(Debug)]
enum Finder {
    Texts(TextFinder),
    Digits(DigitFinder),
    LongWords(LongWordFinder),
    Bytes(ByteFinder),
}

impl Finder {
    /// The first place at or after `from` where a match that contains it may start.
    ///
    /// A match that starts before `from` is none of its business.
    fn find(&self, text: &[u8], from: usize) -> Option<Stop> {
        let Stop { start, window } = match self {
            Self::Texts(finder) => finder.find(text, from),
            Self::Digits(finder) => finder.find(text, from),
            Self::LongWords(finder) => finder.find(text, from),
            Self::Bytes(finder) => finder.find(text, from),
        }?;
        Some(Stop { start: word_start(text, from, start), window })
    }
}

/// The gates of detectors, tested together.
#[derive(Debug)]
pub(crate) struct RuleGate {
    finders: Vec<Finder>,
    anywhere: bool,
}

impl RuleGate {
    pub(crate) fn new(detectors: &[Arc<Detector>]) -> Self {
        let mut wanted = Vec::new();
        let mut shapes = Vec::new();
        let mut digits = Vec::new();
        let mut long_words = Vec::new();
        let mut anywhere = false;
        for detector in detectors {
            match detector.gate() {
                Gate::Anywhere => anywhere = true,
                Gate::Shape(shape) => shapes.push(*shape),
                Gate::Texts(texts) => {
                    let reach = detector.max_len().unwrap_or(usize::MAX);
                    wanted.extend(texts.iter().map(|text| Wanted::text(text, reach)));
                }
                Gate::Context(words) => wanted.extend(words.iter().map(|word| Wanted::context(word))),
                Gate::Positions(Positions::Window(window)) => {
                    wanted.push(Wanted::window(window, Arc::clone(detector)));
                }
                Gate::Positions(Positions::Digits(run)) => digits.push((*run, Arc::clone(detector))),
                Gate::Positions(Positions::LongWord { len }) => long_words.push((*len, Arc::clone(detector))),
            }
        }
        anywhere |= wanted.len() > TEXTS_MAX;
        let mut finders = Vec::new();
        finders.extend(TextFinder::new(wanted).map(Finder::Texts));
        finders.extend(DigitFinder::new(&shapes, digits).map(Finder::Digits));
        finders.extend(LongWordFinder::new(long_words).map(Finder::LongWords));
        let markers = Marker::ALL.into_iter().filter(|marker| shapes.contains(&marker.shape()));
        finders.extend(markers.map(|marker| Finder::Bytes(ByteFinder::new(marker))));
        Self { finders, anywhere }
    }

    /// Whether a detector may match anywhere, so that there is nothing to skip.
    pub(crate) fn is_closed_to_skipping(&self) -> bool {
        self.anywhere
    }
}

/// A walk over the stops of a text.
pub(crate) struct Search<'a> {
    text: &'a [u8],
    /// The finders that still find something, and their next stop.
    stops: Vec<(&'a Finder, Stop)>,
}

impl<'a> Search<'a> {
    /// Nothing is allocated for a text without a stop.
    pub(crate) fn new(gates: impl IntoIterator<Item = &'a RuleGate>, text: &'a [u8]) -> Self {
        let finders = gates.into_iter().flat_map(|gate| &gate.finders);
        let stops = finders.filter_map(|finder| Some((finder, finder.find(text, 0)?))).collect();
        Self { text, stops }
    }

    /// Whether there is no stop at all.
    pub(crate) fn is_over(&self) -> bool {
        self.stops.is_empty()
    }

    /// The next place at or after `from` where a match may start; `None` if none does any more.
    ///
    /// Everything before `from` was looked at, or is before the last stop.
    pub(crate) fn next(&mut self, from: usize) -> Option<Stop> {
        let text = self.text;
        self.stops.retain_mut(|(finder, stop)| {
            if stop.window >= from {
                return true;
            }
            let next = finder.find(text, from);
            *stop = next.unwrap_or(*stop);
            next.is_some()
        });
        let stops = self.stops.iter().map(|(_, stop)| Stop { start: stop.start.max(from), ..*stop });
        stops.min_by_key(|stop| stop.start)
    }
}

/// The start of the word around `start`, not before `from`.
///
/// What a finder looks for further on may belong to a match that starts before `start`; such a match covers
/// everything between the two, and all of it fits into a word.
fn word_start(text: &[u8], from: usize, start: usize) -> usize {
    let start = start.max(from);
    let before = text.get(from.max(start.saturating_sub(WORD_BYTES_MAX))..start).unwrap_or_default();
    start - before.iter().rev().take_while(|&&byte| is_local_part(byte)).count()
}

/// Whether a byte can stand in front of the '@' of an e-mail address.
fn is_local_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

fn is_word_before(text: &[u8], start: usize) -> bool {
    let near = text.get(start.saturating_sub(ESCAPE_BYTES_MAX)..start).unwrap_or_default();
    near.last().is_some_and(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
        // It may belong to an escape; that takes longer to find out and is rare.
        && (!near.contains(&b'\\') || Before::at(text, start) == Before::Word)
}

/// Whether a detector whose matches start at a word's start takes the text from `start` on, as far as its
/// shortest match goes. If the text ends before that, its match may go on behind it.
fn takes(detector: &Detector, text: &[u8], start: usize) -> bool {
    let automaton = detector.automaton();
    let text_behind = text.get(start..).unwrap_or_default();
    let shortest = text_behind.get(..automaton.len_min()).unwrap_or(text_behind);
    let Some((&first, rest)) = shortest.split_first() else { return true };
    let Some(mut state) = automaton.enter(Before::at(text, start).seen(), first) else { return false };
    for &byte in rest {
        state = automaton.step(state, byte);
        if state.is_dead() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
