//! Values in very many pieces, with texts around them that hide where they begin and end.
//!
//! A chain as a whole glues those to the value, and the few texts that are tried alone are too few. So the chain is
//! joined in groups of every size from every start: one of them is just the value. That is a lot of scanning, and
//! done only where a piece of a value is all that the texts can be: short, without white space, many in a row.

use super::{FEW_TEXTS, Joined, Segment};
use crate::inspect::Effort;

/// Texts that lie within a value, at most this long. Of a longer one the few texts that are tried alone have enough.
const PIECE_BYTES_MAX: usize = 24;

/// The most pieces of one value: a key of the longest kind, character by character.
const PIECES_MAX: usize = 128;

/// Bytes that are scanned in search of such values, for all of a request. Five hundred single characters are within.
const SCANNED_BYTES_MAX: usize = 8 << 20;

/// The same where others wait: a millisecond or two at worst.
const LITTLE_BYTES_MAX: usize = 32 << 10;

/// What stands between two groups: no part of any number, key or address.
const APART: &str = " | ";

/// What may yet be scanned.
#[derive(Debug)]
pub(super) struct Allowance(Option<usize>);

impl Allowance {
    pub(super) fn new(effort: Effort) -> Self {
        Self(Some(match effort {
            Effort::Little => LITTLE_BYTES_MAX,
            Effort::Full => SCANNED_BYTES_MAX,
        }))
    }

    /// Whether there was more to scan.
    pub(super) fn is_used_up(&self) -> bool {
        self.0.is_none()
    }

    fn take(&mut self, bytes: usize) -> bool {
        self.0 = self.0.and_then(|left| left.checked_sub(bytes));
        self.0.is_some()
    }
}

/// Calls `each` with the runs of pieces, each with the texts in front of it and behind it, in groups of every size.
pub(super) fn ways_to_join<'c, 'a>(
    chain: &'c [Segment<'a>],
    allowance: &mut Allowance,
    mut each: impl FnMut(&Joined<'c, 'a>),
) {
    for texts in runs(chain) {
        let bytes = texts.iter().map(|segment| segment.text.len() + 1).sum();
        for size in FEW_TEXTS + 1..=texts.len().min(PIECES_MAX) {
            for start in 0..size {
                if !allowance.take(bytes) {
                    return;
                }
                each(&Joined::with(texts, |at, _| if at % size == start { APART } else { "" }));
            }
        }
    }
}

/// The runs of pieces that are more than a few, each with the texts in front of it and behind it, which may be anything.
pub(super) fn runs<'c, 'a>(chain: &'c [Segment<'a>]) -> impl Iterator<Item = &'c [Segment<'a>]> {
    // A list of a few hundred names is nothing unusual, and more than can be tried.
    let is_piece = |segment: &Segment<'_>| {
        !segment.in_list
            && segment.text.len() <= PIECE_BYTES_MAX
            && !segment.text.iter().any(u8::is_ascii_whitespace)
    };
    let mut end = 0;
    chain.chunk_by(move |left, right| is_piece(left) && is_piece(right)).filter_map(move |run| {
        let start = end;
        end += run.len();
        let texts = chain.get(start.saturating_sub(1)..chain.len().min(end + 1))?;
        (run.len() + 2 > FEW_TEXTS).then_some(texts)
    })
}
