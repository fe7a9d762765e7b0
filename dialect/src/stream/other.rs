//! Numbers for the texts in members and events that this crate does not know.

use std::collections::HashMap;

/// Texts numbered at most in one reply: those of a call with a table of a few hundred rows are within. Of what comes
/// beyond nothing is put together, so the event is ambiguous.
const TEXTS_MAX: u32 = 1024;
/// Longer names are no names; paths of arguments have a few levels.
const NAME_BYTES_MAX: usize = 512;

/// Members remembered at most with what stood in them last; there are hardly ever any.
const LAST_MAX: usize = 64;
/// What repeats itself is short, and so are the pieces of a text.
const LAST_BYTES_MAX: usize = 128;
/// Pieces of a text are as short as this and the same twice; names and versions are not.
const NAME_BYTES_MIN: usize = 3;

/// Numbers by name.
type Named = HashMap<Box<[u8]>, u32>;

/// The numbers given so far.
#[derive(Debug, Default)]
pub(super) struct OtherTexts {
    /// By place.
    known: HashMap<(Within, u32), Named>,
    count: u32,
    /// By choice and number.
    last: Vec<(u32, u32, Box<[u8]>)>,
}

/// Where a text stands, but for its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) choice: u32,
    pub(super) within: Within,
    /// Which one of several in one choice.
    pub(super) index: u32,
}

/// What the member belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Within {
    /// The event itself (Responses); the name is its type.
    Event,
    /// The event itself; the name is the member's.
    Root,
    /// A choice (Chat) or candidate (Gemini).
    Choice,
    /// The `message` of a choice (Chat).
    Message,
    /// The `delta` (Chat, Messages).
    Delta,
    /// A part of a `content` list.
    ContentPart,
    /// One of `reasoning_details`.
    ReasoningDetail,
    /// `audio`
    Audio,
    /// `function_call`
    FunctionCall,
    /// One of `tool_calls`.
    Call,
    /// Its `function`.
    CallFunction,
    /// Its `custom`.
    CallCustom,
    /// One of Gemini's `partialArgs`; the name is its `jsonPath`.
    CallArgument,
    /// `executableCode`
    Code,
    /// `codeExecutionResult`
    CodeResult,
}

impl Within {
    /// Where no text is expected, but now and then a name that every event repeats.
    pub(super) fn is_aside(self) -> bool {
        matches!(self, Self::Root | Self::Choice | Self::Message)
    }

    pub(super) fn is_call(self) -> bool {
        matches!(self, Self::Call | Self::CallFunction | Self::CallCustom)
    }
}

/// Whether a member names or dates something, which may be another thing in every event and is no text.
pub(super) fn is_name(member: &[u8]) -> bool {
    ["_id", "Id", "ID", "_at", "_time", "stamp", "_hash"]
        .into_iter()
        .any(|end| member.ends_with(end.as_bytes()))
}

impl OtherTexts {
    /// The text's number, a new one where it has none yet; `None` when too many have one.
    pub(super) fn number(&mut self, place: Place, name: &[u8]) -> Option<u32> {
        let known = self.known(place, name);
        if known.is_some() || self.count >= TEXTS_MAX || name.len() > NAME_BYTES_MAX {
            return known;
        }
        let number = self.count;
        self.known.entry((place.within, place.index)).or_default().insert(name.into(), number);
        self.count += 1;
        Some(number)
    }

    /// Whether a member says what it said in the event before, as no text does. Remembers what it says.
    pub(super) fn repeats(&mut self, choice: u32, item: u32, text: &[u8]) -> bool {
        let Some((.., last)) = self.last.iter_mut().find(|(of, at, _)| (*of, *at) == (choice, item)) else {
            if self.last.len() < LAST_MAX && text.len() <= LAST_BYTES_MAX {
                self.last.push((choice, item, text.into()));
            }
            return false;
        };
        let is_same = **last == *text;
        if !is_same {
            *last = if text.len() <= LAST_BYTES_MAX { text.into() } else { Box::default() };
        }
        is_same && text.len() >= NAME_BYTES_MIN && !text.iter().all(u8::is_ascii_digit)
    }

    /// The text's number, if it has one.
    pub(super) fn known(&self, place: Place, name: &[u8]) -> Option<u32> {
        self.known.get(&(place.within, place.index))?.get(name).copied()
    }
}
