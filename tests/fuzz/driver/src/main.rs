//! libFuzzer around one of the targets, by the name in `FUZZ_TARGET`.
#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        bobbinet_fuzz::target(&name).unwrap_or_else(|| panic!("there is no target {name}"))
    });
    target(bytes);
});
