//! The engine's public face: what a caller can ask of the agents of a node.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bobbinet_core::{
    AgentName, Caller, Command, ContextId, Deferred, Fault, Generation, Limits, Message, MessageId, Plan, Question,
    QuestionKind, Refused, RequestKey, RunnerId, Said, SkillId, State, StreamId, Submission, Task, TaskId, Timestamp,
    task::{Parent, Submitted},
};
use bobbinet_store::{Idempotency, Listing, Query, Store, Version};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Agent, Authorizer, EngineError, Follower, Handle, Request, Resumed, World,
    accounts::{Accounts, Kind},
    deferred::Waiting,
    kinds::Kinds,
    live::{Live, Queued},
    runners::Runners,
    slots::Slots,
    streams::{Streams, fold},
    task_live::{LiveTask, TaskHeld},
    uncertain::UncertainClaims,
    unserved,
};

/// How long an idempotency key is remembered.
const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// What an engine is made of.
#[derive(Debug)]
pub struct Setup {
    /// Where everything is kept: this process's alone, or, if [`Store::is_shared`], also that of others.
    pub store: Arc<dyn Store>,
    /// By the names that callers use.
    pub agents: BTreeMap<AgentName, Arc<dyn Agent>>,
    /// Clock and ids.
    pub world: Arc<dyn World>,
    /// Bounds.
    pub limits: Limits,
    /// Asked about what is to be called where that becomes known after the request.
    pub authorizer: Arc<dyn Authorizer>,
}

/// A message that is to become a task.
#[derive(Debug)]
pub struct NewTask {
    /// What is said.
    pub message: Message,
    /// In which context; a new one if not said.
    pub context: Option<ContextId>,
    /// The skill that the caller's URL named, if it did.
    pub skill: Option<SkillId>,
    /// The trace it belongs to: a W3C `traceparent`.
    pub trace: Option<Arc<str>>,
    /// A key that makes a repetition of this request find the same task, and SHA-256 of what was asked.
    pub idempotency: Option<(String, [u8; 32])>,
}

/// A message that answers an interrupted task.
#[derive(Debug)]
pub struct Reply {
    /// What is said.
    pub message: Message,
    /// The context that the caller believes the task to be in, if it says so.
    pub context: Option<ContextId>,
    /// The skill that the caller's URL named, if it did.
    pub skill: Option<SkillId>,
    /// A key that makes a repetition of this request count once, and SHA-256 of what was asked. Where there is none, the
    /// message's id does that within the task.
    pub idempotency: Option<(String, [u8; 32])>,
}

/// A message that is to begin a task, and what its agent makes of it.
#[derive(Debug)]
pub struct PlannedTask {
    id: TaskId,
    agent: AgentName,
    new: NewTask,
    plan: Plan,
    /// Whose child it is to be, if a run begins it.
    pub(crate) parent: Option<Arc<Parent>>,
}

impl PlannedTask {
    /// What the agent makes of it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// A message to a task, and what its agent makes of it.
#[derive(Debug)]
pub struct PlannedReply(Planned);

#[derive(Debug)]
enum Planned {
    New {
        entry: Arc<LiveTask>,
        task: Arc<Task>,
        said: Said,
        plan: Plan,
        deferred: Option<Arc<Deferred>>,
    },
    /// It has come before.
    Repeat(Handle),
}

impl PlannedReply {
    /// What the agent makes of it; `None` if it has come before, and counts no second time.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.0 {
            Planned::New { plan, .. } => Some(plan),
            Planned::Repeat(_) => None,
        }
    }
}

/// Which tasks to list. A field that is `None` does not filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this context.
    pub context: Option<ContextId>,
    /// In this state.
    pub state: Option<State>,
    /// With a status no older than this.
    pub status_since: Option<Timestamp>,
    /// How many at most.
    pub page_size: usize,
    /// How many bytes of them at most, as [`Task::bytes`] counts: the page ends with the task that reaches it, and so has one at least.
    pub bytes_max: usize,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A page of tasks, newest status first.
#[derive(Debug)]
pub struct TaskList {
    /// The page.
    pub tasks: Vec<Arc<Task>>,
    /// How many there are in all.
    pub total: usize,
    listing: Listing,
    /// Which entry of the listing each task is.
    places: Vec<usize>,
    /// How many of the entries were looked at.
    read: usize,
}

impl TaskList {
    /// Where the next page begins; `None` if there is none.
    pub fn next(&self) -> Option<String> {
        self.listing.next_after(self.read)
    }

    /// Where a page begins that has this task first, which must not be the first of this page.
    pub fn next_before(&self, task: usize) -> Option<String> {
        self.listing.next_after(*self.places.get(task)?)
    }
}

/// Runs the tasks of one node. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct RegisteredAgent {
    pub(crate) agent: Arc<dyn Agent>,
    pub(crate) slots: Arc<Slots>,
    /// Tasks that it cannot plan yet.
    pub(crate) waiting: Waiting,
}

impl RegisteredAgent {
    /// What the agent makes of a message. One over which it panics is refused, and told of in the log: nothing that a caller
    /// says ends a request without an answer.
    pub(crate) fn prepare(&self, request: &Request<'_>) -> Plan {
        panic::catch_unwind(AssertUnwindSafe(|| self.agent.prepare(request))).unwrap_or_else(|_| {
            tracing::error!(message = %request.message.id, "the agent panicked over a message");
            Plan::Reject(Fault::new("agent-panicked", "the agent failed inside when it read the message"))
        })
    }
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) world: Arc<dyn World>,
    pub(crate) limits: Limits,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    /// This process and others, as owners of runs.
    pub(crate) runners: Runners,
    pub(crate) seats: BTreeMap<AgentName, RegisteredAgent>,
    /// All tasks: where they are kept ready, read and committed.
    pub(crate) tasks: Arc<Streams<Task>>,
    /// Other kinds of aggregates.
    pub(crate) kinds: Kinds,
    /// Claims that may be in the log, and have no run.
    pub(crate) uncertain: UncertainClaims,
    /// When it was opened, by the clock, and by the time that only passes.
    pub(crate) opened: Timestamp,
    pub(crate) opened_at: Duration,
    /// Whether it was said that the clock went forward by itself.
    pub(crate) has_stepped: AtomicBool,
    /// Tasks whose damage was told of.
    pub(crate) damage_told: Mutex<BTreeSet<TaskId>>,
    /// Owns every future that the engine starts.
    pub(crate) tracker: TaskTracker,
    /// No new work.
    pub(crate) draining: AtomicBool,
    /// Everything ends.
    pub(crate) stop: CancellationToken,
    /// Runs that are at work: those that wait for an answer do not count.
    pub(crate) busy: AtomicUsize,
    /// How many tasks each owner and each tenant has.
    pub(crate) accounts: Accounts,
    /// Agents that are not configured, and of which there were tasks when the engine was opened.
    pub(crate) unserved: BTreeSet<AgentName>,
}

impl Engine {
    /// Opens the engine on its store: takes up what was left, then looks again every second.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open(setup: Setup) -> Result<Self, EngineError> {
        let Setup { store, agents, world, limits, authorizer } = setup;
        let seats = agents
            .into_iter()
            .map(|(name, agent)| {
                let slots = Slots::new(agent.clone());
                (name, RegisteredAgent { agent, slots, waiting: Waiting::default() })
            })
            .collect();
        let census = store.census().await?;
        let inner = Arc::new(Inner {
            unserved: unserved::agents(&census, &seats),
            runners: Runners::new(
                RunnerId::new(world.uuid()),
                store.is_shared().then(|| Arc::new(Streams::new(store.clone(), world.clone(), &limits))),
            ),
            tasks: Arc::new(Streams::new(store.clone(), world.clone(), &limits)),
            kinds: Kinds::default(),
            damage_told: Mutex::default(),
            uncertain: UncertainClaims::default(),
            opened: world.now(),
            opened_at: world.monotonic(),
            has_stepped: AtomicBool::new(false),
            store,
            world,
            limits,
            authorizer,
            seats,
            tracker: TaskTracker::new(),
            draining: AtomicBool::new(false),
            stop: CancellationToken::new(),
            busy: AtomicUsize::new(0),
            accounts: Accounts::default(),
        });
        inner.accounts.recount(&census, inner.accounts.moment(), |agent| inner.seats.contains_key(agent));
        inner.tell_of_unserved(&census);
        let begun = async {
            inner.begin_term().await?;
            inner.begin(&census).await
        };
        if let Err(error) = begun.await {
            // The runs that it has begun must not go on beside those of a later engine on the same store.
            inner.end().await;
            return Err(error);
        }
        inner.start(inner.clone().keep_reconciling());
        Ok(Self { inner })
    }

    /// The agent of this name.
    pub fn agent(&self, name: &AgentName) -> Option<&Arc<dyn Agent>> {
        self.inner.seats.get(name).map(|seat| &seat.agent)
    }

    /// All agents, by name.
    pub fn agents(&self) -> impl Iterator<Item = (&AgentName, &Arc<dyn Agent>)> {
        self.inner.seats.iter().map(|(name, seat)| (name, &seat.agent))
    }

    /// The agents that are not configured, and of which there were tasks when the engine was opened. They take no new
    /// tasks; those that they left can be read and canceled, by this name and by that of every agent that is there.
    pub fn unserved(&self) -> impl Iterator<Item = &AgentName> {
        self.inner.unserved.iter()
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The clock and ids in use.
    pub fn world(&self) -> &Arc<dyn World> {
        &self.inner.world
    }

    /// Asks the agent what it makes of a message that is to begin a task. Nothing is kept, and nothing is promised.
    ///
    /// # Errors
    /// If there is no such agent, or the node takes no more.
    pub fn plan(&self, agent: &AgentName, new: NewTask) -> Result<PlannedTask, EngineError> {
        self.plan_as(TaskId::new(self.inner.world.uuid()), agent, new)
    }

    /// The same for a task that is to have this id.
    pub(crate) fn plan_as(&self, id: TaskId, agent: &AgentName, new: NewTask) -> Result<PlannedTask, EngineError> {
        let inner = &self.inner;
        let seat = inner.seats.get(agent).ok_or(EngineError::UnknownAgent)?;
        if inner.is_draining() {
            return Err(EngineError::Draining);
        }
        let plan = seat.prepare(&Request {
            message: &new.message,
            skill: new.skill.as_ref(),
            task: None,
            question_id: question_id(&id, 1),
        });
        Ok(PlannedTask { id, agent: agent.clone(), new, plan, parent: None })
    }

    /// Makes a task of a message: [`Engine::plan`] and [`Engine::submit_planned`] in one.
    ///
    /// # Errors
    /// As those two.
    pub fn submit(&self, caller: &Caller, agent: &AgentName, new: NewTask) -> Result<Handle, EngineError> {
        self.submit_planned(caller, self.plan(agent, new)?)
    }

    /// Makes a task of a message as it was planned. Returns at once; the handle tells when it is durable and when it has settled.
    ///
    /// # Errors
    /// If the node takes no more.
    pub fn submit_planned(&self, caller: &Caller, planned: PlannedTask) -> Result<Handle, EngineError> {
        let inner = &self.inner;
        let PlannedTask { id, agent, new, plan, parent } = planned;
        let seat = inner.seats.get(&agent).ok_or(EngineError::UnknownAgent)?;
        let now = inner.world.now();
        let kind = match &plan {
            Plan::Call(_) | Plan::Defer => Kind::Open,
            Plan::Ask(_) => Kind::Parked,
            Plan::Answer(_) | Plan::Reject(_) => Kind::Finished,
        };
        let account = inner.accounts.of(&caller.tenant, &caller.principal);
        inner.accounts.admit(&account, kind, &inner.limits)?;
        let permit = match &plan {
            Plan::Call(_) => seat.slots.try_take(inner),
            Plan::Ask(_) | Plan::Answer(_) | Plan::Reject(_) | Plan::Defer => None,
        };
        let deferred = deferred(&plan, caller, new.skill, None);
        let idempotency = new.idempotency.map(|(key, body_hash)| Idempotency {
            scope: format!("{}\n{}\n{agent}", caller.tenant, caller.principal),
            key,
            body_hash,
            expires: now.after(IDEMPOTENCY_TTL),
            now,
        });
        let submitted = Submitted {
            tenant: caller.tenant.clone(),
            owner: caller.principal.clone(),
            agent,
            context: new.context.unwrap_or_else(|| new_context(&inner.world.uuid())),
            message: Arc::new(new.message),
            plan: None,
            trace: new.trace,
            parent,
            caller: seat.agent.begins_tasks().then(|| Arc::new(caller.clone())),
        };
        let slot = permit.is_some().then(|| inner.runners.own());
        let command = Command::Submit(Submission { submitted, plan, deferred, slot });
        let entry: Arc<LiveTask> = Live::new(id);
        {
            let mut state = entry.lock();
            state.is_new = true;
            state.beside.account = Some(account);
            state.beside.admitted = Some(kind);
            state.is_driven = true;
            state.enqueue(Queued { command, held: TaskHeld(permit), idempotency, answer: None });
        }
        let entry = inner.tasks.cache.insert(entry);
        inner.start_driving(entry.clone());
        Ok(self.handle(entry, Generation(0)))
    }

    /// Asks a task's agent what it makes of a message to it. Nothing is kept yet.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] also for somebody else's task; [`EngineError::Refused`] if the task takes no message now.
    pub async fn plan_reply(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: &TaskId,
        reply: Reply,
    ) -> Result<PlannedReply, EngineError> {
        let inner = &self.inner;
        let Reply { message, context, skill, idempotency } = reply;
        let (entry, task) = self.find(caller, agent, id).await?;
        if context.is_some_and(|context| context != task.context) {
            return Err(EngineError::ContextMismatch);
        }
        let said = Said { message: Arc::new(message), key: idempotency.map(request_key) };
        match task.check_new(&said) {
            Ok(()) => {}
            Err(Refused::Repeated { first }) => {
                return Ok(PlannedReply(Planned::Repeat(self.handle_after(entry, first))));
            }
            Err(refused) => return Err(refused.into()),
        }
        if inner.is_draining() && !task.state.is_terminal() {
            return Err(EngineError::Draining);
        }
        let plan = match inner.seats.get(&task.agent) {
            Some(seat) => seat.prepare(&Request {
                message: &said.message,
                skill: skill.as_ref(),
                task: Some(&task),
                question_id: question_id(id, task.version + 1),
            }),
            // What became of a call, its caller may say without the agent, and no plan is asked for then.
            None if asks_for_outcome(&task) => Plan::Reject(Fault::new("unknown-agent", "this node has no such agent")),
            None => return Err(EngineError::UnknownAgent),
        };
        let deferred = deferred(&plan, caller, skill, task.question.as_ref());
        Ok(PlannedReply(Planned::New { entry, task, said, plan, deferred }))
    }

    /// Answers an interrupted task: [`Engine::plan_reply`] and [`Engine::reply_planned`] in one.
    ///
    /// # Errors
    /// As those two.
    pub async fn reply(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: &TaskId,
        reply: Reply,
    ) -> Result<Handle, EngineError> {
        self.reply_planned(self.plan_reply(caller, agent, id, reply).await?).await
    }

    /// Answers an interrupted task as it was planned. Durable when this returns. No bound of the node refuses an answer. One that
    /// comes again counts once, and the repeat gets what the first one got.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if the task takes no message any more.
    pub async fn reply_planned(&self, planned: PlannedReply) -> Result<Handle, EngineError> {
        let inner = &self.inner;
        let (entry, task, said, plan, deferred) = match planned.0 {
            Planned::New { entry, task, said, plan, deferred } => (entry, task, said, plan, deferred),
            Planned::Repeat(handle) => return Ok(handle),
        };
        let seat = inner.seats.get(&task.agent);
        let permit = seat.filter(|_| task.is_parked()).and_then(|seat| seat.slots.try_take(inner));
        let command = Command::Reply {
            said,
            plan,
            deferred,
            seen: task.generation,
            // Whether the run is alive is looked up again when the command is decided.
            is_live: false,
            slot: permit.is_some().then(|| inner.runners.own()),
        };
        match inner.command(&entry, command, permit).await {
            Ok(_) => Ok(self.handle(entry, task.generation)),
            // The same was said twice at once.
            Err(EngineError::Refused(Refused::Repeated { first })) => Ok(self.handle_after(entry, first)),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn handle(&self, entry: Arc<LiveTask>, since: Generation) -> Handle {
        Handle { engine: self.inner.clone(), entry, since, first: OnceLock::new() }
    }

    /// For one whose words stand in the log at `first`.
    fn handle_after(&self, entry: Arc<LiveTask>, first: Generation) -> Handle {
        self.handle(entry, Generation(first.0 - 1))
    }

    /// A task as it stands.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] also for somebody else's task.
    pub async fn get(&self, caller: &Caller, agent: &AgentName, id: &TaskId) -> Result<Arc<Task>, EngineError> {
        match self.find(caller, agent, id).await {
            Ok((_, task)) => Ok(task),
            Err(EngineError::Corrupt(why)) => self.inner.view_damaged(id, why).await,
            Err(error) => Err(error),
        }
    }

    /// The caller's tasks; for the node's owner, everybody's of the tenant.
    ///
    /// # Errors
    /// If the page token is none of this list's, or the store cannot be read.
    pub async fn list(&self, caller: &Caller, agent: &AgentName, filter: Filter) -> Result<TaskList, EngineError> {
        let query = Query {
            tenant: caller.tenant.as_str().to_owned(),
            owner: (!caller.is_owner).then(|| caller.principal.as_str().to_owned()),
            agent: Some(agent.as_str().to_owned()),
            context: filter.context.map(|context| context.as_str().to_owned()),
            state: filter.state.map(State::code),
            status_since: filter.status_since,
            page_size: filter.page_size,
            page_token: filter.page_token,
        };
        let listing = self.inner.store.list(&query).await?;
        let mut list = TaskList { tasks: Vec::new(), total: listing.total, listing, places: Vec::new(), read: 0 };
        self.inner.read_list(&mut list, filter.bytes_max).await?;
        Ok(list)
    }

    /// Cancels a task: at once, if nothing else was first.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if it has ended.
    pub async fn cancel(&self, caller: &Caller, agent: &AgentName, id: &TaskId) -> Result<Arc<Task>, EngineError> {
        match self.find(caller, agent, id).await {
            Ok((entry, _)) => self.inner.command(&entry, Command::Cancel, None).await,
            Err(EngineError::Corrupt(why)) => self.inner.cancel_damaged(id, why).await,
            Err(error) => Err(error),
        }
    }

    /// A task as it stands, and a follower of what comes after that.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] also for somebody else's task; [`EngineError::Limit`] if too many follow it.
    pub async fn follow(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: &TaskId,
    ) -> Result<(Arc<Task>, Follower), EngineError> {
        let (entry, task) = self.find(caller, agent, id).await?;
        self.inner.admit_follower(&entry)?;
        let follower = Follower::after(&self.inner.tasks, &entry, task.generation);
        Ok((task, follower))
    }

    /// Goes on after a cursor: with what came later and nothing else, also of a task that has ended.
    ///
    /// # Errors
    /// As [`Engine::follow`].
    pub async fn resume(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: &TaskId,
        after: Generation,
    ) -> Result<Resumed, EngineError> {
        let (entry, task) = self.find(caller, agent, id).await?;
        self.inner.admit_follower(&entry)?;
        if after > task.generation {
            let follower = Follower::after(&self.inner.tasks, &entry, task.generation);
            return Ok(Resumed::Resync(task, follower));
        }
        Ok(Resumed::After(Follower::after(&self.inner.tasks, &entry, after)))
    }

    /// Whether the node can take work, and why not if it cannot.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn health(&self) -> Result<(), String> {
        if self.inner.is_draining() {
            return Err("stopping: no new work is taken".to_owned());
        }
        self.inner.store.health()
    }

    /// Takes no new work from now on.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Takes no new work, lets runs come to their end for `grace`, stops the rest where it stands, and returns when
    /// all of it has ended. Runs that wait for an answer are not waited for. What was stopped is taken up by the next start.
    pub async fn shutdown(&self, grace: Duration) {
        /// How often to look whether all runs have ended.
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        self.drain();
        let patience = tokio::time::Instant::now() + grace;
        while self.inner.busy.load(Ordering::Relaxed) > 0 && tokio::time::Instant::now() < patience {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.inner.stop.cancel();
        for seat in self.inner.seats.values() {
            seat.agent.shutdown().await;
        }
        self.inner.end().await;
    }

    /// The caller's task: tenant, owner and agent are part of the lookup (DESIGN section 3, invariant 7).
    async fn find(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: &TaskId,
    ) -> Result<(Arc<LiveTask>, Arc<Task>), EngineError> {
        if !self.inner.store.is_shared()
            && let Some(entry) = self.inner.tasks.cache.get(id)
            && let Some(task) = entry.durable()
        {
            let is_theirs =
                self.inner.is_theirs(caller, agent, [task.tenant.as_str(), task.owner.as_str(), task.agent.as_str()]);
            return if is_theirs { Ok((entry, task)) } else { Err(EngineError::NotFound) };
        }
        // A stranger's task is not read, and not brought to memory, so that asking for it takes as long as asking for one that
        // nobody has.
        let (version, summary) = self.inner.store.summary(&id.stream()).await?.ok_or(EngineError::NotFound)?;
        if !self.inner.is_theirs(caller, agent, [&summary.tenant, &summary.owner, &summary.agent]) {
            return Err(EngineError::NotFound);
        }
        let entry = self.inner.tasks.find(id).await?.ok_or(EngineError::NotFound)?;
        let task = self.inner.tasks.at_least(&entry, version).await?.ok_or(EngineError::NotFound)?;
        Ok((entry, task))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("runner", &self.inner.runners.own()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("runner", &self.runners.own()).finish_non_exhaustive()
    }
}

impl Inner {
    /// Whether nothing new begins.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Stops all that the engine has started, and returns when it has ended.
    async fn end(self: &Arc<Self>) {
        // What is released for it must not begin again, also where nobody has asked for work to be refused.
        self.draining.store(true, Ordering::Relaxed);
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.end_term().await;
        // What callers have asked for meanwhile.
        self.tracker.wait().await;
    }

    fn admit_follower(&self, entry: &LiveTask) -> Result<(), EngineError> {
        if entry.lock().followers >= self.limits.followers_max {
            return Err(EngineError::Limit { what: "followers_max", max: self.limits.followers_max as u64 });
        }
        Ok(())
    }

    /// Whether a task of this tenant, owner and agent is the caller's to ask for.
    fn is_theirs(&self, caller: &Caller, agent: &AgentName, [tenant, owner, of]: [&str; 3]) -> bool {
        let is_mine = caller.is_owner || owner == caller.principal.as_str();
        // A task whose agent is gone has no URL of its own any more: it is found at every other.
        let is_here = of == agent.as_str() || !self.seats.contains_key(of);
        tenant == caller.tenant.as_str() && is_here && is_mine
    }

    /// Reads the tasks of a list in their order until they are enough bytes: what they weigh is known when they are read.
    async fn read_list(&self, list: &mut TaskList, bytes_max: usize) -> Result<(), EngineError> {
        let mut bytes = 0;
        while list.read < list.listing.entries.len() && (bytes < bytes_max || list.read == 0) {
            let entries = &list.listing.entries[list.read..];
            let streams: Vec<_> = entries.iter().map(|(stream, version, _)| (stream.clone(), *version)).collect();
            for task in self.peek(&streams, bytes_max.saturating_sub(bytes)).await? {
                list.read += 1;
                // One that was forgotten between the list and here is left out.
                let Some(task) = task else { continue };
                bytes += task.bytes;
                list.tasks.push(task);
                list.places.push(list.read - 1);
                if bytes >= bytes_max {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Some tasks as they stand, at the versions that the store has told at least, without keeping them in memory: the first ones,
    /// until so many bytes are read.
    async fn peek(
        &self,
        streams: &[(StreamId, Version)],
        bytes_max: usize,
    ) -> Result<Vec<Option<Arc<Task>>>, EngineError> {
        let mut tasks = vec![None; streams.len()];
        let (mut cold, mut places) = (Vec::new(), Vec::new());
        for (place, (stream, version)) in streams.iter().enumerate() {
            match stream.as_task().and_then(|id| self.tasks.cache.get(&id)) {
                // As for everybody who asks for it: it is not there before its first commit is answered.
                Some(entry) if entry.lock().is_new => {}
                Some(entry) => {
                    tasks[place] = self.or_damaged(stream, self.tasks.at_least(&entry, *version).await).await?;
                }
                None => {
                    cold.push(stream.clone());
                    places.push(place);
                }
            }
        }
        let read = self.store.load_all(&cold, bytes_max).await;
        if let Some(end) = places.get(read.len()) {
            tasks.truncate(*end);
        }
        for ((place, stream), loaded) in places.into_iter().zip(&cold).zip(read) {
            let Some(id) = stream.as_task() else { continue };
            let folded = match loaded {
                Ok(loaded) => loaded.map(|loaded| fold(&id, &loaded)).transpose(),
                Err(error) => Err(error.into()),
            };
            tasks[place] = self.or_damaged(stream, folded).await?;
        }
        Ok(tasks)
    }

    /// A task that was read, or in the place of one that cannot be what is still known of it: one damaged task keeps nobody
    /// from the others of its list.
    async fn or_damaged(
        &self,
        stream: &StreamId,
        read: Result<Option<Arc<Task>>, EngineError>,
    ) -> Result<Option<Arc<Task>>, EngineError> {
        match (read, stream.as_task()) {
            (Err(EngineError::Corrupt(why)), Some(id)) => self.view_damaged(&id, why).await.map(Some),
            (read, _) => read,
        }
    }
}

/// Whether the task waits to hear what became of a call.
fn asks_for_outcome(task: &Task) -> bool {
    task.question.as_ref().is_some_and(|question| matches!(question.kind, QuestionKind::Outcome { .. }))
}

fn request_key((key, body_hash): (String, [u8; 32])) -> Arc<RequestKey> {
    let mut digits = String::with_capacity(2 * body_hash.len());
    for byte in body_hash {
        write!(digits, "{byte:02x}").expect("a String takes all that is written to it");
    }
    Arc::new(RequestKey { key: key.into(), body_hash: digits.into() })
}

/// What a plan that is not known yet will be made of, beside the message.
fn deferred(
    plan: &Plan,
    caller: &Caller,
    skill: Option<SkillId>,
    question: Option<&Arc<Question>>,
) -> Option<Arc<Deferred>> {
    match plan {
        Plan::Defer => Some(Arc::new(Deferred { caller: caller.clone(), skill, question: question.cloned() })),
        Plan::Call(_) | Plan::Ask(_) | Plan::Answer(_) | Plan::Reject(_) => None,
    }
}

/// The id of a question's message: the task's, and where in the log the question will stand, roughly.
pub(crate) fn question_id(id: &TaskId, version: u64) -> MessageId {
    let mut text = String::with_capacity(64);
    write!(text, "{id}-q{version}").expect("a String takes all that is written to it");
    MessageId::parse(&text).expect("a UUID and a number are short and printable")
}

fn new_context(uuid: &uuid::Uuid) -> ContextId {
    let mut buffer = uuid::Uuid::encode_buffer();
    ContextId::parse(uuid.as_hyphenated().encode_lower(&mut buffer)).expect("a UUID is short and printable")
}
