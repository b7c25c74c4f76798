//! Tasks of agents that are not configured any more. They wait for their agent to come back, are there for their owners
//! meanwhile, and end when that takes too long.

use std::{collections::BTreeSet, sync::Arc};

use bobbinet_core::{AgentName, Command, State, TaskId};
use bobbinet_store::{Census, Query, Summary};
use futures::{TryStreamExt, stream};
use tracing::{error, warn};

use crate::{EngineError, agents::Agents, engine_inner::EngineInner, task_live::WaitsFor};

/// How many tasks are told at a time that their agent is back.
const AT_A_TIME: usize = 64;

/// How many waiting tasks are listed at a time.
const PAGE: usize = 1_000;

/// The agents that have tasks and are not configured.
pub(crate) fn agents(census: &[Census], agents: &Agents) -> BTreeSet<AgentName> {
    let names = census.iter().filter(|line| !agents.has(&line.agent));
    names.filter_map(|line| AgentName::parse(&line.agent).ok()).collect()
}

impl EngineInner {
    /// Says once, for whoever reads the log, whose tasks wait for an agent that is not there.
    pub(crate) fn tell_of_unserved(&self, census: &[Census]) {
        for agent in &self.unserved {
            let count = |states: &[State]| -> usize {
                let is_of = |line: &&Census| {
                    *line.agent == *agent.as_str() && states.iter().any(|state| state.code() == line.state)
                };
                census.iter().filter(is_of).map(|line| line.count).sum()
            };
            let open = count(&[State::Submitted, State::Working]);
            let parked = count(&[State::InputRequired, State::AuthRequired]);
            if open + parked > 0 {
                warn!(
                    %agent, open, parked,
                    "the store has tasks of an agent that is not configured: their owners can read and cancel them, at the \
                     URL of any agent of this node; configure it again to have them done, else they fail when their time is \
                     up (unserved_life, question_life)"
                );
            }
        }
    }

    /// Takes up what was left: first what has its agent back.
    pub(crate) async fn begin(self: &Arc<Self>, census: &[Census]) -> Result<(), EngineError> {
        self.welcome_back(census).await?;
        self.reconcile().await
    }

    /// Tells those that waited for an agent which is configured again; on a shared store also those of one that another process
    /// lacks, which has told them to wait.
    pub(crate) async fn welcome_back(self: &Arc<Self>, census: &[Census]) -> Result<(), EngineError> {
        let is_waiting = |line: &&Census| line.state == State::Submitted.code() && self.agents.has(&line.agent);
        let agents: BTreeSet<_> = census.iter().filter(is_waiting).map(|line| (&line.tenant, &line.agent)).collect();
        for (tenant, agent) in agents {
            let waiting = self.unserved_of(tenant, agent).await?;
            let served =
                stream::iter(waiting.into_iter().map(Ok)).try_for_each_concurrent(AT_A_TIME, |id| async move {
                    let served = async {
                        let Some(live) = self.tasks.find(&id).await? else { return Ok(()) };
                        self.command(&live, Command::Serve, None).await.map(drop)
                    };
                    match served.await {
                        Ok(()) | Err(EngineError::Refused(_)) => Ok(()),
                        // One that cannot be read keeps no other from being served, and no node from starting.
                        Err(EngineError::Corrupt(why)) => {
                            error!(task = %id, why, "a task cannot be told that its agent is back");
                            Ok(())
                        }
                        Err(error) => Err(error),
                    }
                });
            served.await?;
        }
        Ok(())
    }

    async fn unserved_of(&self, tenant: &str, agent: &str) -> Result<Vec<TaskId>, EngineError> {
        let mut query = Query {
            tenant: tenant.to_owned(),
            agent: Some(agent.to_owned()),
            state: Some(State::Submitted.code()),
            page_size: PAGE,
            ..Query::default()
        };
        let mut waiting = Vec::new();
        loop {
            let page = self.store.list(&query).await?;
            let unserved = page.entries.iter().filter(|(_, _, summary)| WaitsFor::of(summary) == WaitsFor::Agent);
            waiting.extend(unserved.filter_map(|(stream, _, _)| stream.as_task()));
            query.page_token = page.next();
            if query.page_token.is_none() {
                return Ok(waiting);
            }
        }
    }

    /// A submitted task whose agent is not there: it is told so, and once its time is up it ends.
    pub(crate) fn without_agent(self: &Arc<Self>, id: TaskId, summary: &Summary) {
        if self.lifecycle.is_draining() {
            return;
        }
        match WaitsFor::of(summary) {
            WaitsFor::Slot | WaitsFor::Plan => self.send_command(id, Command::Unserve),
            WaitsFor::Agent => self.expire(id, summary),
        }
    }
}
