//! The engine's public face: what a caller can ask of the agents of a node.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bobbinet_core::{AgentName, Caller, Command, ContextId, Generation, Limits, Task, TaskId};
use bobbinet_store::{Store, Version};

use crate::{
    Agent, Aggregate, Aggregates, Authorizer, EngineError, Env, Follower, Handle, NewTask, PlannedTask, Resumed,
    accounts::Accounts, agents::Agents, blobs::TaskBlobs, commit_loop::AggregateStreams, damage_log::DamageLog,
    engine_inner::EngineInner, kinds::Kinds, lifecycle::Lifecycle, processes::Processes, steady_clock::SteadyClock,
    submit::new_context, uncertain::UncertainClaims, unserved,
};

/// What an engine is made of.
#[derive(Debug)]
pub struct Setup {
    /// Where everything is kept: this process's alone, or, if [`Store::is_shared`], also that of others.
    pub store: Arc<dyn Store>,
    /// Who carries out calls, by the names that callers use.
    pub agents: BTreeMap<AgentName, Arc<dyn Agent>>,
    /// The clock and the source of ids.
    pub env: Arc<dyn Env>,
    /// How much of everything there may be, and for how long.
    pub limits: Limits,
    /// Asked about what is to be called where that becomes known after the request.
    pub authorizer: Arc<dyn Authorizer>,
}

/// Runs the tasks of one node. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<EngineInner>,
}

impl Engine {
    /// Opens the engine on its store: takes up what was left, then looks again every second.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open(setup: Setup) -> Result<Self, EngineError> {
        Self::open_over(setup, None).await
    }

    /// The same, on a node that keeps what is too large for the log beside it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open_with_blobs(setup: Setup, blobs: TaskBlobs) -> Result<Self, EngineError> {
        Self::open_over(setup, Some(blobs)).await
    }

    async fn open_over(setup: Setup, blobs: Option<TaskBlobs>) -> Result<Self, EngineError> {
        let Setup { store, agents, env, limits, authorizer } = setup;
        let agents = Agents::new(agents);
        let census = store.census().await?;
        let lifecycle = Arc::new(Lifecycle::default());
        let inner = Arc::new(EngineInner {
            unserved: unserved::agents(&census, &agents),
            processes: Processes::new(&store, &env, &limits, &lifecycle),
            tasks: Arc::new(AggregateStreams::new(store.clone(), env.clone(), &limits).with_blobs(blobs.clone())),
            kinds: Kinds::new(&store, &env, &limits, &lifecycle),
            damage: DamageLog::default(),
            uncertain: UncertainClaims::default(),
            clock: SteadyClock::begin(&*env),
            accounts: Accounts::default(),
            lifecycle,
            store,
            env,
            limits,
            authorizer,
            agents,
            blobs,
        });
        inner.accounts.recount(&census, inner.accounts.moment(), |agent| inner.agents.has(agent));
        inner.tell_of_unserved(&census);
        let begun = async {
            inner.processes.begin_term().await?;
            inner.begin(&census).await
        };
        if let Err(error) = begun.await {
            // The runs that it has begun must not go on beside those of a later engine on the same store.
            inner.end().await;
            return Err(error);
        }
        inner.lifecycle.start(inner.clone().keep_reconciling());
        if inner.blobs.is_some() {
            inner.lifecycle.start(inner.clone().keep_sweeping());
        }
        Ok(Self { inner })
    }

    /// The agent of this name, unless only runs can call it.
    pub fn agent(&self, name: &AgentName) -> Option<&Arc<dyn Agent>> {
        let agent = self.inner.agents.get(name.as_str()).map(|registered| &registered.agent);
        agent.filter(|agent| !agent.is_internal())
    }

    /// All agents but those that only runs can call, by name.
    pub fn agents(&self) -> impl Iterator<Item = (&AgentName, &Arc<dyn Agent>)> {
        let agents = self.inner.agents.iter().map(|(name, registered)| (name, &registered.agent));
        agents.filter(|(_, agent)| !agent.is_internal())
    }

    /// The agents that are not configured, and of which there were tasks when the engine was opened. They take no new
    /// tasks; those that they left can be read and canceled, by this name and by that of every agent that is there.
    pub fn unserved(&self) -> impl Iterator<Item = &AgentName> {
        self.inner.unserved.iter()
    }

    /// How much of everything there may be on this node, and for how long.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The clock and ids in use.
    pub fn env(&self) -> &Arc<dyn Env> {
        &self.inner.env
    }

    /// Asks the agent what it makes of a message that is to begin a task. Nothing is kept, and nothing is promised.
    ///
    /// # Errors
    /// If there is no such agent, or the node takes no more.
    pub fn plan(&self, agent: &AgentName, new: NewTask) -> Result<PlannedTask, EngineError> {
        if self.agent(agent).is_none() {
            return Err(EngineError::UnknownAgent);
        }
        self.inner.plan(TaskId::new(self.inner.env.uuid()), agent, new)
    }

    /// A context that nobody has named yet.
    pub fn new_context(&self) -> ContextId {
        new_context(&self.inner.env.uuid())
    }

    /// Makes a task of a message: [`Engine::plan`] and [`Engine::submit_planned`] in one.
    ///
    /// # Errors
    /// What [`Engine::plan`] or [`Engine::submit_planned`] fails with.
    pub fn submit(&self, caller: &Caller, agent: &AgentName, new: NewTask) -> Result<Handle, EngineError> {
        self.submit_planned(caller, self.plan(agent, new)?)
    }

    /// Makes a task of a message as it was planned. Returns at once; the handle tells when it is durable and when it has settled.
    ///
    /// # Errors
    /// If the node takes no more.
    pub fn submit_planned(&self, caller: &Caller, planned: PlannedTask) -> Result<Handle, EngineError> {
        self.inner.submit_planned(caller, planned)
    }

    /// The same for a caller who waits for [`Handle::settled`], and hears nothing of the task before. What only reads is then kept by one
    /// commit with what it comes to, if that is soon enough.
    ///
    /// # Errors
    /// If the node takes no more.
    pub fn submit_for_outcome(&self, caller: &Caller, planned: PlannedTask) -> Result<Handle, EngineError> {
        self.inner.submit_for_outcome(caller, planned)
    }

    /// A task as it stands.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] also for somebody else's task.
    pub async fn get(&self, caller: &Caller, agent: &AgentName, id: &TaskId) -> Result<Arc<Task>, EngineError> {
        match self.inner.find(caller, agent, id).await {
            Ok((_, task)) => Ok(task),
            Err(EngineError::Corrupt(why)) => self.inner.view_damaged(id, why).await,
            Err(error) => Err(error),
        }
    }

    /// Whether a task is kept, whoever's it is. It is not read for that.
    ///
    /// # Errors
    /// If the store cannot say.
    pub async fn is_kept(&self, id: &TaskId) -> Result<bool, EngineError> {
        Ok(self.inner.store.summary(&id.stream()).await?.is_some())
    }

    /// Cancels a task: at once, if nothing else was first.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if it has ended.
    pub async fn cancel(&self, caller: &Caller, agent: &AgentName, id: &TaskId) -> Result<Arc<Task>, EngineError> {
        match self.inner.find(caller, agent, id).await {
            Ok((live, _)) => self.inner.command(&live, Command::Cancel, None).await,
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
        let (live, task) = self.inner.find(caller, agent, id).await?;
        self.inner.admit_follower(&live)?;
        let follower = Follower::after(&self.inner.tasks, &live, task.generation);
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
        let (live, task) = self.inner.find(caller, agent, id).await?;
        self.inner.admit_follower(&live)?;
        Ok(Resumed::at(after, task, |cursor| Follower::after(&self.inner.tasks, &live, cursor)))
    }

    /// The same for a reader of the node's own, such as a webhook: it takes no place of a caller's, and is never refused for want of one.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] also for somebody else's task.
    pub async fn resume_uncounted(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: &TaskId,
        after: Generation,
    ) -> Result<Resumed, EngineError> {
        let (live, task) = self.inner.find(caller, agent, id).await?;
        Ok(Resumed::at(after, task, |cursor| Follower::uncounted(&self.inner.tasks, &live, cursor)))
    }

    /// Returns when a task's log has grown past a version, and keeps nothing of the task in memory meanwhile: for readers that wait long.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if it is gone.
    pub async fn grown(&self, id: &TaskId, version: u64) -> Result<(), EngineError> {
        let stream = id.stream();
        loop {
            self.inner.store.changed(&stream, Version(version)).await;
            let (now, _) = self.inner.store.summary(&stream).await?.ok_or(EngineError::NotFound)?;
            if now > Version(version) {
                return Ok(());
            }
        }
    }

    /// The aggregates of a kind. Registers it the first time: from then on those that are due are told so.
    pub fn aggregates<A: Aggregate>(&self) -> Aggregates<A> {
        self.inner.kinds.of()
    }

    /// Whether the node can take work, and why not if it cannot.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn health(&self) -> Result<(), String> {
        if self.inner.lifecycle.is_draining() {
            return Err("stopping: no new work is taken".to_owned());
        }
        self.inner.store.health()
    }

    /// Takes no new work from now on.
    pub fn drain(&self) {
        self.inner.lifecycle.drain();
    }

    /// Takes no new work, lets runs come to their end for `grace`, stops the rest where it stands, and returns when
    /// all of it has ended. Runs that wait for an answer are not waited for. What was stopped is taken up by the next start.
    pub async fn shutdown(&self, grace: Duration) {
        /// How often to look whether all runs have ended.
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        self.drain();
        let patience = tokio::time::Instant::now() + grace;
        while self.inner.lifecycle.is_busy() && tokio::time::Instant::now() < patience {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.inner.lifecycle.stop();
        for (_, registered) in self.inner.agents.iter() {
            registered.agent.shutdown().await;
        }
        self.inner.end().await;
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("runner", &self.inner.processes.own()).finish_non_exhaustive()
    }
}
