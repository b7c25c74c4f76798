//! What every binding can rely on: policy is asked first, and again with what is to be called; nothing is kept before.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_auth::{Action, Denied, Policy, Rules};
use bobbinet_core::{
    AgentName, Call, Caller, Capabilities, Content, ContextId, Description, Effect, Extension, Fault, Json, Limits,
    Message, MessageId, Outcome, Part, Plan, Principal, Question, QuestionKind, Role, SkillId, State, Tenant,
    operation::{Configuration, GetParams, ListParams, SendParams, SubscribeParams},
};
use bobbinet_engine::{Agent, Engine, Request, Run, Setup, SystemEnv};
use bobbinet_gateway::{
    Answer, Gateway, GatewayError, GatewayLimits, GatewaySetup, PolicyAuthorizer, RequestContext, StreamItem,
    TaskStream, Unsupported,
};
use bobbinet_store::MemoryStore;
use tokio_util::sync::CancellationToken;

/// Calls `say` with what it is told; asks first if it is told `ask`, and answers `hi` without a task. What begins with `later` it cannot
/// plan before it was waited for.
#[derive(Debug, Default)]
struct Parrot {
    was_waited_for: AtomicBool,
    description: Arc<Description>,
}

fn text_of(message: &Message) -> &str {
    match &message.parts[0].content {
        Content::Text(text) => text,
        Content::Raw(_) | Content::Url(_) | Content::Data(_) => "",
    }
}

fn message(id: &str, role: Role, text: &str) -> Message {
    Message {
        id: MessageId::parse(id).unwrap(),
        role,
        parts: vec![Part::new(Content::Text(text.into()))],
        metadata: None,
        extensions: Vec::new(),
        reference_tasks: Vec::new(),
    }
}

#[async_trait]
impl Agent for Parrot {
    fn describe(&self) -> Arc<Description> {
        self.description.clone()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        let said = text_of(request.message);
        let later = said.strip_prefix("later ");
        if later.is_some() && !self.was_waited_for.load(Ordering::SeqCst) {
            return Plan::Defer;
        }
        let text = later.unwrap_or(said);
        if text == "ask" {
            let question = message(request.question_id.as_str(), Role::Agent, "say what?");
            return Plan::Ask(Arc::new(Question {
                kind: QuestionKind::Input,
                message: Arc::new(question),
                schema: None,
            }));
        }
        if text == "hi" {
            return Plan::Say(Arc::new(message(request.question_id.as_str(), Role::Agent, "hi yourself")));
        }
        let mut call = Call::of_message(Effect::ReadOnly);
        call.skill = Some(SkillId::parse("say").unwrap());
        call.arguments = Some(Json::of(&text));
        Plan::Call(Arc::new(call))
    }

    async fn ready_to_plan(&self) -> Result<(), Fault> {
        self.was_waited_for.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn max_concurrency(&self) -> usize {
        4
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, _run: Run) -> Outcome {
        Outcome::Completed { artifacts: Vec::new(), message: None }
    }

    async fn shutdown(&self) {}
}

/// Everybody may do everything, but for saying some things; remembers what it was asked.
#[derive(Clone, Debug, Default)]
struct Decent {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Rules for Decent {
    fn allows(&self, caller: &Caller, action: Action<'_>) -> Result<(), Denied> {
        self.asked.lock().unwrap().push(action.to_string());
        let is_rude = matches!(action, Action::Call(_, call) if call.arguments == Some(Json::of(&"rude")));
        if is_rude {
            return Err(Denied::new("decent", caller, action));
        }
        Ok(())
    }

    fn shuts_out(&self, _caller: &Caller) -> Option<&'static str> {
        None
    }
}

struct Node {
    gateway: Arc<Gateway>,
    engine: Engine,
    rules: Decent,
    agent: AgentName,
    caller: Caller,
}

impl Node {
    async fn start(limits: GatewayLimits) -> Self {
        Self::start_as(limits, Capabilities::default()).await
    }

    async fn start_as(limits: GatewayLimits, capabilities: Capabilities) -> Self {
        let description = Arc::new(Description { capabilities, ..Description::default() });
        let agent = AgentName::parse("parrot").unwrap();
        let rules = Decent::default();
        let setup = Setup {
            store: Arc::new(MemoryStore::default()),
            agents: [(agent.clone(), Arc::new(Parrot { description, ..Parrot::default() }) as Arc<dyn Agent>)].into(),
            env: Arc::new(SystemEnv),
            limits: Limits::default(),
            authorizer: Arc::new(PolicyAuthorizer::new(Policy::new(rules.clone()))),
        };
        let engine = Engine::open(setup).await.unwrap();
        let gateway = Gateway::new(GatewaySetup {
            engine: engine.clone(),
            policy: Policy::new(rules.clone()),
            limits,
            wait_max: None,
            drain: Duration::ZERO,
            stop: CancellationToken::new(),
        });
        let caller = Caller {
            principal: Principal::parse("ann").unwrap(),
            tenant: Tenant::parse("here").unwrap(),
            is_node_owner: false,
            scopes: Vec::new(),
            chain: Vec::new(),
            issuer: None,
            claims: None,
        };
        Self { gateway, engine, rules, agent, caller }
    }

    fn context(&self) -> RequestContext<'_> {
        let (caller, agent) = (&self.caller, &self.agent);
        RequestContext { caller, agent, skill: None, trace: None, idempotency: None, extensions: &[] }
    }

    async fn send(&self, id: &str, text: &str, task: Option<String>) -> Result<Arc<bobbinet_core::Task>, GatewayError> {
        let place = self.gateway.admit(&self.caller).unwrap();
        let answer = self.gateway.send(&self.context(), Box::new(params(id, text, task)), place).await?;
        Ok(task_of(answer))
    }

    async fn stream(&self, id: &str, text: &str) -> Result<Answer<TaskStream>, GatewayError> {
        self.gateway.send_streaming(&self.context(), Box::new(params(id, text, None))).await
    }

    async fn count(&self) -> usize {
        let mut pages = self.gateway.list(&self.context(), ListParams::default()).unwrap();
        pages.next(usize::MAX).await.unwrap().unwrap().total
    }
}

fn task_of<T: std::fmt::Debug>(answer: Answer<T>) -> T {
    match answer {
        Answer::Task(task) => task,
        Answer::Message(said) => panic!("{said:?}"),
    }
}

fn params(id: &str, text: &str, task: Option<String>) -> SendParams {
    SendParams {
        message: message(id, Role::User, text),
        context: None,
        task,
        configuration: Configuration::default(),
        metadata: None,
        tenant: None,
    }
}

#[tokio::test]
async fn policy_sees_what_is_to_be_called_before_anything_is_kept() {
    let node = Node::start(GatewayLimits::default()).await;
    let denied = node.send("m1", "rude", None).await.unwrap_err();
    let GatewayError::Denied(denied) = denied else { panic!("{denied:?}") };
    assert_eq!((denied.rule, denied.action.as_str()), ("decent", "call say of parrot"));
    assert_eq!(*node.rules.asked.lock().unwrap(), ["send to parrot", "call say of parrot"]);
    assert_eq!(node.count().await, 0, "nothing is kept of what is denied");

    assert_eq!(node.send("m2", "hello", None).await.unwrap().state, State::Completed);
    assert_eq!(node.count().await, 1);
    node.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn policy_sees_what_is_to_be_called_also_where_that_is_known_later() {
    let node = Node::start(GatewayLimits::default()).await;
    let denied = node.send("m1", "later rude", None).await.unwrap();
    assert_eq!(*node.rules.asked.lock().unwrap(), ["send to parrot", "call say of parrot"]);
    assert_eq!((denied.state, denied.calls.len(), denied.planned_call.is_some()), (State::Rejected, 0, false));
    let why = denied.status_message.as_ref().unwrap().data().unwrap().to_value();
    assert_eq!((why["code"].as_str(), why["details"]["rule"].as_str()), (Some("denied"), Some("decent")));
    assert_eq!(node.send("m2", "later hello", None).await.unwrap().state, State::Completed);
    node.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_answer_that_is_denied_leaves_its_question_open() {
    let node = Node::start(GatewayLimits::default()).await;
    let asked = node.send("m1", "ask", None).await.unwrap();
    assert_eq!(asked.state, State::InputRequired);
    let id = asked.id.to_string();
    assert_eq!(node.send("m2", "rude", Some(id.clone())).await.unwrap_err(), GatewayError::NotFound);
    let seen = node.gateway.get(&node.context(), &GetParams { id: id.clone(), ..GetParams::default() }).await.unwrap();
    assert_eq!((seen.state, seen.version), (State::InputRequired, asked.version));
    assert_eq!(node.send("m3", "hello", Some(id)).await.unwrap().state, State::Completed);
    node.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_repeat_is_no_second_call_and_policy_is_not_asked_about_one() {
    let node = Node::start(GatewayLimits::default()).await;
    let id = node.send("m1", "ask", None).await.unwrap().id.to_string();
    assert_eq!(node.send("m2", "hello", Some(id.clone())).await.unwrap().state, State::Completed);
    node.rules.asked.lock().unwrap().clear();
    assert_eq!(node.send("m2", "hello", Some(id)).await.unwrap().state, State::Completed);
    assert_eq!(*node.rules.asked.lock().unwrap(), ["send to parrot"]);
    node.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_stream_of_a_message_ends_with_the_next_question_and_a_subscription_does_not() {
    let node = Node::start(GatewayLimits { streams_per_caller_max: 1, ..GatewayLimits::default() }).await;
    let mut stream = task_of(node.stream("m1", "ask").await.unwrap());
    let Some(StreamItem::Task { task, is_resync: false }) = stream.next().await.unwrap() else { panic!() };
    assert_eq!(task.state, State::Submitted, "the task as it began");
    assert!(matches!(stream.next().await.unwrap(), Some(StreamItem::Event(_))), "the question");
    assert!(stream.next().await.unwrap().is_none());

    let subscribe = || SubscribeParams { id: task.id.to_string(), ..SubscribeParams::default() };
    let full = node.gateway.subscribe(&node.context(), subscribe(), None).await.unwrap_err();
    assert!(matches!(full, GatewayError::Full(_)), "the permit is held as long as the stream: {full:?}");
    drop(stream);
    let mut stream = node.gateway.subscribe(&node.context(), subscribe(), None).await.unwrap();
    assert!(
        matches!(stream.next().await.unwrap(), Some(StreamItem::Task { task, .. }) if task.state == State::InputRequired)
    );
    node.send("m2", "hello", Some(task.id.to_string())).await.unwrap();
    let mut events = 0;
    while stream.next().await.unwrap().is_some() {
        events += 1;
    }
    assert!(events >= 2, "working, and the end: {events}");
    node.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_plain_message_is_answered_and_nothing_is_kept() {
    let node = Node::start(GatewayLimits::default()).await;
    let said = |answer| match answer {
        Answer::Message(said) => said,
        Answer::Task(task) => panic!("{task:?}"),
    };
    let mut named = params("m1", "hi", None);
    named.context = Some(ContextId::parse("a-chat").unwrap());
    for return_immediately in [false, true] {
        let params = Box::new(SendParams {
            configuration: Configuration { return_immediately, ..Configuration::default() },
            ..named.clone()
        });
        let answer =
            node.gateway.send(&node.context(), params, node.gateway.admit(&node.caller).unwrap()).await.unwrap();
        let said = said(answer.map_task(|_| ()));
        assert_eq!((text_of(&said.message), said.context.as_str()), ("hi yourself", "a-chat"));
    }
    let streamed = said(node.stream("m2", "hi").await.unwrap().map_task(|_| ()));
    assert_eq!(text_of(&streamed.message), "hi yourself");
    assert_ne!(streamed.context.as_str(), "a-chat", "a context of its own");
    let asked = node.rules.asked.lock().unwrap().clone();
    assert_eq!(asked[..2], ["send to parrot", "call parrot"], "policy is asked about the answer, too");
    assert_eq!(node.count().await, 0);

    // Where there has to be a task, the words end it.
    assert_eq!(node.send("m3", "later hi", None).await.unwrap().state, State::Completed);
    let asked = node.send("m4", "ask", None).await.unwrap().id.to_string();
    let ended = node.send("m5", "hi", Some(asked)).await.unwrap();
    assert_eq!(ended.state, State::Completed);
    assert_eq!(text_of(ended.status_message.as_ref().unwrap()), "hi yourself");
    node.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_agent_without_streams_refuses_both() {
    let capabilities = Capabilities { streaming: false, ..Capabilities::default() };
    let node = Node::start_as(GatewayLimits::default(), capabilities).await;
    let refused = GatewayError::Unsupported(Unsupported::Streaming);
    assert_eq!(node.stream("m1", "hello").await.unwrap_err(), refused);
    assert_eq!(node.count().await, 0, "nothing is kept of what is refused");
    let id = node.send("m2", "ask", None).await.unwrap().id.to_string();
    let params = SubscribeParams { id, ..SubscribeParams::default() };
    assert_eq!(node.gateway.subscribe(&node.context(), params, None).await.unwrap_err(), refused);
    node.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn what_an_agent_requires_every_request_must_name() {
    let extension =
        |uri: &str, required| Extension { uri: uri.to_owned(), description: String::new(), required, params: None };
    let extensions = vec![extension("urn:nice-to-have", false), extension("urn:needed", true)];
    let node = Node::start_as(GatewayLimits::default(), Capabilities { extensions, ..Capabilities::default() }).await;
    let missing = GatewayError::ExtensionRequired("urn:needed".to_owned());
    assert_eq!(node.send("m1", "hello", None).await.unwrap_err(), missing);
    assert_eq!(node.send("m2", "hello", Some("no-such-task".to_owned())).await.unwrap_err(), missing);
    assert_eq!(node.stream("m3", "hello").await.unwrap_err(), missing);
    assert_eq!(node.gateway.list(&node.context(), ListParams::default()).unwrap_err(), missing);
    assert_eq!(node.gateway.get(&node.context(), &GetParams::default()).await.unwrap_err(), missing);

    let context = RequestContext { extensions: &["urn:other", "urn:needed"], ..node.context() };
    let answer =
        node.gateway.send(&context, Box::new(params("m4", "hello", None)), node.gateway.admit(&node.caller).unwrap());
    assert_eq!(task_of(answer.await.unwrap()).state, State::Completed);
    node.engine.shutdown(Duration::ZERO).await;
}
