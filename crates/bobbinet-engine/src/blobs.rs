//! Blobs of tasks and of callers: where they are found, and how long they stay. A task's stream holds what the task refers to; what a
//! caller has uploaded is held by a name of its own that ends.

use std::{fmt, sync::Arc, time::Duration};

use bobbinet_core::{AgentName, Content, Message, Principal, StreamId, TaskId, Tenant, Timestamp};
use bobbinet_store::{
    Store, StoreError,
    blobs::{BlobError, BlobHash, BlobOwner, Blobs, Holding},
};
use uuid::Uuid;

/// How long a blob is kept for a stream that is not in the log yet: the first commit of a call that only reads goes out with its outcome,
/// and an outcome that the store could not keep is tried again.
const UNKEPT_GRACE: Duration = Duration::from_secs(60 * 60);

/// Streams that are looked at in one go.
const LOOKS_PER_GO: usize = 256;

/// Where blobs are read and uploads named, as those know who serve them.
pub trait BlobUrls: fmt::Debug + Send + Sync + 'static {
    /// The URL of a blob.
    fn url(&self, agent: &AgentName, place: &BlobPlace) -> String;

    /// Which blob of this node a URL of this form names, if one may be. It may begin with an address that the node had before, or with one
    /// that the node does not know of itself.
    fn place(&self, url: &str) -> Option<BlobPlace>;

    /// Whether a URL begins with an address that the node has now.
    fn is_here(&self, url: &str) -> bool;

    /// The same URL at the node's present address, of one that names a blob.
    fn moved(&self, url: &str) -> Option<String>;
}

/// What a blob is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobPlace {
    /// What a task refers to.
    Task(TaskId, BlobHash),
    /// What a caller has uploaded at an agent's URL.
    Upload(AgentName, UploadId),
}

/// One upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadId(Uuid);

impl UploadId {
    /// The id in this text.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self).filter(|id| id.to_string() == text)
    }

    pub(crate) fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The blobs of a node, and their URLs.
#[derive(Clone, Debug)]
pub struct TaskBlobs {
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) urls: Arc<dyn BlobUrls>,
}

impl BlobPlace {
    /// Who holds it.
    pub(crate) fn holder(&self) -> StreamId {
        match self {
            Self::Task(task, _) => task.stream(),
            // No stream of the log begins so.
            Self::Upload(agent, id) => {
                StreamId::from_bytes(&[b"u", id.0.as_bytes().as_slice(), agent.as_str().as_bytes()].concat())
            }
        }
    }
}

/// Who holds a blob, for people: `task/ID`, or the upload at an agent.
pub fn blob_holder(holder: &StreamId) -> String {
    let upload = holder.as_bytes().strip_prefix(b"u").and_then(|rest| rest.split_first_chunk::<16>());
    match upload.and_then(|(id, agent)| Some((Uuid::from_bytes(*id), std::str::from_utf8(agent).ok()?))) {
        Some((id, agent)) => format!("upload/{agent}/{id}"),
        None => holder.to_string(),
    }
}

impl TaskBlobs {
    /// Whether a message names what a task refers to: its caller is asked about when that is read.
    pub(crate) fn is_named_in(&self, message: &Message) -> bool {
        message.parts.iter().any(|part| match &part.content {
            Content::Url(url) => matches!(self.urls.place(url), Some(BlobPlace::Task(..))),
            Content::Text(_) | Content::Raw(_) | Content::Data(_) => false,
        })
    }

    /// These, at these URLs.
    pub fn new(blobs: Arc<Blobs>, urls: Arc<dyn BlobUrls>) -> Self {
        Self { blobs, urls }
    }

    /// The URL of a task's blob at the node's present address, if this is one at another.
    pub(crate) fn moved(&self, url: &str) -> Option<String> {
        let place = self.urls.place(url)?;
        let is_held = match &place {
            BlobPlace::Task(..) => self.at(&place).is_ok(),
            // What a caller has said stays as it was said, and is found all the same.
            BlobPlace::Upload(..) => false,
        };
        if is_held { self.urls.moved(url).filter(|moved| moved != url) } else { None }
    }

    /// What is at a place.
    pub(crate) fn at(&self, place: &BlobPlace) -> Result<Arc<Holding>, BlobError> {
        let held = match place {
            BlobPlace::Task(_, hash) => self.blobs.find(&place.holder(), *hash),
            BlobPlace::Upload(..) => self.blobs.held_by(&place.holder()).into_iter().next(),
        };
        held.ok_or(BlobError::NotFound)
    }

    /// Lets go of what has ended: uploads in their time, and what streams held that are not there any more.
    pub(crate) async fn sweep(&self, store: &dyn Store, now: Timestamp) -> Result<(), SweepError> {
        let mut removed = self.blobs.expire(now).await?;
        for (looked, (holder, since)) in self.blobs.holders().into_iter().enumerate() {
            if now.since(since) > UNKEPT_GRACE && store.summary(&holder).await?.is_none() {
                self.blobs.release(&holder).await?;
                removed += 1;
            }
            if looked % LOOKS_PER_GO == 0 {
                tokio::task::yield_now().await;
            }
        }
        if removed > 0 {
            tracing::info!(removed, "let go of blobs that nobody needs any more");
        }
        Ok(())
    }
}

/// Why a sweep was not finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// On whose account blobs of this owner are.
pub(crate) fn account(tenant: &Tenant, owner: &Principal) -> BlobOwner {
    BlobOwner { tenant: Arc::from(tenant.as_str()), owner: Arc::from(owner.as_str()) }
}

#[cfg(test)]
mod tests {
    use bobbinet_store::{
        Commit, MemoryStore, Record, Step, Summary, Version,
        blobs::{BlobLabel, BlobLimits},
    };
    use bytes::Bytes;

    use super::*;

    #[derive(Debug)]
    struct NoUrls;

    impl BlobUrls for NoUrls {
        fn url(&self, _: &AgentName, _: &BlobPlace) -> String {
            String::new()
        }

        fn place(&self, _: &str) -> Option<BlobPlace> {
            None
        }

        fn is_here(&self, _: &str) -> bool {
            false
        }

        fn moved(&self, _: &str) -> Option<String> {
            None
        }
    }

    fn task(number: u128) -> StreamId {
        TaskId::new(Uuid::from_u128(number)).stream()
    }

    #[tokio::test]
    async fn a_blob_goes_when_its_stream_is_gone_and_an_upload_in_its_time() {
        let store = MemoryStore::new();
        let kept = task(1);
        let word = || Arc::from("w");
        let summary = Summary {
            tenant: word(),
            owner: word(),
            agent: word(),
            context: word(),
            state: 1,
            status_at: Timestamp::from_millis(0),
            due: None,
        };
        let records = vec![Record { format: 1, body: Bytes::from_static(b"r") }];
        let (stream, expected, cells) = (kept.clone(), Version(0), Vec::new());
        let step = Step { stream, expected, records, cells, summary: Some(summary) };
        store.commit(Commit { steps: vec![step], idempotency: None }).await.unwrap();
        let blobs = TaskBlobs::new(Blobs::in_memory(BlobLimits::default()), Arc::new(NoUrls));
        let owner = BlobOwner { tenant: "t".into(), owner: "o".into() };
        let label = |expires| BlobLabel {
            owner: owner.clone(),
            media_type: None,
            filename: None,
            made: Timestamp::from_millis(0),
            expires,
            is_quarantined: false,
        };
        let upload = BlobPlace::Upload(AgentName::parse("a").unwrap(), UploadId::new(Uuid::from_u128(3))).holder();
        let end = Timestamp::from_millis(0).after(UNKEPT_GRACE * 2);
        for (holder, expires) in [(&kept, None), (&task(2), None), (&upload, Some(end))] {
            blobs.blobs.keep(holder, label(expires), Bytes::from_static(b"x")).await.unwrap();
        }
        let held = async |now: Timestamp| {
            blobs.sweep(&store, now).await.unwrap();
            [&kept, &task(2), &upload].map(|holder| blobs.blobs.held_by(holder).len())
        };
        assert_eq!(
            held(Timestamp::from_millis(0).after(UNKEPT_GRACE)).await,
            [1, 1, 1],
            "its commit may be on its way"
        );
        assert_eq!(held(Timestamp::from_millis(1).after(UNKEPT_GRACE)).await, [1, 0, 1]);
        assert_eq!(held(end).await, [1, 0, 0]);
        store.forget(&kept).await.unwrap();
        assert_eq!(held(end).await, [0, 0, 0]);
        assert_eq!(blobs.blobs.bytes(), 0);
    }
}
