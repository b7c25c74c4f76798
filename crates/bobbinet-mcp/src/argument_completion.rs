//! Completion of an argument of a prompt or of a resource template, by the server that lists it.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Fault, Json};
use tokio::time::{Instant, timeout};

use crate::{json_object::JsonObject, mailbox::Reply, supervised_session::SupervisedSession};

/// How long a server may take: somebody is typing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the server proposes, as the protocol has it: the `completion` of its result. Nothing, where it completes nothing.
pub(crate) async fn complete(session: Arc<SupervisedSession>, params: &Json) -> Result<Json, Fault> {
    let deadline = Instant::now() + PATIENCE;
    let client = session.client(|| deadline).await?;
    if client.capabilities().completions.is_none() {
        return Ok(Json::from(&serde_json::json!({"values": []})));
    }
    let slow = || Fault::new("timed-out", format!("the server did not complete within {PATIENCE:?}"));
    client.in_flight.mix_owners();
    let reply = timeout(PATIENCE, client.request("completion/complete", params.clone())).await.map_err(|_| slow())?;
    match reply {
        Reply::Result(result) => {
            let completion = JsonObject::read(&result).and_then(|mut fields| fields.take("completion"));
            completion
                .filter(Json::is_object)
                .ok_or_else(|| Fault::new("bad-answer", "the server completes with a result that has no `completion`"))
        }
        Reply::Error(error) => Err(Fault::new("refused", format!("the server refused: {}", error.message))),
        Reply::Unreadable(why) => Err(Fault::new("bad-answer", why)),
        Reply::NotSent(broken) | Reply::Broken(broken) => {
            Err(Fault::new("server-died", format!("the connection to the server broke: {broken:?}")))
        }
    }
}
