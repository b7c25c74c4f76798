//! What a run does with blobs: keeps what is too large for its task, and reads what its caller has uploaded for it.

use std::sync::Arc;

use bobbinet_core::{AgentName, Principal};
use bobbinet_store::blobs::{BlobError, BlobHash, BlobLabel, Holding};
use bytes::Bytes;

use crate::{
    Run,
    blobs::{BlobPlace, TaskBlobs, account},
};

/// A blob that a task refers to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBlob {
    /// Where its task's readers fetch it.
    pub url: String,
    /// Its content.
    pub hash: BlobHash,
    /// Bytes of it.
    pub length: u64,
}

/// What a blob is, for people and programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobKind {
    /// Its media type.
    pub media_type: Option<Arc<str>>,
    /// The name of the file that it is.
    pub filename: Option<Arc<str>>,
}

impl Run {
    /// Whether this node keeps blobs.
    pub fn has_blobs(&self) -> bool {
        self.host.blobs().is_some()
    }

    /// Keeps something large for as long as the task. Durable when this returns, and on the account of the task's owner. A run that is made
    /// again keeps the same once.
    ///
    /// # Errors
    /// If there is no room for it.
    pub async fn keep_blob(
        &self,
        kind: BlobKind,
        pieces: impl Iterator<Item = Bytes> + Send,
    ) -> Result<KeptBlob, BlobError> {
        self.keep(self.label(kind), pieces).await
    }

    /// The same of what is not as it was promised: whoever may read the task may look at it, and nothing else is made of it.
    ///
    /// # Errors
    /// As [`Self::keep_blob`].
    pub async fn quarantine_blob(
        &self,
        kind: BlobKind,
        pieces: impl Iterator<Item = Bytes> + Send,
    ) -> Result<KeptBlob, BlobError> {
        self.keep(BlobLabel { is_quarantined: true, ..self.label(kind) }, pieces).await
    }

    async fn keep(&self, label: BlobLabel, pieces: impl Iterator<Item = Bytes> + Send) -> Result<KeptBlob, BlobError> {
        let blobs = self.host.blobs().ok_or(BlobError::NotFound)?;
        let mut writer = blobs.blobs.begin(label.owner.clone()).await?;
        for piece in pieces {
            writer.write(piece).await?;
        }
        let kept = writer.finish(&self.task().id.stream(), label).await?;
        let place = BlobPlace::Task(self.task().id, kept.hash);
        let url = blobs.urls.url(&self.task().agent, &place);
        Ok(KeptBlob { url, hash: kept.hash, length: kept.length })
    }

    /// Whether this is the URL of a blob at this node's present address. Nothing is fetched from any other.
    pub fn is_blob(&self, url: &str) -> bool {
        self.host.blobs().is_some_and(|blobs| blobs.urls.is_here(url) && blobs.urls.place(url).is_some())
    }

    /// What such a URL names, whatever address of the node it begins with, if it is the task's owner's and no larger than this. From now on
    /// it stays as long as the task.
    ///
    /// # Errors
    /// [`BlobError::NotFound`] also for somebody else's, and for that of a task which its owner may not read.
    pub async fn read_blob(&self, url: &str, bytes_max: u64) -> Result<(Vec<u8>, BlobKind), BlobError> {
        let blobs = self.host.blobs().ok_or(BlobError::NotFound)?;
        let place = blobs.urls.place(url).ok_or(BlobError::NotFound)?;
        let held = self.own(blobs, &place)?;
        self.may_read(&place).await?;
        if held.label.is_quarantined {
            return Err(BlobError::Quarantined);
        }
        let kind = BlobKind { media_type: held.label.media_type.clone(), filename: held.label.filename.clone() };
        if held.length > bytes_max {
            return Err(BlobError::Large { max: bytes_max });
        }
        let from = (&held.holder, held.hash);
        let held = blobs.blobs.share(from, &self.task().id.stream(), self.label(kind.clone())).await?;
        let bytes = blobs.blobs.read(&held).await?.read_whole(bytes_max).await?;
        Ok((bytes, kind))
    }

    /// Has the run's task hold a blob that another task of its owner holds, and gives the URL that its own readers fetch it by.
    ///
    /// # Errors
    /// [`BlobError::NotFound`] also for somebody else's.
    pub async fn hold_blob(&self, url: &str) -> Result<String, BlobError> {
        let blobs = self.host.blobs().ok_or(BlobError::NotFound)?;
        let held = self.own(blobs, &blobs.urls.place(url).ok_or(BlobError::NotFound)?)?;
        let kind = BlobKind { media_type: held.label.media_type.clone(), filename: held.label.filename.clone() };
        let from = (&held.holder, held.hash);
        let held = blobs.blobs.share(from, &self.task().id.stream(), self.label(kind)).await?;
        Ok(blobs.urls.url(&self.task().agent, &BlobPlace::Task(self.task().id, held.hash)))
    }

    fn own(&self, blobs: &TaskBlobs, place: &BlobPlace) -> Result<Arc<Holding>, BlobError> {
        let held = blobs.at(place)?;
        let is_own = held.label.owner == account(&self.task().tenant, self.owner());
        if is_own { Ok(held) } else { Err(BlobError::NotFound) }
    }

    /// Whether whoever asked for this run may read the task that holds it. What was uploaded is its owner's, and this run's own is its own.
    async fn may_read(&self, place: &BlobPlace) -> Result<(), BlobError> {
        let task = match place {
            BlobPlace::Task(task, _) if *task != self.task().id => task,
            BlobPlace::Task(..) | BlobPlace::Upload(..) => return Ok(()),
        };
        // It is kept where a message names such a blob. Of one that was kept before, or came with an answer, nothing but its owner is known.
        let Some(caller) = &self.task().caller else { return Ok(()) };
        let found = self.host.tasks().store.summary(&task.stream()).await;
        let found = found.map_err(|error| BlobError::Unavailable(error.to_string()))?;
        let agent = found.and_then(|(_, summary)| AgentName::parse(&summary.agent).ok()).ok_or(BlobError::NotFound)?;
        let allowed = self.host.authorizer().allows_get(caller, &agent);
        allowed.map_err(|fault| {
            tracing::info!(task = %self.task().id, %agent, why = fault.text, "a task's blob is not given to another call");
            BlobError::NotFound
        })
    }

    fn owner(&self) -> &Principal {
        &self.task().owner
    }

    fn label(&self, kind: BlobKind) -> BlobLabel {
        let BlobKind { media_type, filename } = kind;
        let owner = account(&self.task().tenant, self.owner());
        BlobLabel { owner, media_type, filename, made: self.now(), expires: None, is_quarantined: false }
    }
}
