//! Tokens come back however an answer is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz_cases::tokens(input));
