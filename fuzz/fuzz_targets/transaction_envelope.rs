//! libFuzzer's door to [`probity_fuzz::transaction_envelope`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| probity_fuzz::transaction_envelope(data));
