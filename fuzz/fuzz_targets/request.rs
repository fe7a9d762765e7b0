//! Readers of requests report what stands there, and their edits do what they say.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz_cases::request(input));
