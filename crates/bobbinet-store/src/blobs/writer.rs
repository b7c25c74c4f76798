//! A blob that is being taken in, a piece at a time: memory for one piece is all that it needs, however large it becomes.

use std::{io::Write, sync::Arc};

use bobbinet_core::StreamId;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::{
    BlobError, BlobHash, BlobLabel, BlobOwner, Blobs, Holding, PIECE, Place, disk::Incoming, lock, sums::Sums,
};
use crate::failpoint;

/// A blob that is being taken in. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    /// What is not a whole piece yet.
    begun: BytesMut,
    /// `None` only while a piece is being written, and after one that was not.
    state: Option<State>,
}

#[derive(Debug)]
struct State {
    room: Room,
    sink: Sink,
    whole: Sha256,
    sums: Sums,
    length: u64,
}

#[derive(Debug)]
enum Sink {
    Disk(Incoming),
    Memory(Vec<u8>),
}

/// Room on an account, given back when this is dropped.
#[derive(Debug)]
struct Room {
    blobs: Arc<Blobs>,
    owner: BlobOwner,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.blobs.ledger().unreserve(&self.owner, self.bytes);
    }
}

impl BlobWriter {
    pub(super) async fn begin(blobs: Arc<Blobs>, owner: BlobOwner) -> Result<Self, BlobError> {
        blobs.ledger().reserve(&owner, 0, 0)?;
        let room = Room { blobs: blobs.clone(), owner, bytes: 0 };
        let sink = blobs.blocking(|blobs| match &blobs.place {
            Place::Disk(disk) => disk.incoming().map(Sink::Disk),
            Place::Memory(_) => Ok(Sink::Memory(Vec::new())),
        });
        let state = State { room, sink: sink.await?, whole: Sha256::new(), sums: Sums::default(), length: 0 };
        Ok(Self { begun: BytesMut::new(), state: Some(state) })
    }

    /// Bytes that it has so far.
    pub fn length(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.room.bytes)
    }

    /// Whether there would be room if it came to this length: so that nobody sends a gigabyte to hear that it is too much.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn expect(&mut self, length: u64) -> Result<(), BlobError> {
        let Some(state) = &mut self.state else { return Err(broken()) };
        let (known, more) = (state.room.bytes, length.saturating_sub(state.room.bytes));
        let mut ledger = state.room.blobs.ledger();
        ledger.reserve(&state.room.owner, known, more)?;
        ledger.unreserve(&state.room.owner, more);
        Ok(())
    }

    /// Adds some. After an error it is of no more use.
    ///
    /// # Errors
    /// If there is no room for them, or they could not be written.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        let Some(state) = &mut self.state else { return Err(broken()) };
        if let Err(error) = state.room.grow(bytes.len() as u64) {
            self.state = None;
            return Err(error);
        }
        while self.begun.len() + bytes.len() >= PIECE {
            let piece = match self.begun.is_empty() {
                true => bytes.split_to(PIECE),
                false => {
                    let rest = bytes.split_to(PIECE - self.begun.len());
                    self.begun.extend_from_slice(&rest);
                    self.begun.split().freeze()
                }
            };
            let Some(mut state) = self.state.take() else { return Err(broken()) };
            let blobs = state.room.blobs.clone();
            self.state = Some(blobs.blocking(move |_| state.add(&piece).map(|()| state)).await?);
        }
        self.begun.extend_from_slice(&bytes);
        Ok(())
    }

    /// What was written is a blob now, and held by this stream. When this returns it survives a crash.
    ///
    /// # Errors
    /// If it could not be written; then there is nothing.
    pub async fn finish(mut self, holder: &StreamId, label: BlobLabel) -> Result<Arc<Holding>, BlobError> {
        let Some(state) = self.state.take() else { return Err(broken()) };
        let (holder, rest) = (holder.clone(), self.begun.split());
        let blobs = state.room.blobs.clone();
        blobs.blocking(move |blobs| state.finish(blobs, &rest, holder, label)).await
    }
}

impl Room {
    fn grow(&mut self, more: u64) -> Result<(), BlobError> {
        self.blobs.ledger().reserve(&self.owner, self.bytes, more)?;
        self.bytes += more;
        Ok(())
    }
}

impl State {
    fn add(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        self.whole.update(piece);
        self.sums.add(piece);
        self.length += piece.len() as u64;
        match &mut self.sink {
            Sink::Disk(incoming) => incoming.file.write_all(piece).map_err(BlobError::unavailable),
            Sink::Memory(bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    fn finish(
        mut self,
        blobs: &Arc<Blobs>,
        rest: &[u8],
        holder: StreamId,
        label: BlobLabel,
    ) -> Result<Arc<Holding>, BlobError> {
        if !rest.is_empty() {
            self.add(rest)?;
        }
        let Self { room, sink, whole, sums, length } = self;
        let hash = BlobHash(whole.finalize().into());
        let holding = Arc::new(Holding { holder, hash, length, label });
        // From here on nobody takes it away as one that is not held.
        blobs.ledger().pin(hash);
        let placed = match (&blobs.place, sink) {
            (Place::Disk(disk), Sink::Disk(incoming)) => {
                failpoint::point("blob-before");
                disk.place(incoming, hash, length, &sums).and_then(|()| {
                    failpoint::point("blob-placed");
                    disk.write_holding(&holding).map_err(BlobError::unavailable)
                })
            }
            (Place::Memory(contents), Sink::Memory(bytes)) => {
                lock(contents).insert(hash, (bytes.into(), Arc::new(sums)));
                Ok(())
            }
            (Place::Disk(_), Sink::Memory(_)) | (Place::Memory(_), Sink::Disk(_)) => {
                unreachable!("what is taken in goes to the place that it was begun for")
            }
        };
        failpoint::point("blob-held");
        let mut ledger = blobs.ledger();
        ledger.unpin(hash);
        if placed.is_ok() {
            ledger.add(holding.clone());
        } else {
            blobs.remove_unheld(&ledger, hash);
        }
        drop(ledger);
        drop(room);
        placed.map(|()| holding)
    }
}

fn broken() -> BlobError {
    BlobError::Unavailable("what came before could not be written".to_owned())
}
