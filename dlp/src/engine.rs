//! The one engine under streams and whole texts: candidates stepped byte by byte.
//!
//! - An opening is a fixed text that some detectors start with, as far as it was read; see `openings`.
//! - A head is a candidate that may still match or match longer: a start, a detector and its automaton's state.
//! - A head that dies leaves its longest valid end, if any, as a pending candidate.
//! - A pending candidate is decided when no live head could still win against it (see `resolve`).
//! - Every step depends on the bytes so far and on nothing else. In particular nothing here knows where the
//!   text was cut, and nothing depends on when a caller takes results.

mod candidate;
mod openings;
mod resolve;
mod step;

use std::sync::Arc;

use crate::before::Before;
use crate::context::Context;
use crate::finding::{Edit, Match, Replacement, Scan};
use crate::keyed::Token;
use crate::rules::RuleSet;
use candidate::{Candidate, Decided, Frozen, Head, Layer, Piece};
use openings::Opening;

/// The most candidates that may be undecided at once; one more blocks the text.
///
/// Those that start at the byte at hand are not counted: with all detectors on there are some dozen at a
/// digit, and nearly all end with the next byte. Ordinary text leaves a few, a long number some twenty.
/// Every open candidate costs a few nanoseconds per byte, so this bounds what a hostile text can cost.
pub const HEADS_MAX: usize = 256;

/// The id of the detector that stands for a text blocked because it exceeded [`HEADS_MAX`].
pub const HOLD_LIMIT: &str = "HOLD_LIMIT";

/// How many heads a scan with skipping may have before it starts again without skipping.
///
/// Skipping leaves out heads that cannot match, so it sees fewer than a stream would, and the two must
/// agree on `HEADS_MAX`. The heads left out are those in front of an '@', in a run of digits, of hex groups
/// or of an IBAN's first characters, those inside a literal prefix, and those that a few more bytes would end:
/// below 150 at any time, because a start needs a word boundary and each of these is short. With 96 seen, a
/// stream has fewer than `HEADS_MAX`.
const SKIPPING_HEADS_MAX: usize = 96;

/// A part of the text and where it stands in the channel.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub(crate) base: u64,
    pub(crate) text: &'a [u8],
}

impl<'a> Window<'a> {
    fn get(self, start: u64, end: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(start.checked_sub(self.base)?).ok()?;
        let end = usize::try_from(end.checked_sub(self.base)?).ok()?;
        self.text.get(start..end)
    }

    pub(crate) fn byte(self, at: u64) -> Option<u8> {
        self.text.get(usize::try_from(at.checked_sub(self.base)?).ok()?).copied()
    }
}

pub(crate) struct Engine {
    position: u64,
    before: Before,
    context: Context,
    /// By start.
    openings: Vec<Opening>,
    /// Live heads by start.
    heads: Vec<Head>,
    /// Closed candidates that are not decided.
    pending: Vec<Candidate>,
    /// Closed candidates that are allowed values and shield what lies inside them.
    allowed: Vec<Candidate>,
    /// Per layer: the end of the last decided match.
    taken_until: [u64; Layer::COUNT],
    /// Decided and not handed out, by start, then rule.
    matches: Vec<Decided>,
    edits: Vec<Piece>,
    blocked: Option<Match>,
    block_reported: bool,
    frozen: Option<Frozen>,
    /// The most heads and pending candidates there were at once.
    open_peak: usize,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            position: 0,
            before: Before::Text,
            context: Context::default(),
            openings: Vec::new(),
            heads: Vec::new(),
            pending: Vec::new(),
            allowed: Vec::new(),
            taken_until: [0; Layer::COUNT],
            matches: Vec::new(),
            edits: Vec::new(),
            blocked: None,
            block_reported: false,
            frozen: None,
            open_peak: 0,
        }
    }
}

impl Engine {
    /// Ends the text: every head gets its last chance.
    pub(crate) fn finish(&mut self, rules: &RuleSet, window: Window<'_>) {
        if self.blocked.is_some() {
            return;
        }
        self.step_open(rules, window, None);
        for head in &mut self.heads {
            head.dead = true;
        }
        if !self.heads.is_empty() {
            self.settle(rules, window);
        }
    }

    /// Moves on over text in which nothing can start; only while idle. `previous` is the last byte of it.
    pub(crate) fn skip_to(&mut self, position: usize, before: Before, previous: Option<u8>) {
        debug_assert!(self.is_idle() || self.position == position as u64, "skipped over open candidates");
        debug_assert!(
            self.before == before || self.position != position as u64,
            "read {before:?} for the same bytes"
        );
        if self.position != position as u64 {
            self.context.skip(previous.unwrap_or_default());
        }
        self.position = position as u64;
        self.before = before;
    }

    /// Whether no candidate is open, and none may start because of a context word before it.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.heads.is_empty() && self.openings.is_empty() && !self.context.is_open(self.position)
    }

    /// Whether a candidate is open that began more than `near` bytes ago, or because of what stands before it: the last
    /// `near` bytes do not show it.
    pub(crate) fn has_far_candidate(&self, rules: &RuleSet, near: u64) -> bool {
        let needs_context =
            |rule| rules.detector(rule).is_some_and(|detector| !detector.context().is_empty());
        self.heads.iter().any(|head| head.start + near < self.position || needs_context(head.rule))
            || self.first_opening().is_some_and(|start| start + near < self.position)
    }

    /// Whether the result could differ from that of a scan of every byte.
    pub(crate) fn needs_every_byte(&self) -> bool {
        // After a block, what had been decided before it depends on the heads that were left out.
        self.blocked.is_some() || self.open_peak > SKIPPING_HEADS_MAX
    }

    pub(crate) fn blocked(&self) -> Option<&Match> {
        self.blocked.as_ref()
    }

    /// The offset below which every byte is final; `floor` moves one to the start of the character around it.
    pub(crate) fn released(&self, floor: impl Fn(u64) -> u64) -> u64 {
        let mut hold = floor(self.held_from());
        loop {
            // A hold inside a decided match comes from heads that do not compete with it, such as those of block
            // rules, and from characters that two matches share.
            let around = self.edits.get(self.edits.partition_point(|piece| piece.end <= hold));
            match around.filter(|piece| !piece.divisible && piece.start < hold) {
                Some(piece) => hold = floor(piece.start),
                None => return hold,
            }
        }
    }

    /// Whether a match that is masked as it goes on has been handed out up to `at` and may go on there.
    pub(crate) fn goes_on_at(&self, at: u64) -> bool {
        let goes_on = |piece: &Piece| piece.start < at || piece.start == at && piece.continued;
        self.heads.iter().any(|head| head.open && head.start < at && at <= head.end)
            || self.edits.first().is_some_and(|piece| piece.divisible && goes_on(piece))
    }

    /// The first byte that an open candidate may still take.
    fn held_from(&self) -> u64 {
        if let Some(frozen) = self.frozen {
            return frozen.held_from;
        }
        let heads = self.heads.iter().map(Head::floor);
        heads.chain(self.waiting()).fold(self.position, u64::min)
    }

    /// The offset below which no further match can start.
    fn decided(&self) -> u64 {
        if let Some(frozen) = self.frozen {
            return frozen.decided;
        }
        let heads = self.heads.iter().map(|head| head.start);
        heads.chain(self.waiting()).fold(self.position, u64::min)
    }

    /// The offset of the first byte that a later step may still read.
    pub(crate) fn text_needed_from(&self) -> u64 {
        let heads = self.heads.iter().filter(|head| !head.open).map(|head| head.start);
        // The text of an opening is read once more when it is complete, that of a candidate when it is decided.
        heads.chain(self.waiting()).fold(self.position, u64::min)
    }

    /// Where openings and closed candidates start.
    fn waiting(&self) -> impl Iterator<Item = u64> {
        self.first_opening().into_iter().chain(self.pending.iter().map(|candidate| candidate.start))
    }

    pub(crate) fn take_matches(&mut self, rules: &RuleSet, into: &mut Vec<Match>) {
        let decided = self.decided();
        let open = self.heads.len() + self.openings.len() + self.pending.len();
        let ended = open == 0 && self.frozen.is_none();
        let count = if ended {
            self.matches.len()
        } else {
            self.matches.partition_point(|found| found.candidate.start < decided)
        };
        into.extend(self.matches.drain(..count).filter_map(|found| to_match(rules, found)));
        if !self.block_reported
            && let Some(blocked) = &self.blocked
        {
            into.push(blocked.clone());
            self.block_reported = true;
        }
    }

    /// Hands out the edits before `released`, which is what [`Self::released`] gives.
    pub(crate) fn take_edits(&mut self, rules: &RuleSet, released: u64, into: &mut Vec<Edit>) {
        let count = self.edits.partition_point(|piece| piece.end <= released);
        into.extend(self.edits.drain(..count).filter_map(|piece| to_edit(rules, piece)));
        if let Some(rest) = self.edits.first_mut()
            && rest.divisible
            && rest.start < released
        {
            into.extend(to_edit(rules, Piece { end: released, ..*rest }));
            rest.start = released;
            rest.continued = true;
        }
    }

    /// The offsets that later results may still speak of, but for those from [`Self::text_needed_from`] on.
    pub(crate) fn offsets_in_use(&self) -> Vec<u64> {
        let edits = self.edits.iter().map(|piece| (piece.start, piece.end));
        let candidates = self.pending.iter().chain(self.matches.iter().map(|found| &found.candidate));
        let candidates = candidates.map(|candidate| (candidate.start, candidate.end));
        let heads = self.heads.iter().map(|head| (head.start, head.end));
        let openings = self.openings.iter().map(|opening| opening.start);
        let ranges = edits.chain(candidates).chain(heads);
        ranges.flat_map(|(start, end)| [start, end]).chain(openings).collect()
    }

    /// The result, with the edits before `released`; see [`Self::take_edits`].
    pub(crate) fn into_scan(mut self, rules: &RuleSet, released: u64) -> Scan {
        let mut scan = Scan::default();
        self.take_matches(rules, &mut scan.matches);
        self.take_edits(rules, released, &mut scan.edits);
        scan.blocked = self.blocked;
        scan
    }

    /// Freezes what has been decided; nothing after it is looked at.
    fn block(&mut self, cause: Match) {
        self.frozen = Some(Frozen { held_from: self.held_from(), decided: self.decided() });
        self.blocked = Some(cause);
        self.openings.clear();
        self.heads.clear();
        self.pending.clear();
    }
}

fn to_match(rules: &RuleSet, found: Decided) -> Option<Match> {
    let Decided { candidate, fingerprint } = found;
    let rule = rules.rule(candidate.rule)?;
    let detector = Arc::clone(rule.detector);
    Some(Match { start: candidate.start, end: candidate.end, detector, action: rule.action, fingerprint })
}

fn to_edit(rules: &RuleSet, piece: Piece) -> Option<Edit> {
    let placeholder = rules.rule(piece.rule)?.detector.placeholder();
    let replacement = (!piece.continued).then(|| match piece.token {
        Some(hash) => Replacement::Token(Token::new(placeholder, hash)),
        None => Replacement::Placeholder(placeholder.clone()),
    });
    Some(Edit { start: piece.start, end: piece.end, replacement })
}
