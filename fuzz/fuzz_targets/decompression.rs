//! However a stream is cut, its frames are the same and their bytes are the stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz_cases::decompression(input));
