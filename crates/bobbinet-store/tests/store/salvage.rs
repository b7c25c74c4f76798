//! What can be read of a damaged store is written, what cannot is named, and the store is left as it was.

use std::{fs, path::Path};

use bobbinet_store::{ExportError, OpenError, SledStore, export, salvage};

use crate::{
    damage::{STREAMS, copy, options, whole},
    reopen::tree,
};

fn saved(store: &Path) -> (bobbinet_store::ExportCounts, Vec<String>) {
    let mut lines = Vec::new();
    let counts = salvage(options(store), &mut lines).unwrap();
    let lines: Vec<String> = String::from_utf8(lines).unwrap().lines().map(str::to_owned).collect();
    let damaged = lines.iter().filter(|line| line.starts_with(r#"{"damaged""#)).count();
    assert_eq!((damaged as u64, lines.last().unwrap().starts_with(r#"{"counts""#)), (counts.damaged, true));
    (counts, lines)
}

fn remove(store: &Path, kind: &str) {
    let data = tree(store);
    let keys: Vec<_> = data.scan_prefix(kind).keys().map(Result::unwrap).collect();
    data.remove(&keys[keys.len() / 2]).unwrap();
    data.flush().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_goes_on_with_what_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    whole(&original).await;
    let all = export(options(&original), Vec::new()).unwrap();
    let (counts, lines) = saved(&original);
    assert_eq!(counts, all, "of a whole store it is an export");
    let mut exported = Vec::new();
    export(options(&original), &mut exported).unwrap();
    assert_eq!(exported, lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect::<Vec<u8>>());

    let store = folder.path().join("blob");
    copy(&original, &store);
    let blobs = fs::read_dir(store.join("blobs")).unwrap();
    let blob = blobs.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().next().unwrap().unwrap().path());
    fs::remove_file(blob.last().unwrap()).unwrap();
    assert!(matches!(export(options(&store), Vec::new()), Err(ExportError::Read { .. })));
    let (counts, lines) = saved(&store);
    assert_eq!((counts.streams, counts.records, counts.damaged), (STREAMS, all.records - 1, 1));
    assert!(lines.iter().any(|line| line.starts_with(r#"{"damaged":{"what":"the record of version 3: "#)), "{lines:?}");

    for (kind, what) in [("l", "a chunk of bodies"), ("c", "")] {
        let store = folder.path().join(kind);
        copy(&original, &store);
        remove(&store, kind);
        let (counts, lines) = saved(&store);
        assert_eq!(counts.streams, STREAMS);
        assert!(counts.records + counts.cells < all.records + all.cells, "{kind}");
        assert!(counts.records > all.records - 30, "{kind}");
        assert!(what.is_empty() || lines.iter().any(|line| line.contains(what)), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_open_is_read_from_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    whole(&store).await;
    remove(&store, "h");
    let before = fs::read(store.join("log/db")).unwrap();
    assert!(matches!(SledStore::open(options(&store)), Err(OpenError::Corrupt(_))));
    let opened = fs::read(store.join("log/db")).unwrap();
    let (counts, lines) = saved(&store);
    assert!((STREAMS / 2..=STREAMS).contains(&counts.streams) && counts.records > STREAMS, "{counts:?}");
    assert!(lines[0].contains("missing from its log"), "{}", lines[0]);
    assert_eq!(fs::read(store.join("log/db")).unwrap(), opened, "the store itself is left alone");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the copy is gone");
    assert!(before.len() <= opened.len());
}
