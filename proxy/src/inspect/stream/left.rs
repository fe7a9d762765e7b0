//! Texts that are left: their choice has gone on to another one, and may come back.
//!
//! Events leave in order, so what a left text holds would hold everything behind it. What it ends with decides:
//!
//! - Nothing is held: the text stays open, which costs nobody anything.
//! - A word: the text ends. Ordinary models write reasoning, then content, and hardly ever come back.
//! - What may be half of a value: the text stays open until [`LEFT_BYTES_MAX`] of events wait, and ends then.
//! - What begins like a secret: the text stays open until the dialect ends it, or the stream stops because too much
//!   waits.

use super::texts::TextState;
use super::{Stop, StreamInspector};
use bulkhead_dialect::stream::Channel;
use bulkhead_dlp::{Beginning, RuleSet};
use std::sync::Arc;

/// Bytes of events that wait for the other half of a value: those of a hundred words or so.
const LEFT_BYTES_MAX: usize = 16 << 10;

impl StreamInspector {
    /// The choice of `channel` goes on to another text.
    pub(super) fn leave(&mut self, channel: Channel) -> Result<(), Stop> {
        let is_it = |text: &TextState| !text.closed && text.channel == channel;
        let Some(text) = self.texts.iter_mut().find(|text| is_it(text)) else { return Ok(()) };
        text.left = true;
        if text.holds(self.rules.rules()) == Some(Beginning::Word) { self.close(is_it) } else { Ok(()) }
    }

    /// Ends the left texts that have made the others wait for long enough.
    pub(super) fn end_left_texts(&mut self) -> Result<(), Stop> {
        if self.queued_bytes <= LEFT_BYTES_MAX {
            return Ok(());
        }
        let rules = Arc::clone(self.rules.rules());
        self.close(|text| text.left && text.holds(&rules).is_some_and(|held| held < Beginning::Secret))
    }
}

impl TextState {
    /// What the held end of the text may be the beginning of; `None` where nothing is held.
    fn holds(&self, rules: &RuleSet) -> Option<Beginning> {
        let released = self.scanner.released();
        let held = usize::try_from(self.scanner.pushed() - released).unwrap_or(usize::MAX);
        match self.recent.len().checked_sub(held) {
            _ if held == 0 => None,
            // The next bytes of a key block, whose beginning is hidden already.
            _ if self.hidden_to > 0 && self.hidden_to == released => Some(Beginning::Secret),
            Some(start) => Some(rules.beginning(self.recent.get(start..).unwrap_or_default())),
            // Nothing but secrets is that long.
            None => Some(Beginning::Secret),
        }
    }
}
