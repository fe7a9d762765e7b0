//! Arbitrary bytes never panic the JSON reader, and edits keep what it accepted acceptable.
#![no_main]

use bulkhead_dialect::json::{Document, Limits, Splice, splice};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(document) = Document::parse(body, &Limits::REQUEST) else { return };
    let edits: Vec<_> = document.strings().map(|span| Splice::new(span.raw, b"[X]".as_slice())).collect();
    assert!(Document::parse(&splice(body, &edits), &Limits::REQUEST).is_ok());
});
