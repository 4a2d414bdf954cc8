//! libFuzzer's door to [`probity_fuzz::replica_operations`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| probity_fuzz::replica_operations(data));
