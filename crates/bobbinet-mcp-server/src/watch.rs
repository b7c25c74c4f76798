//! Resources that a host wants to hear of: each is followed by a task of its own, whose every artifact after the first is a change. The task
//! ends with whoever wanted it. That of a session goes on over a restart of the node, as the session does: it says itself which resource it
//! follows, and is found in the session's conversation.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{
    AgentName, Caller, Event, Json, Part, SkillId, State, Task,
    operation::{CancelParams, ListParams, SubscribeParams},
};
use bobbinet_engine::watched;
use bobbinet_gateway::{Answer, GatewayError, RequestContext, StreamItem, TaskStream};
use tokio_util::sync::CancellationToken;

use crate::{
    call,
    door::Door,
    notes::Notes,
    object::Object,
    offered::{self, Found},
    reading,
    revision::Revision,
    rpc::{self, RpcError},
    sessions::Session,
    tools,
};

/// The argument of a reading skill that asks for all that comes.
const FOLLOW: &str = "follow";

/// The key under which the message that has begun such a task says by which address a session knows the resource.
const FOLLOWED_KEY: &str = "bobbinet/followed";

/// Tasks that are looked through at a time for those that follow something.
const PAGE: u32 = 100;

/// A resource that is followed.
pub(crate) struct Watch {
    door: Arc<Door>,
    caller: Arc<Caller>,
    agent: AgentName,
    /// The address that the host knows it by.
    uri: String,
    stream: TaskStream,
    /// Whether it was told what is in the resource now, so that what comes is a change.
    is_known: bool,
}

impl Watch {
    /// Begins to follow a resource for this caller, in his session if he has one.
    pub(crate) async fn begin(
        door: &Arc<Door>,
        caller: &Arc<Caller>,
        session: Option<&Session>,
        uri: &str,
        revision: Revision,
    ) -> Result<Self, RpcError> {
        let gateway = door.server.gateway();
        door.await_started_shortly().await;
        let (agent, skill, own) = match offered::find(gateway, caller, uri) {
            Found::One { agent, skill, own } => (agent, skill, own),
            Found::None => return Err(reading::no_resource(uri, revision)),
            Found::Several(agents) => return Err(offered::several(&agents, uri)),
        };
        if !follows(door, &agent, &skill) {
            let text = format!("agent {agent} does not say when its resources change");
            return Err(RpcError::invalid_params(&text));
        }
        let arguments = Object::default().with("uri", &own).with(FOLLOW, &true);
        let mut params = call::says(Some(&skill), None, vec![Part::data(arguments.to_json())], None);
        if let Some(session) = session {
            params.context = Some(session.context.clone());
            params.message.metadata = call::noted(params.message.metadata, FOLLOWED_KEY, Json::of(uri));
        }
        let context = RequestContext { skill: Some(skill), ..tools::context(caller, &agent) };
        let begun = gateway.send_streaming(&context, Box::new(params)).await;
        match begun.map_err(|error| RpcError::inside(&door.server.fault_of(error)))? {
            Answer::Task(stream) => {
                let (door, caller) = (door.clone(), caller.clone());
                Ok(Self { door, caller, agent, uri: uri.to_owned(), stream, is_known: false })
            }
            Answer::Message(_) => Err(RpcError::invalid_params(&format!("agent {agent} follows no resource"))),
        }
    }

    /// Goes on with what a session followed in an earlier process of the node. The host is told of each as of a change: nobody knows what
    /// it has missed.
    pub(crate) async fn resume(door: &Arc<Door>, caller: &Arc<Caller>, session: &Session) {
        let gateway = door.server.gateway();
        for agent in
            gateway.agents().filter(|agent| gateway.agent(agent).is_some_and(|it| it.offers().reader.is_some()))
        {
            match followed(door, caller, session, agent).await {
                Ok(found) => {
                    for watch in found {
                        let ended = CancellationToken::new();
                        if session.watch(&watch.uri, &ended, door.limits.watched_max) {
                            session.notes.push(watch.changed(None));
                            let telling = watch.tell(session.notes.clone(), None, ended);
                            door.server.work().spawn(watched("MCP resource", telling));
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, %agent, "what a session followed is not looked for"),
            }
        }
    }

    fn changed(&self, meta: Option<Object>) -> Json {
        let params = Object::default().with("uri", &self.uri).with_some("_meta", meta);
        rpc::notification("notifications/resources/updated", &params)
    }

    /// Tells of each change, until nobody wants to hear of it, or there is nothing more to hear.
    pub(crate) async fn tell(mut self, notes: Arc<Notes>, meta: Option<Object>, ended: CancellationToken) {
        loop {
            let item = tokio::select! {
                biased;
                () = ended.cancelled() => break,
                item = self.stream.next() => item,
            };
            let Ok(Some(item)) = item else { return };
            let is_new = match &item {
                StreamItem::Event(told) => matches!(told.event, Event::ArtifactAdded { .. }),
                StreamItem::Task { .. } => false,
            };
            if is_new && std::mem::replace(&mut self.is_known, true) {
                notes.push(self.changed(meta.clone()));
            }
        }
        let params = CancelParams { id: self.stream.task().to_string(), ..CancelParams::default() };
        let context = tools::context(&self.caller, &self.agent);
        if let Err(error) = self.door.server.gateway().cancel(&context, &params).await {
            tracing::debug!(%error, uri = self.uri, "a resource is followed no more, and its task had ended");
        }
    }
}

/// What this agent follows for a session.
async fn followed(
    door: &Arc<Door>,
    caller: &Arc<Caller>,
    session: &Session,
    agent: &AgentName,
) -> Result<Vec<Watch>, GatewayError> {
    let (gateway, context) = (door.server.gateway(), tools::context(caller, agent));
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let params = ListParams {
            context: Some(session.context.clone()),
            state: Some(State::Working),
            page_size: PAGE,
            page_token: token,
            history_length: Some(1),
            ..ListParams::default()
        };
        let mut pages = gateway.list(&context, params)?;
        while let Some(page) = pages.next(door.limits.page_bytes_max).await? {
            for (task, uri) in page.tasks.iter().filter_map(|task| Some((task, followed_uri(task)?))) {
                let params = SubscribeParams { id: task.id.to_string(), tenant: None };
                // One that has just ended follows nothing.
                let Ok(stream) = gateway.subscribe(&context, params, None).await else { continue };
                let (door, caller, agent) = (door.clone(), caller.clone(), agent.clone());
                found.push(Watch { door, caller, agent, uri, stream, is_known: true });
            }
        }
        token = pages.token().map(str::to_owned);
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// By which address a session knows the resource that a task follows, if it does.
fn followed_uri(task: &Task) -> Option<String> {
    let noted: BTreeMap<String, Json> = task.history.first()?.metadata.as_ref()?.read().ok()?;
    noted.get(FOLLOWED_KEY)?.read().ok()
}

/// Whether a skill that reads resources goes on reading them.
fn follows(door: &Door, agent: &AgentName, skill: &SkillId) -> bool {
    let Some(agent) = door.server.gateway().agent(agent) else { return false };
    let description = agent.describe();
    let input = description.skills.iter().find(|known| known.id == *skill).and_then(|skill| skill.input.as_ref());
    input.map(Json::to_value).is_some_and(|schema| schema["properties"][FOLLOW].is_object())
}
