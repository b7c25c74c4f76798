//! Every operation, in one order: policy, limits, the engine.

use std::{future::pending, sync::Arc, time::Duration};

use bobbinet_auth::{Action, Policy};
use bobbinet_core::{
    AgentName, Call, Caller, CloudEvent, Description, Effect, Extension, Plan, Refused, SkillId, State, Task, TaskId,
    Timestamp,
    operation::{CancelParams, GetParams, ListParams, SendParams, SubscribeParams},
};
use bobbinet_engine::{Agent, Engine, EngineError, Handle, NewTask, RecordedEvent, Reply, Resumed};
use bobbinet_events::{Events, Published};
use bobbinet_push::Webhooks;
use futures::future::join_all;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    AdmissionPermit, Answer, Full, GatewayError, GatewayLimits, NamedCallerLimits, PlainMessage, Resume, TaskPages,
    TaskStream, TreeTask, Unsupported,
    admission::{Admission, StreamPermit},
    tree,
};

/// How long a reader of an agent's card waits for one that is starting: less than the five seconds after which the most used client library
/// gives up.
pub const START_WAIT_MAX: Duration = Duration::from_secs(3);

/// What a gateway is made of.
#[derive(Debug)]
pub struct GatewaySetup {
    /// Runs the tasks.
    pub engine: Engine,
    /// Says what a caller may do.
    pub policy: Policy,
    /// How much may be at work at a time.
    pub limits: GatewayLimits,
    /// How long a blocking send waits before it is answered with the task as it stands; `None` for as long as it takes.
    pub wait_max: Option<Duration>,
    /// How long it still waits once the node is told to stop.
    pub drain: Duration,
    /// Told when the node is to stop.
    pub stop: CancellationToken,
}

/// What all callers of the agents of one node go through, whatever protocol they speak.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) engine: Engine,
    policy: Policy,
    admission: Admission,
    wait_max: Option<Duration>,
    drain: Duration,
    stop: CancellationToken,
    /// Where events are sent; `None` where nothing is.
    pub(crate) webhooks: Option<Arc<Webhooks>>,
}

/// Who asks, which agent, and what came with the request beside the operation.
#[derive(Clone, Debug)]
pub struct RequestContext<'a> {
    /// Who asks, as its token says.
    pub caller: &'a Caller,
    /// The agent that is asked.
    pub agent: &'a AgentName,
    /// The skill that the request names outside of its message.
    pub skill: Option<SkillId>,
    /// The trace that the caller is in (W3C Trace Context's `traceparent`).
    pub trace: Option<Arc<str>>,
    /// A key that drops repeats, and a hash of what it stands for.
    pub idempotency: Option<(String, [u8; 32])>,
    /// The URIs of the extensions that the request says its caller speaks.
    pub extensions: &'a [&'a str],
}

/// All that is known of a task, for the node's owner.
#[derive(Debug)]
pub struct TaskRecord {
    /// The task as it stands.
    pub task: Arc<Task>,
    /// Every line of its log, with the version that it led to.
    pub log: Vec<(u64, RecordedEvent)>,
    /// Why it has not begun, where its agent says so.
    pub waits: Option<String>,
    /// The task itself, and all beneath it.
    pub tree: Vec<TreeTask>,
}

/// Whether somebody who is denied may know that there is something to be denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    Told,
    /// Whoever names a task and may not touch it learns nothing of it, not even that it is there.
    NotFound,
}

/// What somebody who says something waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// That the task is kept: it is told of from then on.
    ToKnow,
    /// What comes of it, and nothing before.
    Outcome,
}

impl Gateway {
    /// A gateway to the engine's agents.
    pub fn new(setup: GatewaySetup) -> Arc<Self> {
        Arc::new(Self::of(setup, None))
    }

    /// The same, whose callers may have events sent to them.
    pub fn with_webhooks(setup: GatewaySetup, webhooks: Arc<Webhooks>) -> Arc<Self> {
        Arc::new(Self::of(setup, Some(webhooks)))
    }

    fn of(setup: GatewaySetup, webhooks: Option<Arc<Webhooks>>) -> Self {
        let GatewaySetup { engine, policy, limits, wait_max, drain, stop } = setup;
        Self { engine, policy, admission: Admission::new(&limits), wait_max, drain, stop, webhooks }
    }

    /// A permit for one request of this caller, to be taken before its body is read.
    ///
    /// # Errors
    /// If all are taken, or all of his, or he asks too often.
    pub fn admit(&self, caller: &Caller) -> Result<AdmissionPermit, Full> {
        self.admission.request(caller)
    }

    /// From now on these callers have their own limits, and all others the usual ones.
    pub fn limit_callers(&self, named: NamedCallerLimits) {
        self.admission.name(named);
    }

    /// The agents of the node, by name.
    pub fn agents(&self) -> impl Iterator<Item = &AgentName> {
        self.engine.agents().map(|(name, _)| name)
    }

    /// The agent of this name.
    pub fn agent(&self, name: &AgentName) -> Option<&Arc<dyn Agent>> {
        self.engine.agent(name)
    }

    /// Agents that are not configured any more and have left tasks.
    pub fn unserved(&self) -> impl Iterator<Item = &AgentName> {
        self.engine.unserved()
    }

    /// The time, as the engine knows it.
    pub fn now(&self) -> Timestamp {
        self.engine.env().now()
    }

    /// Whether the node can take work.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn health(&self) -> Result<(), String> {
        self.engine.health()
    }

    /// Waits a moment for an agent that was never seen before: until it has started its card has no skills. One that takes longer is
    /// served all the same. Safe to drop.
    pub async fn await_start(&self, name: &AgentName) {
        self.await_start_within(name, START_WAIT_MAX).await;
    }

    /// The same for a reader who waits as long as he says.
    pub async fn await_start_within(&self, name: &AgentName, patience: Duration) {
        if let Some(agent) = self.engine.agent(name).filter(|agent| agent.is_starting()) {
            agent.started(patience).await;
        }
    }

    /// Says something to an agent, and returns the task when it has ended or asks, or at once if the caller wants that; or the agent's
    /// own words, if it needs no task to answer. `permit` is given back as soon as there is nothing to do but wait.
    ///
    /// # Errors
    /// If it is not allowed, or not kept.
    pub async fn send(
        &self,
        context: &RequestContext<'_>,
        params: Box<SendParams>,
        permit: AdmissionPermit,
    ) -> Result<Answer<Arc<Task>>, GatewayError> {
        self.allow_send(context, &params)?;
        if params.configuration.return_immediately {
            return Ok(match self.submit(context, params, Wants::ToKnow).await? {
                Answer::Task(handle) => Answer::Task(handle.accepted().await?),
                Answer::Message(said) => Answer::Message(said),
            });
        }
        // The permit to wait is taken before anything is done: once the task is kept, there is no refusing.
        let _waiting = self.admission.wait(context.caller)?;
        let handle = match self.submit(context, params, Wants::Outcome).await? {
            Answer::Task(handle) => handle,
            Answer::Message(said) => return Ok(Answer::Message(said)),
        };
        drop(permit);
        Ok(Answer::Task(self.wait(context, &handle).await?))
    }

    /// The same for a caller who may take it back while it waits: once `canceled` is told the task is stopped, and returned as it stands
    /// then.
    ///
    /// # Errors
    /// If it is not allowed, or not kept.
    pub async fn send_or_cancel(
        &self,
        context: &RequestContext<'_>,
        params: Box<SendParams>,
        permit: AdmissionPermit,
        canceled: &CancellationToken,
    ) -> Result<Answer<Arc<Task>>, GatewayError> {
        self.allow_send(context, &params)?;
        let _waiting = self.admission.wait(context.caller)?;
        let handle = match self.submit(context, params, Wants::Outcome).await? {
            Answer::Task(handle) => handle,
            Answer::Message(said) => return Ok(Answer::Message(said)),
        };
        drop(permit);
        tokio::select! {
            biased;
            task = self.wait(context, &handle) => return Ok(Answer::Task(task?)),
            () = canceled.cancelled() => {}
        }
        let id = handle.accepted().await?.id;
        let stopped = self.cancel(context, &CancelParams { id: id.to_string(), ..CancelParams::default() }).await;
        Ok(Answer::Task(match stopped {
            // It has ended meanwhile.
            Err(GatewayError::Cancel(EngineError::Refused(Refused::Ended))) => {
                self.engine.get(context.caller, context.agent, &id).await?
            }
            stopped => stopped?,
        }))
    }

    /// Says something to an agent, and returns all that follows, until the task ends or asks; or the agent's own words, if it needs no
    /// task to answer: then they are the whole stream.
    ///
    /// # Errors
    /// If it is not allowed, or not kept.
    pub async fn send_streaming(
        &self,
        context: &RequestContext<'_>,
        params: Box<SendParams>,
    ) -> Result<Answer<TaskStream>, GatewayError> {
        self.allow_send(context, &params)?;
        self.check_streaming(context)?;
        let permit = self.stream_permit(context)?;
        let is_new = params.task.is_none();
        let handle = match self.submit(context, params, Wants::ToKnow).await? {
            Answer::Task(handle) => handle,
            Answer::Message(said) => return Ok(Answer::Message(said)),
        };
        let task = handle.accepted().await?;
        let follower = handle.follow();
        // A new task's first event is the task itself.
        Ok(Answer::Task(if is_new {
            TaskStream::begun(&task, follower, permit)
        } else {
            TaskStream::answered(task, follower, permit)
        }))
    }

    /// Follows a task: from where a reader was that comes back, else from the task as it stands.
    ///
    /// # Errors
    /// [`GatewayError::Ended`] for a task that has ended, unless the reader comes back for what it missed.
    pub async fn subscribe(
        &self,
        context: &RequestContext<'_>,
        params: SubscribeParams,
        resume: Option<Resume>,
    ) -> Result<TaskStream, GatewayError> {
        self.enter(context, Action::Subscribe(context.agent), Denial::NotFound)?;
        self.check_streaming(context)?;
        let id = task_id(&params.id)?;
        let permit = self.stream_permit(context)?;
        let (engine, caller, agent) = (&self.engine, context.caller, context.agent);
        Ok(match resume {
            Some(Resume::After(generation)) => match engine.resume(caller, agent, &id, generation).await? {
                Resumed::After(follower) => {
                    TaskStream::after(&*engine.get(caller, agent, &id).await?, generation, follower, permit)
                }
                Resumed::Resync(task, follower) => TaskStream::resync(task, follower, permit),
            },
            Some(Resume::Unreadable) => {
                let (task, follower) = engine.follow(caller, agent, &id).await?;
                TaskStream::resync(task, follower, permit)
            }
            None => {
                let (task, follower) = engine.follow(caller, agent, &id).await?;
                if task.state.is_terminal() {
                    return Err(GatewayError::Ended);
                }
                TaskStream::after_snapshot(task, follower, permit)
            }
        })
    }

    /// Shows a task.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] also for somebody else's.
    pub async fn get(&self, context: &RequestContext<'_>, params: &GetParams) -> Result<Arc<Task>, GatewayError> {
        self.enter(context, Action::Get(context.agent), Denial::NotFound)?;
        Ok(self.engine.get(context.caller, context.agent, &task_id(&params.id)?).await?)
    }

    /// Shows many tasks: one page, to be read in goes.
    ///
    /// # Errors
    /// If it is not allowed.
    pub fn list<'a>(&'a self, context: &RequestContext<'a>, params: ListParams) -> Result<TaskPages<'a>, GatewayError> {
        self.enter(context, Action::List(context.agent), Denial::Told)?;
        Ok(TaskPages::new(&self.engine, context.caller, context.agent, params))
    }

    /// Stops a task.
    ///
    /// # Errors
    /// [`GatewayError::Cancel`] if it has ended.
    pub async fn cancel(&self, context: &RequestContext<'_>, params: &CancelParams) -> Result<Arc<Task>, GatewayError> {
        self.enter(context, Action::Cancel(context.agent), Denial::NotFound)?;
        let id = task_id(&params.id)?;
        self.engine.cancel(context.caller, context.agent, &id).await.map_err(GatewayError::Cancel)
    }

    /// How often it was said anew who may do what.
    pub fn policy_generation(&self) -> u64 {
        self.policy.generation()
    }

    /// How many bytes an event may have.
    pub fn event_bytes_max(&self) -> usize {
        self.engine.limits().event_bytes_max
    }

    /// Keeps events for all flows of the caller's tenant. All are durable when this returns, in their order; after an error some may be,
    /// and are dropped when they come again. `permit` is given back when that is known.
    ///
    /// # Errors
    /// If one of them is not allowed: then none is kept. Or if they could not be kept.
    pub async fn publish(
        &self,
        caller: &Caller,
        events: &[CloudEvent],
        permit: AdmissionPermit,
    ) -> Result<Vec<Published>, GatewayError> {
        for event in events {
            self.policy.allows(caller, Action::Publish(event.json())).map_err(GatewayError::Denied)?;
        }
        let streams = Events::new(self.engine.aggregates());
        let publish = |event| streams.publish(&caller.tenant, event);
        let Some((first, rest)) = events.split_first() else { return Ok(Vec::new()) };
        // The first brings the stream to memory. From then on they queue in the order in which they are asked for, and are one commit.
        let mut published = vec![publish(first).await?];
        for next in join_all(rest.iter().map(publish)).await {
            published.push(next?);
        }
        drop(permit);
        Ok(published)
    }

    /// Why something that is not spoken here is not done: those who may not ask the agent at all are told only that.
    pub fn refuse(&self, context: &RequestContext<'_>, what: Unsupported) -> GatewayError {
        let denied = self.enter(context, Action::Get(context.agent), Denial::Told).err();
        denied.unwrap_or(GatewayError::Unsupported(what))
    }

    /// Whether this agent tells callers who are known more than its public card does: what they may call, or what it has for them alone.
    pub fn has_extended_card(&self, agent: &AgentName) -> bool {
        let is_told_more = |agent: &Arc<dyn Agent>| agent.describe().capabilities.extended.is_some();
        self.policy.tells_callers_apart() || self.engine.agent(agent).is_some_and(is_told_more)
    }

    /// What this caller is told of an agent: of its skills those that he may call, perhaps with some arguments only, and what else it has
    /// for those who are known.
    ///
    /// # Errors
    /// If there is no more than the public card, or he may do nothing with the agent.
    pub fn extended_card(&self, context: &RequestContext<'_>) -> Result<Arc<Description>, GatewayError> {
        let agent = self.engine.agent(context.agent).filter(|_| self.has_extended_card(context.agent));
        let Some(agent) = agent else { return Err(self.refuse(context, Unsupported::ExtendedCard)) };
        if self.policy.reason(context.caller, Action::Get(context.agent)).is_err() {
            self.allow(context, Action::Send(context.agent), Denial::Told)?;
        }
        self.check_extensions(context)?;
        let mut description = Description::clone(&agent.describe());
        if let Some(more) = description.capabilities.extended.clone() {
            description.skills.extend(more.skills.iter().cloned());
            description.description = more.description.clone().unwrap_or(description.description);
        }
        description.skills.retain(|skill| {
            let call =
                Call { skill: Some(skill.id.clone()), arguments: None, converted: Vec::new(), effect: skill.effect };
            self.policy.reason(context.caller, Action::Plan(context.agent, &call)).is_ok()
        });
        Ok(Arc::new(description))
    }

    /// Whether this caller may have this called, where it is no task: an edge asks before it has an agent do something by itself.
    ///
    /// # Errors
    /// If he may not.
    pub fn may_call(&self, context: &RequestContext<'_>, call: &Call) -> Result<(), GatewayError> {
        self.enter(context, Action::Send(context.agent), Denial::Told)?;
        self.allow(context, Action::Call(context.agent, call), Denial::Told)
    }

    /// What no operation of A2A tells of a task: its calls and its log. For the node's owner alone.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for anybody else.
    pub async fn record(&self, context: &RequestContext<'_>, id: &str) -> Result<TaskRecord, GatewayError> {
        let task = self.owners_task(context, id).await?;
        let log = self.engine.log(context.caller, context.agent, &task.id).await?;
        let tree = tree::read(&self.engine, context.caller, context.agent, task.clone()).await?;
        let agent = self.engine.agent(&task.agent).filter(|_| task.state == State::Submitted);
        let waits = agent.and_then(|agent| agent.ready().err()).map(|why| format!("waiting for its agent: {why}"));
        Ok(TaskRecord { task, log, waits, tree })
    }

    /// A task and all beneath it: each before its children, the one that was asked for first. For the node's owner alone.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for anybody else.
    pub async fn tree(&self, context: &RequestContext<'_>, id: &str) -> Result<Vec<TreeTask>, GatewayError> {
        let task = self.owners_task(context, id).await?;
        tree::read(&self.engine, context.caller, context.agent, task).await
    }

    /// Whether what is asked of an agent is for the node's owner to ask.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for anybody else.
    pub fn owners_agent(&self, context: &RequestContext<'_>) -> Result<(), GatewayError> {
        self.allow(context, Action::Get(context.agent), Denial::NotFound)?;
        if context.caller.is_node_owner { Ok(()) } else { Err(GatewayError::NotFound) }
    }

    async fn owners_task(&self, context: &RequestContext<'_>, id: &str) -> Result<Arc<Task>, GatewayError> {
        self.owners_agent(context)?;
        Ok(self.engine.get(context.caller, context.agent, &task_id(id)?).await?)
    }

    fn allow_send(&self, context: &RequestContext<'_>, params: &SendParams) -> Result<(), GatewayError> {
        self.enter(context, Action::Send(context.agent), denial_of(params))?;
        match &params.configuration.push_config {
            Some(_) => {
                self.webhooks(context)?;
                // A webhook is a subscription, too.
                self.allow(context, Action::Subscribe(context.agent), denial_of(params))
            }
            None => Ok(()),
        }
    }

    /// Whether an operation of A2A may begin: policy says so, and the caller speaks what the agent requires.
    pub(crate) fn enter(
        &self,
        context: &RequestContext<'_>,
        action: Action<'_>,
        denial: Denial,
    ) -> Result<(), GatewayError> {
        self.allow(context, action, denial)?;
        self.check_extensions(context)
    }

    fn check_extensions(&self, context: &RequestContext<'_>) -> Result<(), GatewayError> {
        let Some(agent) = self.engine.agent(context.agent) else { return Ok(()) };
        let description = agent.describe();
        let is_missing = |extension: &&Extension| !context.extensions.contains(&extension.uri.as_str());
        match description.capabilities.required().find(is_missing) {
            Some(extension) => Err(GatewayError::ExtensionRequired(extension.uri.clone())),
            None => Ok(()),
        }
    }

    fn check_streaming(&self, context: &RequestContext<'_>) -> Result<(), GatewayError> {
        match self.engine.agent(context.agent).is_none_or(|agent| agent.describe().capabilities.streaming) {
            true => Ok(()),
            false => Err(GatewayError::Unsupported(Unsupported::Streaming)),
        }
    }

    pub(crate) fn allow(
        &self,
        context: &RequestContext<'_>,
        action: Action<'_>,
        denial: Denial,
    ) -> Result<(), GatewayError> {
        let Err(denied) = self.policy.allows(context.caller, action) else { return Ok(()) };
        Err(match denial {
            Denial::Told => GatewayError::Denied(denied),
            Denial::NotFound => GatewayError::NotFound,
        })
    }

    /// Once it is known what is to be called, and with which arguments, policy is asked about that. Nothing is kept before.
    fn allow_plan(
        &self,
        context: &RequestContext<'_>,
        plan: Option<&Plan>,
        denial: Denial,
    ) -> Result<(), GatewayError> {
        match plan {
            Some(Plan::Call(call)) => self.allow(context, Action::Call(context.agent, call), denial),
            // No skill is called, but a policy that names skills means what the agent answers.
            Some(Plan::Say(_)) => {
                let call = Call { skill: context.skill.clone(), ..Call::of_message(Effect::ReadOnly) };
                self.allow(context, Action::Call(context.agent, &call), denial)
            }
            // What is planned later, the engine asks about then.
            Some(Plan::Ask(_) | Plan::Answer(_) | Plan::Reject(_) | Plan::Defer) | None => Ok(()),
        }
    }

    /// Begins a task, or answers one; or neither, if the agent has an answer without a task.
    async fn submit(
        &self,
        context: &RequestContext<'_>,
        params: Box<SendParams>,
        wants: Wants,
    ) -> Result<Answer<Handle>, GatewayError> {
        let denial = denial_of(&params);
        let (skill, idempotency) = (context.skill.clone(), context.idempotency.clone());
        match &params.task {
            Some(text) => {
                let id = task_id(text)?;
                let reply = Reply { message: params.message, context: params.context, skill, idempotency };
                let answered = async {
                    let planned = self.engine.plan_reply(context.caller, context.agent, &id, reply).await?;
                    self.allow_plan(context, planned.plan(), denial)?;
                    let added = match &params.configuration.push_config {
                        // A repeat of a message brings no second one.
                        Some(config) if planned.plan().is_some() => Some(self.add_webhook(context, &id, config).await?),
                        Some(_) | None => None,
                    };
                    let answered = self.engine.reply_planned(planned).await;
                    if let (Err(_), Some(added)) = (&answered, &added) {
                        self.take_back(&id, added).await;
                    }
                    Ok(Answer::Task(answered?))
                };
                // Boxed, so that the far more frequent ones need not carry the room for it.
                Box::pin(answered).await
            }
            None => {
                let new = NewTask {
                    message: params.message,
                    context: params.context,
                    skill,
                    trace: context.trace.clone(),
                    idempotency,
                };
                let planned = self.engine.plan(context.agent, new)?;
                self.allow_plan(context, Some(planned.plan()), denial)?;
                if let Plan::Say(message) = planned.plan() {
                    let context = planned.context().cloned().unwrap_or_else(|| self.engine.new_context());
                    return Ok(Answer::Message(PlainMessage { message: message.clone(), context }));
                }
                if let Some(config) = &params.configuration.push_config {
                    // Boxed, like the other one that is rare. Its receiver wants to know, whoever waits.
                    let begun = Box::pin(self.submit_with_webhook(context, planned, config));
                    return Ok(Answer::Task(begun.await?));
                }
                Ok(Answer::Task(match wants {
                    Wants::ToKnow => self.engine.submit_planned(context.caller, planned)?,
                    Wants::Outcome => self.engine.submit_for_outcome(context.caller, planned)?,
                }))
            }
        }
    }

    /// Until the task has ended or asks; or, where there is a limit or the node stops, the task as it stands then.
    async fn wait(&self, context: &RequestContext<'_>, handle: &Handle) -> Result<Arc<Task>, GatewayError> {
        let settled = tokio::select! {
            biased;
            settled = handle.settled() => Some(settled),
            () = self.wait_is_over() => None,
        };
        Ok(match settled {
            Some(settled) => settled?,
            None => {
                let id = handle.accepted().await?.id;
                self.engine.get(context.caller, context.agent, &id).await?
            }
        })
    }

    async fn wait_is_over(&self) {
        let limit = async {
            match self.wait_max {
                Some(wait_max) => sleep(wait_max).await,
                None => pending().await,
            }
        };
        let stopped = async {
            self.stop.cancelled().await;
            sleep(self.drain).await;
        };
        tokio::select! { biased; () = limit => {}, () = stopped => {} }
    }

    fn stream_permit(&self, context: &RequestContext<'_>) -> Result<StreamPermit, GatewayError> {
        Ok(self.admission.stream(context.caller)?)
    }
}

fn denial_of(params: &SendParams) -> Denial {
    if params.task.is_some() { Denial::NotFound } else { Denial::Told }
}

/// A text that is no id of ours names no task.
pub(crate) fn task_id(text: &str) -> Result<TaskId, GatewayError> {
    TaskId::parse(text).ok_or(GatewayError::NotFound)
}
