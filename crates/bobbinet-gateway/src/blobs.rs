//! Blobs at the door: whoever may read a task may read what it refers to, and uploading is a right of its own.

use bobbinet_auth::Action;
use bobbinet_engine::{BlobError, BlobFault, BlobHash, BlobKind, BlobPlace, OpenBlob, Upload, UploadId};

use crate::{
    Gateway, GatewayError, RequestContext,
    gateway::{Denial, task_id},
};

/// Why a blob was not read or taken in.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BlobRefusal {
    /// It may not be, or not now.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// It cannot be.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl From<BlobFault> for BlobRefusal {
    fn from(fault: BlobFault) -> Self {
        match fault {
            BlobFault::Task(error) => Self::Gateway(error.into()),
            BlobFault::Blob(error) => Self::Blob(error),
        }
    }
}

impl Gateway {
    /// What this URL leads to, if it is one of this node's blobs or uploads. Says nothing of whose it is.
    pub fn blob_place(&self, url: &str) -> Option<BlobPlace> {
        self.engine.blob_place(url)
    }

    /// A blob that a task refers to. Access follows the task: whoever knows the hash alone finds nothing.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] also for somebody else's task, [`BlobError::NotFound`] if the task does not refer to it.
    pub async fn blob(&self, context: &RequestContext<'_>, task: &str, hash: &str) -> Result<OpenBlob, BlobRefusal> {
        self.allow(context, Action::Get(context.agent), Denial::NotFound)?;
        let task = task_id(task)?;
        let hash = BlobHash::parse(hash).ok_or(BlobError::NotFound)?;
        Ok(self.engine.blob(context.caller, context.agent, &task, hash).await?)
    }

    /// Begins to take in what a message will name.
    ///
    /// # Errors
    /// If the caller may not upload to this agent, or there is no room.
    pub async fn begin_upload(&self, context: &RequestContext<'_>, kind: BlobKind) -> Result<Upload, BlobRefusal> {
        self.allow(context, Action::Upload(context.agent), Denial::Told)?;
        Ok(self.engine.begin_upload(context.caller, context.agent, kind).await?)
    }

    /// What this caller has uploaded.
    ///
    /// # Errors
    /// [`BlobError::NotFound`] also for somebody else's.
    pub async fn upload(&self, context: &RequestContext<'_>, id: &str) -> Result<OpenBlob, BlobRefusal> {
        self.allow(context, Action::Upload(context.agent), Denial::NotFound)?;
        Ok(self.engine.upload(context.caller, context.agent, upload_id(id)?).await?)
    }

    /// Removes what this caller has uploaded. A task that was given it keeps it.
    ///
    /// # Errors
    /// As [`Self::upload`].
    pub async fn remove_upload(&self, context: &RequestContext<'_>, id: &str) -> Result<(), BlobRefusal> {
        self.allow(context, Action::Upload(context.agent), Denial::NotFound)?;
        Ok(self.engine.remove_upload(context.caller, context.agent, upload_id(id)?).await?)
    }
}

fn upload_id(text: &str) -> Result<UploadId, BlobError> {
    UploadId::parse(text).ok_or(BlobError::NotFound)
}
