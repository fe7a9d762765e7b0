//! Inspects an answer's event stream while it passes.
//!
//! 1. An event leaves when every text it carries is released by its channel's scanner; events leave in the
//!    order they came. Until then it waits in the queue, whose bytes are capped; over the cap the stream is
//!    blocked, never passed.
//! 2. An event that nothing touches leaves as the very bytes that came. A touched one is spliced at the raw
//!    ranges of its strings: ids, sequence numbers, usage and the JSON around them stay as they are.
//! 3. A value that reaches over several events is replaced in the first; the others lose their part.
//! 4. Nothing is released by time. What a scanner holds leaves when it is decided or when its text ends. Where a
//!    text ends because another one goes on is told in [`left`].

mod aside;
mod left;
mod repeats;
mod texts;

use super::Findings;
use super::disjoint::Disjoint;
use super::names::Names;
use super::whole::{Form, Inspected, Splices, Text};
use bulkhead_dialect::error::ErrorInfo;
use bulkhead_dialect::json::{Document, Limits};
use bulkhead_dialect::sse::{Decoder, Frame};
use bulkhead_dialect::stream::{Closes, StreamEvent, StreamReader, TextSpan};
use bulkhead_dialect::tokens::Counter;
use bulkhead_dialect::{Endpoint, Usage};
use bulkhead_dlp::{Edit, Match, TextRules};
use bytes::Bytes;
use repeats::Repeats;
use smallvec::SmallVec;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use texts::{EndedText, Part, TextState, splice_part};

/// Why a stream must not go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// These detectors' rules block.
    Blocked(BTreeSet<String>),
    /// More bytes wait for a verdict than the limit allows.
    HoldExceeded,
    /// One event is larger than the limit allows.
    EventTooLarge,
    /// An event is in no form that can be inspected over events.
    Uninspectable,
}

/// How one stream is treated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamOptions {
    pub(crate) event_bytes_max: usize,
    /// Bytes of events that may wait for a verdict.
    pub(crate) held_bytes_max: usize,
    /// The usage was asked for by us and not by the caller, so its chunk is taken out.
    pub(crate) drop_usage_chunk: bool,
    /// The policy lets pass what cannot be inspected.
    pub(crate) allow_uninspectable: bool,
}

/// Inspects one stream; belongs to one request.
pub(crate) struct StreamInspector {
    decoder: Decoder,
    reader: StreamReader,
    rules: TextRules,
    texts: Vec<TextState>,
    queue: VecDeque<Waiting>,
    queued_bytes: usize,
    findings: Findings,
    text_tokens: Counter,
    usage: Option<Usage>,
    usage_is_final: bool,
    model: Option<String>,
    ends_by_choice: bool,
    choices_seen: BTreeSet<u32>,
    choices_done: BTreeSet<u32>,
    terminal: bool,
    ends_within_event: bool,
    ended: VecDeque<EndedText>,
    options: StreamOptions,
    uninspected: bool,
    repeats: Repeats,
    matches: Vec<Match>,
    edits: Vec<Edit>,
}

/// The pieces of texts that one event carries.
type Parts = SmallVec<[Part; 2]>;

/// An event that waits for its verdicts.
struct Waiting {
    frame: Frame,
    parts: Parts,
    /// Edits of the frame's data that are decided already.
    splices: Splices,
}

/// What leaves towards the caller.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) sent: Bytes,
    /// What a trace keeps of it, where that is something else: values that were put back are tokens there.
    pub(crate) kept: Option<Bytes>,
}

impl StreamInspector {
    pub(crate) fn new(endpoint: Endpoint, rules: TextRules, options: StreamOptions) -> Self {
        Self {
            decoder: Decoder::new(options.event_bytes_max),
            reader: StreamReader::new(endpoint),
            rules,
            texts: Vec::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            findings: Findings::default(),
            text_tokens: Counter::default(),
            usage: None,
            usage_is_final: false,
            model: None,
            ends_by_choice: endpoint.operation.has_choices(),
            choices_seen: BTreeSet::new(),
            choices_done: BTreeSet::new(),
            terminal: false,
            ends_within_event: false,
            ended: VecDeque::new(),
            options,
            uninspected: false,
            repeats: Repeats::default(),
            matches: Vec::new(),
            edits: Vec::new(),
        }
    }

    /// Takes the next bytes of the answer; [`step`](Self::step) then inspects event by event.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Result<(), Stop> {
        self.decoder.push(chunk).map_err(|_| Stop::EventTooLarge)
    }

    /// Inspects the next complete event and puts everything that may leave into `out`.
    ///
    /// False when no complete event is left.
    ///
    /// # Errors
    /// A [`Stop`]; what was released before it is in `out`, and nothing more ever is.
    pub(crate) fn step(&mut self, out: &mut Vec<Outgoing>) -> Result<bool, Stop> {
        let Some(frame) = self.decoder.next() else { return Ok(false) };
        self.take(frame, out).map(|()| true)
    }

    /// Inspects one event and puts everything that may leave into `out`.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub(crate) fn take(&mut self, frame: Frame, out: &mut Vec<Outgoing>) -> Result<(), Stop> {
        let inspected = self.inspect(frame);
        self.release(out);
        inspected
    }

    /// The upstream's answer is over: whatever is still held is decided and leaves.
    ///
    /// An event that was not ended by a blank line is no event. Only the dialect's last one passes, which some
    /// providers do not end.
    pub(crate) fn finish(&mut self, out: &mut Vec<Outgoing>) -> Result<(), Stop> {
        let trailing = self.decoder.finish().filter(|frame| {
            let data = frame.data().unwrap_or_default();
            // The LF of a line end that was cut belongs to the last event.
            frame.raw().as_ref() == b"\n"
                || data == b"[DONE]"
                || Document::parse(data, &Limits::RESPONSE).is_ok()
        });
        let inspected = match trailing {
            Some(frame) => {
                self.ends_within_event = frame.data().is_some();
                self.inspect(frame)
            }
            None => Ok(()),
        };
        let closed = inspected.and_then(|()| self.close(|_| true));
        self.release(out);
        closed
    }

    /// How many bytes wait for a verdict or for the rest of their event.
    pub(crate) fn held_bytes(&self) -> usize {
        self.queued_bytes + self.decoder.held_bytes()
    }

    /// Whether the answer reached the end that its dialect has.
    pub(crate) fn is_finished(&self) -> bool {
        self.terminal || (!self.choices_seen.is_empty() && self.choices_seen == self.choices_done)
    }

    /// Whether what left so far ends with a whole event.
    pub(crate) fn is_between_events(&self) -> bool {
        !self.ends_within_event
    }

    /// Whether the usage is the provider's last word.
    pub(crate) fn usage_is_final(&self) -> bool {
        self.usage_is_final
    }

    /// Tokens of the answer's text that passed the inspection so far, by our own count.
    pub(crate) fn text_tokens(&self) -> u64 {
        self.text_tokens.tokens()
    }

    /// The provider's own usage, as far as it was reported.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The model that the provider says it serves.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whether something passed that could not be inspected, because the policy allows it.
    pub(crate) fn uninspected(&self) -> bool {
        self.uninspected
    }

    pub(crate) fn take_findings(&mut self) -> Findings {
        std::mem::take(&mut self.findings)
    }

    /// The dialect's error event, with the ids and sequence numbers that this stream has come to.
    pub(crate) fn error_event(&self, info: &ErrorInfo<'_>) -> Bytes {
        self.reader.error_event(info).into()
    }

    fn inspect(&mut self, frame: Frame) -> Result<(), Stop> {
        let event = self.reader.read(&frame);
        if event.usage.is_some() {
            self.usage = event.usage;
            self.usage_is_final |= event.usage_is_final;
        }
        if self.model.is_none() {
            self.model.clone_from(&event.model);
        }
        self.terminal |= event.terminal || event.error;
        self.note_choices(&event);
        let closes = event.closes.clone();
        self.enqueue(frame, event)?;
        for closed in closes {
            match closed {
                Closes::Channel(channel) => self.close(|text| text.channel == channel)?,
                Closes::Left(channel) => self.leave(channel)?,
                Closes::Choice(choice) => self.close(|text| text.channel.choice == choice)?,
                Closes::All => self.close(|_| true)?,
            }
        }
        Ok(())
    }

    /// Where choices are written side by side: an answer all of whose choices have finished is whole, also without the dialect's
    /// last event, which some providers leave out. In the other dialects a part that ends says nothing.
    fn note_choices(&mut self, event: &StreamEvent) {
        if !self.ends_by_choice {
            return;
        }
        let channels = event.texts.iter().filter_map(|text| text.channel);
        self.choices_seen.extend(channels.map(|channel| channel.choice));
        for closed in &event.closes {
            if let Closes::Choice(choice) = closed {
                self.choices_seen.insert(*choice);
                self.choices_done.insert(*choice);
            }
        }
    }

    /// Looks at every text of an event: what goes on with a channel, and what is whole.
    fn inspect_data(&mut self, data: &[u8], event: StreamEvent) -> Result<(Parts, Inspected), Stop> {
        let has_rules = !self.rules.rules().is_empty();
        let mut parts = SmallVec::new();
        let mut whole = Inspected::default();
        let blank: Disjoint<()> = event.logprobs.iter().map(|splice| splice.range.clone()).collect();
        let rules = Arc::clone(self.rules.rules());
        let (mut names, mut name_at) = (Names::new(&rules), 0);
        for span in &event.texts {
            let raw = data.get(span.raw.clone()).unwrap_or_default();
            if span.is_key {
                (name_at, _) = (span.raw.start, names.pass(raw));
            }
            match span.channel {
                Some(channel) => parts.extend(self.scan_part(channel, span, raw)?),
                None if self.rules.is_empty() || blank.contains(&span.raw) => {}
                None => {
                    let text = Text { raw, at: span.raw.clone(), form: form(&event, span), name: None };
                    let named = data.get(name_at..span.raw.end).unwrap_or_default();
                    let name = || if span.is_key { None } else { names.telling() };
                    self.scan_whole(text, named, name, &mut whole);
                }
            }
        }
        if has_rules {
            for at in event.numbers.iter().filter(|at| !blank.contains(at)) {
                self.scan_whole(Text::number(data, at.clone(), None), &[], || None, &mut whole);
            }
            for (name, at) in event.named_numbers.iter().filter(|(_, at)| !blank.contains(at)) {
                names.pass(data.get(name.clone()).unwrap_or_default());
                let name = names.telling();
                if name.is_some() {
                    self.scan_whole(Text::number(data, at.clone(), None), &[], || name, &mut whole);
                }
            }
            whole.splices.masks.extend(event.logprobs);
        }
        Ok((parts, whole))
    }

    fn enqueue(&mut self, frame: Frame, event: StreamEvent) -> Result<(), Stop> {
        if event.is_usage_only_chunk && self.options.drop_usage_chunk {
            return Ok(());
        }
        let data = frame.data().unwrap_or_default();
        // Text that is no JSON event belongs to no channel, and that without a number to no one channel: a value
        // split over two of them would pass.
        let has_rules = !self.rules.rules().is_empty();
        let is_text = !event.json && !event.terminal && !data.is_empty();
        let opaque = (is_text || event.is_ambiguous) && has_rules;
        if opaque && !self.options.allow_uninspectable {
            return Err(Stop::Uninspectable);
        }
        self.repeats.begin();
        self.inspect_around_data(&frame)?;
        self.uninspected |= opaque;
        let (parts, whole) = self.inspect_data(data, event)?;
        self.findings.append(whole.findings);
        if !whole.blocked.is_empty() {
            return Err(Stop::Blocked(whole.blocked));
        }
        self.queued_bytes += frame.raw().len();
        self.queue.push_back(Waiting { frame, parts, splices: whole.splices });
        self.end_left_texts()?;
        // One event alone is bounded by its own limit and may be larger than what may wait.
        if self.queued_bytes > self.options.held_bytes_max && self.queue.len() > 1 {
            return Err(Stop::HoldExceeded);
        }
        Ok(())
    }

    /// Moves every event that is decided from the queue's front to `out`.
    fn release(&mut self, out: &mut Vec<Outgoing>) {
        while let Some(front) = self.queue.front() {
            let decided = front.parts.iter().all(|part| {
                self.texts.get(part.text).is_some_and(|text| part.offsets.end <= text.scanner.released())
            });
            if !decided {
                return;
            }
            let Some(event) = self.queue.pop_front() else { return };
            self.queued_bytes -= event.frame.raw().len();
            out.push(self.write(event));
        }
        // Nothing waits, so nothing refers to a closed text any more.
        self.texts.retain(|text| !text.closed);
    }

    fn write(&mut self, event: Waiting) -> Outgoing {
        let Waiting { frame, parts, mut splices } = event;
        let data = frame.data().unwrap_or_default();
        for part in &parts {
            if let Some(text) = self.texts.get_mut(part.text) {
                splice_part(part, data, &mut text.edits, &mut splices);
            }
        }
        let edits = splices.merged();
        if edits.is_empty() {
            return Outgoing { sent: frame.into_raw(), kept: None };
        }
        let kept = (!splices.restored.is_empty()).then(|| {
            splices.masks.sort_by_key(|splice| splice.range.start);
            frame.splice(&splices.masks)
        });
        Outgoing { sent: frame.splice(&edits), kept }
    }
}

fn form(event: &StreamEvent, span: &TextSpan) -> Form {
    match (event.json, span.escaped) {
        (false, _) => Form::Plain,
        (true, false) => Form::Json,
        (true, true) => Form::EscapedJson,
    }
}

#[cfg(test)]
mod tests;
