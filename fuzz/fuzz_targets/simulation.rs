//! libFuzzer's door to [`probity_fuzz::simulation`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| probity_fuzz::simulation(data));
