//! Damaged encoded bodies decode within their limits.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz_cases::decompression(input));
