//! Arbitrary bytes never panic the JSON reader, and edits keep what it accepted acceptable.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz_cases::json(input));
