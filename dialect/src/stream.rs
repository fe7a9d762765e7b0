//! Reads the events of a streamed reply: which text goes on, which ends, what was used.
//!
//! - A **channel** is one text that a client puts together from the strings of several events. Its
//!   scanner lives as long as the channel.
//! - **Every** string of every event is reported, keys too. One that belongs to no channel is a
//!   whole text of its own: identifiers, repeated final texts, error messages, unknown events
//!   without a delta.
//! - A channel ends when the dialect says so. It is left when its choice goes on to another
//!   channel ([`Closes::Left`]): ordinary models write reasoning, then content, then tool calls,
//!   and the held tail of the first would stall the rest. Parallel tool calls take turns, so none
//!   of them is left for another one. A choice seen to go back and forth between channels is let
//!   alone from then on ([`StreamEvent::reopened`]).

use std::ops::Range;

use smallvec::SmallVec;

use crate::error::{ErrorInfo, ResponseSoFar, plain_event, responses_event};
use crate::json::{Document, Limits, Splice, Tape};
use crate::response::blank_logprobs;
use crate::sse::Frame;
use crate::usage::AnthropicUsage;
use crate::{Dialect, Endpoint, Operation, Usage};

mod anthropic;
mod chat;
mod field;
mod found;
mod gemini;
mod numbering;
mod open;
mod other;
mod responses;

pub use field::Field;
use found::{Found, Piece, has_text};
use numbering::{Level, Numbering};
use open::OpenChannels;
use other::OtherTexts;

/// One text that several events carry in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel {
    /// The choice (Chat, Completions), candidate (Gemini), output item (Responses) or content block (Messages).
    pub choice: u32,
    /// The tool call (Chat), content or summary part (Responses), argument (Gemini); for [`ChannelKind::Other`] a
    /// number that the reader gives; otherwise 0.
    pub item: u32,
    /// Which of the texts of this choice and item.
    pub kind: ChannelKind,
}

/// What a channel's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChannelKind {
    /// The answer.
    Content,
    /// Reasoning or thinking.
    Reasoning,
    /// Chat's `reasoning_content`; some providers send it beside `reasoning`.
    ReasoningContent,
    /// Chat's `reasoning_details`, which repeat the reasoning in another form.
    ReasoningDetail,
    /// The summary of reasoning.
    ReasoningSummary,
    /// A refusal.
    Refusal,
    /// The arguments or input of a tool call.
    ToolArguments,
    /// The arguments of Chat's older `function_call`.
    FunctionArguments,
    /// The transcript of spoken output.
    Transcript,
    /// Code the provider's own interpreter runs.
    Code,
    /// Text in a member or event that this crate does not know, and the names of called tools.
    Other,
}

/// One text in an event's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSpan {
    /// The channel it goes on with; `None`: a whole text of its own.
    pub channel: Option<Channel>,
    /// Where its raw bytes stand in [`Frame::data`], between the quotes.
    pub raw: Range<usize>,
    /// Whether it contains JSON escapes.
    pub escaped: bool,
    /// Whether it names an object's member.
    pub is_key: bool,
}

/// Which channels have no more text after this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closes {
    /// This one.
    Channel(Channel),
    /// Most likely this one: its choice goes on to another, but nothing forbids to come back.
    Left(Channel),
    /// All with this `choice`.
    Choice(u32),
    /// All.
    All,
}

/// What one frame says.
#[derive(Clone, Debug, Default)]
pub struct StreamEvent {
    /// Every text, in the order of the bytes.
    pub texts: Vec<TextSpan>,
    /// Where the data has long integers, as [`Document::long_integers`] has them; without those in
    /// the `logprobs` ranges.
    pub numbers: Vec<Range<usize>>,
    /// Shorter integers and the names in front of them, as [`Document::named_integers`] has them.
    pub named_numbers: Vec<(Range<usize>, Range<usize>)>,
    /// What ends with this event, its own texts included.
    pub closes: SmallVec<[Closes; 2]>,
    /// What was used so far, where this event says something about it.
    pub usage: Option<Usage>,
    /// Whether `usage` is the provider's last word and not a count on the way.
    pub usage_is_final: bool,
    /// The model that answers, where this event names it first or names another one.
    pub model: Option<String>,
    /// Whether this is the chunk that `stream_options.include_usage` adds.
    pub is_usage_only_chunk: bool,
    /// Whether the reply is complete: the end of the stream behind this event is a clean one.
    pub terminal: bool,
    /// Whether the provider reports an error.
    pub error: bool,
    /// Whether the data is JSON. Other data is one whole text; edits of it are not escaped.
    pub json: bool,
    /// Whether a channel goes on that had ended or was left.
    pub reopened: bool,
    /// Whether clients differ in what is one text, or there are more texts than are followed.
    ///
    /// Texts of this reply carry the number 0 and others none, or one that is no index; a choice or a member stands
    /// twice in the event; or something beside its data says what it is.
    pub is_ambiguous: bool,
    /// Edits that empty the `logprobs`, for when the text may be masked or blocked. Texts inside
    /// their ranges are reported all the same; leave those out when these edits are made.
    pub logprobs: Vec<Splice<'static>>,
}

/// Reads the frames of one reply, in order.
///
/// ```
/// use bulkhead_dialect::sse::Decoder;
/// use bulkhead_dialect::stream::{ChannelKind, Closes, StreamReader};
/// use bulkhead_dialect::classify;
/// use bytes::Bytes;
///
/// let mut decoder = Decoder::new(1024);
/// decoder.push(Bytes::from_static(
///     b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n",
/// ))?;
/// let frame = decoder.next().unwrap();
/// let mut reader = StreamReader::new(classify("POST", "/v1/chat/completions", None).unwrap());
/// let event = reader.read(&frame);
///
/// let text = event.texts.iter().find(|text| text.channel.is_some()).unwrap();
/// assert_eq!(text.channel.unwrap().kind, ChannelKind::Content);
/// assert_eq!(&frame.data().unwrap()[text.raw.clone()], b"Hi");
/// assert_eq!(event.closes.as_slice(), [Closes::Choice(0)]);
/// # Ok::<(), bulkhead_dialect::sse::EventTooLarge>(())
/// ```
#[derive(Debug)]
pub struct StreamReader {
    endpoint: Endpoint,
    channels: OpenChannels,
    others: OtherTexts,
    numbering: Numbering,
    anthropic_usage: AnthropicUsage,
    response: ResponseSoFar,
    /// Whether a choice has finished (Chat, Completions, Gemini).
    finished: bool,
    model: Option<String>,
    tape: Tape,
}

impl StreamReader {
    /// A reader for the reply of one request.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            channels: OpenChannels::default(),
            others: OtherTexts::default(),
            numbering: Numbering::default(),
            anthropic_usage: AnthropicUsage::default(),
            response: ResponseSoFar::default(),
            finished: false,
            model: None,
            tape: Tape::default(),
        }
    }

    /// Reads the next frame. A frame without data says nothing.
    ///
    /// Cost: one pass over the data; one allocation for the texts.
    pub fn read(&mut self, frame: &Frame) -> StreamEvent {
        let Some(data) = frame.data() else {
            return StreamEvent { is_ambiguous: self.is_event_in_lines(frame), ..StreamEvent::default() };
        };
        if self.endpoint.dialect == Dialect::OpenAi && data.trim_ascii() == b"[DONE]" {
            return self.done();
        }
        let tape = std::mem::take(&mut self.tape);
        let Ok(document) = Document::parse_onto(data, &Limits::RESPONSE, tape) else {
            return whole(data);
        };
        let others = std::mem::take(&mut self.others);
        let mut found = Found { others, numbering: self.numbering, ..Found::default() };
        found.event.json = true;
        let root = document.root();
        match self.endpoint.operation {
            Operation::Responses => responses::read(root, &mut self.response, &mut found),
            _ => match self.endpoint.dialect {
                Dialect::OpenAi => {
                    chat::read(root, self.endpoint.operation, &mut self.finished, &mut found);
                }
                Dialect::Anthropic => anthropic::read(root, &mut self.anthropic_usage, &mut found),
                Dialect::Gemini => gemini::read(root, &mut self.finished, &mut found),
            },
        }
        let is_misnamed = found.is_misnamed(frame, root, self.endpoint.dialect);
        let Found { mut pieces, mut entries, others, numbering, model, mut event } = found;
        self.others = others;
        self.numbering = numbering;
        entries.sort_unstable();
        event.is_ambiguous |= is_misnamed
            || numbering.is_ambiguous()
            || entries.array_windows().any(|[one, next]| one == next)
            || self.has_more_beside_data(frame);
        // Most dialects repeat the model in every event.
        if let Some(model) = model
            && !self.model.as_deref().is_some_and(|known| model.is(known))
        {
            event.model = model.as_str().map(String::from);
            self.model.clone_from(&event.model);
        }
        pieces.sort_unstable_by_key(|piece| piece.start);
        let grouped = self.endpoint.operation.has_choices();
        self.channels.note(&pieces, grouped, &mut event);
        event.texts = texts(&document, &pieces);
        event.logprobs = blank_logprobs(&document);
        event.numbers = numbers(&document, &event.logprobs);
        event.named_numbers = document.named_integers().collect();
        self.tape = document.into_tape();
        event
    }

    /// The dialect's error event for this stream, all bytes of the frame. The stream ends with it.
    ///
    /// For Responses it is `response.failed`, with the id, model and sequence number the stream
    /// has come to.
    #[must_use]
    pub fn error_event(&self, info: &ErrorInfo<'_>) -> Vec<u8> {
        match self.endpoint.operation {
            Operation::Responses => responses_event(info, &self.response),
            _ => plain_event(self.endpoint.dialect, info),
        }
    }

    /// Whether a client may read more of a frame than its data: Google's takes each line for an event that is JSON.
    fn has_more_beside_data(&self, frame: &Frame) -> bool {
        self.endpoint.dialect == Dialect::Gemini && frame.has_beside_data(b'{')
    }

    /// The same of a frame without data. An error is put together with nothing, and is looked at as it stands.
    fn is_event_in_lines(&self, frame: &Frame) -> bool {
        let is_error = |document: Document<'_>| {
            let root = document.root();
            root.get("error").is_some() && root.entries().all(|(key, _)| key.is("error"))
        };
        let is_plain = || !frame.has_beside_data(b'\\');
        let read = || Document::parse(frame.raw(), &Limits::RESPONSE).ok();
        self.has_more_beside_data(frame) && !(is_plain() && read().is_some_and(is_error))
    }

    fn done(&mut self) -> StreamEvent {
        let mut event = StreamEvent { terminal: true, ..StreamEvent::default() };
        event.closes.push(Closes::All);
        self.channels.note(&[], false, &mut event);
        event
    }
}

/// Data that is not JSON.
fn whole(data: &[u8]) -> StreamEvent {
    let text = TextSpan { channel: None, raw: 0..data.len(), escaped: false, is_key: false };
    StreamEvent { texts: vec![text], ..StreamEvent::default() }
}

/// Every string of the document, with the channels of those that have one.
fn texts(document: &Document<'_>, pieces: &[Piece]) -> Vec<TextSpan> {
    let mut pieces = pieces.iter().peekable();
    let mut texts = Vec::with_capacity(32);
    texts.extend(document.strings().map(|string| {
        let piece = pieces.next_if(|piece| piece.start == string.raw.start);
        let channel = piece.map(|piece| piece.channel);
        TextSpan { channel, raw: string.raw, escaped: string.escaped, is_key: string.is_key }
    }));
    texts
}

/// The long integers that stand outside of the `logprobs`; both are in the order of the bytes.
fn numbers(document: &Document<'_>, logprobs: &[Splice<'_>]) -> Vec<Range<usize>> {
    let mut logprobs = logprobs.iter().peekable();
    let numbers = document.long_integers().filter(|number| {
        while logprobs.next_if(|blank| blank.range.end <= number.start).is_some() {}
        logprobs.peek().is_none_or(|blank| number.end <= blank.range.start)
    });
    numbers.collect()
}

#[cfg(test)]
mod tests;
