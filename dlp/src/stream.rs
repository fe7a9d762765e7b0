//! The scanner of one channel of a stream.

use std::fmt;
use std::sync::Arc;

use crate::engine::{Engine, Window};
use crate::finding::{Edit, Match};
use crate::rules::RuleSet;
use crate::view::{self, Offsets};

/// How many bytes that are no longer needed may stay in front of the held text.
///
/// Removing them moves the rest, so it is done in steps.
const STALE_BYTES_MAX: usize = 1024;

/// The longest UTF-8 character.
const CHARACTER_BYTES_MAX: u64 = 4;

/// Scans one channel of one request as its text arrives.
///
/// ```
/// use std::sync::Arc;
/// use bulkhead_dlp::{Action, Rule, RuleSet, catalogue};
///
/// let detector = catalogue().select("EMAIL_ADDRESS").remove(0).clone();
/// let rules = Arc::new(RuleSet::new(vec![Rule::new(detector, Action::Mask)], Vec::new()));
/// let mut scanner = rules.scanner();
/// scanner.push(b"ask jane@exa");
/// assert_eq!(scanner.released(), 4); // "ask " may leave
/// scanner.push(b"mple.com now");
/// let mut edits = Vec::new();
/// scanner.take_edits(&mut edits);
/// assert_eq!((edits[0].start, edits[0].end), (4, 20));
/// ```
pub struct StreamScanner {
    rules: Arc<RuleSet>,
    engine: Engine,
    /// The text's view from `base` on: what live candidates cover, and at most some stale bytes.
    view: Vec<u8>,
    base: u64,
    offsets: Offsets,
    /// The beginning of a character that the next part goes on with.
    incomplete: Vec<u8>,
    pushed: u64,
    /// The end of the last edit handed out.
    edited_to: u64,
    blocked: Option<Match>,
}

impl StreamScanner {
    pub(crate) fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            rules,
            engine: Engine::default(),
            view: Vec::new(),
            base: 0,
            offsets: Offsets::default(),
            incomplete: Vec::new(),
            pushed: 0,
            edited_to: 0,
            blocked: None,
        }
    }

    /// Takes the next part of the channel's decoded text.
    pub fn push(&mut self, text: &[u8]) {
        self.pushed += text.len() as u64;
        if self.blocked.is_some() {
            return;
        }
        let new = self.view.len();
        if self.incomplete.is_empty() && text.is_ascii() {
            self.view.extend_from_slice(text);
            self.offsets.keep(text.len());
        } else {
            self.incomplete.extend_from_slice(text);
            let folded = view::fold_onto(&self.incomplete, &mut self.view, &mut self.offsets);
            self.incomplete.drain(..folded);
        }
        self.step_from(new);
        self.forget();
    }

    /// Ends the channel's text: everything still open is decided.
    pub fn finish(&mut self) {
        if self.blocked.is_some() {
            return;
        }
        let new = self.view.len();
        self.view.append(&mut self.incomplete);
        self.offsets.keep(self.view.len() - new);
        self.step_from(new);
        self.engine.finish(&self.rules, Window { base: self.base, text: &self.view });
        self.note_block();
        self.forget();
    }

    fn step_from(&mut self, new: usize) {
        let window = Window { base: self.base, text: &self.view };
        self.engine.run(&self.rules, window, self.view.get(new..).unwrap_or_default());
        self.note_block();
    }

    fn note_block(&mut self) {
        self.blocked = self.engine.blocked().cloned();
        self.blocked.iter_mut().for_each(|found| self.offsets.restore_match(found));
    }

    /// The offset below which every byte is final: it may leave once the edits are made.
    ///
    /// Never decreases, and never stands inside an edit or a UTF-8 character.
    #[must_use]
    pub fn released(&self) -> u64 {
        let released = self.released_view();
        // What shows nothing after a block belongs to it if the block goes on.
        if self.engine.goes_on_at(released) {
            self.offsets.end(released)
        } else {
            self.offsets.up_to(released)
        }
    }

    fn released_view(&self) -> u64 {
        let window = Window { base: self.base, text: &self.view };
        self.engine.released(|at| self.offsets.floor(at, window))
    }

    /// The number of bytes taken so far.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// The match that blocks the channel; once there is one, nothing more is released.
    #[must_use]
    pub fn blocked(&self) -> Option<&Match> {
        self.blocked.as_ref()
    }

    /// Appends the matches decided since the last call, by start; a blocking match comes last.
    pub fn take_matches(&mut self, into: &mut Vec<Match>) {
        let known = into.len();
        self.engine.take_matches(&self.rules, into);
        into.iter_mut().skip(known).for_each(|found| self.offsets.restore_match(found));
    }

    /// Appends the edits decided since the last call, by start, none beyond [`Self::released`].
    pub fn take_edits(&mut self, into: &mut Vec<Edit>) {
        let known = into.len();
        self.engine.take_edits(&self.rules, self.released_view(), into);
        for edit in into.iter_mut().skip(known) {
            self.edited_to = self.offsets.restore_edit(edit, self.edited_to);
        }
    }

    /// Drops the text that no live candidate needs.
    fn forget(&mut self) {
        let needed = self.engine.text_needed_from().min(self.engine.released(|at| at));
        // The start of the character there.
        let needed = needed.saturating_sub(CHARACTER_BYTES_MAX - 1).max(self.base);
        self.offsets.forget(needed, || self.engine.offsets_in_use());
        let stale = usize::try_from(needed - self.base).unwrap_or(usize::MAX).min(self.view.len());
        if stale > STALE_BYTES_MAX {
            self.view.drain(..stale);
            self.base = needed;
        }
    }
}

impl fmt::Debug for StreamScanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The held text is what must not be seen.
        f.debug_struct("StreamScanner")
            .field("pushed", &self.pushed())
            .field("released", &self.released())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
