//! A structured result that has gone by reference, read back where its tool has promised a structure: SDKs take no result of such a tool
//! without one, and a link beside it is none.

use bobbinet_core::{Caller, Json, State, Task};
use bobbinet_engine::{BlobError, BlobPlace, OpenBlob};
use bobbinet_gateway::BlobRefusal;
use tokio::task::spawn_blocking;

use crate::{
    content,
    door::Door,
    result::{CallResult, Structure},
    revision::Revision,
    tools,
};

/// What a task comes to as the result of the call that it is. `is_strict`: its tool has promised a structure.
pub(crate) async fn result(
    door: &Door,
    caller: &Caller,
    task: &Task,
    revision: Revision,
    is_strict: bool,
) -> CallResult {
    let structure = match is_strict && task.state == State::Completed {
        true => structure(door, caller, task).await,
        false => Structure::InPlace,
    };
    CallResult::of(task, revision, is_strict, structure)
}

async fn structure(door: &Door, caller: &Caller, task: &Task) -> Structure {
    let gateway = door.server.gateway();
    let parts = task.artifacts.iter().flat_map(|artifact| &artifact.parts);
    let Some(url) = parts.filter_map(content::structured_reference).next() else { return Structure::InPlace };
    // What another node keeps is its own to give.
    let Some(BlobPlace::Task(of, hash)) = gateway.blob_place(url) else { return Structure::InPlace };
    let found = gateway.blob(&tools::context(caller, &task.agent), &of.to_string(), &hash.to_string()).await;
    match found {
        Ok(blob) => read(door, task, blob).await.unwrap_or_else(|error| unreadable(&error.into())),
        Err(error) => unreadable(&error),
    }
}

async fn read(door: &Door, task: &Task, blob: OpenBlob) -> Result<Structure, BlobError> {
    let (length, max) = (blob.length, door.limits.structured_bytes_max);
    if blob.is_quarantined {
        return Err(BlobError::Quarantined);
    }
    if length.saturating_add(task.bytes as u64) > max {
        let text = format!(
            "The structured result of this tool has {length} bytes, and a result with such has at most {max} \
             (structured_bytes_max): fetch it from its link, with the same credentials, in ranges if you like."
        );
        return Ok(Structure::Apart(text));
    }
    // Until it is JSON: what is written of it has its room like every answer.
    let Ok(_turn) = door.linked_reads.acquire().await else { return Err(BlobError::NotFound) };
    let bytes = blob.reader.read_whole(max).await?;
    let parsed = spawn_blocking(move || Json::parse(std::str::from_utf8(&bytes).ok()?).ok()).await;
    Ok(match parsed {
        Ok(Some(json)) => Structure::Whole(json),
        Ok(None) | Err(_) => Structure::Apart("The structured result of this tool is no JSON.".to_owned()),
    })
}

fn unreadable(error: &BlobRefusal) -> Structure {
    tracing::error!(%error, "a structured result could not be read");
    Structure::Apart(format!("The structured result of this tool cannot be read now: {error}."))
}
