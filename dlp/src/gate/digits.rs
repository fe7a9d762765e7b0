//! Finds numbers: by how many digits they have, with separators, or by a run of digits inside them.

use std::sync::Arc;

use super::positions::DigitRun;
use super::{Shape, Stop, is_word_before, takes};
use crate::before::ESCAPE_BYTES_MAX;
use crate::detector::Detector;

/// The longest run that is looked at for a number, in bytes; a longer one is looked at in parts.
const NUMBER_LOOK_MAX: usize = 80;

/// No number is longer than this; the longest is a card number with two separators between any two digits.
const NUMBER_BYTES_MAX: usize = 56;

/// Text without two digits within so many bytes is passed over.
const BLOCK_BYTES: usize = 16;

/// Looks for numbers and for what has a run of digits.
#[derive(Debug)]
pub(super) struct DigitFinder {
    /// The fewest digits of a number.
    digits_min: Option<usize>,
    dotted_quad: bool,
    iban: bool,
    /// What has a run of digits in it, and where.
    runs: Vec<(DigitRun, Arc<Detector>)>,
    /// The shortest of those runs, and the last place that one starts at.
    run_len_min: usize,
    run_start_max: usize,
}

impl DigitFinder {
    /// `None` if there is nothing to look for.
    pub(super) fn new(shapes: &[Shape], runs: Vec<(DigitRun, Arc<Detector>)>) -> Option<Self> {
        let digits_of = |shape: &Shape| match shape {
            Shape::Digits { min } => Some(*min),
            _ => None,
        };
        let finder = Self {
            digits_min: shapes.iter().filter_map(digits_of).min(),
            dotted_quad: shapes.contains(&Shape::DottedQuad),
            iban: shapes.contains(&Shape::Iban),
            run_len_min: runs.iter().map(|(run, _)| run.len).min().unwrap_or(usize::MAX),
            run_start_max: runs.iter().map(|(run, _)| run.start).max().unwrap_or_default(),
            runs,
        };
        let is_empty = !finder.finds_numbers() && !finder.iban && finder.runs.is_empty();
        (!is_empty).then_some(finder)
    }

    fn finds_numbers(&self) -> bool {
        self.digits_min.is_some() || self.dotted_quad
    }

    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Stop> {
        let mut numbers_checked_until = from;
        let mut at = from;
        loop {
            let block = next_with_digits(text, at)?;
            let end = text.len().min(block + 2 * BLOCK_BYTES);
            at = block;
            while let Some(digit) =
                text.get(at..end).and_then(|near| near.iter().position(u8::is_ascii_digit))
            {
                at += digit;
                let rest = text.get(at..).unwrap_or_default();
                let len = rest.iter().take(NUMBER_LOOK_MAX).take_while(|byte| byte.is_ascii_digit()).count();
                if let Some(start) = self.start_around_run(text, from, at, len) {
                    return Some(Stop { start, window: at });
                }
                // Numbers start at a word's start, or at a '(' in front of it.
                if at >= numbers_checked_until && self.finds_numbers() && !is_word_before(text, at) {
                    match self.number_at(text, at) {
                        Ok(start) => return Some(Stop { start, window: at }),
                        Err(until) => numbers_checked_until = until,
                    }
                }
                at += len;
            }
            at = at.max(end);
        }
    }

    /// Where a match with a run of digits may start, if the run at `at` may be its run.
    fn start_around_run(&self, text: &[u8], from: usize, at: usize, len: usize) -> Option<usize> {
        if self.iban && len >= 2 && is_iban_like(text, at) {
            return Some(at - 2);
        }
        if len < self.run_len_min {
            return None;
        }
        // The places in front of the run may hold digits too, and an escape's digits may stand before a match.
        let last = at + len.min(ESCAPE_BYTES_MAX);
        (at.saturating_sub(self.run_start_max).max(from)..last).find(|&start| {
            let detectors = self.runs.iter().filter(|(run, _)| run.len <= len && start + run.start >= at);
            !is_word_before(text, start)
                && detectors.into_iter().any(|(_, detector)| takes(detector, text, start))
        })
    }

    /// Looks at the number that starts at a digit: where its match may start, or up to where there is none.
    fn number_at(&self, text: &[u8], at: usize) -> Result<usize, usize> {
        let before = at.checked_sub(1).filter(|&before| text.get(before) == Some(&b'('));
        let start = before.unwrap_or(at);
        let run = text.get(start..).unwrap_or_default();
        let (mut digits, mut dots, mut separators) = (0, 0, 0);
        for (&byte, offset) in run.iter().zip(0..NUMBER_LOOK_MAX) {
            if byte.is_ascii_digit() {
                digits += 1;
                separators = 0;
                if self.digits_min.is_some_and(|min| digits >= min)
                    || self.dotted_quad && dots >= 3 && digits >= 4
                {
                    return Ok(start);
                }
                continue;
            }
            separators += 1;
            dots += usize::from(byte == b'.');
            if !is_separator(byte) || separators > 2 {
                return Err(start + offset);
            }
        }
        // The run goes on, but numbers that start this early would have been complete.
        Err(if run.len() <= NUMBER_LOOK_MAX {
            text.len()
        } else {
            start + NUMBER_LOOK_MAX - NUMBER_BYTES_MAX
        })
    }
}

/// A place at or after `from` before which there is no number with two digits or more; `None` if there is none at all.
fn next_with_digits(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    let mut digit_before = false;
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<BLOCK_BYTES>) {
        let digits: u8 = block.iter().map(|byte| u8::from(byte.is_ascii_digit())).sum();
        if digits > 1 || digits == 1 && digit_before {
            return Some(if digit_before { at - BLOCK_BYTES } else { at });
        }
        digit_before = digits == 1;
        at += BLOCK_BYTES;
    }
    let at = if digit_before { at - BLOCK_BYTES } else { at };
    text.get(at..)?.iter().any(u8::is_ascii_digit).then_some(at)
}

/// Whether two capital letters at a word's start stand before the digits at `at`.
fn is_iban_like(text: &[u8], at: usize) -> bool {
    let Some(start) = at.checked_sub(2) else { return false };
    text.get(start..at).is_some_and(|letters| letters.iter().all(u8::is_ascii_uppercase))
        && !is_word_before(text, start)
}

pub(super) fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'\t' | b'\r' | b'\n')
}
