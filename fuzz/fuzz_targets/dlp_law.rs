//! The law of the scanner on arbitrary texts, rule sets and cuts.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz_cases::stream_law(input));
