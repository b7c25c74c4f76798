//! What one sync of the embedded engine costs here: a batch like that of one commit, flushed and on the disk.

use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Keys in the batch: what a commit of three records writes, indices included.
const KEYS: u64 = 8;

/// Bytes in each value.
const VALUE_SIZE: usize = 200;

/// Syncs that are made before any is counted.
const WARM_UP: usize = 20;

/// How long syncs took, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Synced {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Measures `count` syncs one after the other, in a folder of their own below this one.
pub(crate) fn measure(folder: &Path, count: usize) -> Result<Synced> {
    let folder = tempfile::tempdir_in(folder).context("making a folder")?;
    // The engine flushes on our word alone, as it does under the store.
    let open = sled::Config::new().path(folder.path()).flush_every_ms(None).open();
    let db = open.context("opening the embedded engine")?;
    let data = File::open(folder.path().join("db")).context("opening the engine's data file")?;
    let value = vec![b'x'; VALUE_SIZE];
    let mut took: Vec<Duration> = Vec::with_capacity(count);
    for round in 0..WARM_UP + count {
        let mut batch = sled::Batch::default();
        for key in 0..KEYS {
            batch.insert(&(round as u64 * KEYS + key).to_be_bytes(), value.as_slice());
        }
        let begin = Instant::now();
        db.apply_batch(batch).context("writing")?;
        db.flush().context("flushing")?;
        data.sync_data().context("syncing")?;
        if round >= WARM_UP {
            took.push(begin.elapsed());
        }
    }
    took.sort_unstable();
    let last = took.len().checked_sub(1).context("nothing was measured")?;
    let at = |percent: usize| took[last * percent / 100].as_secs_f64() * 1e3;
    Ok(Synced { p50: at(50), p99: at(99) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_takes_time() {
        let folder = tempfile::tempdir().unwrap();
        let synced = measure(folder.path(), 5).unwrap();
        assert!(synced.p50 > 0.0 && synced.p99 >= synced.p50);
    }
}
