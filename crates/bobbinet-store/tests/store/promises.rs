//! The conformance suite, on both stores.

use std::sync::{Arc, Mutex};

use bobbinet_store::{Durability, MemoryStore, SledOptions, SledStore, Store, conformance};

#[tokio::test(start_paused = true)]
async fn the_memory_store_keeps_the_promises() {
    conformance::all(async || Arc::new(MemoryStore::new()) as Arc<dyn Store>).await;
    conformance::idempotency_keys_have_a_bound(&MemoryStore::with_idempotency_keys_max(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sled_store_keeps_the_promises() {
    let folders = Mutex::new(Vec::new());
    let make = async || {
        let folder = tempfile::tempdir().unwrap();
        let options = SledOptions { durability: Durability::Process, ..SledOptions::new(folder.path()) };
        folders.lock().unwrap().push(folder);
        Arc::new(SledStore::open(options).unwrap()) as Arc<dyn Store>
    };
    conformance::all(make).await;
    let folder = tempfile::tempdir().unwrap();
    let options =
        || SledOptions { durability: Durability::Process, idempotency_keys_max: 4, ..SledOptions::new(folder.path()) };
    conformance::idempotency_keys_have_a_bound(&SledStore::open(options()).unwrap()).await;
    // Two are left of a scope that may have two: they are counted when it is opened.
    let store = SledStore::open(options()).unwrap();
    assert!(conformance::is_out_of_keys(&store, "ann", 22).await);
    assert!(!conformance::is_out_of_keys(&store, "bob", 22).await);
}
