//! What of a conversation's texts is joined: those that adjoin, and of long ones their ends.

use crate::inspect::whole::Form;
use bulkhead_dialect::json::unescape;
use bulkhead_dialect::request::TextPart;
use bulkhead_dlp::{DeepScan, visible_len};
use std::borrow::Cow;
use std::ops::Range;

/// How far from the end of a text a value may begin, in visible bytes: the longest match of a custom detector.
pub(crate) const REACH_BYTES: usize = 1024;

/// The most bytes in which a body writes one character: `\u0041`; without escapes, one that is not ASCII.
const ESCAPED_BYTES: usize = 6;
const UTF8_BYTES: usize = 4;

/// Bytes of joined texts from which on the next ones are joined anew, with what is in reach before them.
///
/// A conversation grows at its end: what was joined in an earlier turn is the same in this one, and known.
const CHAIN_BYTES: usize = 4 * REACH_BYTES;

/// Texts that adjoin, or what of them is near an end.
pub(super) type Chain<'a> = Vec<Segment<'a>>;

#[derive(Clone)]
pub(super) struct Segment<'a> {
    /// Which text of the conversation it is, or a part of.
    pub(super) part: usize,
    /// The whole text and the part of it that takes part, in the body.
    pub(super) string: Range<usize>,
    pub(super) at: Range<usize>,
    pub(super) raw: &'a [u8],
    pub(super) form: Form,
    pub(super) text: Cow<'a, [u8]>,
    pub(super) begins_message: bool,
    pub(super) in_list: bool,
}

/// The chains of two texts and more; a long text ends one and begins the next. `ends` says what of a text takes part.
pub(super) fn chains<'a>(
    parts: &[TextPart],
    range: Range<usize>,
    ends: impl Fn(usize, &TextPart) -> Ends<'a>,
) -> Vec<Chain<'a>> {
    let mut chains = vec![Chain::new()];
    for (index, part) in parts.iter().enumerate().take(range.end).skip(range.start) {
        let Ends { head, tail } = ends(index, part);
        if let Some(chain) = chains.last_mut() {
            chain.push(head);
            if bytes(chain) > CHAIN_BYTES {
                let next = in_reach(chain);
                chains.push(next);
            }
        }
        chains.extend(tail.map(|tail| vec![tail]));
    }
    chains.retain(|chain| chain.len() > 1);
    chains
}

/// What of a text takes part: all of it, or of a long one its start and its end.
pub(super) struct Ends<'a> {
    head: Segment<'a>,
    tail: Option<Segment<'a>>,
}

impl<'a> Ends<'a> {
    /// As much as a value can reach.
    pub(super) fn in_reach(body: &'a [u8], index: usize, part: &TextPart) -> Self {
        let string = part.span.raw.clone();
        let mut bytes = REACH_BYTES;
        // Escapes and characters that show nothing take more of the body than they reach.
        while 2 * bytes < string.len() {
            let [head, tail] = [string.start..string.start + bytes, string.end - bytes..string.end];
            let [head, tail] = [head, tail].map(|at| Segment::new(body, index, part, at));
            if head.visible_len() >= REACH_BYTES && tail.visible_len() >= REACH_BYTES {
                return Self { head, tail: Some(tail.without_beginning()) };
            }
            bytes *= 2;
        }
        Self { head: Segment::new(body, index, part, string), tail: None }
    }

    /// As much as tells whether a value may reach over an end; see [`DeepScan::goes_on`].
    pub(super) fn near(body: &'a [u8], index: usize, part: &TextPart) -> Self {
        // Most texts have few escapes and are ASCII, so twice the bytes are enough; never more than these are needed.
        let most = if part.span.escaped { ESCAPED_BYTES } else { UTF8_BYTES };
        Self::near_within(body, index, part, 2).unwrap_or_else(|| {
            Self::near_within(body, index, part, most).unwrap_or_else(|| Self::in_reach(body, index, part))
        })
    }

    /// The same from so many bytes of the body for a character; `None` if those are not enough.
    fn near_within(body: &'a [u8], index: usize, part: &TextPart, width: usize) -> Option<Self> {
        let string = part.span.raw.clone();
        if string.len() <= width * (DeepScan::NEAR_START + DeepScan::NEAR_END) {
            let whole = Segment::new(body, index, part, string);
            let [start, end] = whole.near_ends();
            if whole.text.len() <= start.min(end) {
                return Some(Self { head: whole, tail: None });
            }
            let from = whole.text.len().saturating_sub(end);
            let tail = whole.clone().without_beginning().cut(|text| from..text.len());
            let head = whole.cut(|text| 0..start.min(text.len()));
            return Self { head, tail: Some(tail) }.if_visible();
        }
        let head = string.start..string.start + width * DeepScan::NEAR_START;
        let tail = string.end - width * DeepScan::NEAR_END..string.end;
        let [head, tail] = [head, tail].map(|at| Segment::new(body, index, part, at));
        let ([start, _], [_, end]) = (head.near_ends(), tail.near_ends());
        let from = tail.text.len().checked_sub(end)?;
        let head = (head.text.len() >= start).then(|| head.cut(|_| 0..start))?;
        Self { head, tail: Some(tail.without_beginning().cut(|text| from..text.len())) }.if_visible()
    }

    /// `None` where so much of the ends shows nothing that what is near them was not reached.
    fn if_visible(self) -> Option<Self> {
        let is_enough =
            |segment: &Segment<'_>, least| segment.text.is_ascii() || segment.visible_len() >= least;
        let tail = self.tail.as_ref().is_none_or(|tail| is_enough(tail, DeepScan::NEAR_END));
        (is_enough(&self.head, DeepScan::NEAR_START) && tail).then_some(self)
    }
}

/// Visible bytes of a text of the conversation.
pub(crate) fn visible_len_of(body: &[u8], part: &TextPart) -> usize {
    Segment::new(body, 0, part, part.span.raw.clone()).visible_len()
}

fn bytes(chain: &[Segment<'_>]) -> usize {
    chain.iter().map(Segment::visible_len).sum()
}

/// The last texts of a chain in which a value may begin that goes on behind it.
fn in_reach<'a>(chain: &Chain<'a>) -> Chain<'a> {
    let mut left = REACH_BYTES;
    let near = chain.iter().rev().take_while(|segment| {
        let is_near = left > 0;
        left = left.saturating_sub(segment.visible_len());
        is_near
    });
    let mut near: Chain<'a> = near.cloned().collect();
    near.reverse();
    near
}

impl<'a> Segment<'a> {
    /// An end that cuts an escape is read wrongly there, which is too far away to matter.
    fn new(body: &'a [u8], index: usize, part: &TextPart, at: Range<usize>) -> Self {
        let raw = body.get(at.clone()).unwrap_or_default();
        let (form, text) = if part.span.escaped {
            (Form::EscapedJson, unescape(raw))
        } else {
            (Form::Json, Cow::Borrowed(raw))
        };
        let TextPart { begins_message, in_list, .. } = *part;
        Self { part: index, string: part.span.raw.clone(), at, raw, form, text, begins_message, in_list }
    }

    fn visible_len(&self) -> usize {
        visible_len(&self.text)
    }

    /// The end of a text does not begin anything.
    fn without_beginning(self) -> Self {
        Self { begins_message: false, ..self }
    }

    /// How many bytes of its start and end are near.
    fn near_ends(&self) -> [usize; 2] {
        let width = if self.text.is_ascii() { 1 } else { UTF8_BYTES };
        [DeepScan::NEAR_START * width, DeepScan::NEAR_END * width]
    }

    /// A part of the text, good to look at and not to change: its place in the body is that of the whole.
    fn cut(self, range: impl Fn(&[u8]) -> Range<usize>) -> Self {
        let text = match self.text {
            Cow::Borrowed(text) => Cow::Borrowed(text.get(range(text)).unwrap_or_default()),
            Cow::Owned(text) => Cow::Owned(text.get(range(&text)).unwrap_or_default().to_vec()),
        };
        Self { text, ..self }
    }
}
