//! libFuzzer's door to [`probity_fuzz::verify_block`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| probity_fuzz::verify_block(data));
