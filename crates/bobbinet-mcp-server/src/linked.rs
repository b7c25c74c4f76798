//! What has gone by reference, for a host that reads the `resource_link` of a result: the same as by HTTP from that URL, as long as it fits
//! into a message.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bobbinet_core::{Caller, Json};
use bobbinet_engine::BlobPlace;

use crate::{blob_bytes, door::Door, mesh, object::Object, reading, result, revision::Revision, rpc::RpcError, tools};

/// The content as a resource. Whoever may not read its task finds nothing.
pub(crate) async fn read(
    door: &Door,
    caller: &Caller,
    url: &str,
    place: &BlobPlace,
    revision: Revision,
) -> Result<Json, RpcError> {
    let gateway = door.server.gateway();
    let found = match place {
        BlobPlace::Task(task, hash) => {
            let task = task.to_string();
            let nothing = || reading::no_resource(url, revision);
            let agent = mesh::agent_of(gateway, caller, &task).await.ok_or_else(nothing)?;
            gateway.blob(&tools::context(caller, &agent), &task, &hash.to_string()).await
        }
        BlobPlace::Upload(agent, id) => gateway.upload(&tools::context(caller, agent), &id.to_string()).await,
    };
    let (kind, bytes) = blob_bytes::whole(door, found, url, revision, door.limits.linked_bytes_max).await?;
    let content = Object::default().with("uri", url).with_some("mimeType", kind.media_type.as_deref());
    let content = match String::from_utf8(bytes) {
        Ok(text) => content.with("text", &text),
        Err(error) => content.with("blob", &STANDARD.encode(error.as_bytes())),
    };
    let read = Object::default().with("contents", &[content]);
    Ok(match revision.is_stateless() {
        true => {
            // It never changes; whose it is is asked each time.
            let read = read.with("ttlMs", &0).with("cacheScope", "private");
            result::stateless(read, Object::default()).to_json()
        }
        false => read.to_json(),
    })
}
