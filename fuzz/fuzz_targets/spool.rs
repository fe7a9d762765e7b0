//! A damaged spool opens and gives what is whole.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz_cases::spool(input));
