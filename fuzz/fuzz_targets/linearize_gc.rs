//! libFuzzer's door to [`probity_fuzz::linearize_gc`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| probity_fuzz::linearize_gc(data));
