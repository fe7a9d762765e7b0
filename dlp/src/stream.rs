//! The scanner of one channel of a stream.

use std::fmt;
use std::sync::Arc;

use crate::engine::{Engine, Window};
use crate::finding::{Edit, Match};
use crate::rules::RuleSet;

/// How many bytes that are no longer needed may stay in front of the held text.
///
/// Removing them moves the rest, so it is done in steps.
const STALE_BYTES_MAX: usize = 1024;

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
    /// The text from `base` on: what live candidates cover, and at most some stale bytes.
    text: Vec<u8>,
    base: u64,
}

impl StreamScanner {
    pub(crate) fn new(rules: Arc<RuleSet>) -> Self {
        Self { rules, engine: Engine::default(), text: Vec::new(), base: 0 }
    }

    /// Takes the next part of the channel's decoded text.
    pub fn push(&mut self, text: &[u8]) {
        if self.engine.blocked().is_some() {
            self.engine.count_unread(text.len());
            return;
        }
        self.text.extend_from_slice(text);
        let window = Window { base: self.base, text: &self.text };
        for &byte in text {
            self.engine.step(&self.rules, window, byte);
        }
        self.forget();
    }

    /// Ends the channel's text: everything still open is decided.
    pub fn finish(&mut self) {
        let window = Window { base: self.base, text: &self.text };
        self.engine.finish(&self.rules, window);
        self.forget();
    }

    /// The offset below which every byte is final: it may leave once the edits are made.
    ///
    /// Never decreases, and never stands inside an edit. It may stand inside a UTF-8 character.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.engine.released()
    }

    /// The number of bytes taken so far.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.engine.position()
    }

    /// The match that blocks the channel; once there is one, nothing more is released.
    #[must_use]
    pub fn blocked(&self) -> Option<&Match> {
        self.engine.blocked()
    }

    /// Appends the matches decided since the last call, by start; a blocking match comes last.
    pub fn take_matches(&mut self, into: &mut Vec<Match>) {
        self.engine.take_matches(&self.rules, into);
    }

    /// Appends the edits decided since the last call, by start, none beyond [`Self::released`].
    pub fn take_edits(&mut self, into: &mut Vec<Edit>) {
        self.engine.take_edits(&self.rules, into);
    }

    /// Drops the text that no live candidate needs.
    fn forget(&mut self) {
        let needed = self.engine.text_needed_from();
        let stale =
            usize::try_from(needed.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.text.len());
        if stale == self.text.len() {
            self.text.clear();
        } else if stale > STALE_BYTES_MAX {
            self.text.drain(..stale);
        } else {
            return;
        }
        self.base = needed;
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
