//! Resources that a host wants to hear of: each is followed by a task of its own, whose every artifact after the first is a change. The task
//! ends with whoever wanted it.

use std::sync::Arc;

use bobbinet_core::{AgentName, Caller, Event, Json, Part, SkillId, operation::CancelParams};
use bobbinet_gateway::{Answer, RequestContext, StreamItem, TaskStream};
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
    tools,
};

/// The argument of a reading skill that asks for all that comes.
const FOLLOW: &str = "follow";

/// A resource that is followed.
pub(crate) struct Watch {
    door: Arc<Door>,
    caller: Arc<Caller>,
    agent: AgentName,
    /// The address that the host knows it by.
    uri: String,
    stream: TaskStream,
}

impl Watch {
    /// Begins to follow a resource for this caller.
    pub(crate) async fn begin(
        door: &Arc<Door>,
        caller: &Arc<Caller>,
        uri: &str,
        revision: Revision,
    ) -> Result<Self, RpcError> {
        let gateway = door.server.gateway();
        let (agent, skill, own) = match offered::find(gateway, caller, uri).await {
            Found::One { agent, skill, own } => (agent, skill, own),
            Found::None => return Err(reading::no_resource(uri, revision)),
            Found::Several(agents) => return Err(offered::several(&agents, uri)),
        };
        if !follows(door, &agent, &skill) {
            let text = format!("agent {agent} does not say when its resources change");
            return Err(RpcError::invalid_params(&text));
        }
        let arguments = Object::default().with("uri", &own).with(FOLLOW, &true);
        let params = call::says(Some(&skill), None, vec![Part::data(arguments.to_json())], None);
        let context = RequestContext { skill: Some(skill), ..tools::context(caller, &agent) };
        let begun = gateway.send_streaming(&context, Box::new(params)).await;
        match begun.map_err(|error| RpcError::inside(&door.server.fault_of(error)))? {
            Answer::Task(stream) => {
                Ok(Self { door: door.clone(), caller: caller.clone(), agent, uri: uri.to_owned(), stream })
            }
            Answer::Message(_) => Err(RpcError::invalid_params(&format!("agent {agent} follows no resource"))),
        }
    }

    /// Tells of each change, until nobody wants to hear of it, or there is nothing more to hear.
    pub(crate) async fn tell(mut self, notes: Arc<Notes>, meta: Option<Object>, ended: CancellationToken) {
        let mut is_known = false;
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
            if is_new && std::mem::replace(&mut is_known, true) {
                let params = Object::default().with("uri", &self.uri).with_some("_meta", meta.clone());
                notes.push(rpc::notification("notifications/resources/updated", &params));
            }
        }
        let params = CancelParams { id: self.stream.task().to_string(), ..CancelParams::default() };
        let context = tools::context(&self.caller, &self.agent);
        if let Err(error) = self.door.server.gateway().cancel(&context, &params).await {
            tracing::debug!(%error, uri = self.uri, "a resource is followed no more, and its task had ended");
        }
    }
}

/// Whether a skill that reads resources goes on reading them.
fn follows(door: &Door, agent: &AgentName, skill: &SkillId) -> bool {
    let Some(agent) = door.server.gateway().agent(agent) else { return false };
    let description = agent.describe();
    let input = description.skills.iter().find(|known| known.id == *skill).and_then(|skill| skill.input.as_ref());
    input.map(Json::to_value).is_some_and(|schema| schema["properties"][FOLLOW].is_object())
}
