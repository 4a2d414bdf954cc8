//! libFuzzer's door to [`probity_fuzz::storage_model`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| probity_fuzz::storage_model(data));
