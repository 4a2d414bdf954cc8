//! libFuzzer's door to [`probity_fuzz::dag_operations`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| probity_fuzz::dag_operations(data));
