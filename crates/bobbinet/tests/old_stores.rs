//! Stores that finished versions have left behind, each of which every later version must open, read, serve and write to.
//!
//! A fixture is a folder in `old_stores/`, named by the number of the store's format and the day on which it was made. It holds
//! `store.tar.gz`, the folder of a store as a node leaves it, and `contents.txt`, all that the version that wrote it read in it. Tasks
//! are in it in every state, one under an idempotency key, one with an artifact that is a blob, one that a stopping node gave back, two
//! whose process died over their call; and streams that no task has: with cells, marked, trimmed, forgotten.
//!
//! Fixtures are only ever added, never written anew: what one has was written by a version that somebody runs. To keep a store of
//! today's version, when its format or its records have changed:
//!
//! ```text
//! BOBBINET_KEEP_STORE=format-2-2026-11-27 cargo test -p bobbinet --test old_stores -- kept
//! ```
//!
//! A test opens a new store of today's in the same way, so that what writes and checks them stays right.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "old_stores/archive.rs"]
mod archive;
#[path = "old_stores/contents.rs"]
mod contents;
#[path = "old_stores/desk.rs"]
mod desk;
#[path = "old_stores/reader.rs"]
mod reader;
#[path = "old_stores/writer.rs"]
mod writer;

use std::{fs, path::PathBuf};

/// Names the fixture that is to be kept.
const KEEP: &str = "BOBBINET_KEEP_STORE";

/// Where it is written before it has its name: the other tests run at the same time.
const UNFINISHED: &str = ".unfinished";

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/old_stores"))
}

#[test]
fn every_store_that_was_kept_is_opened_read_served_and_written_to() {
    let mut count = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let fixture = entry.unwrap().path();
        let is_whole = fixture.file_name().unwrap() != UNFINISHED;
        if fixture.is_dir() && is_whole {
            let folder = tempfile::tempdir().unwrap();
            archive::unpack(&fixture.join("store.tar.gz"), folder.path());
            reader::check(folder.path(), &fs::read_to_string(fixture.join("contents.txt")).unwrap());
            count += 1;
        }
    }
    assert!(count > 0, "the fixtures are where this test looks for them");
}

#[test]
fn a_store_of_today_is_opened_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let contents = writer::write(folder.path());
    reader::check(folder.path(), &contents);
}

#[test]
fn a_store_is_kept_where_that_is_asked_for() {
    let Ok(name) = std::env::var(KEEP) else { return };
    let fixture = fixtures().join(&name);
    assert!(!fixture.exists(), "{name} is there, and what was kept is not written anew");
    let folder = tempfile::tempdir().unwrap();
    let contents = writer::write(folder.path());
    let unfinished = fixtures().join(UNFINISHED);
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("contents.txt"), contents).unwrap();
    archive::pack(folder.path(), &unfinished.join("store.tar.gz"));
    fs::rename(unfinished, fixture).unwrap();
}
