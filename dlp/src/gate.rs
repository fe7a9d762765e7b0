//! Where a match may start: cheap tests that let a whole-text scan jump over clean text.
//!
//! - Sound: every valid match of a detector with a gate passes that gate, at its start or before it.
//! - One pass with three table lookups per byte finds three-byte windows that some gate knows; only there a
//!   closer look follows. Its length is bounded, so the whole stays linear in the text.
//! - A detector that needs a context word is looked for near such words only.
//! - A detector without a usable gate makes the scan look at every byte.

mod first_bytes;
mod shape;

use std::ops::BitOr;
use std::sync::Arc;

use memchr::memchr;
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, Look};

use crate::automaton::{Before, ESCAPE_BYTES_MAX};
use crate::detector::Detector;
use crate::rules::Rule;
pub(crate) use first_bytes::FirstBytes;
pub(crate) use shape::Shape;
use shape::{DigitNeeds, ShapeGate};

/// The bytes of a window, and so the shortest fixed text that can be a gate.
const WINDOW: usize = 3;

/// The bytes of four overlapping windows.
const STRIDE: usize = WINDOW + 3;

/// The most fixed texts of all rules together; with more, most windows pass and the pass gains nothing.
const PREFIXES_MAX: usize = 1024;

/// A class of more bytes than this ends the fixed text of a pattern.
const PREFIX_CLASS_MAX: usize = 8;

/// What every match of a detector contains at or near its start.
#[derive(Debug)]
pub(crate) enum Gate {
    /// Nothing that could be tested for.
    Anywhere,
    /// One of these texts at its start.
    Prefixes(Prefixes),
    /// One of these words before it; see [`crate::context`].
    Context(&'static [&'static str]),
    /// The first bytes that its automaton takes.
    FirstBytes(FirstBytes),
    /// Something that a test written for it knows.
    Shape(Shape),
}

#[derive(Debug)]
pub(crate) struct Prefixes {
    texts: Vec<Box<[u8]>>,
    ignore_case: bool,
    /// Whether the byte before the match is no word byte.
    at_word_start: bool,
    /// A byte that stands somewhere in the match.
    then: Option<u8>,
}

impl Gate {
    /// The gate of a pattern, from the fixed texts it starts with.
    pub(crate) fn from_prefixes(hir: &Hir) -> Self {
        let sequence = Extractor::new().limit_class(PREFIX_CLASS_MAX).extract(hir);
        let Some(literals) = sequence.literals() else { return Self::Anywhere };
        let texts = literals.iter().map(|literal| literal.as_bytes().into()).collect();
        Self::new(texts, false, starts_at_word(hir))
    }

    /// The gate of a pattern that starts with one of these words in any case.
    pub(crate) fn from_words(words: &[&str], hir: &Hir) -> Self {
        let texts = words.iter().map(|word| word.to_ascii_lowercase().into_bytes().into());
        Self::new(texts.collect(), true, starts_at_word(hir))
    }

    /// The gate of a list of terms.
    pub(crate) fn from_terms(terms: &[String], ignore_case: bool) -> Self {
        let text = |term: &String| {
            if ignore_case { term.to_ascii_lowercase().into_bytes().into() } else { term.as_bytes().into() }
        };
        Self::new(terms.iter().map(text).collect(), ignore_case, false)
    }

    fn new(texts: Vec<Box<[u8]>>, ignore_case: bool, at_word_start: bool) -> Self {
        if texts.is_empty() || texts.iter().any(|text| text.len() < WINDOW) {
            return Self::Anywhere;
        }
        Self::Prefixes(Prefixes { texts, ignore_case, at_word_start, then: None })
    }

    /// Adds a byte that every match contains.
    pub(crate) fn then(self, byte: u8) -> Self {
        match self {
            Self::Prefixes(prefixes) => Self::Prefixes(Prefixes { then: Some(byte), ..prefixes }),
            other => other,
        }
    }
}

/// Whether no match of a pattern starts after a word byte.
pub(crate) fn starts_at_word(hir: &Hir) -> bool {
    hir.properties().look_set_prefix().contains(Look::WordAscii)
}

/// One fixed text of one rule.
#[derive(Debug)]
struct Literal {
    text: Box<[u8]>,
    ignore_case: bool,
    at_word_start: bool,
    /// A byte that follows within so many bytes of the start.
    then: Option<(u8, usize)>,
    /// How many bytes must be looked at from here on; for a context word all of it.
    reach: usize,
}

/// What decides, where a bucket's window fits, whether a match may start there.
enum Test {
    Literal(Literal),
    FirstBytes(Arc<Detector>),
}

impl Test {
    fn opens(&self, text: &[u8], at: usize) -> bool {
        match self {
            Self::Literal(literal) => literal.starts_at(text, at),
            Self::FirstBytes(detector) => match detector.gate() {
                Gate::FirstBytes(first_bytes) => first_bytes.opens(detector.automaton(), text, at),
                _ => true,
            },
        }
    }

    fn reach(&self) -> usize {
        match self {
            Self::Literal(literal) => literal.reach,
            Self::FirstBytes(_) => 0,
        }
    }
}

impl Literal {
    /// A context word. Whether it starts a word is seen later, and so is where its match starts.
    fn context(word: &str) -> Self {
        let text = word.as_bytes().into();
        Self { text, ignore_case: true, at_word_start: false, then: None, reach: word.len() }
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

/// A place to look at: no match starts between where the search began and `start`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) start: usize,
    /// What made the gate open, at or after `start`.
    pub(crate) window: usize,
}

/// The gates of all rules of a set, tested together.
pub(crate) struct RuleGate {
    /// Per position in the window and byte: the buckets for which the byte fits.
    masks: [[u64; 256]; WINDOW],
    /// Per bucket: what to test. Buckets of shapes come first and have none.
    buckets: Vec<Vec<Test>>,
    digits: DigitNeeds,
    anywhere: bool,
}

impl RuleGate {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut gate = Self {
            masks: [[0; 256]; WINDOW],
            buckets: Vec::new(),
            digits: DigitNeeds::default(),
            anywhere: false,
        };
        let mut literals = Vec::new();
        let mut first_bytes = Vec::new();
        for rule in rules {
            match rule.detector.gate() {
                Gate::Anywhere => gate.anywhere = true,
                Gate::Shape(shape) => gate.add_shape(*shape),
                Gate::Prefixes(prefixes) => {
                    let reach = rule.detector.max_len().unwrap_or(usize::MAX);
                    literals.extend(prefixes.texts.iter().map(|text| Literal {
                        text: text.clone(),
                        ignore_case: prefixes.ignore_case,
                        at_word_start: prefixes.at_word_start,
                        then: prefixes.then.map(|byte| (byte, reach)),
                        reach: 0,
                    }));
                }
                Gate::Context(words) => literals.extend(words.iter().map(|word| Literal::context(word))),
                Gate::FirstBytes(_) => first_bytes.push(Arc::clone(&rule.detector)),
            }
        }
        if literals.len() > PREFIXES_MAX {
            gate.anywhere = true;
        }
        gate.add_literals(literals);
        gate.add_first_bytes(first_bytes);
        gate
    }

    /// Whether a detector may match anywhere, so that there is nothing to skip.
    pub(crate) fn is_closed_to_skipping(&self) -> bool {
        self.anywhere
    }

    /// The next place at or after `from` where a match may start; `None` if none does any more.
    #[inline]
    pub(crate) fn next(&self, text: &[u8], from: usize) -> Option<Stop> {
        let mut digits_checked_until = from;
        let mut at = from;
        // Four windows at once: one branch instead of four, and nearly always it is not taken.
        while let Some(&[a, b, c, d, e, f]) = text.get(at..).and_then(<[u8]>::first_chunk::<STRIDE>) {
            let fits = [self.fits(a, b, c), self.fits(b, c, d), self.fits(c, d, e), self.fits(d, e, f)];
            if fits.into_iter().fold(0, BitOr::bitor) != 0 {
                for (fits, at) in fits.into_iter().zip(at..) {
                    if fits != 0
                        && let Some(stop) = self.look_closer(text, from, at, fits, &mut digits_checked_until)
                    {
                        return Some(stop);
                    }
                }
            }
            at += 4;
        }
        for (&[a, b, c], at) in text.get(at..)?.array_windows::<WINDOW>().zip(at..) {
            let fits = self.fits(a, b, c);
            if fits != 0
                && let Some(stop) = self.look_closer(text, from, at, fits, &mut digits_checked_until)
            {
                return Some(stop);
            }
        }
        None
    }

    /// What to test in a bucket that is none of a shape.
    fn tests(&self, bucket: usize) -> Option<&[Test]> {
        self.buckets.get(bucket.checked_sub(ShapeGate::ALL.len())?).map(Vec::as_slice)
    }

    /// The buckets for which a window fits.
    #[inline]
    fn fits(&self, a: u8, b: u8, c: u8) -> u64 {
        let [first, second, third] = &self.masks;
        mask(first, a) & mask(second, b) & mask(third, c)
    }

    /// Tests the gates whose window stands at `at`.
    #[inline(never)]
    fn look_closer(
        &self,
        text: &[u8],
        from: usize,
        at: usize,
        fits: u64,
        digits_checked_until: &mut usize,
    ) -> Option<Stop> {
        for bucket in Buckets(fits) {
            let (mut start, mut window) = (at, at);
            let is_open = match ShapeGate::ALL.get(bucket) {
                Some(ShapeGate::Email) => true,
                Some(ShapeGate::Digits) if at < *digits_checked_until => false,
                Some(ShapeGate::Digits) => match self.digits.look(text, at) {
                    Ok(run_start) => {
                        start = run_start;
                        true
                    }
                    Err(checked_until) => {
                        *digits_checked_until = checked_until;
                        false
                    }
                },
                Some(ShapeGate::PlusDigits) => shape::is_phone_like(text, at),
                Some(ShapeGate::Iban) => shape::is_iban_like(text, at),
                Some(ShapeGate::HexColons) => shape::is_ipv6_like(text, at),
                None => {
                    let open = self.tests(bucket)?.iter().filter(|test| test.opens(text, at));
                    let reach = open.map(Test::reach).max();
                    window += reach.unwrap_or_default();
                    reach.is_some()
                }
            };
            if is_open {
                return Some(Stop { start: shape::word_start(text, from, start), window });
            }
        }
        None
    }

    fn add_shape(&mut self, shape: Shape) {
        self.digits.add(shape);
        let gate = ShapeGate::of(shape);
        self.add_window(gate as usize, gate.window());
    }

    fn add_literals(&mut self, literals: Vec<Literal>) {
        // Texts that share two bytes share a bucket: its window then accepts little else.
        let count_max = u64::BITS as usize - ShapeGate::ALL.len();
        let mut keys: Vec<[u8; 2]> = Vec::new();
        for literal in literals {
            let &[a, b, c, ..] = &*literal.text else { continue };
            let index = keys.iter().position(|key| *key == [a, b]).unwrap_or_else(|| {
                keys.push([a, b]);
                keys.len() - 1
            }) % count_max;
            let bucket = index + ShapeGate::ALL.len();
            let ignore_case = literal.ignore_case;
            self.add_window(
                bucket,
                [a, b, c].map(|expected| {
                    move |byte: u8| byte == expected || ignore_case && byte.eq_ignore_ascii_case(&expected)
                }),
            );
            self.add_test(index, Test::Literal(literal));
        }
    }

    fn add_first_bytes(&mut self, detectors: Vec<Arc<Detector>>) {
        let count_max = u64::BITS as usize - ShapeGate::ALL.len();
        // From the last bucket on: where the texts need fewer, these have their own.
        for (detector, index) in detectors.into_iter().zip((0..count_max).rev().cycle()) {
            if let Gate::FirstBytes(first_bytes) = detector.gate() {
                let bucket = index + ShapeGate::ALL.len();
                self.add_window(
                    bucket,
                    first_bytes.window.each_ref().map(|bytes| |byte| bytes.contains(&byte)),
                );
            }
            self.add_test(index, Test::FirstBytes(detector));
        }
    }

    fn add_test(&mut self, index: usize, test: Test) {
        if self.buckets.len() <= index {
            self.buckets.resize_with(index + 1, Vec::new);
        }
        if let Some(bucket) = self.buckets.get_mut(index) {
            bucket.push(test);
        }
    }

    fn add_window(&mut self, bucket: usize, window: [impl Fn(u8) -> bool; WINDOW]) {
        for (mask, fits) in self.masks.iter_mut().zip(window) {
            for (bits, byte) in mask.iter_mut().zip(0..=u8::MAX) {
                *bits |= u64::from(fits(byte)) << bucket;
            }
        }
    }
}

/// The buckets of a window, from the set that [`RuleGate::fits`] gives.
struct Buckets(u64);

impl Iterator for Buckets {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let bucket = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (bucket < u64::BITS).then_some(bucket as usize)
    }
}

#[inline]
fn mask(masks: &[u64; 256], byte: u8) -> u64 {
    masks.get(usize::from(byte)).copied().unwrap_or_default()
}

fn is_word_before(text: &[u8], start: usize) -> bool {
    let near = text.get(start.saturating_sub(ESCAPE_BYTES_MAX)..start).unwrap_or_default();
    near.last().is_some_and(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
        // It may belong to an escape; that takes longer to find out and is rare.
        && (!near.contains(&b'\\') || Before::at(text, start) == Before::Word)
}

#[cfg(test)]
mod tests;
