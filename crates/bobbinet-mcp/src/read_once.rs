//! A call that only reads, where an equal one may have been made already, or be on its way.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Fault, Json, Outcome};
use bobbinet_engine::Run;

use crate::{
    call_listener::{Target, canceled, time_is_up},
    contract,
    finished_call::finished_with,
    json_object::JsonObject,
    read_cache::{CachePolicy, Landed, LeadingCall, Looked, ReadCache},
    result::CallResult,
    supervised_session::SupervisedSession,
};

/// The name in a result's metadata that says that it is an equal call's, and how long ago that was.
const CACHED: &str = "cached";

/// What comes of looking for the result of an equal call.
pub(crate) enum ReadOnce {
    /// There is one.
    Done(Outcome),
    /// There is none: the call is to be made, and perhaps others wait for it.
    Call(Option<LeadingCall>),
}

/// Looks for the result of an equal call that only reads, and waits for one that is on its way.
pub(crate) async fn look(cache: &Arc<ReadCache>, shared: &SupervisedSession, run: &Run, target: &Target) -> ReadOnce {
    let (skill, effect) = (target.tool.as_str(), run.call().effect);
    let policy = CachePolicy::of(&shared.config, target.feature, skill, &target.arguments, effect, run.task());
    let Some(mut policy) = policy else { return ReadOnce::Call(None) };
    // What is kept of a tool is no more to be had than the tool.
    if let Some(why) = shared.catalog().and_then(|catalog| catalog.withheld(skill)) {
        return ReadOnce::Done(Outcome::Failed(why.fault(&shared.config.name, skill)));
    }
    loop {
        let (result, age) = match cache.look(policy) {
            Looked::Leads(lead) => return ReadOnce::Call(Some(lead)),
            Looked::Kept(result, age) => (result, age),
            Looked::Waits(waiting) => {
                let aside = run.step_aside_for_equal();
                let landed = tokio::select! {
                    biased;
                    () = run.canceled() => return ReadOnce::Done(canceled(target, 0)),
                    () = time_is_up(run) => {
                        let text = format!("`{skill}` waited for an equal call until its time was up. Nothing was called");
                        return ReadOnce::Done(Outcome::Failed(Fault::new("timed-out", text)));
                    }
                    landed = async {
                        let landed = waiting.landed().await;
                        aside.come_back().await;
                        landed
                    } => landed,
                };
                match landed {
                    Landed::Result(result) => (result, Duration::ZERO),
                    Landed::Lost => continue,
                    Landed::Private => {
                        policy = policy.apart();
                        continue;
                    }
                }
            }
        };
        // It was read for another kind of request, if the server has made a tool of what was a prompt: then this one is made.
        let Ok(read) = CallResult::read_apart(target.feature, result.clone()).await else {
            return ReadOnce::Call(None);
        };
        if let Some(breach) = contract::breach(shared, run, target, &result, &read).await {
            return ReadOnce::Done(breach);
        }
        let mut notes = JsonObject::default();
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        notes.set(CACHED, Json::from(&serde_json::json!({"ageMs": age})));
        return ReadOnce::Done(finished_with(shared, run, target, read, notes).await);
    }
}
