//! Where a match may start: cheap tests that let a whole-text scan jump over clean text.
//!
//! - Sound: every valid match of a detector with a gate passes that gate, at its start or before it.
//! - One pass with four table lookups per byte finds three-byte windows that some gate knows; only there a
//!   closer look follows. Its length is bounded, so the whole stays linear in the text.
//! - A detector that needs a context word is looked for near such words only.
//! - A detector without a usable gate makes the scan look at every byte.

mod first_bytes;
mod literals;
mod shape;

use std::ops::BitOr;
use std::sync::Arc;

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, Look};

use crate::automaton::{Before, ESCAPE_BYTES_MAX};
use crate::detector::Detector;
use crate::rules::Rule;
pub(crate) use first_bytes::FirstBytes;
use literals::{Literal, Literals};
pub(crate) use shape::Shape;
use shape::{DigitNeeds, ShapeGate};

/// The bytes of a window, and so the shortest fixed text that can be a gate.
const WINDOW: usize = 3;

/// The bytes of four overlapping windows.
const STRIDE: usize = WINDOW + 3;

/// The most fixed texts of all rules together; with more, most windows pass and the pass gains nothing.
const PREFIXES_MAX: usize = 4096;

/// The bucket of all fixed texts, behind those of shapes.
const LITERALS: usize = ShapeGate::ALL.len();

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
    literals: Literals,
    /// Per bucket behind [`LITERALS`]: the detectors that are known by their first bytes.
    first_bytes: Vec<Vec<Arc<Detector>>>,
    digits: DigitNeeds,
    anywhere: bool,
}

impl RuleGate {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut gate = Self {
            masks: [[0; 256]; WINDOW],
            literals: Literals::new(Vec::new()),
            first_bytes: Vec::new(),
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
        gate.literals = Literals::new(literals);
        gate.anywhere |= gate.literals.len() > PREFIXES_MAX;
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

    /// The buckets for which a window fits.
    #[inline]
    fn fits(&self, a: u8, b: u8, c: u8) -> u64 {
        let [first, second, third] = &self.masks;
        let literal = u64::from(self.literals.may_start_with([a, b, c])) << LITERALS;
        mask(first, a) & mask(second, b) & mask(third, c) | literal
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
                None if bucket == LITERALS => match self.literals.reach_at(text, at) {
                    Some(reach) => {
                        window += reach;
                        true
                    }
                    None => false,
                },
                None => self.opens_by_first_bytes(bucket, text, at),
            };
            if is_open {
                return Some(Stop { start: shape::word_start(text, from, start), window });
            }
        }
        None
    }

    fn opens_by_first_bytes(&self, bucket: usize, text: &[u8], at: usize) -> bool {
        let detectors = bucket.checked_sub(LITERALS + 1).and_then(|index| self.first_bytes.get(index));
        detectors.into_iter().flatten().any(|detector| match detector.gate() {
            Gate::FirstBytes(first_bytes) => first_bytes.opens(detector.automaton(), text, at),
            _ => true,
        })
    }

    fn add_shape(&mut self, shape: Shape) {
        self.digits.add(shape);
        let gate = ShapeGate::of(shape);
        self.add_window(gate as usize, gate.window());
    }

    fn add_first_bytes(&mut self, detectors: Vec<Arc<Detector>>) {
        let count_max = u64::BITS as usize - LITERALS - 1;
        self.first_bytes.resize_with(detectors.len().min(count_max), Vec::new);
        for (detector, index) in detectors.into_iter().zip((0..count_max).cycle()) {
            if let Gate::FirstBytes(first_bytes) = detector.gate() {
                let window = first_bytes.window.each_ref().map(|bytes| |byte| bytes.contains(&byte));
                self.add_window(index + LITERALS + 1, window);
            }
            if let Some(bucket) = self.first_bytes.get_mut(index) {
                bucket.push(detector);
            }
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
