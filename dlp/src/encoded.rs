//! Values that a text carries in another notation: undone, scanned again, and the findings brought back.
//!
//! - Escapes (percent, HTML entities, `\u0041` and others with backslashes, quoted-printable) are undone where they
//!   stand, with the text around them; a finding covers exactly the characters it was made of.
//! - Runs of base64 or hex digits, and dumps of bytes in hex, become texts of their own if what they hold is text; a
//!   finding covers the run.
//! - Tags and variation selectors, which views do not have, become texts of their own; tags are also undone where they
//!   stand. A finding covers the characters it was made of.
//! - What comes out is treated the same once more. The bytes that one text may decode to are capped; over the cap the
//!   scan says that it is not complete.

mod characters;
mod dumps;
mod entities;
mod escapes;
mod runs;
mod unseen;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::action::Action;
use crate::finding::{Edit, Match, Replacement, Scan};
use crate::rules::RuleSet;
use crate::view::Offsets;
use escapes::Notation;

/// How often a text is decoded: a value in base64 in a percent-encoded URL takes two.
const DEPTH: usize = 2;

/// The bytes a text may decode to, as a multiple of its own. Each notation at most keeps the length, so that a text
/// would have to be written in all of them at once.
const DECODED_RATIO_MAX: usize = 4;

/// Below this size the ratio says nothing.
const DECODED_FLOOR_BYTES: usize = 4096;

/// A text that ends with so long a run of characters without white space may end in the middle of base64.
const LONG_RUN_BYTES: usize = 64;

/// How far around an escape the text is scanned again: the longest match of a custom detector.
const REACH_BYTES: usize = 1024;

/// The result for a text and for what it carries in other notations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeepScan {
    /// Everything that was found; offsets are those of the text as it was given.
    pub scan: Scan,
    /// Whether everything that looked encoded was decoded and scanned.
    pub complete: bool,
    /// Whether a value may have begun that is not whole where the text ends, so far before the end that the last
    /// [`DeepScan::NEAR_END`] characters would not show it.
    ///
    /// If not, one may still begin within so many characters before the end, and then they and the next
    /// [`DeepScan::NEAR_START`] characters of what follows, scanned as one, have a finding or go on.
    pub goes_on: bool,
    /// Whether anything was decoded.
    pub decoded: bool,
}

impl DeepScan {
    /// See [`DeepScan::goes_on`].
    pub const NEAR_END: usize = 80;
    /// See [`DeepScan::goes_on`].
    pub const NEAR_START: usize = 72;
}

/// What may still be decoded.
pub(crate) struct Allowance {
    bytes: usize,
    depth: usize,
    complete: bool,
    goes_on: bool,
    decoded: bool,
}

impl Allowance {
    /// Notes how a view ends: with a match that has begun, or with what may be one in another notation.
    pub(crate) fn note_end(&mut self, view: &[u8], goes_on: bool) {
        let near = view.get(view.len().saturating_sub(LONG_RUN_BYTES)..).unwrap_or_default();
        let word = near.rsplit(|byte| !byte.is_ascii_graphic()).next().unwrap_or_default();
        // A password in an address is told by the '@' behind it.
        let is_address = word.array_windows().any(|bytes| bytes == b"://");
        self.goes_on |= goes_on || is_address || word.len() == LONG_RUN_BYTES;
    }

    /// Takes `bytes`, or notes that they are too many.
    fn take(&mut self, bytes: usize) -> bool {
        self.decoded = true;
        match self.bytes.checked_sub(bytes) {
            Some(left) => self.bytes = left,
            None => self.complete = false,
        }
        self.complete
    }
}

impl RuleSet {
    /// Scans a whole text and what it carries percent-encoded, as HTML entities, as `\u0041`, `\x41` or `\101`,
    /// quoted-printable, in base64, in hex, in tags or in variation selectors, up to two of them around each other.
    ///
    /// Runs of base64 and hex count from 24 characters on, over lines too, and if they hold text. Costs little more than
    /// [`RuleSet::scan`] where nothing is encoded.
    ///
    /// ```
    /// use bulkhead_dlp::{Action, Rule, RuleSet, apply_edits, catalogue};
    ///
    /// let detector = catalogue().select("EMAIL_ADDRESS").remove(0).clone();
    /// let rules = RuleSet::new(vec![Rule::new(detector, Action::Mask)], Vec::new());
    /// let text = b"https://x.example/?to=jane%40example.com&n=1";
    /// assert!(rules.scan(text).clean());
    /// let edits = rules.scan_deep(text).scan.edits;
    /// assert_eq!(apply_edits(text, &edits), b"https://x.example/?to=[EMAIL_ADDRESS]&n=1");
    /// ```
    #[must_use]
    pub fn scan_deep(&self, text: &[u8]) -> DeepScan {
        let bytes = text.len().saturating_mul(DECODED_RATIO_MAX).max(DECODED_FLOOR_BYTES);
        let mut allowance = Allowance { bytes, depth: DEPTH, complete: true, goes_on: false, decoded: false };
        let scan = self.scan_with_decoded(text, &mut allowance);
        let Allowance { complete, goes_on, decoded, .. } = allowance;
        DeepScan { scan, complete, goes_on, decoded }
    }
}

/// Adds what a view carries in other notations to what was found in it.
pub(crate) fn add_decoded(rules: &RuleSet, view: &[u8], allowance: &mut Allowance, scan: &mut Scan) {
    if allowance.depth == 0 || scan.blocked.is_some() {
        return;
    }
    allowance.depth -= 1;
    let plain = counts(scan);
    for notation in Notation::ALL {
        escapes::islands(view, notation, REACH_BYTES, |island, decoded, offsets| {
            add_island(rules, island, decoded, offsets, allowance, scan);
        });
    }
    let mut add_run = |run: Range<usize>, decoded: &[u8]| {
        allowance.goes_on |= run.end == view.len();
        if scan.blocked.is_none() && allowance.take(decoded.len()) {
            let found = rules.scan_with_decoded(decoded, allowance);
            add(scan, over_run(found, (run.start as u64, run.end as u64)));
        }
    };
    runs::texts(view, &mut add_run);
    dumps::texts(view, &mut add_run);
    allowance.depth += 1;
    if counts(scan) != plain {
        settle(scan);
    }
}

/// Adds what a text says in characters that its view does not have.
pub(crate) fn add_unseen(rules: &RuleSet, text: &[u8], allowance: &mut Allowance, scan: &mut Scan) {
    if text.is_ascii() || allowance.depth == 0 || scan.blocked.is_some() {
        return;
    }
    allowance.depth -= 1;
    let seen = counts(scan);
    unseen::texts(text, |stretch, decoded, offsets| {
        allowance.goes_on |= stretch.end == text.len();
        add_island(rules, stretch.start, decoded, offsets, allowance, scan);
    });
    // A value may begin in letters and go on in tags.
    escapes::islands(text, Notation::Tags, REACH_BYTES, |island, decoded, offsets| {
        add_island(rules, island, decoded, offsets, allowance, scan);
    });
    allowance.depth += 1;
    if counts(scan) != seen {
        settle(scan);
    }
}

/// Adds what is in a stretch of a text whose escapes were undone.
fn add_island(
    rules: &RuleSet,
    island: usize,
    decoded: &[u8],
    offsets: &Offsets,
    allowance: &mut Allowance,
    scan: &mut Scan,
) {
    if scan.blocked.is_none() && allowance.take(decoded.len()) {
        let found = rules.scan_with_decoded(decoded, allowance);
        add(scan, in_island(found, island as u64, offsets, decoded.len() as u64));
    }
}

/// What was found with the help of an undone escape, in it or beside it, at its place in the view. All else is known
/// already.
///
/// Beside it, because what an escape ends with may hide where a word begins: `%20AKIA`.
fn in_island(found: Scan, island: u64, offsets: &Offsets, decoded_len: u64) -> Scan {
    let place = |start: u64, end: u64| (island + offsets.start(start), island + offsets.end(end));
    // The island's ends may cut a word, so a block rule may see a value where there is none. It stands: what comes
    // after it was not looked at.
    let blocked = found.blocked.as_ref().map(|found| {
        let (start, end) = place(found.start, found.end);
        Match { start, end, ..found.clone() }
    });
    let place_undone = |start: u64, end: u64| {
        let (text_start, text_end) = place(start, end);
        let is_undone = |start: u64, end: u64| offsets.end(end) - offsets.start(start) != end - start;
        let near = is_undone(start.saturating_sub(1), end.saturating_add(1).min(decoded_len));
        near.then_some((text_start, text_end))
    };
    let mut found = moved(found, place_undone);
    if found.blocked.is_none() {
        found.matches.extend(blocked.clone());
        found.blocked = blocked;
    }
    found
}

/// Everything that was found, over the whole run.
fn over_run(found: Scan, run: (u64, u64)) -> Scan {
    moved(found, |_, _| Some(run))
}

/// A result whose spans were moved, without those that `to` drops.
///
/// Values are masked whole: a tail that stays, or a token for the value, would not be in the text's notation.
fn moved(found: Scan, to: impl Fn(u64, u64) -> Option<(u64, u64)>) -> Scan {
    let replaced =
        found.matches.iter().filter(|found| matches!(found.action, Action::Mask | Action::Tokenize));
    let ends: HashMap<u64, u64> = replaced.map(|found| (found.start, found.end)).collect();
    let match_to = |found: Match| {
        let (start, end) = to(found.start, found.end)?;
        Some(Match { start, end, ..found })
    };
    let edit_to = |edit: Edit| {
        let end = ends.get(&edit.start).map_or(edit.end, |end| edit.end.max(*end));
        let (start, end) = to(edit.start, end)?;
        let replacement = edit.replacement.map(|new| match new {
            Replacement::Token(token) => Replacement::Placeholder(token.placeholder().clone()),
            other => other,
        });
        Some(Edit { start, end, replacement })
    };
    Scan {
        matches: found.matches.into_iter().filter_map(match_to).collect(),
        edits: found.edits.into_iter().filter_map(edit_to).collect(),
        blocked: found.blocked.and_then(match_to),
    }
}

/// Two results of one text as one.
pub(crate) fn merged(mut scan: Scan, other: Scan) -> Scan {
    add(&mut scan, other);
    settle(&mut scan);
    scan
}

/// Adds a result, which may have what is known already; see [`settle`].
fn add(scan: &mut Scan, found: Scan) {
    scan.matches.extend(found.matches);
    scan.edits.extend(found.edits);
    scan.blocked = scan.blocked.take().or(found.blocked);
}

fn counts(scan: &Scan) -> [usize; 2] {
    [scan.matches.len(), scan.edits.len()]
}

/// Puts matches in order, each once, and makes edits disjoint. Once for all that was added, of which there may be much.
fn settle(scan: &mut Scan) {
    // By start, and the match that blocks last.
    let blocked = scan.blocked.as_ref();
    scan.matches.sort_by_key(|found| (Some(found) == blocked, found.start));
    let mut known = HashSet::new();
    scan.matches.retain(|found| {
        let Match { start, end, action, fingerprint, .. } = found;
        known.insert((*start, *end, *action, found.detector.id().clone(), *fingerprint))
    });
    join_edits(&mut scan.edits);
}

/// Makes edits disjoint: one takes in those that overlap it.
fn join_edits(edits: &mut Vec<Edit>) {
    edits.sort_by_key(|edit| (edit.start, std::cmp::Reverse(edit.end)));
    edits.dedup_by(|next, kept| {
        let overlaps = next.start < kept.end;
        if overlaps {
            kept.end = kept.end.max(next.end);
        }
        overlaps
    });
}

#[cfg(test)]
mod tests;
