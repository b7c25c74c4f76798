//! What every place for blobs promises.

use std::sync::Arc;

use bobbinet_core::{StreamId, Timestamp};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::blobs::{BlobError, BlobHash, BlobLabel, BlobLimits, BlobOwner, Blobs, PIECE};

/// Runs all of them. `make` gives a new, empty place with these limits each time.
pub async fn all<F: AsyncFn(BlobLimits) -> Arc<Blobs>>(make: F) {
    what_was_written_is_read_back(&make(BlobLimits::default()).await).await;
    one_is_found_by_its_holder_alone(&make(BlobLimits::default()).await).await;
    one_lives_as_long_as_it_is_held(&make(BlobLimits::default()).await).await;
    what_is_dropped_half_way_leaves_nothing(&make(BlobLimits::default()).await).await;
    bounds_are_kept(make).await;
}

/// A stream of this name.
pub fn holder(name: &str) -> StreamId {
    StreamId::from_bytes(name.as_bytes())
}

/// A label of this owner.
pub fn label(owner: &str) -> BlobLabel {
    let owner = BlobOwner { tenant: Arc::from("main"), owner: Arc::from(owner) };
    let made = Timestamp::from_millis(1);
    BlobLabel { owner, media_type: None, filename: None, made, expires: None, is_quarantined: false }
}

/// Bytes that are all different enough for a piece not to be another.
pub fn bytes(length: usize) -> Bytes {
    (0_u64..).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()).take(length).collect()
}

/// Whatever size it has, in whatever pieces it comes.
pub async fn what_was_written_is_read_back(blobs: &Arc<Blobs>) {
    for (length, cut) in
        [(0, 1), (1, 1), (PIECE - 1, 7_000), (PIECE, PIECE), (3 * PIECE + 5, PIECE / 3), (2 * PIECE, 3 * PIECE)]
    {
        let whole = bytes(length);
        let said = BlobLabel { media_type: Some("x/y".into()), filename: Some("a".into()), ..label("ann") };
        let mut writer = blobs.begin(said.owner.clone()).await.unwrap();
        for piece in whole.chunks(cut) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        assert_eq!(writer.length(), length as u64);
        let kept = writer.finish(&holder("t1"), said.clone()).await.unwrap();
        assert_eq!((kept.hash, kept.length), (BlobHash(Sha256::digest(&whole).into()), length as u64));
        let found = blobs.find(&holder("t1"), kept.hash).unwrap();
        assert_eq!((&found.label, found.length), (&said, length as u64));
        let reader = blobs.read(&found).await.unwrap();
        assert_eq!(reader.read_whole(u64::MAX).await.unwrap(), whole, "{length} bytes by {cut}");
        for at in [0, length / 2, length.saturating_sub(1), length, length + 1] {
            let piece = reader.read_from(at as u64).await.unwrap();
            let end = length.min((at / PIECE + 1) * PIECE);
            assert_eq!(piece, whole.get(at..end).unwrap_or_default(), "{length} bytes from {at}");
        }
        if length > 0 {
            let max = length as u64 - 1;
            assert_eq!(reader.read_whole(max).await, Err(BlobError::Large { max }));
        }
    }
}

/// Whoever knows the hash alone knows nothing.
pub async fn one_is_found_by_its_holder_alone(blobs: &Arc<Blobs>) {
    let kept = blobs.keep(&holder("t1"), label("ann"), bytes(10)).await.unwrap();
    assert_eq!(blobs.find(&holder("t2"), kept.hash), None);
    assert_eq!(blobs.find(&holder("t"), kept.hash), None);
    assert_eq!(blobs.held_by(&holder("t1")), std::slice::from_ref(&kept));
    assert!(blobs.held_by(&holder("t")).is_empty() && blobs.held_by(&holder("t11")).is_empty());
    let stranger = (&holder("t3"), kept.hash);
    assert_eq!(blobs.share(stranger, &holder("t2"), label("bob")).await, Err(BlobError::NotFound));
    assert_eq!(blobs.find(&holder("t2"), kept.hash), None);
}

/// And no longer, whoever else held it.
pub async fn one_lives_as_long_as_it_is_held(blobs: &Arc<Blobs>) {
    let kept = blobs.keep(&holder("t1"), label("ann"), bytes(10)).await.unwrap();
    let again = blobs.keep(&holder("t2"), label("bob"), bytes(10)).await.unwrap();
    assert_eq!((again.hash, blobs.bytes()), (kept.hash, 10));
    let upload = BlobLabel { expires: Some(Timestamp::from_millis(5)), ..label("ann") };
    let upload = blobs.keep(&holder("u1"), upload, bytes(20)).await.unwrap();
    let shared = blobs.share((&holder("u1"), upload.hash), &holder("t2"), label("ann")).await.unwrap();
    assert_eq!((shared.hash, shared.length, shared.label.expires), (upload.hash, 20, None));
    assert_eq!(blobs.expire(Timestamp::from_millis(4)).await, Ok(0));
    assert_eq!(blobs.expire(Timestamp::from_millis(5)).await, Ok(1));
    assert_eq!(blobs.find(&holder("u1"), upload.hash), None);
    assert_eq!(blobs.bytes(), 30);
    let since = Timestamp::from_millis(1);
    assert_eq!(blobs.holders(), [(holder("t1"), since), (holder("t2"), since)]);
    blobs.release(&holder("t1")).await.unwrap();
    let reader = blobs.read(&again).await.unwrap();
    assert_eq!(reader.read_whole(10).await.unwrap(), bytes(10));
    blobs.release(&holder("t2")).await.unwrap();
    blobs.release(&holder("t2")).await.unwrap();
    assert_eq!((blobs.bytes(), blobs.holders()), (0, Vec::new()));
    assert!(reader.read_from(0).await.is_err(), "a content that nobody holds is gone");
}

/// Not even on the account.
pub async fn what_is_dropped_half_way_leaves_nothing(blobs: &Arc<Blobs>) {
    let limits = blobs.limits();
    let mut writer = blobs.begin(label("ann").owner).await.unwrap();
    writer.write(bytes(PIECE + 1)).await.unwrap();
    drop(writer);
    assert_eq!((blobs.bytes(), blobs.holders(), blobs.limits()), (0, Vec::new(), limits));
    blobs.keep(&holder("t1"), label("ann"), bytes(PIECE + 1)).await.unwrap();
}

/// Each under its name, and what was refused is not counted.
pub async fn bounds_are_kept<F: AsyncFn(BlobLimits) -> Arc<Blobs>>(make: F) {
    let limits = BlobLimits {
        blob_bytes_max: 60,
        blobs_bytes_per_owner_max: 100,
        blobs_bytes_per_tenant_max: 150,
        blobs_bytes_max: 200,
        blobs_max: 5,
        ..BlobLimits::default()
    };
    let blobs = make(limits).await;
    let full = |what, max| Some(BlobError::Full { what, max });
    let keep = async |name: &str, label: BlobLabel, length: usize| {
        let content = bytes(length + 200).slice(200..);
        blobs.keep(&holder(name), label, content).await.err()
    };
    let other =
        |owner: &str| BlobLabel { owner: BlobOwner { tenant: "other".into(), owner: owner.into() }, ..label("") };
    assert_eq!(keep("t1", label("ann"), 61).await, Some(BlobError::Large { max: 60 }));
    assert_eq!(keep("t1", label("ann"), 60).await, None);
    assert_eq!(keep("t2", label("ann"), 41).await, full("blobs_bytes_per_owner_max", 100));
    assert_eq!(keep("t2", label("ann"), 40).await, None);
    assert_eq!(keep("t3", label("bob"), 51).await, full("blobs_bytes_per_tenant_max", 150));
    assert_eq!(keep("t3", label("bob"), 50).await, None);
    assert_eq!(keep("t4", other("eve"), 51).await, full("blobs_bytes_max", 200));
    // The same bytes again cost their owner, but no room.
    assert_eq!(keep("t4", other("eve"), 50).await, None);
    assert_eq!(blobs.bytes(), 150);
    let held = blobs.held_by(&holder("t1"));
    let from = (&holder("t1"), held.first().unwrap().hash);
    let shared = blobs.share(from, &holder("t5"), label("bob")).await.err();
    assert_eq!(shared, full("blobs_bytes_per_owner_max", 100));
    // On one account a content counts once, and it is one blob more.
    assert_eq!(blobs.share(from, &holder("t5"), label("ann")).await.err(), None);
    assert_eq!(keep("t6", other("eve"), 1).await, full("blobs_max", 5));
    blobs.release(&holder("t1")).await.unwrap();
    assert_eq!(keep("t6", label("ann"), 1).await, full("blobs_bytes_per_owner_max", 100));
    blobs.release(&holder("t5")).await.unwrap();
    assert_eq!(keep("t6", label("ann"), 59).await, None);
}
