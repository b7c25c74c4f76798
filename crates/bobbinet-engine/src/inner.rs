//! What the parts of an engine share. Each of them is in a file of its own; what each guards is said there.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bobbinet_core::{AgentName, Caller, Limits, Task, TaskId};
use bobbinet_store::Store;

use crate::{
    Authorizer, EngineError, World, accounts::Accounts, agents::Agents, damage_log::DamageLog, kinds::Kinds,
    lifecycle::Lifecycle, runners::Runners, steady_clock::SteadyClock, streams::Streams, task_live::LiveTask,
    uncertain::UncertainClaims,
};

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) world: Arc<dyn World>,
    pub(crate) limits: Limits,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) agents: Agents,
    /// Agents that are not configured, and of which there were tasks when the engine was opened.
    pub(crate) unserved: BTreeSet<AgentName>,
    /// All tasks: where they are kept ready, read and committed.
    pub(crate) tasks: Arc<Streams<Task>>,
    /// Other kinds of aggregates.
    pub(crate) kinds: Kinds,
    /// How many tasks each owner and each tenant has.
    pub(crate) accounts: Accounts,
    /// This process and others, as owners of runs.
    pub(crate) runners: Arc<Runners>,
    /// Claims that may be in the log, and have no run.
    pub(crate) uncertain: UncertainClaims,
    /// What time it is for whatever ends by itself.
    pub(crate) clock: SteadyClock,
    /// Tasks whose damage was told of.
    pub(crate) damage: DamageLog,
    /// Whether work is taken, and all that was started.
    pub(crate) lifecycle: Arc<Lifecycle>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("runner", &self.runners.own()).finish_non_exhaustive()
    }
}

impl Inner {
    /// Stops all that the engine has started, and returns when it has ended.
    pub(crate) async fn end(&self) {
        self.lifecycle.stop();
        self.lifecycle.ended().await;
        self.runners.end_term().await;
    }

    pub(crate) fn admit_follower(&self, entry: &LiveTask) -> Result<(), EngineError> {
        if entry.lock().followers >= self.limits.followers_max {
            return Err(EngineError::Limit { what: "followers_max", max: self.limits.followers_max as u64 });
        }
        Ok(())
    }

    /// Whether a task of this tenant, owner and agent is the caller's to ask for.
    fn is_theirs(&self, caller: &Caller, agent: &AgentName, [tenant, owner, of]: [&str; 3]) -> bool {
        let is_mine = caller.is_node_owner || owner == caller.principal.as_str();
        // A task whose agent is gone has no URL of its own any more: it is found at every other.
        let is_here = of == agent.as_str() || !self.agents.has(of);
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
            && let Some(entry) = self.tasks.cache.get(id)
            && let Some(task) = entry.durable()
        {
            let is_theirs =
                self.is_theirs(caller, agent, [task.tenant.as_str(), task.owner.as_str(), task.agent.as_str()]);
            return if is_theirs { Ok((entry, task)) } else { Err(EngineError::NotFound) };
        }
        // A stranger's task is not read, and not brought to memory, so that asking for it takes as long as asking for one that
        // nobody has.
        let (version, summary) = self.store.summary(&id.stream()).await?.ok_or(EngineError::NotFound)?;
        if !self.is_theirs(caller, agent, [&summary.tenant, &summary.owner, &summary.agent]) {
            return Err(EngineError::NotFound);
        }
        let entry = self.tasks.find(id).await?.ok_or(EngineError::NotFound)?;
        let task = self.tasks.at_least(&entry, version).await?.ok_or(EngineError::NotFound)?;
        Ok((entry, task))
    }
}
