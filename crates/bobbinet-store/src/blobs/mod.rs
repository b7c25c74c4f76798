//! Large contents beside the log, each named by its SHA-256: results that went by reference, and what callers have uploaded.
//!
//! A blob is *held* by streams, and lives as long as one of them holds it: a task's stream does, and a context's can. It is found by who
//! holds it and its hash together, never by its hash alone, so that whoever may read a stream may read what it holds, and nobody else.
//! What is held by no stream of the log, as an upload is, says when it ends. Like [`Store`](crate::Store), this knows nothing of tasks: whoever
//! does asks [`Blobs::holders`] who is still there, and [releases](Blobs::release) what is not.
//!
//! Not the folder of the embedded store's own large values (`sled/blobs.rs`): those are parts of records, are named by the tree, come
//! and go with a commit and are read whole. What both do, a file that is synced before its name is and a folder after it, is
//! `sled/folder.rs`.
//!
//! There is a place in a folder, for a store in one ([`Blobs::open`]), and one in memory ([`Blobs::in_memory`]). Where several processes
//! share a store, as they would on PostgreSQL, blobs need a place that they share too: there is none yet.

mod check;
mod disk;
mod holding;
mod ledger;
mod limits;
mod sums;
mod writer;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bobbinet_core::{StreamId, Timestamp};
use bytes::Bytes;
use tokio::task::spawn_blocking;

pub use check::{BlobDamage, BlobReport, check};
use disk::Disk;
pub use holding::{BlobHash, BlobLabel, BlobOwner, Holding};
use ledger::Ledger;
pub use limits::{BlobError, BlobLimits};
use sums::Sums;
pub use writer::BlobWriter;

/// The folder of blobs in a node's data folder.
pub const BLOBS_FOLDER: &str = "blobs";

/// Bytes of a blob that have a hash of their own, and are read and written at a time.
pub const PIECE: usize = 1 << 20;

/// Large contents, held by streams.
#[derive(Debug)]
pub struct Blobs {
    ledger: Mutex<Ledger>,
    place: Place,
}

/// Where the contents are.
#[derive(Debug)]
enum Place {
    Disk(Disk),
    Memory(Mutex<BTreeMap<BlobHash, (Bytes, Arc<Sums>)>>),
}

impl Blobs {
    /// Those in a folder, which is made if it is not there; what a killed process has left half done is removed. With `synced`, what is
    /// acknowledged survives a power cut. Blocks. The folder must be this process's alone: it has no lock, the store beside it has.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub fn open(folder: &Path, synced: bool, limits: BlobLimits) -> std::io::Result<Arc<Self>> {
        let (disk, holdings) = Disk::open(folder, synced, limits.free_space_min)?;
        let ledger = Mutex::new(Ledger::of(limits, holdings));
        Ok(Arc::new(Self { ledger, place: Place::Disk(disk) }))
    }

    /// Some that are gone with this process.
    pub fn in_memory(limits: BlobLimits) -> Arc<Self> {
        let ledger = Mutex::new(Ledger::of(limits, Vec::new()));
        Arc::new(Self { ledger, place: Place::Memory(Mutex::default()) })
    }

    /// Begins to take one in, on this owner's account. Nothing is there before [`BlobWriter::finish`]; dropped, it leaves nothing.
    ///
    /// # Errors
    /// [`BlobError::Full`] if there is no room for any.
    pub async fn begin(self: &Arc<Self>, owner: BlobOwner) -> Result<BlobWriter, BlobError> {
        BlobWriter::begin(self.clone(), owner).await
    }

    /// Keeps bytes that are all there. When this returns they survive a crash.
    ///
    /// # Errors
    /// If there is no room for them, or they could not be written.
    pub async fn keep(
        self: &Arc<Self>,
        holder: &StreamId,
        label: BlobLabel,
        bytes: Bytes,
    ) -> Result<Arc<Holding>, BlobError> {
        let mut writer = self.begin(label.owner.clone()).await?;
        writer.write(bytes).await?;
        writer.finish(holder, label).await
    }

    /// Has another stream hold one that this holder holds.
    ///
    /// # Errors
    /// [`BlobError::NotFound`] if it does not, any more.
    pub async fn share(
        self: &Arc<Self>,
        (from, hash): (&StreamId, BlobHash),
        holder: &StreamId,
        label: BlobLabel,
    ) -> Result<Arc<Holding>, BlobError> {
        let (holding, more) = {
            let mut ledger = self.ledger();
            let length = ledger.find(from, hash).ok_or(BlobError::NotFound)?.length;
            if let Some(known) = ledger.find(holder, hash) {
                return Ok(known);
            }
            let more = ledger.admit_shared(&label.owner, hash, length)?;
            ledger.pin(hash);
            (Arc::new(Holding { holder: holder.clone(), hash, length, label }), more)
        };
        self.blocking(move |blobs| {
            let kept = match &blobs.place {
                Place::Disk(disk) => disk.write_holding(&holding),
                Place::Memory(_) => Ok(()),
            };
            let mut ledger = blobs.ledger();
            ledger.unpin(hash);
            ledger.discharge(&holding.label.owner, more);
            kept.map_err(BlobError::unavailable)?;
            ledger.add(holding.clone());
            Ok(holding)
        })
        .await
    }

    /// What this stream holds under this hash.
    pub fn find(&self, holder: &StreamId, hash: BlobHash) -> Option<Arc<Holding>> {
        self.ledger().find(holder, hash)
    }

    /// All that this stream holds.
    pub fn held_by(&self, holder: &StreamId) -> Vec<Arc<Holding>> {
        self.ledger().held_by(holder)
    }

    /// Opens one for reading: as often and from wherever its reader likes, a piece of [`PIECE`] bytes at a time, each of them checked.
    ///
    /// # Errors
    /// [`BlobError::Corrupt`] if it is not what was written.
    pub async fn read(self: &Arc<Self>, holding: &Holding) -> Result<BlobReader, BlobError> {
        let (hash, length) = (holding.hash, holding.length);
        let sums = self.blocking(move |blobs| match &blobs.place {
            Place::Disk(disk) => disk.read_sums(hash, length).map(Arc::new),
            Place::Memory(contents) => {
                lock(contents).get(&hash).map(|(_, sums)| sums.clone()).ok_or(BlobError::NotFound)
            }
        });
        Ok(BlobReader { blobs: self.clone(), hash, length, sums: sums.await? })
    }

    /// Whoever holds something without an end, and since when: those whose stream is gone are to be [released](Self::release).
    pub fn holders(&self) -> Vec<(StreamId, Timestamp)> {
        self.ledger().holders()
    }

    /// This stream holds nothing any more. What nobody else holds is removed.
    ///
    /// # Errors
    /// If it could not be written down; then it is held all the same.
    pub async fn release(self: &Arc<Self>, holder: &StreamId) -> Result<(), BlobError> {
        let holdings = self.held_by(holder);
        self.blocking(move |blobs| holdings.iter().try_for_each(|holding| blobs.let_go(holding))).await
    }

    /// Releases what has said that it ends by now. How many that were.
    ///
    /// # Errors
    /// If it could not be written down.
    pub async fn expire(self: &Arc<Self>, now: Timestamp) -> Result<usize, BlobError> {
        let over = self.ledger().over(now);
        if over.is_empty() {
            return Ok(0);
        }
        let count = over.len();
        self.blocking(move |blobs| over.iter().try_for_each(|holding| blobs.let_go(holding))).await?;
        Ok(count)
    }

    /// Bytes that are kept, each content counted once.
    pub fn bytes(&self) -> u64 {
        self.ledger().bytes()
    }

    /// The bounds that are kept to.
    pub fn limits(&self) -> BlobLimits {
        self.ledger().limits().clone()
    }

    fn let_go(&self, holding: &Holding) -> Result<(), BlobError> {
        let mut ledger = self.ledger();
        if ledger.find(&holding.holder, holding.hash).is_none() {
            return Ok(());
        }
        if let Place::Disk(disk) = &self.place {
            disk.remove_holding(holding).map_err(BlobError::unavailable)?;
        }
        ledger.remove(&holding.holder, holding.hash);
        self.remove_unheld(&ledger, holding.hash);
        Ok(())
    }

    /// Takes away what nobody holds. The ledger is locked meanwhile, so that nobody comes to hold it under this.
    fn remove_unheld(&self, ledger: &Ledger, hash: BlobHash) {
        if ledger.is_wanted(hash) {
            return;
        }
        match &self.place {
            Place::Disk(disk) => disk.remove(hash),
            Place::Memory(contents) => {
                lock(contents).remove(&hash);
            }
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Does what waits for the disk on a thread that may.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let blobs = self.clone();
        match spawn_blocking(move || work(&blobs)).await {
            Ok(done) => done,
            Err(error) => Err(BlobError::Unavailable(error.to_string())),
        }
    }
}

/// A blob that is being read. It stays readable while its holder holds it.
#[derive(Clone, Debug)]
pub struct BlobReader {
    blobs: Arc<Blobs>,
    hash: BlobHash,
    length: u64,
    sums: Arc<Sums>,
}

impl BlobReader {
    /// Bytes of it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// From this byte on, to the end of the piece that it stands in; nothing beyond the last one.
    ///
    /// # Errors
    /// [`BlobError::Corrupt`] if the piece is not what was written, [`BlobError::NotFound`] if it was released meanwhile.
    pub async fn read_from(&self, at: u64) -> Result<Bytes, BlobError> {
        if at >= self.length {
            return Ok(Bytes::new());
        }
        let (hash, sums, number) = (self.hash, self.sums.clone(), at / PIECE as u64);
        let piece = self.blobs.blocking(move |blobs| match &blobs.place {
            Place::Disk(disk) => disk.read_piece(hash, &sums, number),
            Place::Memory(contents) => {
                let begin = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(PIECE);
                let whole = lock(contents).get(&hash).map(|(bytes, _)| bytes.clone()).ok_or(BlobError::NotFound)?;
                Ok(whole.slice(begin.min(whole.len())..begin.saturating_add(PIECE).min(whole.len())))
            }
        });
        let inside = usize::try_from(at % PIECE as u64).expect("less than a piece");
        Ok(piece.await?.slice(inside..))
    }

    /// All of it, if it is no larger than this.
    ///
    /// # Errors
    /// [`BlobError::Large`] if it is; else as [`Self::read_from`].
    pub async fn read_whole(&self, bytes_max: u64) -> Result<Vec<u8>, BlobError> {
        if self.length > bytes_max {
            return Err(BlobError::Large { max: bytes_max });
        }
        let mut whole = Vec::new();
        while (whole.len() as u64) < self.length {
            whole.extend_from_slice(&self.read_from(whole.len() as u64).await?);
        }
        Ok(whole)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards are counts and maps, each changed in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
