//! The bytes of what has gone by reference, as long as they fit into a message.

use bobbinet_engine::{BlobError, BlobKind, OpenBlob};
use bobbinet_gateway::{BlobRefusal, GatewayError};

use crate::{door::Door, reading, revision::Revision, rpc::RpcError};

/// What was found at a URL of this node, if it has no more bytes than that.
pub(crate) async fn whole(
    door: &Door,
    found: Result<OpenBlob, BlobRefusal>,
    url: &str,
    revision: Revision,
    bytes_max: u64,
) -> Result<(BlobKind, Vec<u8>), RpcError> {
    let nothing = || reading::no_resource(url, revision);
    let OpenBlob { kind, reader, length, .. } = match found {
        Ok(found) if found.is_quarantined => return Err(quarantined()),
        Ok(found) => found,
        Err(BlobRefusal::Gateway(GatewayError::NotFound) | BlobRefusal::Blob(BlobError::NotFound)) => {
            return Err(nothing());
        }
        Err(BlobRefusal::Gateway(error)) => return Err(RpcError::inside(&door.server.fault_of(error))),
        Err(BlobRefusal::Blob(error)) => return Err(unreadable(&error)),
    };
    // Until it is text: what is written of it has its room like every answer.
    let Ok(_turn) = door.linked_reads.acquire().await else { return Err(nothing()) };
    let bytes = reader.read_whole(bytes_max).await.map_err(|error| match error {
        BlobError::Large { .. } => {
            let max = door.limits.linked_bytes_max;
            let text = format!(
                "it has {length} bytes, and a resource has at most {max} (linked_bytes_max): fetch it from its URL, with the same \
                 credentials, in ranges if you like: {url}"
            );
            RpcError::invalid_params(&text)
        }
        BlobError::NotFound
        | BlobError::Full { .. }
        | BlobError::Corrupt(_)
        | BlobError::Quarantined
        | BlobError::Unavailable(_) => unreadable(&error),
    })?;
    Ok((kind, bytes))
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
