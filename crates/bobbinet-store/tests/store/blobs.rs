//! Blobs: the promises of both places, and what the one on the disk does over restarts, kills and damage.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use bobbinet_core::Timestamp;
use bobbinet_store::{
    blobs::{BlobDamage, BlobError, BlobHash, BlobLabel, BlobLimits, BlobReport, Blobs, PIECE, check},
    conformance::blobs::{all, bytes, holder, label},
    failpoint::BLOB_POINTS,
};

use crate::writer::FOLDER;

fn open(folder: &Path) -> Arc<Blobs> {
    Blobs::open(folder, false, BlobLimits::default()).unwrap()
}

/// All files there are.
fn files(folder: &Path) -> Vec<PathBuf> {
    let inside = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    fs::read_dir(folder).unwrap().flat_map(|entry| inside(entry.unwrap().path())).collect()
}

fn content(folder: &Path, hash: BlobHash) -> PathBuf {
    let name = hash.to_string();
    folder.join("contents").join(&name[..2]).join(name)
}

#[tokio::test]
async fn blobs_in_memory_keep_the_promises() {
    all(async |limits| Blobs::in_memory(limits)).await;
}

#[tokio::test]
async fn blobs_on_a_disk_keep_the_promises() {
    let folders = Mutex::new(Vec::new());
    all(async |limits| {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path(), true, limits).unwrap();
        folders.lock().unwrap().push(folder);
        blobs
    })
    .await;
}

#[tokio::test]
async fn blobs_are_there_after_a_restart_and_what_was_half_done_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    let said = BlobLabel {
        media_type: Some("text/plain".into()),
        filename: Some("ä.txt".into()),
        expires: Some(Timestamp::from_millis(9)),
        is_quarantined: true,
        ..label("ann")
    };
    let kept = blobs.keep(&holder("u1"), said, bytes(PIECE + 1)).await.unwrap();
    let mut writer = blobs.begin(label("ann").owner).await.unwrap();
    writer.write(bytes(2 * PIECE)).await.unwrap();
    // As a kill would leave it: nobody tidies up.
    std::mem::forget(writer);
    let unheld = bytes(7);
    let stray = content(folder.path(), BlobHash::parse(&"ab".repeat(32)).unwrap());
    fs::create_dir_all(stray.parent().unwrap()).unwrap();
    fs::write(&stray, &unheld).unwrap();
    assert_eq!(files(folder.path()).len(), 5);
    let blobs = open(folder.path());
    assert_eq!(files(folder.path()).len(), 3);
    assert_eq!(blobs.held_by(&holder("u1")), std::slice::from_ref(&kept));
    assert_eq!(blobs.bytes(), kept.length);
    let reader = blobs.read(&kept).await.unwrap();
    assert_eq!(reader.read_whole(u64::MAX).await.unwrap(), bytes(PIECE + 1));
    blobs.expire(Timestamp::from_millis(9)).await.unwrap();
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_byte_that_flips_is_found_where_it_is_read_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    let kept = blobs.keep(&holder("t1"), label("ann"), bytes(3 * PIECE)).await.unwrap();
    let path = content(folder.path(), kept.hash);
    let mut damaged = fs::read(&path).unwrap();
    damaged[PIECE + 17] ^= 1;
    fs::write(&path, damaged).unwrap();
    let reader = blobs.read(&kept).await.unwrap();
    assert_eq!(reader.read_from(0).await.unwrap(), bytes(PIECE));
    assert!(matches!(reader.read_from(PIECE as u64).await, Err(BlobError::Corrupt(_))));
    assert!(matches!(reader.read_from(2 * PIECE as u64 - 1).await, Err(BlobError::Corrupt(_))));
    assert_eq!(reader.read_from(2 * PIECE as u64).await.unwrap(), bytes(3 * PIECE).slice(2 * PIECE..));
    // Whoever keeps the same again mends it.
    blobs.keep(&holder("t2"), label("ann"), bytes(3 * PIECE)).await.unwrap();
    assert_eq!(reader.read_whole(u64::MAX).await.unwrap(), bytes(3 * PIECE));
    let sums = path.with_extension("sums");
    fs::write(&sums, b"BBSUMS1\n").unwrap();
    assert!(matches!(blobs.read(&kept).await, Err(BlobError::Corrupt(_))));
    fs::remove_file(sums).unwrap();
    assert!(matches!(blobs.read(&kept).await, Err(BlobError::Corrupt(_))));
}

/// What `check` finds, which changes nothing.
fn checked(folder: &Path) -> BlobReport {
    let before = files(folder);
    let report = check(folder).unwrap();
    assert_eq!(files(folder), before);
    report
}

#[tokio::test]
async fn a_check_names_what_is_damaged_and_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(check(&folder.path().join("none")).unwrap(), BlobReport::default());
    let blobs = open(folder.path());
    assert_eq!(checked(folder.path()), BlobReport::default());
    let keep = async |name: &str, length| blobs.keep(&holder(name), label("ann"), bytes(length)).await.unwrap();
    let kept = keep("t1", 3 * PIECE + 5).await;
    keep("t2", 3 * PIECE + 5).await;
    let (gone, short, whole) = (keep("t3", 7).await, keep("t4", PIECE + 9).await, keep("t5", 0).await);
    let lost = keep("t6", 11).await;
    let bytes_of_all = 3 * PIECE + 5 + 7 + PIECE + 9 + 11;
    let well = BlobReport { contents: 5, bytes: bytes_of_all as u64, holdings: 6, ..BlobReport::default() };
    assert_eq!(checked(folder.path()), well);

    // What a killed process leaves is no damage.
    std::mem::forget(blobs.begin(label("ann").owner).await.unwrap());
    let stray = content(folder.path(), BlobHash::parse(&"ab".repeat(32)).unwrap());
    fs::create_dir_all(stray.parent().unwrap()).unwrap();
    fs::write(&stray, b"x").unwrap();
    fs::write(stray.with_extension("sums"), b"x").unwrap();
    let left = BlobReport { orphans: 1, unfinished: 1, ..well };
    assert_eq!(checked(folder.path()), left);

    let path = content(folder.path(), kept.hash);
    let mut damaged = fs::read(&path).unwrap();
    damaged[PIECE + 17] ^= 1;
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&path, damaged).unwrap();
    fs::remove_file(content(folder.path(), gone.hash)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(content(folder.path(), short.hash)).unwrap();
    file.set_len(PIECE as u64).unwrap();
    fs::write(content(folder.path(), lost.hash).with_extension("sums"), b"BBSUMS1\n").unwrap();
    let mut expected: Vec<(BlobHash, Vec<&str>, &str)> = vec![
        (kept.hash, vec!["t1", "t2"], "its pieces 1, 3 (of 1 MiB, from 0) are not what was written"),
        (gone.hash, vec!["t3"], "it is not there"),
        (short.hash, vec!["t4"], "it has 1048576 bytes of 1048585"),
        (lost.hash, vec!["t6"], "the blob is damaged: the hashes of its pieces are not what was written"),
    ];
    expected.sort_by_key(|(hash, ..)| *hash);
    let report = checked(folder.path());
    let mut faults = report.faults;
    faults.iter_mut().for_each(|fault| fault.holders.sort());
    let damage = |(hash, holders, why): &(BlobHash, Vec<&str>, &str)| BlobDamage {
        hash: Some(*hash),
        holders: holders.iter().map(|name| holder(name)).collect(),
        why: (*why).to_owned(),
    };
    assert_eq!(faults, expected.iter().map(damage).collect::<Vec<_>>());
    assert!(!faults.iter().any(|fault| fault.hash == Some(whole.hash)));

    // Who holds what cannot be read: that is damage, and what he holds may be any of the rest.
    let holding = files(&folder.path().join("holdings")).pop().unwrap();
    fs::write(&holding, b"{").unwrap();
    let report = checked(folder.path());
    assert!(report.faults.iter().any(|fault| fault.hash.is_none() && fault.why.contains("holdings")), "{report:?}");
}

#[tokio::test]
async fn while_a_holding_cannot_be_read_nothing_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let kept = open(folder.path()).keep(&holder("t1"), label("ann"), bytes(9)).await.unwrap();
    let holding = files(&folder.path().join("holdings")).pop().unwrap();
    let newer = fs::read_to_string(&holding).unwrap().replace("\"format\":1", "\"format\":2");
    fs::write(&holding, newer).unwrap();
    assert_eq!(open(folder.path()).find(&holder("t1"), kept.hash), None);
    assert!(content(folder.path(), kept.hash).exists());
}

/// What the child of the next test runs.
#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn blob_child() {
    let folder = std::env::var(FOLDER).expect("the folder of the blobs");
    let blobs = Blobs::open(Path::new(&folder), true, BlobLimits::default()).unwrap();
    for number in 0.. {
        let mut writer = blobs.begin(label("ann").owner).await.unwrap();
        writer.write(bytes(PIECE + number)).await.unwrap();
        let kept = writer.finish(&holder("t1"), label("ann")).await.unwrap();
        std::io::stdout().write_all(format!("kept {} {number}\n", kept.hash).as_bytes()).unwrap();
    }
}

#[tokio::test]
async fn a_process_that_dies_leaves_whole_blobs_only_and_all_that_it_has_acknowledged() {
    for point in BLOB_POINTS {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "blobs::blob_child"])
            .env(FOLDER, folder.path())
            .env("BOBBINET_CRASH_AT", format!("{point}:4"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success(), "{point}");
        let said = String::from_utf8(output.stdout).unwrap();
        let acknowledged: Vec<(BlobHash, usize)> = said
            .lines()
            .filter_map(|line| line.strip_prefix("kept ")?.split_once(' '))
            .map(|(hash, number)| (BlobHash::parse(hash).unwrap(), number.parse().unwrap()))
            .collect();
        assert_eq!(acknowledged.len(), 3, "{point}: {said}");
        let blobs = open(folder.path());
        for (hash, number) in acknowledged {
            assert!(blobs.find(&holder("t1"), hash).is_some(), "{point}: {number}");
        }
        let held = blobs.held_by(&holder("t1"));
        assert_eq!(held.len(), if point == "blob-held" { 4 } else { 3 }, "{point}");
        for kept in &held {
            let whole = blobs.read(kept).await.unwrap().read_whole(u64::MAX).await.unwrap();
            assert_eq!(whole, bytes(whole.len()), "{point}");
        }
        assert_eq!(files(folder.path()).len(), 3 * held.len(), "{point}: what was half done is gone");
    }
}
