//! The agent that is called where the server cannot be: a task of that agent with the same skill and arguments, begun by the run, for whoever
//! asked for it. So it is in the log, and policy is asked whether its caller may.

use std::sync::Arc;

use bobbinet_core::{
    AgentName, Fault, Json, Message, MessageId, Outcome, Part, QuestionKind, Role, State, Task, agent::VIA_KEY,
    limits::ATTEMPTS_MAX,
};
use bobbinet_engine::{ChildError, NewChild, Run};
use serde_json::json;

use crate::{
    borrowed_result::{self, SourceNote},
    config::McpConfig,
};

/// What the run calls that task.
const CHILD: &str = "fallback";

/// What a call comes to that never reached its server.
const UNREACHED: [&str; 2] = ["server-unavailable", "server-not-ready"];

/// What it comes to where the server was reached and did not answer.
const UNANSWERED: &str = "server-died";

/// Whether an earlier run of the task has turned to it: then there is no way back.
pub(crate) fn is_begun(run: &Run) -> bool {
    run.task().child(CHILD).is_some()
}

/// Goes on where an earlier run has turned to it.
pub(crate) async fn go_on(config: &McpConfig, run: &Run) -> Outcome {
    let text = format!("the MCP server of agent `{}` could not be called", config.name);
    instead(config, run, Outcome::Failed(Fault::new(UNREACHED[0], text))).await
}

/// What the call comes to: by the other agent, if the server could not be called and there is another.
pub(crate) async fn instead(config: &McpConfig, run: &Run, outcome: Outcome) -> Outcome {
    let Some(agent) = &config.fallback else { return outcome };
    let Some(why) = why(run, &outcome) else { return outcome };
    tracing::warn!(
        agent = config.name,
        fallback = agent.as_str(),
        why = why.text,
        "another agent is called in its place"
    );
    match carry_out(run, agent, &why).await {
        Ok(outcome) => outcome,
        Err(ChildError::Over) => outcome,
        Err(error @ (ChildError::Denied(_) | ChildError::Engine(_))) => {
            not_by(why, agent, "fallback-unavailable", &format!("cannot be called either: {error}"))
        }
    }
}

/// Why another may be called: the server was not, or the call may be made twice.
fn why(run: &Run, outcome: &Outcome) -> Option<Fault> {
    match outcome {
        Outcome::Failed(fault) if UNREACHED.contains(&fault.code) => Some(fault.clone()),
        Outcome::Unknown { fault, again } => {
            let is_last = !again || run.task().open_call().is_some_and(|open| open.tries >= ATTEMPTS_MAX);
            let may_repeat = run.call().effect.may_run_again();
            (fault.code == UNANSWERED && is_last && may_repeat).then(|| fault.clone())
        }
        Outcome::Completed { .. }
        | Outcome::ToolError { .. }
        | Outcome::Failed(_)
        | Outcome::Rejected(_)
        | Outcome::Unreadable(_)
        | Outcome::Declined
        | Outcome::LetGo { .. } => None,
    }
}

async fn carry_out(run: &Run, agent: &AgentName, why: &Fault) -> Result<Outcome, ChildError> {
    let id = format!("{}-{CHILD}", run.key().replace('/', "-"));
    let call = run.call();
    // As it was asked for: what was uploaded for it is its caller's there too.
    let parts = call.arguments.clone().map(Part::data).into_iter().collect();
    let id = MessageId::parse(&id).expect("a UUID, a number and a word");
    let message = Message { role: Role::User, ..Message::from_agent(id, parts) };
    let (name, skill) = (Arc::from(CHILD), call.skill.clone());
    let new = NewChild { name, agent: agent.clone(), message, skill, time: None, budget: None };
    // With a record, so that whoever takes the run over goes on with it, whatever the call does.
    let records = match is_begun(run) {
        true => Vec::new(),
        false => vec![Json::from(&json!({ "fallback": agent.as_str() }))],
    };
    let begun = run.advance(records, std::slice::from_ref(&new)).await?;
    let child = begun.into_iter().next().unwrap_or(Err(ChildError::Over))?;
    let task = run.wait_for(&child).await?;
    let note = SourceNote { name: VIA_KEY, value: Json::of(agent.as_str()) };
    let words = task.status_message.as_ref().map(|message| message.text()).unwrap_or_default();
    Ok(match task.state {
        State::Completed => {
            let artifacts = borrowed_result::artifacts(run, &task, &note).await;
            let message = artifacts
                .is_empty()
                .then(|| borrowed_result::message(run, &task, &note, &format!("agent {agent} has done it")));
            Outcome::Completed { artifacts, message }
        }
        State::Failed => {
            let message = borrowed_result::message(run, &task, &note, &format!("agent {agent} has failed"));
            Outcome::ToolError { artifacts: Vec::new(), message }
        }
        State::Rejected => not_by(why.clone(), agent, "fallback-differs", &format!("does not take this call: {words}")),
        State::InputRequired | State::AuthRequired => {
            // There is nobody to answer it: it is not the question of the call that our caller has made.
            let is_of_outcome = task.question.as_ref().is_some_and(|question| match question.kind {
                QuestionKind::Outcome { .. } => true,
                QuestionKind::Input | QuestionKind::Elicitation | QuestionKind::Authorization => false,
            });
            if !is_of_outcome {
                run.cancel_child(&child);
            }
            if task.calls.is_empty() {
                not_by(why.clone(), agent, "fallback-differs", &format!("wants something else: {words}"))
            } else {
                perhaps(agent, &task, &format!("asks something: {words}"))
            }
        }
        State::Canceled | State::Submitted | State::Working => perhaps(agent, &task, "did not come to its end"),
    })
}

/// Neither was called.
fn not_by(why: Fault, agent: &AgentName, code: &'static str, what: &str) -> Outcome {
    let text = format!("{}; and agent {agent}, its fallback, {what}", why.text);
    Outcome::Failed(Fault::new(code, text))
}

fn perhaps(agent: &AgentName, task: &Task, what: &str) -> Outcome {
    let text = format!("agent {agent} was called in its place, and {what} (task {})", task.id);
    Outcome::Unknown { fault: Fault::new("fallback-unknown", text), again: false }
}
