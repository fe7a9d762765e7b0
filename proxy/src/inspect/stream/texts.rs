//! The texts of a stream: one scanner per channel, from its first piece until it ends, and beyond.

use super::{Stop, StreamInspector};
use crate::inspect::whole::{Form, RawRanges, Splices, new_text, written};
use bulkhead_dialect::json::unescape;
use bulkhead_dialect::stream::{Channel, TextSpan};
use bulkhead_dlp::{Action, Edit, Replacement, TextScanner};
use bulkhead_policy::trace::Direction;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes of a closed text that are remembered: longer than any value that people write in one word.
const RECENT_BYTES: usize = 512;
/// Texts that one stream may have open; real answers have a handful.
const TEXTS_MAX: usize = 1024;

/// One channel's text. Closed ones stay until no waiting event refers to them.
pub(super) struct TextState {
    pub(super) channel: Channel,
    pub(super) scanner: TextScanner,
    pub(super) edits: VecDeque<Edit>,
    pub(super) closed: bool,
    /// Its choice has gone on to another text.
    pub(super) left: bool,
    /// The text's last bytes.
    pub(super) recent: Vec<u8>,
    /// Bytes at the front that left before this text was opened again.
    pub(super) seed: u64,
    /// Where the last value ends that is hidden so far.
    pub(super) hidden_to: u64,
    /// Where the last block ends that is hidden as long as it goes on.
    pub(super) block_to: u64,
}

/// The end of a text that was closed: should the provider go on with it, a value may reach over the gap.
pub(super) struct EndedText {
    pub(super) channel: Channel,
    pub(super) tail: Vec<u8>,
    /// It ended within a block that is masked as long as it goes on; its tail does not tell.
    pub(super) in_block: bool,
}

/// The piece of a channel's text that an event carries.
pub(super) struct Part {
    pub(super) text: usize,
    pub(super) offsets: Range<u64>,
    /// Where it stands in the frame's data.
    pub(super) raw: Range<usize>,
    pub(super) form: Form,
}

impl StreamInspector {
    pub(super) fn scan_part(
        &mut self,
        channel: Channel,
        span: &TextSpan,
        raw: &[u8],
    ) -> Result<Option<Part>, Stop> {
        // Only JSON events have channels, so the text is always a JSON string.
        let form = if span.escaped { Form::EscapedJson } else { Form::Json };
        let decoded = if span.escaped { unescape(raw) } else { Cow::Borrowed(raw) };
        self.text_tokens.push(&decoded);
        if decoded.is_empty() || self.rules.is_empty() {
            return Ok(None);
        }
        let index = self.open(channel)?;
        if self.texts.len() > TEXTS_MAX {
            return Err(Stop::HoldExceeded);
        }
        let Some(text) = self.texts.get_mut(index) else { return Err(Stop::HoldExceeded) };
        text.left = false;
        let start = text.scanner.pushed();
        text.scanner.push(&decoded);
        let offsets = start..text.scanner.pushed();
        keep_recent(&mut text.recent, &decoded);
        self.collect(index)?;
        Ok(Some(Part { text: index, offsets, raw: span.raw.clone(), form }))
    }

    /// The index of the channel's open text; opens one where there is none.
    fn open(&mut self, channel: Channel) -> Result<usize, Stop> {
        if let Some(open) = self.texts.iter().position(|text| !text.closed && text.channel == channel) {
            return Ok(open);
        }
        // A provider that goes back to a text: the scanner sees how it ended, so that a value over the gap is
        // found. Its head has left by then; the rest must not.
        let ended = self.ended.iter().position(|ended| ended.channel == channel);
        let ended = ended.and_then(|at| self.ended.remove(at));
        if ended.as_ref().is_some_and(|ended| ended.in_block) {
            return Err(Stop::Uninspectable);
        }
        let recent = ended.map(|ended| ended.tail).unwrap_or_default();
        let mut scanner = self.rules.scanner();
        scanner.push(&recent);
        let seed = scanner.pushed();
        let text = TextState {
            channel,
            scanner,
            edits: VecDeque::new(),
            closed: false,
            left: false,
            recent,
            seed,
            hidden_to: 0,
            block_to: 0,
        };
        self.texts.push(text);
        Ok(self.texts.len() - 1)
    }

    /// Takes what the scanner has decided.
    fn collect(&mut self, index: usize) -> Result<(), Stop> {
        let Some(text) = self.texts.get_mut(index) else { return Ok(()) };
        text.scanner.take_edits(&mut self.edits);
        let seed = text.seed;
        // What lies within the seed was masked when it left. Of a value that reaches out of it the rest is masked.
        // A token whose head has left stays as it is.
        let is_late =
            |edit: &Edit| edit.start < seed && matches!(edit.replacement, Some(Replacement::Value(_)));
        let edits = self.edits.drain(..).filter(|edit| edit.end > seed && !is_late(edit));
        for edit in edits {
            text.hidden_to = edit.end;
            text.edits.push_back(Edit { start: edit.start.max(seed), ..edit });
        }
        text.scanner.take_matches(&mut self.matches);
        for found in self.matches.drain(..).filter(|found| found.end > seed) {
            if found.detector.max_len().is_none() && found.action != Action::Alert {
                text.block_to = found.end;
            }
            let label = Cow::Owned(label(text.channel));
            self.findings.add(&found, Direction::Response, label, (found.start, found.end));
        }
        match text.scanner.blocked() {
            Some(found) => Err(Stop::Blocked([found.detector.id().to_string()].into())),
            None => Ok(()),
        }
    }

    /// Ends the texts that `which` names: their scanners decide everything that is left.
    pub(super) fn close(&mut self, which: impl Fn(&TextState) -> bool) -> Result<(), Stop> {
        let mut result = Ok(());
        for index in 0..self.texts.len() {
            let Some(text) = self.texts.get_mut(index) else { continue };
            if text.closed || !which(text) {
                continue;
            }
            let was_open = text.scanner.released() < text.scanner.pushed();
            text.scanner.finish();
            text.closed = true;
            result = result.and(self.collect(index));
            let Some(text) = self.texts.get_mut(index) else { continue };
            let in_block = text.block_to > 0 && text.block_to == text.scanner.pushed();
            if (was_open || in_block) && self.ended.len() < TEXTS_MAX {
                let tail = std::mem::take(&mut text.recent);
                self.ended.push_back(EndedText { channel: text.channel, tail, in_block });
            }
        }
        result
    }
}

/// Keeps the last bytes of a text, in steps.
fn keep_recent(recent: &mut Vec<u8>, text: &[u8]) {
    recent.extend_from_slice(text);
    if recent.len() > 2 * RECENT_BYTES {
        recent.drain(..recent.len() - RECENT_BYTES);
    }
}

/// How a channel is called in findings.
fn label(channel: Channel) -> String {
    format!("{:?} {}.{}", channel.kind, channel.choice, channel.item)
}

/// Turns the channel's edits that touch `part` into splices, and drops the edits that end within it.
pub(super) fn splice_part(part: &Part, data: &[u8], edits: &mut VecDeque<Edit>, splices: &mut Splices) {
    let raw = data.get(part.raw.clone()).unwrap_or_default();
    let within = |offset: u64| offset.clamp(part.offsets.start, part.offsets.end) - part.offsets.start;
    let mut ranges = RawRanges::new(raw, part.form);
    while let Some(edit) = edits.front() {
        if edit.start >= part.offsets.end {
            return;
        }
        if edit.end > part.offsets.start {
            // The new text stands where the old began; later events only lose their part of it.
            let begins_here = edit.start >= part.offsets.start;
            let text = if begins_here { written(new_text(edit), part.form) } else { Vec::new() };
            let range = ranges.of(within(edit.start)..within(edit.end));
            splices.add(edit, part.raw.start + range.start..part.raw.start + range.end, text);
        }
        if edit.end > part.offsets.end {
            return;
        }
        edits.pop_front();
    }
}
