//! Server-sent events: cuts a byte stream into frames by the WHATWG grammar.
//!
//! - Lines end with LF, CR or CRLF, mixed at will; a CRLF may be cut between its two bytes.
//! - A frame ends with a blank line. It keeps its exact bytes, so the concatenation of all frames
//!   is the input.
//! - A frame leaves as soon as its blank line is complete. Where that is a bare CR at the end of
//!   what has arrived, the LF that may follow belongs to the next frame.
//! - Comments, pings and stray blank lines are frames without data.
//! - A byte order mark is ignored at the start of the stream and nowhere else.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

use crate::json::{Document, Kind, Limits};

mod frame;

use frame::BOM;
pub use frame::Frame;

/// An event that is longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event exceeds {max} bytes")]
pub struct EventTooLarge {
    /// The limit.
    pub max: usize,
}

/// The elements of a JSON array as frames: Gemini streams its events so where no event stream is asked for.
///
/// The frames' bytes together are `body`. `None` if that is no array, or one with nothing in it.
///
/// ```
/// use bulkhead_dialect::sse::elements;
/// use bytes::Bytes;
///
/// let frames = elements(&Bytes::from_static(b"[{\"a\": 1},\r\n{\"a\": 2}\n]")).unwrap();
/// let data: Vec<_> = frames.iter().filter_map(|frame| frame.data()).collect();
/// assert_eq!(data, [b"{\"a\": 1}", b"{\"a\": 2}"]);
/// assert_eq!(frames[1].raw(), ",\r\n{\"a\": 2}\n]");
/// ```
#[must_use]
pub fn elements(body: &Bytes) -> Option<Vec<Frame>> {
    let document = Document::parse(body, &Limits::RESPONSE).ok()?;
    let root = document.root();
    if root.kind() != Kind::Array || root.is_empty_container() {
        return None;
    }
    let elements: Vec<_> = root.items().map(|element| element.raw()).collect();
    let mut from = 0;
    let frames = elements.iter().enumerate().map(|(number, element)| {
        let to = if number + 1 == elements.len() { body.len() } else { element.end };
        let data = element.start - from..element.end - from;
        let frame = Frame::element(body.slice(from..to), data);
        from = to;
        frame
    });
    Some(frames.collect())
}

/// Cuts pushed bytes into frames.
///
/// ```
/// use bulkhead_dialect::sse::Decoder;
/// use bytes::Bytes;
///
/// let mut decoder = Decoder::new(1024);
/// decoder.push(Bytes::from_static(b"event: ping\ndata: {}\n\ndata: {\"a\""))?;
/// let frame = decoder.next().unwrap();
/// assert_eq!(frame.event(), Some("ping"));
/// assert_eq!(frame.data(), Some(b"{}".as_slice()));
/// assert!(decoder.next().is_none());
///
/// decoder.push(Bytes::from_static(b":1}\n\n"))?;
/// assert_eq!(decoder.next().unwrap().data(), Some(b"{\"a\":1}".as_slice()));
/// # Ok::<(), bulkhead_dialect::sse::EventTooLarge>(())
/// ```
pub struct Decoder {
    event_bytes_max: usize,
    ready: VecDeque<Frame>,
    /// The bytes of the frame that is not complete yet.
    carry: BytesMut,
    /// Bytes in the current line so far.
    line_len: usize,
    /// Whether the last byte was a CR, which an LF may yet join.
    after_cr: bool,
    /// Whether the frame in the making begins with an LF that belongs to the frame before it.
    joined: bool,
    /// Whether no line of the stream has ended yet.
    first_line: bool,
    /// Whether no frame of the stream has ended yet.
    first_frame: bool,
    failed: bool,
}

impl Decoder {
    /// A decoder for one stream. `event_bytes_max` bounds the memory it holds.
    #[must_use]
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            ready: VecDeque::new(),
            carry: BytesMut::new(),
            line_len: 0,
            after_cr: false,
            joined: false,
            first_line: true,
            first_frame: true,
            failed: false,
        }
    }

    /// Returns how many bytes of an event that is not complete are held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.carry.len()
    }

    /// Takes the next bytes of the stream.
    ///
    /// Cost: one pass. A frame that lies within `chunk` is a slice of it, others are copied once.
    ///
    /// # Errors
    /// [`EventTooLarge`] now and from now on if an event is longer than allowed. The frames before
    /// it are still there to take.
    pub fn push(&mut self, mut chunk: Bytes) -> Result<(), EventTooLarge> {
        let too_large = EventTooLarge { max: self.event_bytes_max };
        if self.failed {
            return Err(too_large);
        }
        loop {
            let end = self.frame_end(&chunk);
            let taken = end.unwrap_or(chunk.len());
            if self.carry.len() + taken > self.event_bytes_max {
                self.failed = true;
                self.carry.clear();
                return Err(too_large);
            }
            if end.is_none() {
                self.carry.extend_from_slice(&chunk);
                return Ok(());
            }
            let raw = if self.carry.is_empty() {
                chunk.split_to(taken)
            } else {
                self.carry.extend_from_slice(chunk.get(..taken).unwrap_or_default());
                chunk.advance(taken);
                self.carry.split().freeze()
            };
            self.emit(raw);
        }
    }

    /// Takes the next complete frame.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: `None` means not yet")]
    pub fn next(&mut self) -> Option<Frame> {
        self.ready.pop_front()
    }

    /// Ends the stream: the bytes behind the last blank line, read as if the blank line were there.
    ///
    /// Such a frame was cut off; some clients drop it, others read it.
    pub fn finish(&mut self) -> Option<Frame> {
        if self.ready.is_empty() && !self.carry.is_empty() {
            let raw = self.carry.split().freeze();
            self.emit(raw);
        }
        self.ready.pop_front()
    }

    fn emit(&mut self, raw: Bytes) {
        let skip = match () {
            () if self.joined => 1,
            () if self.first_frame && raw.starts_with(BOM) => BOM.len(),
            () => 0,
        };
        self.first_frame = false;
        // If the frame ends with a CR, an LF that follows is its own line end's second half.
        self.joined = false;
        self.ready.push_back(Frame::read(raw, skip));
    }

    /// How many bytes of `chunk` the frame takes that is in the making; `None` if it goes on.
    fn frame_end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        if std::mem::take(&mut self.after_cr) {
            if chunk.is_empty() {
                self.after_cr = true;
                return None;
            }
            if chunk.first() == Some(&b'\n') {
                self.joined = self.carry.is_empty();
                at = 1;
            }
        }
        loop {
            let rest = chunk.get(at..).unwrap_or_default();
            let Some(step) = memchr2(b'\n', b'\r', rest) else {
                self.line_len += rest.len();
                return None;
            };
            let line_len = std::mem::take(&mut self.line_len) + step;
            let first_line = std::mem::replace(&mut self.first_line, false);
            let line_end = at + step;
            at = line_end + 1;
            if chunk.get(line_end) == Some(&b'\r') {
                match chunk.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            let blank = line_len == 0 || first_line && line_len == 3 && self.begins_with_bom(chunk);
            if blank {
                return Some(at);
            }
        }
    }

    fn begins_with_bom(&self, chunk: &[u8]) -> bool {
        self.carry.iter().chain(chunk).take(BOM.len()).eq(BOM)
    }
}

// Bodies never get into logs, not even by way of `{:?}`.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ready, carried) = (self.ready.len(), self.carry.len());
        f.debug_struct("Decoder")
            .field("ready", &ready)
            .field("carried", &carried)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
