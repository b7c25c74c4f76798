//! A task whose states a host is told as they change: by a subscription of its own (2026-07-28), or on the stream that its session listens to
//! (2025-11-25). Whoever does not listen costs nothing, and looks.

use std::sync::Arc;

use bobbinet_core::{
    AgentName, Caller, Event, Json, Task,
    operation::{GetParams, SubscribeParams},
};
use bobbinet_engine::watched;
use bobbinet_gateway::{GatewayError, StreamItem, TaskStream};
use tokio_util::sync::CancellationToken;

use crate::{call::Call, client::McpClient, door::Door, mesh, notes::Notes, object::Object, rpc, tasks, tools};

/// One who is told of one task.
pub(crate) struct TaskWatch {
    door: Arc<Door>,
    caller: Arc<Caller>,
    client: McpClient,
    agent: AgentName,
    id: String,
    /// `None`: it has ended.
    stream: Option<TaskStream>,
}

impl Call {
    /// Tells a session that listens of each state of a task that it has asked for (2025-11-25).
    pub(crate) async fn tell_states(&self, task: &Task) {
        let Some(session) = self.session.as_ref().filter(|session| session.notes.is_heard()) else { return };
        let (id, ended) = (task.id.to_string(), CancellationToken::new());
        if !session.watch(&id, &ended, self.door.limits.watched_max) {
            return;
        }
        let watch = TaskWatch::begin(&self.door, &self.caller, self.client, id.clone()).await;
        let session = session.clone();
        let telling = async move {
            if let Some(watch) = watch {
                watch.tell(session.notes.clone(), None, ended).await;
            }
            session.unwatch(&id);
        };
        self.door.server.work().spawn(watched("MCP task status", telling));
    }
}

impl TaskWatch {
    /// Begins to follow a task of this caller's; `None` if there is none of that name.
    pub(crate) async fn begin(door: &Arc<Door>, caller: &Arc<Caller>, client: McpClient, id: String) -> Option<Self> {
        let agent = mesh::agent_of(door.server.gateway(), caller, &id).await?;
        let params = SubscribeParams { id: id.clone(), tenant: None };
        let context = tools::context(caller, &agent);
        let stream = match door.server.gateway().subscribe(&context, params, None).await {
            Ok(stream) => Some(stream),
            Err(GatewayError::Ended) => None,
            Err(error) => {
                tracing::debug!(%error, "a task is not followed");
                return None;
            }
        };
        Some(Self { door: door.clone(), caller: caller.clone(), client, agent, id, stream })
    }

    /// Tells how it stands, and each change of that, until it has ended or nobody wants to hear of it.
    pub(crate) async fn tell(mut self, notes: Arc<Notes>, meta: Option<Object>, ended: CancellationToken) {
        let mut last = None;
        loop {
            let Some(now) = self.now().await else { return };
            if last.as_ref() != Some(&now) {
                notes.push(self.notification(&now, meta.as_ref()));
                last = Some(now);
            }
            let Some(stream) = &mut self.stream else { return };
            let is_over = loop {
                let item = tokio::select! {
                    biased;
                    () = ended.cancelled() => return,
                    item = stream.next() => item,
                };
                match item {
                    // How far it is has notifications of its own.
                    Ok(Some(StreamItem::Event(told)))
                        if matches!(told.event, Event::Progressed { .. } | Event::ArtifactAdded { .. }) => {}
                    Ok(Some(StreamItem::Event(_))) => break false,
                    Ok(Some(StreamItem::Task { .. })) => break false,
                    Ok(None) | Err(_) => break true,
                }
            };
            if is_over {
                self.stream = None;
            }
        }
    }

    async fn now(&self) -> Option<Json> {
        let params = GetParams { id: self.id.clone(), history_length: Some(0), tenant: None };
        let context = tools::context(&self.caller, &self.agent);
        let task = self.door.server.gateway().get(&context, &params).await.ok()?;
        Some(match self.client.revision.is_stateless() {
            true => tasks::shown(&self.door, &self.caller, &task, self.client).await,
            false => tasks::entry(&task, self.client, &self.door),
        })
    }

    fn notification(&self, now: &Json, meta: Option<&Object>) -> Json {
        if !self.client.revision.is_stateless() {
            return rpc::notification("notifications/tasks/status", now);
        }
        // The same as it is answered to who asks, but for what makes that a result.
        let fields: std::collections::BTreeMap<String, Json> = now.read().unwrap_or_default();
        let fields = fields.into_iter().filter(|(name, _)| !matches!(name.as_str(), "resultType" | "_meta"));
        let params = fields.fold(Object::default(), |params, (name, value)| params.with_owned(name, value));
        rpc::notification("notifications/tasks", &params.with_some("_meta", meta.cloned()))
    }
}
