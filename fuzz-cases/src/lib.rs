//! What the fuzz targets check. Each function takes arbitrary bytes and panics if a law does not hold for them.
//!
//! The targets in `fuzz/` let a fuzzer look for such bytes; the tests here try a fixed number of generated ones.

mod encoded;
mod policy;
mod reply;
mod request;
mod spool;
mod stream_law;
mod streamed;
mod tokens;

use bulkhead_dialect::encoding::{ContentEncoding, DecodeError};
use bulkhead_dialect::json::{Document, Limits, Splice, escape, raw_offset, splice, unescape};
use bulkhead_dialect::sse::{Decoder, Frame};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

pub use encoded::encoded;
pub use policy::policy;
pub use reply::reply;
pub use request::request;
pub use spool::spool;
pub use stream_law::stream_law;
pub use tokens::tokens;

/// The bytes that an input spells: one below 128 stands for itself, any other for one of `pieces`.
fn spelled<P: AsRef<[u8]>>(input: &[u8], pieces: &[P]) -> Vec<u8> {
    let mut text = Vec::with_capacity(input.len());
    for byte in input {
        match usize::from(*byte).checked_sub(128) {
            None => text.push(*byte),
            Some(piece) => text.extend_from_slice(pieces[piece % pieces.len()].as_ref()),
        }
    }
    text
}

/// A reader of JSON accepts what it accepts for good: edits of its strings leave it JSON with the same structure,
/// and offsets of decoded text lead back to where it stands.
pub fn json(input: &[u8]) {
    let Ok(document) = Document::parse(input, &Limits::REQUEST) else { return };
    let strings: Vec<_> = document.strings().collect();
    for span in &strings {
        let raw = &input[span.raw.clone()];
        let decoded = unescape(raw);
        assert_eq!(raw_offset(raw, 0), 0);
        assert_eq!(raw_offset(raw, decoded.len()), raw.len());
        if let Ok(text) = std::str::from_utf8(&decoded) {
            let mut again = Vec::new();
            escape(text, &mut again);
            assert_eq!(unescape(&again), decoded);
        }
    }
    let edits: Vec<_> = strings.iter().map(|span| Splice::new(span.raw.clone(), b"[X]".as_slice())).collect();
    let edited = splice(input, &edits);
    let document = Document::parse(&edited, &Limits::REQUEST).expect("edited JSON is JSON");
    assert_eq!(document.strings().count(), strings.len());
    assert!(document.strings().all(|span| &edited[span.raw.clone()] == b"[X]"));
}

/// However an encoded body is damaged, decoding gives a result within its limits.
pub fn decompression(input: &[u8]) {
    const BYTES_MAX: usize = 1 << 16;
    let Some((&choice, encoded)) = input.split_first() else { return };
    let all = ContentEncoding::ALL;
    let encoding = all[usize::from(choice) % all.len()];
    match encoding.decode(encoded, BYTES_MAX) {
        Ok(decoded) => assert!(decoded.len() <= BYTES_MAX),
        Err(DecodeError::TooLarge { max }) => assert_eq!(max, BYTES_MAX),
        Err(DecodeError::Damaged) => {}
    }
    // The same bytes as the text: what the encoding's own writer makes of them comes back.
    if encoding == ContentEncoding::Gzip {
        let whole = gzip(encoded);
        assert_eq!(encoding.decode(&whole, BYTES_MAX).as_deref(), Ok(encoded));
        for cut in [whole.len() / 2, whole.len() - 1] {
            assert_eq!(encoding.decode(&whole[..cut], BYTES_MAX), Err(DecodeError::Damaged));
        }
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

/// However an event stream is cut, its events' data are the same, and the frames' bytes are the stream.
pub fn sse(input: &[u8]) {
    let Some((&step, stream)) = input.split_first() else { return };
    let (events, bytes) = read_events(stream, stream.len());
    assert_eq!(bytes, stream);
    assert_eq!(read_events(stream, usize::from(step)), (events, bytes));
}

/// The data of every event, and the bytes of all frames.
///
/// Which frame has the LF of a CR LF that was cut is left open: an event does not wait for it.
fn read_events(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut decoder = Decoder::new(1 << 20);
    let (mut events, mut bytes) = (Vec::new(), Vec::new());
    let mut take = |frame: Frame| {
        events.extend(frame.data().map(<[u8]>::to_vec));
        bytes.extend_from_slice(frame.raw());
    };
    for chunk in stream.chunks(step.max(1)) {
        decoder.push(Bytes::copy_from_slice(chunk)).expect("no event is larger than the limit");
        while let Some(frame) = decoder.next() {
            take(frame);
        }
    }
    if let Some(frame) = decoder.finish() {
        take(frame);
    }
    (events, bytes)
}

#[cfg(test)]
mod tests;
