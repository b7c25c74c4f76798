//! Every seed of every target, as an ordinary test; and each cut off at a byte, with that byte changed, and with a quote before it.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{ffi::OsString, fs, path::Path};

use bobbinet_fuzz::TARGETS;

#[test]
fn what_was_found_once_is_found_no_more() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut folders: Vec<_> = fs::read_dir(&seeds).unwrap().map(|it| it.unwrap().file_name()).collect();
    folders.sort();
    let mut names: Vec<OsString> = TARGETS.iter().map(|(name, _)| (*name).into()).collect();
    names.sort();
    assert_eq!(folders, names, "each target has a folder of seeds");
    for (name, target) in TARGETS {
        let files: Vec<_> = fs::read_dir(seeds.join(name)).unwrap().map(|it| it.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no seeds");
        target(b"");
        for file in files {
            let seed = fs::read(&file).unwrap();
            target(&seed);
            for at in 0..seed.len().min(200) {
                target(&seed[..at]);
                let mut other = seed.clone();
                other[at] ^= 0x20;
                target(&other);
                other.insert(at, b'"');
                target(&other);
            }
        }
    }
}
