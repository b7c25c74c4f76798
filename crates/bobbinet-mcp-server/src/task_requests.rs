//! The requests that are about tasks: how they stand, what has come of them, and that they are to end.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{
    AgentName, Json, Task,
    operation::{CancelParams, GetParams, ListParams},
};
use bobbinet_gateway::GatewayError;

use crate::{
    call::Work,
    dispatch::{Request, Start, Step},
    mesh,
    object::Object,
    reading::Shape,
    result,
    rpc::RpcError,
    tasks, tools,
};

/// Between the agent and the rest of a cursor.
const SEPARATOR: char = '/';

impl Request {
    fn told(&self, error: GatewayError) -> RpcError {
        RpcError::inside(&self.door.server.fault_of(error))
    }

    /// The agent of the task that is named, and the task's name.
    async fn named_task(&self) -> Result<(AgentName, String), RpcError> {
        if let Some(error) = tasks::unknown_to(self.client) {
            return Err(error);
        }
        let task: String = self.params.required("taskId")?;
        match mesh::agent_of(self.door.server.gateway(), &self.caller, &task).await {
            Some(agent) => Ok((agent, task)),
            None => {
                let task: String = task.chars().take(100).collect();
                Err(RpcError::invalid_params(&format!("there is no task {task:?} of yours here")))
            }
        }
    }

    async fn task_of(&self, agent: &AgentName, id: String) -> Result<Arc<Task>, RpcError> {
        let params = GetParams { id, history_length: Some(0), tenant: None };
        let context = tools::context(&self.caller, agent);
        self.door.server.gateway().get(&context, &params).await.map_err(|error| self.told(error))
    }

    /// How a task stands.
    pub(crate) async fn task(&self) -> Result<Json, RpcError> {
        let (agent, id) = self.named_task().await?;
        let task = self.task_of(&agent, id).await?;
        Ok(tasks::shown(&self.door, &self.caller, &task, self.client).await)
    }

    /// Stops a task. In the newest revision one that has ended is as it is.
    pub(crate) async fn cancel_task(&self) -> Result<Json, RpcError> {
        let (agent, id) = self.named_task().await?;
        let params = CancelParams { id: id.clone(), ..CancelParams::default() };
        let context = tools::context(&self.caller, &agent);
        let canceled = self.door.server.gateway().cancel(&context, &params).await;
        if !self.client.revision.is_stateless() {
            let task = canceled.map_err(|error| self.told(error))?;
            return Ok(tasks::shown(&self.door, &self.caller, &task, self.client).await);
        }
        if let Err(error) = canceled {
            let task = self.task_of(&agent, id).await?;
            if !task.state.is_terminal() {
                return Err(self.told(error));
            }
        }
        Ok(result::stateless(Object::default(), Object::default()).to_json())
    }

    /// What a task has come to, as the call that began it would have said it: waited for, and its questions asked (2025-11-25).
    pub(crate) async fn task_result(&self) -> Result<Step, RpcError> {
        let (agent, task) = self.named_task().await?;
        let work = Work::Wait { task };
        Ok(Step::Start(Start { agent, skill: None, is_strict: false, shape: Shape::Payload, work }))
    }

    /// The answers to what a task asks (2026-07-28).
    pub(crate) async fn update_task(&self) -> Result<Step, RpcError> {
        let (agent, task) = self.named_task().await?;
        let answers: BTreeMap<String, Json> = self.params.required("inputResponses")?;
        let work = Work::Update { task, answers };
        Ok(Step::Start(Start { agent, skill: None, is_strict: false, shape: Shape::Tool, work }))
    }

    /// The caller's tasks, agent by agent (2025-11-25).
    pub(crate) async fn tasks(&self) -> Result<Json, RpcError> {
        let gateway = self.door.server.gateway();
        let cursor = self.params.optional::<String>("cursor")?;
        let (first, mut token) = match cursor.as_deref().map(|cursor| cursor.split_once(SEPARATOR)) {
            None => (None, None),
            Some(Some((agent, token))) => (Some(agent), (!token.is_empty()).then(|| token.to_owned())),
            Some(None) => return Err(RpcError::invalid_params("`cursor` must be the nextCursor of the page before")),
        };
        let agents = gateway
            .agents()
            .chain(gateway.unserved())
            .skip_while(|agent| first.is_some_and(|first| agent.as_str() != first));
        let (limits, mut listed, mut next) = (&self.door.limits, Vec::new(), None);
        for agent in agents {
            let left = limits.page_tasks_max.saturating_sub(u32::try_from(listed.len()).unwrap_or(u32::MAX));
            if left == 0 {
                next = Some(format!("{agent}{SEPARATOR}"));
                break;
            }
            let context = tools::context(&self.caller, agent);
            let params = ListParams {
                page_size: left,
                page_token: token.take(),
                history_length: Some(0),
                include_artifacts: false,
                ..ListParams::default()
            };
            // What he may not look at is not there for him.
            let Ok(mut pages) = gateway.list(&context, params) else { continue };
            while let Some(page) = pages.next(limits.page_bytes_max).await.map_err(|error| self.told(error))? {
                listed.extend(page.tasks.iter().map(|task| tasks::entry(task, self.client, &self.door)));
            }
            if let Some(token) = pages.token() {
                next = Some(format!("{agent}{SEPARATOR}{token}"));
                break;
            }
        }
        Ok(Object::default().with("tasks", &listed).with_some("nextCursor", next).to_json())
    }
}
