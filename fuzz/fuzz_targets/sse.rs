//! However a stream is cut, its frames' bytes put together are the stream.
#![no_main]

use bulkhead_dialect::sse::Decoder;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (step, stream) = input;
    let mut decoder = Decoder::new(1 << 20);
    let mut seen = Vec::new();
    for chunk in stream.chunks(usize::from(step).max(1)) {
        if decoder.push(Bytes::copy_from_slice(chunk)).is_err() {
            return;
        }
        while let Some(frame) = decoder.next() {
            seen.extend_from_slice(frame.raw());
        }
    }
    if let Some(frame) = decoder.finish() {
        seen.extend_from_slice(frame.raw());
    }
    assert_eq!(seen, stream);
});
