//! Policy documents have one canonical form, and regular expressions a bound.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz_cases::policy(input));
