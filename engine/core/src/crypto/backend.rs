/// The curve arithmetic that signature checks run on: `"avx512ifma"`, `"avx2"` or `"serial"`.
///
/// For reports and logs; verdicts do not depend on it. The fastest one is compiled in only under
/// `--cfg curve25519_dalek_backend="avx512"` or when the build targets such a processor, and is
/// then still chosen at run time, so an embedder who forgets the flag finds out here. The answer
/// repeats the library's choice rather than asking it: a build that overrides the library's word
/// size or selects its `fiat` backend is not recognised.
pub fn backend() -> &'static str {
    detect()
}

#[cfg(target_arch = "x86_64")]
fn detect() -> &'static str {
    let avx512_built_for = cfg!(all(
        target_feature = "avx512ifma",
        target_feature = "avx512vl"
    ));
    let avx512_forced = cfg!(curve25519_dalek_backend = "avx512");
    let avx512_excluded = cfg!(curve25519_dalek_backend = "simd");
    let vectors_excluded = cfg!(curve25519_dalek_backend = "serial");

    if vectors_excluded {
        return "serial";
    }
    let avx512_compiled_in = avx512_forced || (avx512_built_for && !avx512_excluded);
    let avx512_present =
        std::is_x86_feature_detected!("avx512ifma") && std::is_x86_feature_detected!("avx512vl");
    if avx512_compiled_in && avx512_present {
        return "avx512ifma";
    }
    if std::is_x86_feature_detected!("avx2") {
        "avx2"
    } else {
        "serial"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> &'static str {
    "serial"
}
