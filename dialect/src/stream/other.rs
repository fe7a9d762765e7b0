//! Numbers for the texts in members and events that this crate does not know.

/// Texts numbered at most in one reply; whatever comes beyond is scanned event by event.
const TEXTS_MAX: usize = 64;
/// Longer names are no names.
const NAME_BYTES_MAX: usize = 128;

/// The numbers given so far: the position in the list.
#[derive(Debug, Default)]
pub(super) struct OtherTexts {
    known: Vec<(Within, u32, Box<[u8]>)>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// The event itself (Responses); the name is its type.
    Event,
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
    pub(super) fn is_call(self) -> bool {
        matches!(self, Self::Call | Self::CallFunction | Self::CallCustom)
    }
}

impl OtherTexts {
    /// The text's number, a new one where it has none yet; `None` when too many have one.
    pub(super) fn number(&mut self, place: Place, name: &[u8]) -> Option<u32> {
        let known = self.known(place, name);
        if known.is_some() || self.known.len() >= TEXTS_MAX || name.len() > NAME_BYTES_MAX {
            return known;
        }
        self.known.push((place.within, place.index, name.into()));
        u32::try_from(self.known.len() - 1).ok()
    }

    /// The text's number, if it has one.
    pub(super) fn known(&self, place: Place, name: &[u8]) -> Option<u32> {
        let same = |(within, index, known): &(Within, u32, Box<[u8]>)| {
            (*within, *index, known.as_ref()) == (place.within, place.index, name)
        };
        u32::try_from(self.known.iter().position(same)?).ok()
    }
}
