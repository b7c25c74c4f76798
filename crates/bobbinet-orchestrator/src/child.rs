//! A step's call as a child of the run's task, and what becomes of it.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{AgentName, Json, Message, MessageId, Part, Role, SkillId, State, Task, cloud_event::HOPS};
use bobbinet_engine::{ChildError, EngineError, NewChild, Run};
use bobbinet_flow::run::{Calling, Came, Error, Given, Id, Standard, Target};
use serde_json::{Value, json};

use crate::{FlowLimits, http_agent::HttpRequest, mesh::Mesh, output, question::Asked};

/// Characters of a step's name in the name of its child.
const STEP_NAME_MAX: usize = 100;

/// The child that a call is. It is told how many flows the events have come through that the run has heard.
///
/// # Errors
/// If nothing in the mesh can be called so.
pub(crate) fn new_child(run: &Run, mesh: &Mesh, call: &Calling, hops: u32) -> Result<NewChild, Error> {
    let mut time = None;
    let (agent, skill, arguments) = match &call.target {
        Target::Skill { agent, skill } => {
            let name = agent_name(agent)?;
            if run.is_internal(&name) {
                return Err(configuration(format!("no agent is called {agent:?}")));
            }
            (name, Some(skill_id(skill)?), Json::from(&*call.arguments))
        }
        Target::Workflow { namespace, name, version } => {
            let agent = mesh.flow(namespace, name, version).ok_or_else(|| {
                configuration(format!("this node has no flow {name} of {namespace} in version {version}"))
            })?;
            (agent.clone(), None, Json::from(&*call.arguments))
        }
        Target::Http { method, uri, authentication, output, redirect } => {
            let agent = mesh.http().ok_or_else(|| configuration("this node makes no HTTP requests for flows"))?;
            let request = HttpRequest {
                method: method.clone(),
                uri: uri.clone(),
                output: *output,
                redirect: *redirect,
                with: Value::clone(&call.arguments),
                authenticated: authentication.as_ref().map(|_| call.call.0),
            };
            (agent.clone(), Some(skill_id(method)?), Json::of(&request))
        }
        Target::A2a { method, uri, is_card, authentication } => {
            let agent = mesh.a2a().ok_or_else(|| configuration("this node calls no agents by URL for flows"))?;
            let request = json!({
                "method": method, "uri": uri, "isCard": is_card, "parameters": &*call.arguments,
                "authenticated": authentication.as_ref().map(|_| call.call.0),
            });
            (agent.clone(), Some(skill_id(method)?), Json::from(&request))
        }
        Target::Mcp { method, uri, authentication, timeout_ms } => {
            let agent = mesh.mcp().ok_or_else(|| configuration("this node calls no MCP servers for flows"))?;
            if uri.is_none() && !mesh.has_commands() {
                return Err(configuration("this flow may not start MCP servers"));
            }
            time = timeout_ms.map(Duration::from_millis);
            let request = json!({
                "method": method, "uri": uri, "with": &*call.arguments,
                "authenticated": authentication.as_ref().map(|_| call.call.0),
            });
            (agent.clone(), Some(skill_id(method)?), Json::from(&request))
        }
    };
    Ok(NewChild { name: name(call), agent, message: message(run, call, arguments, hops), skill, time, budget: None })
}

/// How a call authenticates, if its target says so.
pub(crate) fn authentication(call: &Calling) -> Option<&Value> {
    match &call.target {
        Target::Http { authentication, .. }
        | Target::A2a { authentication, .. }
        | Target::Mcp { authentication, .. } => authentication.as_ref(),
        Target::Skill { .. } | Target::Workflow { .. } => None,
    }
}

/// What a run calls the child of a call: the same whenever it goes on.
pub(crate) fn name(call: &Calling) -> Arc<str> {
    let step: String = call.name.chars().take(STEP_NAME_MAX).collect();
    format!("{} {step}", call.call.0).into()
}

/// Whether a child of this name is that of a call.
pub(crate) fn is_of_call(name: &str, call: Id) -> bool {
    name.split(' ').next() == Some(&*call.0.to_string())
}

fn message(run: &Run, call: &Calling, arguments: Json, hops: u32) -> Message {
    let task = run.task().id;
    let mut metadata = json!({ "step": call.pointer, "attempt": call.attempt });
    if hops > 0 {
        metadata[HOPS] = hops.into();
    }
    Message {
        id: MessageId::parse(&format!("{task}-call-{}", call.call.0)).expect("a UUID and a number"),
        role: Role::User,
        parts: vec![Part::data(arguments)],
        metadata: Some(Json::from(&metadata)),
        extensions: Vec::new(),
        reference_tasks: vec![task.to_string().into()],
    }
}

fn agent_name(name: &str) -> Result<AgentName, Error> {
    AgentName::parse(name).map_err(|error| configuration(format!("no agent is called {name:?}: {error}")))
}

fn skill_id(id: &str) -> Result<SkillId, Error> {
    SkillId::parse(id).map_err(|error| configuration(format!("no skill is called {id:?}: {error}")))
}

fn configuration(detail: impl Into<String>) -> Error {
    Error::standard(Standard::Configuration, detail)
}

/// What comes to the run of a child that has ended, or asks.
pub(crate) fn came(call: Id, task: &Task, limits: &FlowLimits) -> Came {
    match task.state {
        State::Completed => {
            let output = Arc::new(output::of_task(task));
            let is_large = Json::from(&*output).as_str().len() > limits.inline_output_bytes;
            let output = if is_large { Given::Blob(task.id.to_string()) } else { Given::Inline(output) };
            Came::Result { call, output }
        }
        State::InputRequired | State::AuthRequired if let Some(asked) = Asked::by(task) => {
            Came::Asked { call, question: asked.json() }
        }
        State::Submitted
        | State::Working
        | State::InputRequired
        | State::AuthRequired
        | State::Failed
        | State::Canceled
        | State::Rejected => Came::Failed { call, error: error_of(task) },
    }
}

/// Why a task did not complete, as the DSL has errors.
fn error_of(task: &Task) -> Error {
    let message = task.status_message.as_deref();
    let detail = message.map(Message::text).unwrap_or_default();
    let data = message.and_then(Message::data).map(Json::to_value).unwrap_or_default();
    // A flow's own error is passed on as it is.
    if let Some(error) = data.pointer("/details/error").and_then(|error| serde_json::from_value(error.clone()).ok()) {
        return error;
    }
    let code = data.get("code").and_then(Value::as_str).unwrap_or_default();
    let kind = match (task.state, code) {
        (_, "timed-out" | "deadline-exceeded" | "idle" | "question-expired") => Standard::Timeout,
        (_, "denied" | "not-allowed") => Standard::Authorization,
        (_, "unknown-agent" | "unknown-skill" | "unknown-tool") => Standard::Configuration,
        (State::Rejected, _) => Standard::Validation,
        (_, code) if code.starts_with("server-") || code.starts_with("peer-") || code == "process-died" => {
            Standard::Communication
        }
        _ => Standard::Runtime,
    };
    let agent = &task.agent;
    let what = match (task.state, detail.is_empty()) {
        (State::Canceled, true) => format!("the task of {agent} was canceled"),
        (_, true) => format!("the task of {agent} is {}", task.state.as_str()),
        (_, false) => format!("{agent}: {detail}"),
    };
    Error::standard(kind, what)
}

/// Why a child could not be begun, as the DSL has errors.
pub(crate) fn error_of_beginning(error: &ChildError) -> Error {
    let kind = match error {
        ChildError::Denied(_) => Standard::Authorization,
        ChildError::Engine(EngineError::UnknownAgent) => Standard::Configuration,
        ChildError::Engine(_) | ChildError::Over => Standard::Runtime,
    };
    Error::standard(kind, error.to_string())
}
