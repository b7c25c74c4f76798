//! A task's record, for the node's owner: what no operation of A2A tells. Its calls and what is known of their effects,
//! who runs it, what it asks, what its run has begun, and every line of its log.

use bobbinet_core::{CallRecord, Event, Question, QuestionKind, task::CallOutcome};
use bobbinet_engine::RecordedEvent;
use bobbinet_gateway::{TaskRecord, TreeTask};
use serde_json::{Value, json};

/// All that is known of a task.
pub(super) fn record(record: TaskRecord) -> Value {
    let TaskRecord { task, log, waits, tree } = record;
    let mut tree = nested(&tree);
    json!({
        "id": task.id,
        "contextId": task.context,
        "agent": task.agent,
        "tenant": task.tenant,
        "owner": task.owner,
        "state": task.state.as_str(),
        "statusAt": task.status_at.to_string(),
        "statusText": waits.or_else(|| Some(task.status_message.as_ref()?.text())),
        "createdAt": task.created_at.to_string(),
        "version": task.version,
        "generation": task.generation.0,
        "epoch": task.epoch,
        "runner": task.claim.map(|claim| claim.runner),
        "trace": task.trace,
        "plan": task.planned_call,
        "question": task.question.as_deref().map(question),
        "calls": task.calls.iter().map(call).collect::<Vec<_>>(),
        "parent": tree["parent"].take(),
        "millis": tree["millis"].take(),
        "children": tree["children"].take(),
        "childrenLeftOut": tree["childrenLeftOut"].take(),
        "log": log.iter().map(|(version, kept)| line(*version, kept)).collect::<Vec<_>>(),
    })
}

/// A tree as JSON: each task has its children.
pub(super) fn nested(tree: &[TreeTask]) -> Value {
    // From the last one up: by then a task's children are all there, the last one first.
    let mut levels: Vec<Vec<Value>> = Vec::new();
    for one in tree.iter().rev() {
        levels.resize_with(levels.len().max(one.depth + 2), Vec::new);
        let mut children = std::mem::take(&mut levels[one.depth + 1]);
        children.reverse();
        levels[one.depth].push(of_tree(one, children));
    }
    levels.first_mut().and_then(Vec::pop).unwrap_or_default()
}

fn of_tree(one: &TreeTask, children: Vec<Value>) -> Value {
    let task = one.task.as_deref();
    json!({
        "name": one.name,
        "id": one.id,
        "parent": task.and_then(|task| Some(task.parent.as_ref()?.task)),
        "agent": task.map(|task| &task.agent),
        "skill": task.and_then(|task| task.planned_call.as_ref()?.skill.as_ref()),
        "state": task.map(|task| task.state.as_str()),
        "createdAt": task.map(|task| task.created_at.to_string()),
        "statusAt": task.map(|task| task.status_at.to_string()),
        "millis": one.lasted.map(|lasted| u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX)),
        "children": children,
        "childrenLeftOut": one.left_out,
    })
}

fn question(question: &Question) -> Value {
    let kind = match question.kind {
        QuestionKind::Input => "input",
        QuestionKind::Elicitation => "elicitation",
        QuestionKind::Authorization => "authorization",
        QuestionKind::Outcome { .. } => "outcome",
    };
    json!({ "kind": kind, "text": question.message.text(), "schema": question.schema })
}

fn call(record: &CallRecord) -> Value {
    json!({
        "call": record.call_id.0,
        "skill": record.skill,
        "effect": record.effect.as_str(),
        "attempts": record.attempt,
        "outcome": record.outcome.map(outcome),
    })
}

fn outcome(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Done => "done",
        CallOutcome::Failed => "failed",
        CallOutcome::Unknown => "unknown",
        CallOutcome::NotMade => "not made",
        CallOutcome::Declined => "declined",
        CallOutcome::SaidToHaveHappened => "said to have happened",
        CallOutcome::SaidToHaveFailed => "said to have failed",
        CallOutcome::Late => "late",
    }
}

fn line(version: u64, kept: &RecordedEvent) -> Value {
    json!({
        "version": version,
        "generation": kept.generation.map(|generation| generation.0),
        "at": kept.at.to_string(),
        "event": name(&kept.event),
        "details": details(&kept.event),
    })
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Submitted(_) => "submitted",
        Event::Started { .. } => "started",
        Event::Intended { .. } => "intended",
        Event::Progressed { .. } => "progressed",
        Event::ArtifactAdded { .. } => "added",
        Event::Asked { .. } => "asked",
        Event::Replied { .. } => "replied",
        Event::Deferred(_) => "deferred",
        Event::Planned { .. } => "planned",
        Event::Settled { .. } => "settled",
        Event::Withdrawn => "withdrawn",
        Event::Reclaimed { .. } => "reclaimed",
        Event::Stopped => "stopped",
        Event::Spawned(_) => "spawned",
        Event::Recorded { .. } => "recorded",
        Event::Checkpointed { .. } => "checkpointed",
        Event::Requeued => "released",
        Event::Unserved { .. } => "unserved",
        Event::Ended { .. } => "ended",
    }
}

/// What the log says of the event, as it says it.
fn details(event: &Event) -> Value {
    match serde_json::to_value(event) {
        Ok(Value::Object(tagged)) => tagged.into_iter().next().map_or(Value::Null, |(_, details)| details),
        Ok(_) | Err(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::TaskId;

    use super::*;

    #[test]
    fn a_list_of_tasks_with_their_depths_is_a_tree() {
        let one = |(place, depth): (usize, usize)| TreeTask {
            depth,
            name: Some(place.to_string().into()),
            id: TaskId::parse("00000000-0000-0000-0000-000000000001").unwrap(),
            task: None,
            lasted: None,
            left_out: 0,
        };
        let list: Vec<TreeTask> = [0, 1, 2, 3, 1, 1, 2, 2].into_iter().enumerate().map(one).collect();
        let shown = outline(&nested(&list));
        assert_eq!(shown, "0(1(2(3)) 4 5(6 7))");
    }

    fn outline(tree: &Value) -> String {
        let children: Vec<String> = tree["children"].as_array().unwrap().iter().map(outline).collect();
        let name = tree["name"].as_str().unwrap();
        if children.is_empty() { name.to_owned() } else { format!("{name}({})", children.join(" ")) }
    }
}
