//! What the result of a call comes to: looked through for what is hidden in it, and by reference where it is too large.

use bobbinet_core::{Json, Outcome};
use bobbinet_engine::Run;

use crate::{
    call_listener::{Target, unknown},
    hidden_results,
    json_object::JsonObject,
    references,
    result::CallResult,
    schema_check,
    supervised_session::SupervisedSession,
};

/// What is made of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gives {
    /// An artifact with a part for each block of it.
    Parts,
    /// The result as it came, as data.
    Whole,
}

/// What the result of a call comes to.
pub(crate) async fn finished(
    shared: &SupervisedSession,
    run: &Run,
    target: &Target,
    result: CallResult,
    was_passed_over: bool,
) -> Outcome {
    if was_passed_over && run.call().effect.may_run_again() {
        // It may be the result of a question that nobody was asked. Next time it runs alone, and the question has an owner.
        let why = "the server asked something while several calls were in flight, and did not say for which";
        return unknown("question-unattributed", target, why, true);
    }
    let mut notes = JsonObject::default();
    if was_passed_over {
        notes.set("questionDeclined", Json::of(&true));
    }
    finished_with(shared, run, target, result, notes).await
}

/// What a result comes to, with what else there is to say of it.
pub(crate) async fn finished_with(
    shared: &SupervisedSession,
    run: &Run,
    target: &Target,
    result: CallResult,
    mut notes: JsonObject,
) -> Outcome {
    let catalog = shared.catalog();
    let tool = catalog.as_deref().and_then(|catalog| catalog.get(target.tool.as_str()));
    let converted = &run.call().converted;
    if !converted.is_empty() {
        notes.set("converted", Json::of(converted));
    }
    let (tool, id) = (tool.map(|tool| tool.id.clone()), run.message_id("refused"));
    let (agent, name) = (shared.config.name.clone(), target.tool.clone());
    let read = schema_check::apart(result.bytes, move || {
        hidden_results::flag(result.outcome(tool.as_ref(), id, notes), &agent, name.as_str())
    });
    references::apply(run, shared.config.limits.result_inline_max, read.await).await
}
