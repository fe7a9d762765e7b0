//! One frame of an event stream.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use memchr::{memchr, memchr2};

use crate::json::{Splice, splice};

pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event, comment or blank line with its exact bytes.
#[derive(Clone)]
pub struct Frame {
    raw: Bytes,
    /// The bytes in front that belong to no line.
    skip: usize,
    event: Option<Range<usize>>,
    data: Data,
}

#[derive(Clone)]
enum Data {
    None,
    /// One `data` line: where its value stands in `raw`.
    Line(Range<usize>),
    /// Several `data` lines, joined by LF as the grammar has it.
    Joined(Bytes),
    /// An element of a JSON array, which stands in no line: where in `raw`.
    Element(Range<usize>),
}

/// One line of a frame.
struct Line<'a> {
    /// With its line end.
    whole: Range<usize>,
    name: &'a [u8],
    value: Range<usize>,
}

impl Frame {
    /// Reads the frame `raw` whose first `skip` bytes are not part of a line.
    pub(super) fn read(raw: Bytes, skip: usize) -> Self {
        let mut event = None;
        let mut first = None;
        let mut joined: Option<Vec<u8>> = None;
        for line in lines(&raw, skip) {
            match line.name {
                b"event" => event = Some(line.value),
                b"data" => match &first {
                    None => first = Some(line.value),
                    Some(first) => {
                        let joined = joined.get_or_insert_with(|| slice(&raw, first).to_vec());
                        joined.push(b'\n');
                        joined.extend_from_slice(slice(&raw, &line.value));
                    }
                },
                // `id`, `retry`, comments and unknown fields say nothing about the text.
                _ => {}
            }
        }
        let data = match (joined, first) {
            (Some(joined), _) => Data::Joined(joined.into()),
            (None, Some(range)) => Data::Line(range),
            (None, None) => Data::None,
        };
        Self { raw, skip, event, data }
    }

    /// The element at `data`, with the bytes of the array around it.
    pub(super) fn element(raw: Bytes, data: Range<usize>) -> Self {
        Self { raw, skip: 0, event: None, data: Data::Element(data) }
    }

    /// The frame's exact bytes, its blank line included.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Gives the exact bytes away.
    #[must_use]
    pub fn into_raw(self) -> Bytes {
        self.raw
    }

    /// The `event` field, if there is one and it is UTF-8.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        std::str::from_utf8(slice(&self.raw, self.event.as_ref()?)).ok()
    }

    /// The event's data, several lines joined by LF; `None` if the frame has no `data` line.
    #[must_use]
    pub fn data(&self) -> Option<&[u8]> {
        match &self.data {
            Data::None => None,
            Data::Line(range) | Data::Element(range) => Some(slice(&self.raw, range)),
            Data::Joined(joined) => Some(joined),
        }
    }

    /// Where the data stands in [`Frame::raw`], if it is one contiguous range.
    #[must_use]
    pub fn data_range(&self) -> Option<Range<usize>> {
        match &self.data {
            Data::Line(range) | Data::Element(range) => Some(range.clone()),
            Data::None | Data::Joined(_) => None,
        }
    }

    /// Whether the byte stands anywhere but in the data.
    pub(crate) fn has_beside_data(&self, byte: u8) -> bool {
        let has = |range: Range<usize>| memchr(byte, slice(&self.raw, &range)).is_some();
        match self.data_range() {
            Some(data) => has(0..data.start) || has(data.end..self.raw.len()),
            None => lines(&self.raw, self.skip).any(|line| line.name != b"data" && has(line.whole)),
        }
    }

    /// The frame's bytes after edits of its data (ranges count from the start of [`Frame::data`]).
    ///
    /// With one `data` line nothing else changes. Several are written anew, as fresh `data` lines
    /// where the first one stood; all other fields stay as they are.
    ///
    /// ```
    /// use bulkhead_dialect::json::Splice;
    /// use bulkhead_dialect::sse::Decoder;
    /// use bytes::Bytes;
    ///
    /// let mut decoder = Decoder::new(1024);
    /// decoder.push(Bytes::from_static(b"id: 7\ndata: key 123\n\n"))?;
    /// let frame = decoder.next().unwrap();
    /// let masked = frame.splice(&[Splice::new(4..7, b"[key]".as_slice())]);
    /// assert_eq!(masked, "id: 7\ndata: key [key]\n\n");
    /// # Ok::<(), bulkhead_dialect::sse::EventTooLarge>(())
    /// ```
    #[must_use]
    pub fn splice(&self, edits: &[Splice<'_>]) -> Bytes {
        let Some(data) = self.data().filter(|_| !edits.is_empty()) else { return self.raw.clone() };
        let in_line = !matches!(self.data, Data::Element(_));
        let breaks_line =
            in_line && edits.iter().any(|edit| memchr2(b'\n', b'\r', &edit.replacement).is_some());
        match self.data_range() {
            Some(range) if !breaks_line => {
                let moved: Vec<_> = edits
                    .iter()
                    .map(|edit| {
                        // An edit must not reach beyond the data into the frame's other fields.
                        let shift = |at: usize| range.start + at.min(data.len());
                        let target = shift(edit.range.start)..shift(edit.range.end);
                        Splice::new(target, edit.replacement.as_ref())
                    })
                    .collect();
                splice(&self.raw, &moved).into()
            }
            _ => self.rewrite(&splice(data, edits)),
        }
    }

    /// Replaces all `data` lines by fresh ones.
    fn rewrite(&self, data: &[u8]) -> Bytes {
        let mut fresh = Vec::with_capacity(data.len() + 16);
        for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
            fresh.extend_from_slice(b"data: ");
            fresh.extend_from_slice(line);
            fresh.push(b'\n');
        }
        let mut fresh = Cow::Owned(fresh);
        let edits: Vec<_> = lines(&self.raw, self.skip)
            .filter(|line| line.name == b"data")
            .map(|line| Splice::new(line.whole, std::mem::take(&mut fresh)))
            .collect();
        splice(&self.raw, &edits).into()
    }
}

// Bodies never get into logs, not even by way of `{:?}`.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("bytes", &self.raw.len()).finish_non_exhaustive()
    }
}

fn slice<'a>(raw: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    raw.get(range.clone()).unwrap_or_default()
}

fn lines(raw: &[u8], skip: usize) -> impl Iterator<Item = Line<'_>> {
    let mut at = skip;
    std::iter::from_fn(move || {
        let rest = raw.get(at..).filter(|rest| !rest.is_empty())?;
        let len = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let text = rest.get(..len).unwrap_or_default();
        let end = match rest.get(len..) {
            Some([b'\r', b'\n', ..]) => len + 2,
            Some([_, ..]) => len + 1,
            _ => len,
        };
        let (name, value) = match memchr(b':', text) {
            Some(colon) => {
                let space = usize::from(text.get(colon + 1) == Some(&b' '));
                (text.get(..colon).unwrap_or_default(), colon + 1 + space..len)
            }
            None => (text, len..len),
        };
        let line = Line { whole: at..at + end, name, value: at + value.start..at + value.end };
        at += end;
        Some(line)
    })
}
