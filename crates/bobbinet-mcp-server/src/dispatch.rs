//! The methods of MCP, of every revision.

use std::sync::Arc;

use bobbinet_core::{
    AgentName, Caller, Json, Part, SkillId,
    operation::{CancelParams, GetParams},
};
use bobbinet_engine::{Severity, watched};
use bobbinet_gateway::{AdmissionPermit, GatewayError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    call::{Call, Done, Work},
    client::{McpClient, TASKS},
    door::{Door, Outgoing},
    log_lines::LEVEL_KEY,
    mesh::{self, Asked},
    object::Object,
    offered::Address,
    pages::Cursor,
    reading::Shape,
    result::{self, CallResult, Structure},
    revision::Revision,
    rpc::{Params, RpcError},
    sessions::{Session, TooManyCalls},
    tools,
};

/// The key under which a request names the conversation that it belongs to.
const CONTEXT_KEY: &str = "bobbinet/context";

const INSTRUCTIONS: &str = "Each agent of a Bobbinet mesh with its skills as tools, called agent__skill. A call is a durable task: it \
    goes on if this connection does not, and its result names it. mesh_agents lists the agents, mesh_send tells one something in \
    words, and mesh_task looks at a task, waits for it, answers what it asks, or cancels it.";

/// One request, and all that is known of who has sent it.
pub(crate) struct Request {
    pub(crate) door: Arc<Door>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) client: McpClient,
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) trace: Option<Arc<str>>,
    pub(crate) id: Json,
    pub(crate) params: Params,
    /// Told when nobody wants its answer any more.
    pub(crate) canceled: CancellationToken,
    /// Where messages go that come before the answer, and the answer of what takes time.
    pub(crate) out: mpsc::Sender<Outgoing>,
}

/// What a request comes to at first.
pub(crate) enum Step {
    /// Its result.
    Answer(Json),
    /// What takes its time.
    Start(Start),
}

/// What takes its time, and which agent does it.
pub(crate) struct Start {
    pub(crate) agent: AgentName,
    pub(crate) skill: Option<SkillId>,
    pub(crate) is_strict: bool,
    pub(crate) shape: Shape,
    pub(crate) work: Work,
}

/// The answer to a handshake.
pub(crate) fn initialized(revision: Revision, door: &Door) -> Json {
    Object::default()
        .with("protocolVersion", revision.as_str())
        .with("capabilities", &capabilities(revision, door))
        .with("serverInfo", &result::server_info())
        .with("instructions", INSTRUCTIONS)
        .to_json()
}

fn capabilities(revision: Revision, door: &Door) -> Object {
    let (nothing, changes) = (Object::default(), Object::default().with("listChanged", &true));
    let capabilities = Object::default()
        .with("tools", &changes)
        .with("prompts", &changes)
        .with("resources", &Object::default().with("subscribe", &true).with("listChanged", &true))
        .with_some("completions", revision.has_completions().then_some(&nothing))
        .with_some("logging", door.has_logs().then_some(&nothing));
    if revision.has_core_tasks() {
        let of_calls = Object::default().with("tools", &Object::default().with("call", &nothing));
        let tasks = Object::default().with("list", &nothing).with("cancel", &nothing).with("requests", &of_calls);
        return capabilities.with("tasks", &tasks);
    }
    match revision.is_stateless() {
        true => capabilities.with("extensions", &Object::default().with(TASKS, &nothing)),
        false => capabilities,
    }
}

impl Request {
    /// Carries out a method: the answer, or nothing yet, where it goes out by itself.
    pub(crate) async fn answer(self, method: &str, permit: AdmissionPermit) -> Option<Outgoing> {
        let is_stateless = self.client.revision.is_stateless();
        let has_core_tasks = self.client.revision.has_core_tasks();
        let step = match method {
            "subscriptions/listen" if is_stateless => {
                drop(permit);
                return self.subscribe().await;
            }
            "tools/call" => self.call().await,
            "prompts/get" => self.prompt().await,
            "resources/read" => self.resource().await,
            "tasks/result" if has_core_tasks => self.task_result().await,
            "tasks/update" if is_stateless => self.update_task().await,
            _ => self.at_once(method).await.map(Step::Answer),
        };
        match step {
            Ok(Step::Answer(result)) => Some(self.written(Ok(result)).await),
            Ok(Step::Start(start)) => self.start(start, permit),
            Err(error) => Some(Outgoing::error(&self.id, &error)),
        }
    }

    async fn at_once(&self, method: &str) -> Result<Json, RpcError> {
        let revision = self.client.revision;
        let has_tasks = revision.is_stateless() || revision.has_core_tasks();
        match method {
            "tools/list" => self.list().await,
            "prompts/list" => self.prompts().await,
            "resources/list" => self.resources(Address::Resource).await,
            "resources/templates/list" => self.resources(Address::Template).await,
            "completion/complete" if revision.has_completions() => self.complete().await,
            "tasks/get" if has_tasks => self.task().await,
            "tasks/cancel" if has_tasks => self.cancel_task().await,
            "tasks/list" if revision.has_core_tasks() => self.tasks().await,
            "resources/subscribe" if !revision.is_stateless() => self.watch().await,
            "resources/unsubscribe" if !revision.is_stateless() => self.unwatch(),
            "logging/setLevel" if !revision.is_stateless() && self.door.has_logs() => self.set_log(),
            "ping" if !revision.is_stateless() => Ok(Object::default().to_json()),
            "server/discover" if revision.is_stateless() => Ok(self.discover()),
            _ => Err(RpcError::method_not_found(method)),
        }
    }

    async fn written(&self, answered: Result<Json, RpcError>) -> Outgoing {
        match answered {
            Ok(result) => self.door.answer(&self.caller, &self.id, &result).await,
            Err(error) => Outgoing::error(&self.id, &error),
        }
    }

    /// What the session's client wants to hear of what servers say for a log while it waits for their calls.
    fn set_log(&self) -> Result<Json, RpcError> {
        let word: String = self.params.required("level")?;
        let Some(severity) = Severity::read(&word) else {
            let words = Severity::ALL.map(Severity::word).join(", ");
            return Err(RpcError::invalid_params(&format!("`level` is one of {words}")));
        };
        let Some(session) = &self.session else { return Err(RpcError::invalid_request("that is for sessions")) };
        session.set_log(severity);
        Ok(Object::default().to_json())
    }

    /// The same for this request.
    fn log(&self) -> Option<Severity> {
        match &self.session {
            Some(session) => session.log(),
            None => Severity::read(&self.params.meta_text(LEVEL_KEY)?),
        }
    }

    fn discover(&self) -> Json {
        let versions: Vec<&str> = Revision::stateless().map(Revision::as_str).collect();
        let discovered = Object::default()
            .with("supportedVersions", &versions)
            .with("capabilities", &capabilities(self.client.revision, &self.door))
            .with("instructions", INSTRUCTIONS)
            .with("ttlMs", &self.door.limits.list_ttl_ms())
            .with("cacheScope", "private");
        result::stateless(discovered, Object::default()).to_json()
    }

    async fn list(&self) -> Result<Json, RpcError> {
        let cursor = Cursor::of(&self.params)?;
        let (gateway, door) = (self.door.server.gateway(), &self.door);
        tools::await_started(gateway, door.list_patience()).await;
        Ok(tools::list(gateway, &self.caller, &cursor, self.client.revision, door.naming, &door.limits))
    }

    async fn call(&self) -> Result<Step, RpcError> {
        let name: String = self.params.required("name")?;
        let arguments = self.arguments()?;
        let (gateway, revision) = (self.door.server.gateway(), self.client.revision);
        let refused = |words: &str| Ok(Step::Answer(CallResult::words(words, true).to_json(revision)));
        match mesh::asked(gateway, &self.caller, &name, arguments.as_ref()).await {
            // Which argument does not fit is for whoever has chosen it, a model mostly, and so a result.
            Some(Err(error)) => return refused(error.text()),
            Some(Ok(Asked::Work { agent, skill, work })) => {
                let work = self.as_asked(work)?;
                return Ok(Step::Start(Start { agent, skill, is_strict: false, shape: Shape::Tool, work }));
            }
            Some(Ok(asked)) => return Ok(Step::Answer(self.mesh(asked).await?.to_json(revision))),
            None => {}
        }
        let (naming, patience) = (self.door.naming, self.door.limits.start_wait);
        let patience = [patience, self.door.list_patience()];
        let found = tools::find(gateway, &self.caller, &name, revision, naming, patience).await;
        let Some(tool) = found else { return Err(RpcError::unknown_tool(&name)) };
        let parts = match message(&tool, arguments.as_ref()) {
            Ok(parts) => parts,
            Err(words) => return refused(words),
        };
        let work = self.work(parts)?;
        let (agent, skill) = (tool.target.agent, tool.target.skill);
        Ok(Step::Start(Start { agent, skill, is_strict: tool.is_strict, shape: Shape::Tool, work }))
    }

    /// The arguments, if there are any.
    pub(crate) fn arguments(&self) -> Result<Option<Json>, RpcError> {
        let arguments = self.params.get("arguments").cloned();
        match arguments.as_ref().is_none_or(Json::is_object) {
            true => Ok(arguments),
            false => Err(RpcError::invalid_params("`arguments` is a JSON object")),
        }
    }

    /// A task with this message, in the conversation that the request belongs to; or the one that a retry goes on with.
    pub(crate) fn work(&self, parts: Vec<Part>) -> Result<Work, RpcError> {
        let context = mesh::context(self.params.meta_text(CONTEXT_KEY))?;
        let context = context.or_else(|| Some(self.session.as_ref()?.context.clone()));
        self.as_asked(self.go_on()?.unwrap_or(Work::Begin { parts, context }))
    }

    /// The same, as a task where the request asks for one (2025-11-25).
    fn as_asked(&self, work: Work) -> Result<Work, RpcError> {
        let asks = self.client.revision.has_core_tasks() && self.params.get("task").is_some();
        match work {
            Work::Begin { parts, context } if asks => Ok(Work::Create { parts, context }),
            work @ (Work::Begin { .. }
            | Work::Create { .. }
            | Work::Submit { .. }
            | Work::Tell { .. }
            | Work::GoOn { .. }
            | Work::Update { .. }
            | Work::Wait { .. }) => Ok(work),
        }
    }

    /// Begins what takes its time. The answer goes out by itself.
    fn start(self, start: Start, permit: AdmissionPermit) -> Option<Outgoing> {
        let entry = match self.session.as_ref().map(|session| session.begin_call(&self.id, &self.canceled)).transpose()
        {
            Ok(entry) => entry,
            Err(TooManyCalls(max)) => {
                let text =
                    format!("{max} calls of this session are at work: wait for one of them (calls_per_session_max)");
                let error = RpcError::refused(&text, http::StatusCode::TOO_MANY_REQUESTS);
                return Some(Outgoing::error(&self.id, &error));
            }
        };
        let log = self.log();
        let Self { door, caller, client, session, trace, id, params, canceled, out } = self;
        let Start { agent, skill, is_strict, shape, work } = start;
        let server = door.server.clone();
        let call = Call {
            door: door.clone(),
            caller: caller.clone(),
            client,
            session,
            agent,
            skill,
            is_strict,
            shape,
            log,
            message_id: None,
            progress: params.meta("progressToken").cloned(),
            trace: trace.or_else(|| params.meta_text("traceparent").map(Arc::from)),
            canceled,
            out: out.clone(),
        };
        // By itself, so that it goes on whatever becomes of its connection, or ends in good order.
        let work = async move {
            let answer = match call.run(work, permit).await {
                Ok(Done::Unheard) => return,
                Ok(Done::Written(result)) => door.answer(&caller, &id, &result).await,
                Ok(Done::Result(result)) => door.answer(&caller, &id, &result.to_json(client.revision)).await,
                Err(error) => Outgoing::error(&id, &error),
            };
            drop(entry);
            out.send(answer).await.ok();
        };
        server.work().spawn(watched("MCP call", work));
        None
    }

    /// What a retry of a request goes on with, which was answered with a question (2026-07-28).
    fn go_on(&self) -> Result<Option<Work>, RpcError> {
        if !self.client.revision.is_stateless() {
            return Ok(None);
        }
        let state = self.params.optional::<String>("requestState")?;
        Ok(state.map(|state| Work::GoOn { state, answers: self.params.get("inputResponses").cloned() }))
    }

    /// What is looked at or stopped, at once.
    async fn mesh(&self, asked: Asked) -> Result<CallResult, RpcError> {
        let (server, caller) = (&self.door.server, &self.caller);
        let gateway = server.gateway();
        let told = |error: GatewayError| RpcError::inside(&server.fault_of(error));
        let task = match asked {
            Asked::Agents => {
                self.door.await_started_shortly().await;
                return Ok(mesh::agents(gateway, caller, self.door.naming));
            }
            Asked::Show { agent, task } => {
                let params = GetParams { id: task, history_length: Some(0), tenant: None };
                gateway.get(&tools::context(caller, &agent), &params).await.map_err(told)?
            }
            Asked::Cancel { agent, task } => {
                let params = CancelParams { id: task, ..CancelParams::default() };
                let task = gateway.cancel(&tools::context(caller, &agent), &params).await.map_err(told)?;
                let words = format!("task {} of agent {} is {}", task.id, task.agent, result::state_word(task.state));
                return Ok(CallResult::words(&words, false).with_structure(result::task_note(&task).to_json()));
            }
            Asked::Newest => return mesh::newest(gateway, caller).await.map_err(told),
            Asked::Work { .. } => return Err(RpcError::invalid_request("that is work")),
        };
        Ok(CallResult::of(&task, self.client.revision, false, Structure::InPlace))
    }
}

/// The message that a call of this tool is, or what is wrong with its arguments.
fn message(tool: &tools::Tool, arguments: Option<&Json>) -> Result<Vec<Part>, &'static str> {
    let arguments = arguments.cloned().unwrap_or_else(|| Object::default().to_json());
    if !tool.takes_words {
        return Ok(vec![Part::data(arguments)]);
    }
    let fields: std::collections::BTreeMap<String, Json> = arguments.read().unwrap_or_default();
    match fields.get("message").and_then(|message| message.read::<String>().ok()) {
        Some(words) if !words.is_empty() => Ok(vec![Part::text(words)]),
        Some(_) | None => Err("the argument `message` is missing: what to tell the agent, in words"),
    }
}
