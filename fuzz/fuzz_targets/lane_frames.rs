//! libFuzzer's door to [`probity_fuzz::lane_frames`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| probity_fuzz::lane_frames(data));
