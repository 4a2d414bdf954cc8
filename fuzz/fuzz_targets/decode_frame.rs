//! libFuzzer's door to [`probity_fuzz::decode_frame`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| probity_fuzz::decode_frame(data));
