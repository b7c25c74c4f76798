//! The methods of MCP, of every revision.

use std::sync::Arc;

use bobbinet_core::{
    Caller, Json, Part,
    operation::{CancelParams, GetParams},
};
use bobbinet_engine::watched;
use bobbinet_gateway::{AdmissionPermit, GatewayError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    call::{Call, Done, Work},
    client::McpClient,
    door::{Door, Outgoing},
    mesh::{self, Asked},
    object::Object,
    result::{self, CallResult},
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

/// The answer to a handshake.
pub(crate) fn initialized(revision: Revision) -> Json {
    Object::default()
        .with("protocolVersion", revision.as_str())
        .with("capabilities", &capabilities())
        .with("serverInfo", &result::server_info())
        .with("instructions", INSTRUCTIONS)
        .to_json()
}

fn capabilities() -> Object {
    Object::default().with("tools", &Object::default())
}

impl Request {
    /// Carries out a method: the answer, or nothing yet, where it goes out by itself.
    pub(crate) async fn answer(self, method: &str, permit: AdmissionPermit) -> Option<Outgoing> {
        let is_stateless = self.client.revision.is_stateless();
        let answered = match method {
            "tools/call" => return self.call(permit).await,
            "tools/list" => self.list().await,
            "ping" if !is_stateless => Ok(Object::default().to_json()),
            "server/discover" if is_stateless => Ok(self.discover()),
            _ => Err(RpcError::method_not_found(method)),
        };
        Some(self.written(answered).await)
    }

    async fn written(&self, answered: Result<Json, RpcError>) -> Outgoing {
        match answered {
            Ok(result) => self.door.answer(&self.caller, &self.id, &result).await,
            Err(error) => Outgoing::error(&self.id, &error),
        }
    }

    fn discover(&self) -> Json {
        let versions: Vec<&str> =
            Revision::ALL.into_iter().filter(|revision| revision.is_stateless()).map(Revision::as_str).collect();
        let ttl = u64::try_from(self.door.limits.list_ttl.as_millis()).unwrap_or(u64::MAX);
        let discovered = Object::default()
            .with("supportedVersions", &versions)
            .with("capabilities", &capabilities())
            .with("instructions", INSTRUCTIONS)
            .with("ttlMs", &ttl)
            .with("cacheScope", "private");
        result::stateless(discovered, Object::default()).to_json()
    }

    async fn list(&self) -> Result<Json, RpcError> {
        let cursor = self.params.optional::<String>("cursor")?;
        let (gateway, revision) = (self.door.server.gateway(), self.client.revision);
        tools::list(gateway, &self.caller, cursor.as_deref(), revision, &self.door.limits).await
    }

    async fn call(self, permit: AdmissionPermit) -> Option<Outgoing> {
        match self.begin_call(permit).await {
            Ok(None) => None,
            Ok(Some(outgoing)) => Some(outgoing),
            Err((id, error)) => Some(Outgoing::error(&id, &error)),
        }
    }

    async fn begin_call(self, permit: AdmissionPermit) -> Result<Option<Outgoing>, (Json, RpcError)> {
        let id = self.id.clone();
        let failed = |error: RpcError| (id.clone(), error);
        let name: String = self.params.required("name").map_err(failed)?;
        let arguments = self.params.get("arguments").cloned();
        if arguments.as_ref().is_some_and(|arguments| !arguments.is_object()) {
            return Err(failed(RpcError::invalid_params("`arguments` is a JSON object")));
        }
        let gateway = self.door.server.gateway();
        let (agent, skill, is_strict, work) = match mesh::asked(gateway, &self.caller, &name, arguments.as_ref()).await
        {
            // Which argument does not fit is for whoever has chosen it, a model mostly, and so a result.
            Some(Err(error)) => {
                let refused = CallResult::words(error.text(), true).to_json(self.client.revision);
                return Ok(Some(self.written(Ok(refused)).await));
            }
            Some(Ok(Asked::Work { agent, skill, work })) => (agent, skill, false, work),
            Some(Ok(asked)) => {
                let shown = self.mesh(asked).await.map(|result| result.to_json(self.client.revision));
                return Ok(Some(self.written(shown).await));
            }
            None => {
                let found = tools::find(gateway, &self.caller, &name, self.client.revision).await;
                let Some(tool) = found else { return Err(failed(RpcError::unknown_tool(&name))) };
                let parts = match message(&tool, arguments.as_ref()) {
                    Ok(parts) => parts,
                    Err(words) => {
                        let refused = CallResult::words(words, true).to_json(self.client.revision);
                        return Ok(Some(self.written(Ok(refused)).await));
                    }
                };
                let context = mesh::context(self.params.meta_text(CONTEXT_KEY)).map_err(failed)?;
                let context = context.or_else(|| Some(self.session.as_ref()?.context.clone()));
                let work = self.go_on().map_err(failed)?.unwrap_or(Work::Begin { parts, context });
                (tool.target.agent, tool.target.skill, tool.is_strict, work)
            }
        };
        let entry = match self.session.as_ref().map(|session| session.begin_call(&self.id, &self.canceled)).transpose()
        {
            Ok(entry) => entry,
            Err(TooManyCalls(max)) => {
                let text =
                    format!("{max} calls of this session are at work: wait for one of them (calls_per_session_max)");
                return Err(failed(RpcError::at_the_door(&text, http::StatusCode::OK)));
            }
        };
        let Self { door, caller, client, session, trace, id, params, canceled, out } = self;
        let server = door.server.clone();
        let call = Call {
            door: door.clone(),
            caller: caller.clone(),
            client,
            session,
            agent,
            skill,
            is_strict,
            progress: params.meta("progressToken").cloned(),
            trace: trace.or_else(|| params.meta_text("traceparent").map(Arc::from)),
            canceled,
            out: out.clone(),
        };
        // By itself, so that it goes on whatever becomes of its connection, or ends in good order.
        let work = async move {
            let answer = match call.run(work, permit).await {
                Ok(Done::Unheard) => return,
                Ok(Done::Asks(asks)) => door.answer(&caller, &id, &asks).await,
                Ok(Done::Result(result)) => door.answer(&caller, &id, &result.to_json(client.revision)).await,
                Err(error) => Outgoing::error(&id, &error),
            };
            drop(entry);
            out.send(answer).await.ok();
        };
        server.work().spawn(watched("MCP call", work));
        Ok(None)
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
            Asked::Agents => return Ok(mesh::agents(gateway, caller).await),
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
            Asked::Work { .. } => return Err(RpcError::invalid_request("that is work")),
        };
        Ok(CallResult::of(&task, self.client.revision, false))
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
