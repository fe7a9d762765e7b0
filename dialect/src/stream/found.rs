//! What a dialect's reader finds in an event.

use smallvec::SmallVec;

use super::numbering::{Level, Numbering};
use super::other::{self, OtherTexts, Place};
use super::{Channel, ChannelKind, Closes, Field, StreamEvent};
use crate::Dialect;
use crate::json::Value;
use crate::sse::Frame;

/// Where an event goes on with a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Where the string's raw bytes start.
    pub(super) start: usize,
    pub(super) channel: Channel,
    /// Whether it is a text of a tool call.
    pub(super) in_call: bool,
    /// Whether it stands where no text is expected, so that it says nothing about how the others go on.
    pub(super) is_aside: bool,
}

/// What a dialect's reader finds in an event, beside the facts that it notes directly.
#[derive(Default)]
pub(super) struct Found<'d, 'a> {
    pub(super) pieces: SmallVec<[Piece; 4]>,
    /// The choices that have text in this event.
    pub(super) entries: SmallVec<[u32; 4]>,
    pub(super) others: OtherTexts,
    pub(super) numbering: Numbering,
    pub(super) model: Option<Value<'d, 'a>>,
    pub(super) event: StreamEvent,
}

impl<'d, 'a> Found<'d, 'a> {
    /// Notes that `value`, if it is a string with anything in it, goes on with the field's channel
    /// of this choice and item.
    ///
    /// An empty string goes on with nothing: many providers send `"content":""` beside other text.
    pub(super) fn text(&mut self, field: Field, value: Option<Value<'_, '_>>, choice: u32, item: u32) {
        if let Some(span) = value.and_then(|value| value.span()).filter(|span| !span.raw.is_empty()) {
            let channel = Channel { choice, item, kind: field.kind() };
            let in_call = channel.kind == ChannelKind::ToolArguments;
            self.pieces.push(Piece { start: span.raw.start, channel, in_call, is_aside: false });
        }
    }

    /// Notes the strings among the members of `of` that go on with texts nobody named, all but
    /// the members in `leave`.
    pub(super) fn others(
        &mut self,
        field: Field,
        of: Option<Value<'_, '_>>,
        place: Place,
        leave: [&[&str]; 2],
    ) {
        let before = self.pieces.len();
        for (key, value) in of.iter().flat_map(Value::entries) {
            let left = || {
                leave.into_iter().flatten().any(|name| key.is(name))
                    || place.within.is_aside() && other::is_name(&key.text())
            };
            let Some(span) = value.span().filter(|span| !span.raw.is_empty() && !left()) else { continue };
            let Some(item) = self.number(place, &key.text()) else { continue };
            let channel = Channel { choice: place.choice, item, kind: field.kind() };
            if place.within.is_aside() && self.others.repeats(place.choice, item, &value.text()) {
                self.event.closes.push(Closes::Channel(channel));
                continue;
            }
            // Of several members of one name the last, as with `Value::get`.
            let is_aside = place.within.is_aside();
            let piece = Piece { start: span.raw.start, channel, in_call: place.within.is_call(), is_aside };
            let so_far = self.pieces.get_mut(before..).unwrap_or_default();
            match so_far.iter_mut().find(|piece| piece.channel == channel) {
                Some(earlier) => *earlier = piece,
                None => self.pieces.push(piece),
            }
        }
    }

    /// The number of a text that nobody named. Without one its pieces are not put together, which makes the event
    /// ambiguous.
    pub(super) fn number(&mut self, place: Place, name: &[u8]) -> Option<u32> {
        let number = self.others.number(place, name);
        self.event.is_ambiguous |= number.is_none();
        number
    }

    /// The member `name` as an index; 0 if it is missing, which [`Numbering`] keeps an eye on.
    ///
    /// Whether two numbers that are no indexes are the same to a client is not known.
    pub(super) fn index(&mut self, of: Value<'_, '_>, name: &str) -> u32 {
        let Some(number) = of.get(name).filter(|number| !number.is_null()) else { return 0 };
        let index = number.as_integer().and_then(|index| u32::try_from(index).ok());
        self.event.is_ambiguous |= index.is_none();
        index.unwrap_or(0)
    }

    /// Notes how what has been read is numbered, if any text of it came behind the first `before` pieces.
    pub(super) fn numbered(&mut self, level: Level, number: Option<Value<'_, '_>>, before: usize) {
        if self.pieces.len() > before {
            self.numbering.note(level, number);
        }
    }

    /// Notes a choice, if any text of it came behind the first `before` pieces. One that stands twice in an event is one
    /// text to a client that puts it together, and two to one that looks at the first.
    pub(super) fn entry(&mut self, choice: u32, before: usize) {
        if self.pieces.len() > before {
            self.entries.push(choice);
        }
    }

    /// Whether clients that go by the name in front of the data read another event than the data says.
    pub(super) fn is_misnamed(&mut self, frame: &Frame, root: Value<'_, '_>, dialect: Dialect) -> bool {
        let name = frame.event();
        match dialect {
            Dialect::Anthropic => {
                if !self.pieces.is_empty() {
                    self.numbering.note_name(name.is_some());
                }
                let kind = root.get("type");
                name.is_some_and(|name| kind.is_some_and(|kind| !kind.is(name)))
            }
            // What an SDK takes for an event of an API that is not served.
            Dialect::OpenAi => name.is_some_and(|name| name.starts_with("thread.")),
            Dialect::Gemini => false,
        }
    }

    pub(super) fn model(&mut self, of: Value<'d, 'a>) {
        self.model = of.get("model");
    }

    /// The provider reports an error: clients stop here, so this is the end of the reply.
    pub(super) fn failed(&mut self) {
        self.event.error = true;
        self.complete();
    }

    pub(super) fn complete(&mut self) {
        self.event.terminal = true;
        self.event.closes.push(Closes::All);
    }
}

/// Whether it is a string with anything in it.
pub(super) fn has_text(value: &Value<'_, '_>) -> bool {
    value.span().is_some_and(|span| !span.raw.is_empty())
}
