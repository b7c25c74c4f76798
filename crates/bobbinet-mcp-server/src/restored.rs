//! What was read and is too large for its task, in it again: a host that reads a resource gets the content.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bobbinet_core::{Artifact, Base64, Caller, Content, Part, Task};
use bobbinet_engine::BlobPlace;

use crate::{blob_bytes, content, door::Door, reading, revision::Revision, rpc::RpcError, tools};

/// A task with what it has by reference in it again, so that it is what was read and no word of where that is; `None` if it has all of it
/// itself.
pub(crate) async fn restored(
    door: &Door,
    caller: &Caller,
    task: &Task,
    revision: Revision,
) -> Result<Option<Task>, RpcError> {
    let gateway = door.server.gateway();
    let reference = |part: &Part| match &part.content {
        Content::Url(url) => match gateway.blob_place(url)? {
            BlobPlace::Task(id, hash) if id == task.id => Some((url.clone(), hash)),
            BlobPlace::Task(..) | BlobPlace::Upload(..) => None,
        },
        Content::Text(_) | Content::Raw(_) | Content::Data(_) => None,
    };
    if !task.artifacts.iter().flat_map(|artifact| &artifact.parts).any(|part| reference(part).is_some()) {
        return Ok(None);
    }
    let mut left = door.limits.linked_bytes_max;
    let mut artifacts = Vec::with_capacity(task.artifacts.len());
    for artifact in &task.artifacts {
        let mut parts = Vec::with_capacity(artifact.parts.len());
        for part in artifact.parts.iter().filter(|part| !content::is_preview(part)) {
            let Some((url, hash)) = reference(part) else {
                parts.push(part.clone());
                continue;
            };
            let found =
                gateway.blob(&tools::context(caller, &task.agent), &task.id.to_string(), &hash.to_string()).await;
            let (_, bytes) = blob_bytes::whole(door, found, &url, revision, left).await?;
            left = left.saturating_sub(bytes.len() as u64);
            let content = match String::from_utf8(bytes) {
                Ok(text) if !content::was_bytes(part) => Content::Text(text.into()),
                Ok(text) => Content::Raw(Base64::from_checked(&STANDARD.encode(text))),
                Err(error) => Content::Raw(Base64::from_checked(&STANDARD.encode(error.as_bytes()))),
            };
            if content::is_list_of_parts(part) {
                parts.extend(content::listed_parts(&content).ok_or_else(|| reading::no_resource(&url, revision))?);
            } else {
                parts.push(Part { content, ..part.clone() });
            }
        }
        artifacts.push(Arc::new(Artifact { parts, ..Artifact::clone(artifact) }));
    }
    Ok(Some(Task { artifacts, ..task.clone() }))
}
