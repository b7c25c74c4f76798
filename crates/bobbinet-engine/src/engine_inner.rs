//! What the parts of an engine share. Each of them is in a file of its own; what each guards is said there.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bobbinet_core::{AgentName, Caller, Limits, Task, TaskId};
use bobbinet_store::Store;

use crate::{
    Authorizer, EngineError, Env, accounts::Accounts, agents::Agents, blobs::TaskBlobs, commit_loop::AggregateStreams,
    damage_log::DamageLog, kinds::Kinds, lifecycle::Lifecycle, processes::Processes, steady_clock::SteadyClock,
    task_live::LiveTask, uncertain::UncertainClaims,
};

/// What all clones of an [`Engine`](crate::Engine), its runs and its background work share.
pub(crate) struct EngineInner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) limits: Limits,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) agents: Agents,
    /// Agents that are not configured, and of which there were tasks when the engine was opened.
    pub(crate) unserved: BTreeSet<AgentName>,
    /// All tasks: where they are kept ready, read and committed.
    pub(crate) tasks: Arc<AggregateStreams<Task>>,
    /// Other kinds of aggregates.
    pub(crate) kinds: Kinds,
    /// How many tasks each owner and each tenant has.
    pub(crate) accounts: Accounts,
    /// This process and others, as owners of runs.
    pub(crate) processes: Arc<Processes>,
    /// Claims that may be in the log, and have no run.
    pub(crate) uncertain: UncertainClaims,
    /// What time it is for whatever ends by itself.
    pub(crate) clock: SteadyClock,
    /// Tasks whose damage is in the process's log already.
    pub(crate) damage: DamageLog,
    /// What is too large for the log, if this node keeps such.
    pub(crate) blobs: Option<TaskBlobs>,
    /// Whether work is taken, and all that was started.
    pub(crate) lifecycle: Arc<Lifecycle>,
}

impl fmt::Debug for EngineInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("runner", &self.processes.own()).finish_non_exhaustive()
    }
}

impl EngineInner {
    /// Stops all that the engine has started, and returns when it has ended.
    pub(crate) async fn end(&self) {
        self.lifecycle.stop();
        self.lifecycle.ended().await;
        self.processes.end_term().await;
        // What callers have asked for meanwhile.
        self.lifecycle.ended().await;
    }

    pub(crate) fn admit_follower(&self, live: &LiveTask) -> Result<(), EngineError> {
        if live.lock().followers >= self.limits.followers_max {
            return Err(EngineError::Limit { what: "followers_max", max: self.limits.followers_max as u64 });
        }
        Ok(())
    }

    /// Whether a task of this tenant, owner and agent is the caller's to ask for.
    fn is_theirs(&self, caller: &Caller, agent: &AgentName, [tenant, owner, of]: [&str; 3]) -> bool {
        let is_mine = caller.is_node_owner || owner == caller.principal.as_str();
        // A task whose agent is gone, or internal, has no URL of its own: it is found at every other.
        let is_internal = || self.agents.get(of).is_some_and(|registered| registered.agent.is_internal());
        let is_here = of == agent.as_str() || !self.agents.has(of) || is_internal();
        tenant == caller.tenant.as_str() && is_here && is_mine
    }

    /// The caller's task: tenant, owner and agent are part of the lookup (DESIGN section 3, invariant 7).
    pub(crate) async fn find(
        &self,
        caller: &Caller,
        agent: &AgentName,
        id: &TaskId,
    ) -> Result<(Arc<LiveTask>, Arc<Task>), EngineError> {
        if !self.store.is_shared()
            && let Some(live) = self.tasks.cache.get(id)
            && let Some(task) = live.durable()
            && self.is_theirs(caller, agent, [task.tenant.as_str(), task.owner.as_str(), task.agent.as_str()])
        {
            return Ok((live, task));
        }
        // A stranger's task is not read, and not brought to memory, so that asking for it takes as long as asking for one that
        // nobody has. One that is in memory already is looked for in the store all the same.
        let (version, summary) = self.store.summary(&id.stream()).await?.ok_or(EngineError::NotFound)?;
        if !self.is_theirs(caller, agent, [&summary.tenant, &summary.owner, &summary.agent]) {
            return Err(EngineError::NotFound);
        }
        let live = self.tasks.find_kept(id).await?.ok_or(EngineError::NotFound)?;
        let task = self.tasks.at_least(&live, version).await?.ok_or(EngineError::NotFound)?;
        Ok((live, task))
    }
}
