//! What one sync of the embedded engine costs here: a batch like that of one commit, flushed and on the disk.

use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bobbinet_store::SledOptions;
use serde::{Deserialize, Serialize};

/// Bytes in the values of one batch: what the store writes for one commit of an echo, the heads and the bodies.
const VALUE_SIZES: [usize; 2] = [200, 800];

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
    // As the store has it, but that nothing flushes behind our back.
    let config = sled::Config::new().path(folder.path()).cache_capacity(SledOptions::new("").cache_bytes);
    let config = config.mode(sled::Mode::HighThroughput).flush_every_ms(None);
    let db = config.open().context("opening the embedded engine")?;
    let data = File::open(folder.path().join("db")).context("opening the engine's data file")?;
    let mut took: Vec<Duration> = Vec::with_capacity(count);
    for round in 0..WARM_UP + count {
        let mut batch = sled::Batch::default();
        for (kind, size) in VALUE_SIZES.into_iter().enumerate() {
            batch.insert([&[u8::try_from(kind)?][..], &round.to_be_bytes()].concat(), vec![b'x'; size]);
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
