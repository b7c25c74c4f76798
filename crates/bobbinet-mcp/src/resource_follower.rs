//! A resource that is followed: its task reads it now, and again whenever the server says that it has changed; what is new becomes an
//! artifact each time. It ends when it is canceled, its time is up, or its task is full.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Artifact, ArtifactId, Fault, Json, Message, Outcome, Part};
use bobbinet_engine::{EngineError, Run};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    call_attempt::{CallAttempt, NotAdmitted, Place, unreachable},
    call_checkpoint::CallCheckpoint,
    call_listener::{Target, canceled, time_is_up, unreadable},
    json_object::JsonObject,
    mailbox::Reply,
    references,
    resources::FOLLOW,
    result::{self, CallResult},
    server_feature::ServerFeature,
};

/// How soon a server that was lost is looked for again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Whether a call is to follow a resource, and which.
pub(crate) fn followed(target: &Target) -> Option<String> {
    let fields = JsonObject::read(&target.arguments).filter(|_| target.feature == ServerFeature::Resource)?;
    let follows = fields.get(FOLLOW).is_some_and(|follow| follow.as_str() == "true");
    fields.text("uri").filter(|_| follows)
}

/// Why a leg of it was over.
enum Leg {
    Over(Outcome),
    /// The connection is over.
    Lost,
}

/// Follows a resource until somebody does not want that any more.
pub(crate) async fn follow(attempt: &CallAttempt<'_>, uri: &str) -> Outcome {
    let run = attempt.run;
    let mut last = run.task().artifacts.last().cloned();
    let mut count = run.task().artifacts.len();
    let mut lost_at = None;
    loop {
        match leg(attempt, uri, &mut last, &mut count).await {
            Ok(()) => lost_at = None,
            Err(Leg::Over(outcome)) => return outcome,
            Err(Leg::Lost) => {}
        }
        // One that stays away is not waited for longer than a call of it.
        let since = *lost_at.get_or_insert_with(Instant::now);
        let idle = attempt.shared.config.idle(attempt.target.tool.as_str());
        if since.elapsed() > idle {
            let text = format!("the MCP server of `{uri}` is away for more than {idle:?}");
            return Outcome::Failed(Fault::new("server-unavailable", text));
        }
        tokio::select! {
            biased;
            () = run.canceled() => return canceled(attempt.target, 0),
            () = time_is_up(run) => return over(run, "its time was up"),
            () = sleep(RECONNECT_PAUSE) => {}
        }
    }
}

/// Over one connection, until that is over.
async fn leg(
    attempt: &CallAttempt<'_>,
    uri: &str,
    last: &mut Option<Arc<Artifact>>,
    count: &mut usize,
) -> Result<(), Leg> {
    let (run, target) = (attempt.run, attempt.target);
    let route = match attempt.admit(0, Place::Any).await {
        Ok(route) => route,
        Err(NotAdmitted::Over(outcome)) => return Err(Leg::Over(outcome)),
        Err(NotAdmitted::NoServer(fault)) if *count == 0 => return Err(Leg::Over(unreachable(target, 0, fault))),
        Err(NotAdmitted::NoServer(_)) => return Err(Leg::Lost),
    };
    let client = route.client.clone();
    client.in_flight.note_owner(&route.owner);
    // Nobody is kept out by it: it asks nothing, and waits for long.
    drop(route);
    let Some(mut watch) = client.in_flight.resources.watch(uri) else {
        let text = "too many resources of this server are followed. Try again later";
        return Err(Leg::Over(Outcome::Failed(Fault::new("too-many-followed", text))));
    };
    let mut is_first = true;
    loop {
        let params = [("uri".to_owned(), Json::of(uri))].into_iter().collect::<JsonObject>();
        let until = Instant::now() + attempt.shared.config.idle(target.tool.as_str());
        let read = tokio::select! {
            biased;
            () = run.canceled() => return Err(Leg::Over(canceled(target, 0))),
            read = timeout_at(until, client.request(target.feature.method(), params.to_json())) => read,
        };
        let json = match read {
            Ok(Reply::Result(json)) => json,
            Ok(Reply::Error(error)) => {
                return Err(Leg::Over(result::failed(&target.feature.error(error), run.message_id("refused"))));
            }
            Ok(Reply::Unreadable(why)) => return Err(Leg::Over(unreadable(target, run.call().effect, &why))),
            Ok(Reply::NotSent(_) | Reply::Broken(_)) => return Err(Leg::Lost),
            Err(_) => {
                let text = format!("the MCP server does not say what is in `{uri}`");
                return Err(Leg::Over(Outcome::Failed(Fault::new("timed-out", text))));
            }
        };
        let outcome = match CallResult::read_apart(target.feature, json).await {
            Ok(result) => result.outcome(Some(&target.tool), run.message_id("refused"), JsonObject::default()),
            Err(why) => unreadable(target, run.call().effect, &why),
        };
        let outcome = references::apply(run, attempt.shared.config.limits.result_inline_max, outcome).await;
        let Outcome::Completed { artifacts, .. } = outcome else { return Err(Leg::Over(outcome)) };
        for artifact in artifacts {
            if last.as_ref().is_some_and(|last| last.parts == artifact.parts) {
                continue;
            }
            let id = ArtifactId::parse(&format!("update-{}", *count + 1)).expect("a word and a number");
            let artifact = Arc::new(Artifact { id, ..Artifact::clone(&artifact) });
            if let Err(error) = add(run, &artifact).await {
                return Err(Leg::Over(over(run, &format!("its task keeps no more: {error}"))));
            }
            *count += 1;
            *last = Some(artifact);
        }
        if std::mem::take(&mut is_first) && run.attempt() > 1 {
            // It has come on: what earlier processes died of was not this.
            let _ = CallCheckpoint::of(run).keep(run).await;
        }
        // Others have its slot meanwhile.
        let _aside = run.step_aside();
        let _elsewhere = run.works_elsewhere();
        tokio::select! {
            biased;
            () = run.canceled() => return Err(Leg::Over(canceled(target, 0))),
            () = time_is_up(run) => return Err(Leg::Over(over(run, "its time was up"))),
            () = client.in_flight.ended() => return Ok(()),
            () = watch.updated() => {}
        }
    }
}

async fn add(run: &Run, artifact: &Arc<Artifact>) -> Result<(), EngineError> {
    loop {
        match run.add(artifact.clone(), false, true).await {
            Err(EngineError::Unavailable(_)) => sleep(RECONNECT_PAUSE).await,
            added => return added,
        }
    }
}

/// It has come to its end in good order.
fn over(run: &Run, why: &str) -> Outcome {
    let text = format!("The resource is not followed any more: {why}.");
    let message = Message::from_agent(run.message_id("over"), vec![Part::text(text)]);
    Outcome::Completed { artifacts: Vec::new(), message: Some(Arc::new(message)) }
}
