//! The conformance suite, on both stores.

use std::sync::{Arc, Mutex};

use bobbinet_store::{Durability, Memory, SledOptions, SledStore, Store, conformance};

#[tokio::test(start_paused = true)]
async fn the_memory_store_keeps_the_promises() {
    conformance::all(async || Arc::new(Memory::new()) as Arc<dyn Store>).await;
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
}
