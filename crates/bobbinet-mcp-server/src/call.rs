//! A tool call as a task: begun or gone on with through the gateway, heard out, and its questions asked.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{
    AgentName, Caller, ContextId, Event, Json, Message, MessageId, Part, Role, SkillId, Task, TaskId,
    operation::{CancelParams, Configuration, GetParams, SendParams, SubscribeParams},
};
use bobbinet_engine::{EngineError, Severity};
use bobbinet_gateway::{AdmissionPermit, Answer, GatewayError, RequestContext, StreamItem, TaskStream};
use bobbinet_wire::EXTENSION_URI;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    asked::Names,
    client::McpClient,
    door::{Door, Outgoing},
    object::Object,
    progress::Progress,
    question::Answered,
    reading::{self, Shape},
    restored,
    result::{self, CallResult},
    rpc::{self, RpcError},
    server_error::ServerError,
    sessions::Session,
    structure,
    tasks::{self, state_of},
    tools,
};

/// A call at work.
pub(crate) struct Call {
    pub(crate) door: Arc<Door>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) client: McpClient,
    /// The session that it came in, of an older revision.
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) agent: AgentName,
    pub(crate) skill: Option<SkillId>,
    /// Whether its tool has promised a structure.
    pub(crate) is_strict: bool,
    /// What is asked for.
    pub(crate) shape: Shape,
    /// How grave what a server says for a log must be for the client to hear it, if it wants to hear any.
    pub(crate) log: Option<Severity>,
    /// The id of the message that begins the task, if somebody must know it before.
    pub(crate) message_id: Option<MessageId>,
    /// Under which token the client wants to hear how far it is.
    pub(crate) progress: Option<Json>,
    pub(crate) trace: Option<Arc<str>>,
    /// Told when the client takes it back.
    pub(crate) canceled: CancellationToken,
    /// What the client is told before the answer.
    pub(crate) out: mpsc::Sender<Outgoing>,
}

/// What a call is to do.
pub(crate) enum Work {
    /// Begin a task with this message.
    Begin { parts: Vec<Part>, context: Option<ContextId> },
    /// The same, and no longer than until the task is kept.
    Submit { parts: Vec<Part>, context: Option<ContextId> },
    /// Tell a task this.
    Tell { task: String, parts: Vec<Part> },
    /// Go on with a task that has asked, with the client's answers, if it has any (2026-07-28).
    GoOn { state: String, answers: Option<Json> },
    /// Wait until a task ends or asks.
    Wait { task: String },
    /// Begin a task with this message, and give its name (2025-11-25).
    Create { parts: Vec<Part>, context: Option<ContextId> },
    /// Give a task the client's answers, if it still asks that (2026-07-28).
    Update { task: String, answers: BTreeMap<String, Json> },
}

/// What comes of it.
pub(crate) enum Done {
    Result(CallResult),
    /// Another result, as it is written: one that asks, that names a task, or that was read.
    Written(Json),
    /// Nobody waits for an answer.
    Unheard,
}

/// Why nothing more is heard.
pub(crate) enum Over {
    /// The client has gone. The task goes on.
    Gone,
    Failed(RpcError),
}

impl From<RpcError> for Over {
    fn from(error: RpcError) -> Self {
        Self::Failed(error)
    }
}

impl Call {
    /// Carries it out, until there is a result, or a question that the client has to answer first.
    pub(crate) async fn run(mut self, work: Work, permit: AdmissionPermit) -> Result<Done, RpcError> {
        if let (Shape::Payload, Work::Wait { task }) = (&self.shape, &work) {
            // What the call that has begun a task wants to hear of it holds for all of its life.
            let begun = self.get(task).await.ok().and_then(|task| tasks::progress_token(&task));
            self.progress = begun.or(self.progress);
        }
        let lines = self.listen(&work).await;
        let carrying = self.carry_out(work, permit);
        let carried_out = match &lines {
            Some(lines) => self.telling(lines, carrying).await,
            None => carrying.await,
        };
        match carried_out {
            Ok(_) if self.canceled.is_cancelled() => Ok(Done::Unheard),
            Ok(done) => Ok(done),
            Err(Over::Gone) => Ok(Done::Unheard),
            Err(Over::Failed(error)) => Err(error),
        }
    }

    async fn carry_out(&self, work: Work, permit: AdmissionPermit) -> Result<Done, Over> {
        let mut answer = match work {
            Work::Begin { parts, context } => self.send(self.begins(parts, context), permit).await?,
            Work::Submit { parts, context } => {
                return Ok(match self.submit(self.begins(parts, context), permit).await? {
                    Answer::Task(task) => self.result(&task).await?,
                    Answer::Message(said) => Done::Result(CallResult::said(&said, self.client.revision)),
                });
            }
            Work::Create { parts, context } => {
                let mut params = self.begins(parts, context);
                if let Some(token) = &self.progress {
                    params.message.metadata = noted(params.message.metadata, tasks::PROGRESS_KEY, token.clone());
                }
                return match self.submit(params, permit).await? {
                    Answer::Task(task) => {
                        self.tell_states(&task).await;
                        Ok(self.created(&task))
                    }
                    Answer::Message(_) => Err(RpcError::invalid_request("it answers at once, and has no task").into()),
                };
            }
            Work::Update { task, answers } => {
                self.update(&task, &answers, permit).await?;
                return Ok(Done::Written(result::stateless(Object::default(), Object::default()).to_json()));
            }
            Work::Tell { task, parts } => self.send(self.tells(task, parts), permit).await?,
            Work::Wait { task } => {
                drop(permit);
                Answer::Task(self.wait(task).await?)
            }
            Work::GoOn { state, answers } => match self.go_on(&state, answers, permit).await? {
                Ok(answer) => answer,
                Err(task) => return Ok(self.asks_or_ends(&task).await?),
            },
        };
        loop {
            let task = match &answer {
                Answer::Task(task) => task,
                Answer::Message(said) => return Ok(Done::Result(CallResult::said(said, self.client.revision))),
            };
            if self.client.revision.is_stateless() || self.canceled.is_cancelled() {
                return Ok(self.asks_or_ends(task).await?);
            }
            let (Some(session), Some(asked)) = (&self.session, tasks::asked(task, self.client, &self.door)) else {
                return Ok(self.result(task).await?);
            };
            let parts = match self.ask(session, &asked, &task.id).await? {
                Answered::Tell(parts) => parts,
                Answered::Refused => {
                    let task = self.cancel(&task.id).await?;
                    return Ok(self.result(&task).await?);
                }
                Answered::Unclear => return Ok(self.result(task).await?),
            };
            let permit = self.door.admit(&self.caller)?;
            answer = self.send(self.tells(task.id.to_string(), parts), permit).await?;
        }
    }

    async fn result(&self, task: &Task) -> Result<Done, RpcError> {
        let revision = self.client.revision;
        let result = async |is_strict| structure::result(&self.door, &self.caller, task, revision, is_strict).await;
        match &self.shape {
            Shape::Tool => match ServerError::of(task).and_then(|error| error.missing_capability(self.client)) {
                Some(error) => Err(error),
                None => Ok(Done::Result(result(self.is_strict).await)),
            },
            Shape::Payload => {
                let mut result = result(tools::is_strict(self.door.server.gateway(), task, revision)).await;
                result.meta = result.meta.with(tasks::RELATED_KEY, &tasks::named(&task.id));
                Ok(Done::Result(result))
            }
            shape @ (Shape::Resource { .. } | Shape::Prompt) => {
                // What is read is the content, however large: it is no result that a model could fetch the rest of.
                let whole = Box::pin(restored::restored(&self.door, &self.caller, task, revision)).await?;
                let task = whole.as_ref().unwrap_or(task);
                reading::result(task, shape, revision, self.door.limits.list_ttl_ms()).map(Done::Written)
            }
        }
    }

    fn created(&self, task: &Task) -> Done {
        Done::Written(tasks::created(task, self.client, &self.door))
    }

    /// Whether this client may be given a task in place of a result.
    fn may_become_task(&self) -> bool {
        self.client.takes_tasks && self.shape == Shape::Tool
    }

    /// The question as a result of its own, where there are no handshakes and the client can be asked; else how the task stands.
    async fn asks_or_ends(&self, task: &Task) -> Result<Done, RpcError> {
        match tasks::asked(task, self.client, &self.door).filter(|_| self.client.revision.is_stateless()) {
            Some(asked) => {
                let asks = Object::default()
                    .with("resultType", "input_required")
                    .with("inputRequests", &asked.requests(Names::InResult))
                    .with("requestState", &state_of(task));
                Ok(Done::Written(asks.to_json()))
            }
            None if self.may_become_task() && !task.state.is_terminal() => Ok(self.created(task)),
            None => self.result(task).await,
        }
    }

    /// Gives a task the answer to what it asks. One to a question that it does not ask is passed over.
    async fn update(
        &self,
        task: &str,
        answers: &BTreeMap<String, Json>,
        permit: AdmissionPermit,
    ) -> Result<(), RpcError> {
        let task = self.get(task).await?;
        let asked = tasks::asked(&task, self.client, &self.door);
        let answered = asked.and_then(|asked| asked.read(answers, Names::OfTask(&task)));
        match answered.unwrap_or(Answered::Unclear) {
            Answered::Tell(parts) => self.submit(self.tells(task.id.to_string(), parts), permit).await.map(drop),
            Answered::Refused => self.cancel(&task.id).await.map(drop),
            Answered::Unclear => Ok(()),
        }
    }

    /// Answers the question that this state stands for, if it is still open. What a client makes up names a task of his own, or none.
    async fn go_on(
        &self,
        state: &str,
        answers: Option<Json>,
        permit: AdmissionPermit,
    ) -> Result<Result<Answer<Arc<Task>>, Arc<Task>>, Over> {
        let (task, asked) = tasks::read_state(state)?;
        let task = self.get(task).await?;
        if asked > task.asked.0 {
            return Err(RpcError::invalid_params("`requestState` is none that was given out here").into());
        }
        let asked = tasks::asked(&task, self.client, &self.door).filter(|_| state_of(&task) == state);
        let answers: Option<BTreeMap<String, Json>> = answers.and_then(|answers| answers.read().ok());
        let Some(answered) = asked.and_then(|asked| asked.read(&answers?, Names::InResult)) else {
            // It has been answered already, or nobody has: what is there to be said is said anew.
            return if task.state.is_terminal() || task.state.is_interrupted() {
                Ok(Err(task))
            } else {
                drop(permit);
                Ok(Ok(Answer::Task(self.wait(task.id.to_string()).await?)))
            };
        };
        match answered {
            Answered::Tell(parts) => Ok(Ok(self.send(self.tells(task.id.to_string(), parts), permit).await?)),
            Answered::Refused => Ok(Err(self.cancel(&task.id).await?)),
            Answered::Unclear => Ok(Err(task)),
        }
    }

    fn begins(&self, parts: Vec<Part>, context: Option<ContextId>) -> SendParams {
        let declared = self.client.declared().filter(|_| self.door.is_of_mcp(&self.agent));
        let mut params = SendParams { context, ..says(self.skill.as_ref(), None, parts, declared.as_ref()) };
        if let Some(id) = &self.message_id {
            params.message.id = id.clone();
        }
        params
    }

    fn tells(&self, task: String, parts: Vec<Part>) -> SendParams {
        says(self.skill.as_ref(), Some(task), parts, None)
    }

    fn context(&self, is_new: bool) -> RequestContext<'_> {
        RequestContext {
            skill: self.skill.clone().filter(|_| is_new),
            trace: self.trace.clone(),
            ..tools::context(&self.caller, &self.agent)
        }
    }

    /// Says something, and waits for what comes of it.
    async fn send(&self, params: SendParams, permit: AdmissionPermit) -> Result<Answer<Arc<Task>>, Over> {
        let gateway = self.door.server.gateway();
        let context = self.context(params.task.is_none());
        let streams = gateway.agent(&self.agent).is_some_and(|agent| agent.describe().capabilities.streaming);
        if self.may_become_task() {
            return match self.submit(params, permit).await? {
                Answer::Task(task) => Ok(Answer::Task(self.wait_a_moment(task).await?)),
                Answer::Message(said) => Ok(Answer::Message(said)),
            };
        }
        if self.progress.is_some() && streams {
            let sent = gateway.send_streaming(&context, Box::new(params)).await;
            drop(permit);
            return match self.told(sent)? {
                Answer::Task(stream) => Ok(Answer::Task(self.follow(stream).await?)),
                Answer::Message(said) => Ok(Answer::Message(said)),
            };
        }
        let sent = gateway.send_or_cancel(&context, Box::new(params), permit, &self.canceled);
        let sent = tokio::select! {
            biased;
            sent = sent => sent,
            () = self.gone() => return Err(Over::Gone),
        };
        Ok(self.told(sent)?)
    }

    /// Says something, and waits for no more than that it is kept.
    async fn submit(&self, mut params: SendParams, permit: AdmissionPermit) -> Result<Answer<Arc<Task>>, RpcError> {
        params.configuration.return_immediately = true;
        let context = self.context(params.task.is_none());
        self.told(self.door.server.gateway().send(&context, Box::new(params), permit).await)
    }

    /// Waits until a task ends or asks, if that is soon; else as it stands.
    async fn wait_a_moment(&self, task: Arc<Task>) -> Result<Arc<Task>, Over> {
        match timeout(self.door.limits.task_after, self.wait(task.id.to_string())).await {
            Ok(task) => task,
            Err(_) => Ok(self.get(&task.id.to_string()).await?),
        }
    }

    /// Waits until a task ends or asks.
    async fn wait(&self, task: String) -> Result<Arc<Task>, Over> {
        let gateway = self.door.server.gateway();
        let now = self.get(&task).await?;
        if now.state.is_terminal() || now.state.is_interrupted() {
            return Ok(now);
        }
        let params = SubscribeParams { id: task, tenant: None };
        match gateway.subscribe(&self.context(false), params, None).await {
            Ok(stream) => self.follow(stream).await,
            Err(GatewayError::Ended) => Ok(self.get(&now.id.to_string()).await?),
            Err(error) => Err(self.error(error).into()),
        }
    }

    /// Tells how far the task is, until it ends or asks.
    async fn follow(&self, mut stream: TaskStream) -> Result<Arc<Task>, Over> {
        let id = *stream.task();
        let mut progress = Progress::default();
        loop {
            let item = tokio::select! {
                biased;
                item = stream.next() => item,
                () = self.canceled.cancelled() => return Ok(self.cancel(&id).await?),
                () = self.gone() => return Err(Over::Gone),
                () = self.stopped() => break,
            };
            match item {
                Ok(Some(StreamItem::Event(told))) => {
                    if matches!(told.event, Event::Asked { .. }) {
                        let task = self.get(&id.to_string()).await?;
                        // A stream goes on behind what is authorised elsewhere; and what was asked before is answered.
                        if task.state.is_interrupted() {
                            return Ok(task);
                        }
                    }
                    if let (Some(token), Event::Progressed { message, metadata }) = (&self.progress, &told.event)
                        && let Some(params) = progress.next(token, message.as_deref(), metadata.as_ref())
                    {
                        let params = match self.shape {
                            Shape::Payload => params.with_owned("_meta".to_owned(), tasks::relation(&id)),
                            Shape::Tool | Shape::Resource { .. } | Shape::Prompt => params,
                        };
                        self.say(rpc::notification("notifications/progress", &params)).await?;
                    }
                }
                // What it had asked by the time that the stream began is in no event of it.
                Ok(Some(StreamItem::Task { task, .. })) if task.state.is_interrupted() => {
                    let task = self.get(&id.to_string()).await?;
                    if task.state.is_interrupted() {
                        return Ok(task);
                    }
                }
                Ok(Some(StreamItem::Task { .. })) => {}
                Ok(None) | Err(EngineError::Draining | EngineError::Unavailable(_)) => break,
                Err(error) => return Err(RpcError::inside(&self.door.server.fault_of_engine(error)).into()),
            }
        }
        Ok(self.get(&id.to_string()).await?)
    }

    pub(crate) async fn get(&self, task: &str) -> Result<Arc<Task>, RpcError> {
        let params = GetParams { id: task.to_owned(), ..GetParams::default() };
        self.told(self.door.server.gateway().get(&self.context(false), &params).await)
    }

    /// Stops the task. One that has ended meanwhile is as it is.
    pub(crate) async fn cancel(&self, task: &TaskId) -> Result<Arc<Task>, RpcError> {
        let params = CancelParams { id: task.to_string(), ..CancelParams::default() };
        match self.door.server.gateway().cancel(&self.context(false), &params).await {
            Ok(task) => Ok(task),
            Err(_) => self.get(&task.to_string()).await,
        }
    }

    pub(crate) async fn say(&self, message: Json) -> Result<(), Over> {
        self.out.send(Outgoing::plain(message)).await.map_err(|_| Over::Gone)
    }

    /// The client reads no more. Where that takes the call back, it is told so.
    pub(crate) async fn gone(&self) {
        self.out.closed().await;
        if self.client.revision.is_stateless() {
            std::future::pending().await
        }
    }

    /// The node stops, and what it has in flight has had its time.
    pub(crate) async fn stopped(&self) {
        self.door.server.stop().cancelled().await;
        sleep(self.door.server.limits().drain()).await;
    }

    fn told<T>(&self, done: Result<T, GatewayError>) -> Result<T, RpcError> {
        done.map_err(|error| self.error(error))
    }

    fn error(&self, error: GatewayError) -> RpcError {
        RpcError::inside(&self.door.server.fault_of(error))
    }
}

/// A message to an agent, or to a task of it; what its client has `declared`, its server may ask for.
pub(crate) fn says(
    skill: Option<&SkillId>,
    task: Option<String>,
    parts: Vec<Part>,
    declared: Option<&Object>,
) -> SendParams {
    // Only a first message says which skill is meant: an answer is the question's.
    let skill = skill.filter(|_| task.is_none());
    let ours =
        Object::default().with_some("skill", skill.map(SkillId::as_str)).with_some("clientCapabilities", declared);
    let metadata = (!ours.is_empty()).then(|| Object::default().with(EXTENSION_URI, &ours).to_json());
    let message = Message {
        id: MessageId::parse(&Uuid::new_v4().to_string()).expect("a UUID is an id"),
        role: Role::User,
        parts,
        extensions: metadata.iter().map(|_| Arc::from(EXTENSION_URI)).collect(),
        metadata,
        reference_tasks: Vec::new(),
    };
    let configuration = Configuration { history_length: Some(0), ..Configuration::default() };
    SendParams { message, context: None, task, configuration, metadata: None, tenant: None }
}

/// The metadata of a message with one more entry.
pub(crate) fn noted(metadata: Option<Json>, key: &str, value: Json) -> Option<Json> {
    let mut fields: BTreeMap<String, Json> = metadata.and_then(|fields| fields.read().ok()).unwrap_or_default();
    fields.insert(key.to_owned(), value);
    Some(Json::of(&fields))
}
