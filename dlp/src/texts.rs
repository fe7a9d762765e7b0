//! All that is done to the texts of one direction of one request: a policy's rules, and tokens to restore.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::finding::{Edit, Match, Scan};
use crate::restore::{Restorer, TokenMap};
use crate::rules::RuleSet;
use crate::stream::StreamScanner;

/// Rules, and the tokens whose values are put back beside them.
///
/// Rules look at the text as it came, tokens in it included: a value that is put back is the caller's own and
/// is not looked at. Where a rule's edit overlaps a token, the edit is made and the token not restored.
///
/// ```
/// use std::sync::Arc;
/// use bulkhead_dlp::{Action, Rule, RuleSet, TextRules, catalogue};
///
/// let detector = catalogue().select("US_SSN").remove(0).clone();
/// let rules = Arc::new(RuleSet::new(vec![Rule::new(detector, Action::Mask)], Vec::new()));
/// assert_eq!(TextRules::from(rules).scan(b"SSN 078-05-1120").edits.len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct TextRules {
    rules: Arc<RuleSet>,
    tokens: Arc<TokenMap>,
}

impl From<Arc<RuleSet>> for TextRules {
    fn from(rules: Arc<RuleSet>) -> Self {
        Self { rules, tokens: Arc::default() }
    }
}

impl TextRules {
    /// Puts the values of these tokens back.
    #[must_use]
    pub fn restoring(self, tokens: Arc<TokenMap>) -> Self {
        Self { tokens, ..self }
    }

    /// Whether nothing is ever done to a text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.tokens.is_empty()
    }

    /// The shortest text in bytes to which anything is ever done.
    #[must_use]
    pub fn match_bytes_min(&self) -> usize {
        if self.tokens.is_empty() { self.rules.match_bytes_min() } else { 0 }
    }

    /// The rules alone.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Scans a whole text; the same result as a [`TextScanner`] that is given the text and finished.
    #[must_use]
    pub fn scan(&self, text: &[u8]) -> Scan {
        self.restoring_in(text, self.rules.scan(text))
    }

    /// Scans the value of a member; see [`RuleSet::scan_member`].
    #[must_use]
    pub fn scan_member(&self, name: &[u8], value: &[u8]) -> Scan {
        self.restoring_in(value, self.rules.scan_member(name, value))
    }

    fn restoring_in(&self, text: &[u8], mut scan: Scan) -> Scan {
        let mut restored = self.tokens.restore(text);
        restored.retain(|edit| {
            let next = scan.edits.partition_point(|made| made.end <= edit.start);
            !starts_within(scan.edits.get(next), edit)
        });
        if !restored.is_empty() {
            scan.edits.append(&mut restored);
            scan.edits.sort_by_key(|edit| edit.start);
        }
        scan
    }

    /// A scanner for one channel of a stream.
    #[must_use]
    pub fn scanner(&self) -> TextScanner {
        TextScanner {
            scanner: self.rules.scanner(),
            restorer: Restorer::default(),
            tokens: Arc::clone(&self.tokens),
            found: VecDeque::new(),
            made: VecDeque::new(),
        }
    }
}

/// Scans one channel as its text arrives; offsets as in [`StreamScanner`].
pub struct TextScanner {
    scanner: StreamScanner,
    restorer: Restorer,
    tokens: Arc<TokenMap>,
    /// Tokens that an edit of the rules may yet overlap.
    found: VecDeque<Edit>,
    /// Ranges of the rules' edits that a token may yet overlap.
    made: VecDeque<Edit>,
}

impl TextScanner {
    /// Takes the next part of the channel's decoded text.
    pub fn push(&mut self, text: &[u8]) {
        self.scanner.push(text);
        if !self.tokens.is_empty() {
            self.restorer.push(&self.tokens, text);
            self.found.extend(self.restorer.take_edits());
        }
    }

    /// Ends the channel's text: everything still open is decided.
    pub fn finish(&mut self) {
        self.scanner.finish();
        self.restorer.finish(&self.tokens);
        self.found.extend(self.restorer.take_edits());
    }

    /// The offset below which every byte is final: it may leave once the edits are made.
    #[must_use]
    pub fn released(&self) -> u64 {
        let hold = self.scanner.released();
        if self.tokens.is_empty() {
            return hold;
        }
        // A token whose end is not released by the rules may lose against an edit that begins in it.
        let undecided = self.found.iter().find(|edit| edit.end > hold).map_or(hold, |edit| edit.start);
        hold.min(self.restorer.released()).min(undecided)
    }

    /// The number of bytes taken so far.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.scanner.pushed()
    }

    /// The match that blocks the channel; once there is one, nothing more is released.
    #[must_use]
    pub fn blocked(&self) -> Option<&Match> {
        self.scanner.blocked()
    }

    /// Appends the matches decided since the last call; see [`StreamScanner::take_matches`].
    pub fn take_matches(&mut self, into: &mut Vec<Match>) {
        self.scanner.take_matches(into);
    }

    /// Appends the edits decided since the last call, by start, none of them before one of an earlier call.
    pub fn take_edits(&mut self, into: &mut Vec<Edit>) {
        let from = into.len();
        self.scanner.take_edits(into);
        if self.tokens.is_empty() {
            return;
        }
        self.made.extend(into.get(from..).unwrap_or_default().iter().cloned());
        let decided = self.scanner.released();
        while let Some(edit) = self.found.pop_front_if(|edit| edit.end <= decided) {
            let next = self.made.partition_point(|made| made.end <= edit.start);
            if !starts_within(self.made.get(next), &edit) {
                into.push(edit);
            }
        }
        if let Some(new) = into.get_mut(from..) {
            new.sort_by_key(|edit| edit.start);
        }
        let open = self.found.front().map_or(u64::MAX, |edit| edit.start).min(self.restorer.released());
        while self.made.pop_front_if(|made| made.end <= open).is_some() {}
    }
}

impl fmt::Debug for TextScanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Edits may hold values.
        f.debug_struct("TextScanner").field("scanner", &self.scanner).finish_non_exhaustive()
    }
}

/// Whether the first of the rules' edits that ends behind the start of `token` overlaps it.
fn starts_within(next: Option<&Edit>, token: &Edit) -> bool {
    next.is_some_and(|made| made.start < token.end)
}

#[cfg(test)]
mod tests;
