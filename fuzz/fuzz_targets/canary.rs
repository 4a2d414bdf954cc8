//! libFuzzer's door to [`probity_fuzz::canary`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| probity_fuzz::canary(data));
