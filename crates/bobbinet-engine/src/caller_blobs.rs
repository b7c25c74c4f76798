//! What callers do with blobs: they read those of their tasks, and upload what a message will name.

use std::sync::Arc;

use bobbinet_core::{AgentName, Caller, TaskId, Timestamp};
use bobbinet_store::blobs::{BlobError, BlobHash, BlobLabel, BlobReader, BlobWriter, Holding};
use bytes::Bytes;

use crate::{
    Engine, EngineError,
    blobs::{BlobPlace, TaskBlobs, UploadId, account},
    run_blobs::BlobKind,
};

/// A blob that is open for its reader.
#[derive(Clone, Debug)]
pub struct OpenBlob {
    /// Its content.
    pub hash: BlobHash,
    /// Bytes of it.
    pub length: u64,
    /// What it is.
    pub kind: BlobKind,
    /// Whether it is for its owner to look at and nothing else: a result that is not as its tool has promised.
    pub is_quarantined: bool,
    /// Reads it.
    pub reader: BlobReader,
}

/// Something that is being uploaded. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    blobs: TaskBlobs,
    writer: BlobWriter,
    id: UploadId,
    agent: AgentName,
    label: BlobLabel,
}

/// Something that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// What a message names it by, and where its owner finds it.
    pub url: String,
    /// Its content.
    pub hash: BlobHash,
    /// Bytes of it.
    pub length: u64,
    /// How long it is kept, if no task is given it.
    pub expires: Timestamp,
}

/// Why a blob was not read or taken in.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BlobFault {
    /// The task it belongs to cannot be read.
    #[error(transparent)]
    Task(#[from] EngineError),
    /// The blob cannot.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl Engine {
    /// What this URL leads to, if it is one of this node's blobs or uploads. Says nothing of whose it is.
    pub fn blob_place(&self, url: &str) -> Option<BlobPlace> {
        let blobs = self.inner.blobs.as_ref()?;
        let place = blobs.urls.place(url)?;
        // What looks like one and is at an address that is not known here may be somebody else's.
        (blobs.urls.is_here(url) || blobs.at(&place).is_ok()).then_some(place)
    }

    /// A blob that a task refers to, for whoever may read the task.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] also for a task of somebody else.
    pub async fn blob(
        &self,
        caller: &Caller,
        agent: &AgentName,
        task: &TaskId,
        hash: BlobHash,
    ) -> Result<OpenBlob, BlobFault> {
        self.inner.find(caller, agent, task).await?;
        let blobs = self.blobs()?;
        open(blobs, blobs.at(&BlobPlace::Task(*task, hash))?).await
    }

    /// Begins to take in what a message will name.
    ///
    /// # Errors
    /// If there is no room for it, or the node takes nothing new.
    pub async fn begin_upload(&self, caller: &Caller, agent: &AgentName, kind: BlobKind) -> Result<Upload, BlobFault> {
        if self.inner.lifecycle.is_draining() {
            return Err(EngineError::Draining.into());
        }
        let blobs = self.blobs()?.clone();
        let BlobKind { media_type, filename } = kind;
        let made = self.env().now();
        let expires = Some(made.after(blobs.blobs.limits().upload_life()));
        let owner = account(&caller.tenant, &caller.principal);
        let writer = blobs.blobs.begin(owner.clone()).await?;
        let label = BlobLabel { owner, media_type, filename, made, expires, is_quarantined: false };
        Ok(Upload { blobs, writer, id: UploadId::new(self.env().uuid()), agent: agent.clone(), label })
    }

    /// What this caller has uploaded at this agent.
    ///
    /// # Errors
    /// [`BlobError::NotFound`] also for somebody else's.
    pub async fn upload(&self, caller: &Caller, agent: &AgentName, id: UploadId) -> Result<OpenBlob, BlobFault> {
        let (_, held) = self.find_upload(caller, agent, id)?;
        open(self.blobs()?, held).await
    }

    /// Removes what this caller has uploaded; a task that was given it keeps it.
    ///
    /// # Errors
    /// As [`Self::upload`].
    pub async fn remove_upload(&self, caller: &Caller, agent: &AgentName, id: UploadId) -> Result<(), BlobFault> {
        let (place, _) = self.find_upload(caller, agent, id)?;
        Ok(self.blobs()?.blobs.release(&place.holder()).await?)
    }

    fn find_upload(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: UploadId,
    ) -> Result<(BlobPlace, Arc<Holding>), BlobError> {
        let place = BlobPlace::Upload(agent.clone(), id);
        let held = self.blobs()?.at(&place)?;
        let is_own = held.label.owner == account(&caller.tenant, &caller.principal);
        if is_own { Ok((place, held)) } else { Err(BlobError::NotFound) }
    }

    fn blobs(&self) -> Result<&TaskBlobs, BlobError> {
        self.inner.blobs.as_ref().ok_or(BlobError::NotFound)
    }
}

impl Upload {
    /// Whether there would be room if it came to this length.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn expect(&mut self, length: u64) -> Result<(), BlobError> {
        self.writer.expect(length)
    }

    /// Adds some. After an error it is of no more use.
    ///
    /// # Errors
    /// If there is no room for them.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.writer.write(bytes).await
    }

    /// All of it is there. When this returns it survives a crash.
    ///
    /// # Errors
    /// If it could not be kept.
    pub async fn finish(self) -> Result<Uploaded, BlobError> {
        let Self { blobs, writer, id, agent, label } = self;
        let place = BlobPlace::Upload(agent.clone(), id);
        let expires = label.expires.unwrap_or(Timestamp::MAX);
        let kept = writer.finish(&place.holder(), label).await?;
        Ok(Uploaded { url: blobs.urls.url(&agent, &place), hash: kept.hash, length: kept.length, expires })
    }
}

async fn open(blobs: &TaskBlobs, held: Arc<Holding>) -> Result<OpenBlob, BlobFault> {
    let reader = blobs.blobs.read(&held).await?;
    let kind = BlobKind { media_type: held.label.media_type.clone(), filename: held.label.filename.clone() };
    Ok(OpenBlob { hash: held.hash, length: held.length, kind, is_quarantined: held.label.is_quarantined, reader })
}
