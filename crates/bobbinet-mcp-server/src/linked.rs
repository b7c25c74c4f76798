//! What has gone by reference, for a host that reads the `resource_link` of a result: the same as by HTTP from that URL, as long as it fits
//! into a message.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bobbinet_core::{Caller, Json};
use bobbinet_engine::{BlobError, BlobPlace, OpenBlob};
use bobbinet_gateway::{BlobRefusal, GatewayError};

use crate::{door::Door, mesh, object::Object, reading, result, revision::Revision, rpc::RpcError, tools};

/// The content as a resource. Whoever may not read its task finds nothing.
pub(crate) async fn read(
    door: &Door,
    caller: &Caller,
    url: &str,
    place: &BlobPlace,
    revision: Revision,
) -> Result<Json, RpcError> {
    let gateway = door.server.gateway();
    let nothing = || reading::no_resource(url, revision);
    let found = match place {
        BlobPlace::Task(task, hash) => {
            let task = task.to_string();
            let agent = mesh::agent_of(gateway, caller, &task).await.ok_or_else(nothing)?;
            gateway.blob(&tools::context(caller, &agent), &task, &hash.to_string()).await
        }
        BlobPlace::Upload(agent, id) => gateway.upload(&tools::context(caller, agent), &id.to_string()).await,
    };
    let OpenBlob { kind, reader, length, .. } = match found {
        Ok(found) if found.is_quarantined => return Err(quarantined()),
        Ok(found) => found,
        Err(BlobRefusal::Gateway(GatewayError::NotFound) | BlobRefusal::Blob(BlobError::NotFound)) => {
            return Err(nothing());
        }
        Err(BlobRefusal::Gateway(error)) => return Err(RpcError::inside(&door.server.fault_of(error))),
        Err(BlobRefusal::Blob(error)) => return Err(unreadable(&error)),
    };
    let max = door.limits.linked_bytes_max;
    // Until it is text: what is written of it has its room like every answer.
    let Ok(_turn) = door.linked_reads.acquire().await else { return Err(nothing()) };
    let bytes = reader.read_whole(max).await.map_err(|error| match error {
        BlobError::Large { .. } => {
            let text = format!(
                "it has {length} bytes, and a resource has at most {max} (linked_bytes_max): fetch it from its URL, with the same \
                 credentials, in ranges if you like"
            );
            RpcError::invalid_params(&text)
        }
        BlobError::NotFound
        | BlobError::Full { .. }
        | BlobError::Corrupt(_)
        | BlobError::Quarantined
        | BlobError::Unavailable(_) => unreadable(&error),
    })?;
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

/// A result that is not as its tool has promised is for a person to look at, and no content for a model.
fn quarantined() -> RpcError {
    let text = "this is a result that is not as its tool has promised: it is kept for the owner of its task, who fetches it from \
                its URL, and is not given as a resource";
    RpcError::invalid_params(text)
}

fn unreadable(error: &BlobError) -> RpcError {
    tracing::error!(%error, "what a link leads to could not be read");
    RpcError::of_server(-32603, &error.to_string(), None)
}
