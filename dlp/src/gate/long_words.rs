//! Finds values that are one long word: keys and addresses without a fixed text.

use std::sync::Arc;

use super::{Stop, is_word_before, takes};
use crate::before::Before;
use crate::detector::Detector;

/// Whether long values consist of such bytes.
#[inline]
pub(super) fn is_long_word_byte(byte: u8) -> bool {
    LONG_WORD_BYTES.get(usize::from(byte)) == Some(&true)
}

/// Looked up because it is asked for most bytes of a text.
static LONG_WORD_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &mut [bool] = &mut table;
    let mut byte = 0_u8;
    while let [first, others @ ..] = rest {
        *first = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'<');
        byte = byte.wrapping_add(1);
        rest = others;
    }
    table
};

/// How many starts are looked at before a long word is measured again.
///
/// A search that stops is begun again behind the stop, so without a bound a word of a megabyte with a stop every
/// few bytes would be measured as often.
const LOOK_MAX: usize = 256;

/// Looks for long words.
#[derive(Debug)]
pub(super) struct LongWordFinder {
    /// The shortest that is of interest, in bytes.
    len: usize,
    detectors: Vec<Arc<Detector>>,
    /// The bytes that a match may start with.
    firsts: Box<[bool; 256]>,
}

impl LongWordFinder {
    /// `None` if there is no such detector.
    pub(super) fn new(detectors: Vec<(usize, Arc<Detector>)>) -> Option<Self> {
        let len = detectors.iter().map(|(len, _)| *len).min()?;
        let mut firsts = Box::new([false; 256]);
        for (first, byte) in firsts.iter_mut().zip(0..=u8::MAX) {
            let starts = |(_, detector): &(usize, Arc<Detector>)| {
                Before::SEEN.into_iter().any(|before| detector.automaton().enter(before, byte).is_some())
            };
            *first = detectors.iter().any(starts);
        }
        Some(Self { len, detectors: detectors.into_iter().map(|(_, detector)| detector).collect(), firsts })
    }

    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Stop> {
        let mut from = from;
        // A long word that starts here or later has a byte at the place `len` further on. Most words do not.
        while let Some(ahead) = text.get(from..)?.get(..self.len) {
            let other = ahead.iter().rposition(|&byte| !is_long_word_byte(byte));
            if let Some(other) = other {
                from += other + 1;
                continue;
            }
            let rest = text.get(from + self.len..).unwrap_or_default();
            let more = rest.iter().take(LOOK_MAX).take_while(|&&byte| is_long_word_byte(byte)).count();
            for start in from..=from + more {
                if self.opens(text, start) {
                    return Some(Stop { start, window: start });
                }
            }
            from += more + 1;
        }
        None
    }

    fn opens(&self, text: &[u8], start: usize) -> bool {
        let first = text.get(start).is_some_and(|&byte| self.firsts.get(usize::from(byte)) == Some(&true));
        first
            && !is_word_before(text, start)
            && self.detectors.iter().any(|detector| takes(detector, text, start))
    }
}
