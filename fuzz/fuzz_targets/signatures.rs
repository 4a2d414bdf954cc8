//! libFuzzer's door to [`probity_fuzz::signatures`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| probity_fuzz::signatures(data));
