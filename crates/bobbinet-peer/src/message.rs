//! Messages on their way to a peer and back.

use std::collections::BTreeMap;

use bobbinet_core::{
    ContextId, Json, Message, MessageId, Part, Role, Task,
    agent::{EXTENSION_URI, VIA_KEY},
    chain::{Chain, ChainFault},
};
use bobbinet_engine::Run;
use sha2::{Digest, Sha256};

/// Where a question or a result comes from: the agent's name here, and its task there.
const ORIGIN_KEY: &str = "urn:bobbinet:origin:v1";

/// What is sent for a run: what was planned, or the caller's words as they are.
pub(crate) fn outgoing(run: &Run, path_name: &str, is_ours: bool) -> Result<Message, ChainFault> {
    let said = run.first_message();
    let call = run.call();
    let mut chain = Chain::of(said).passed_on_by(path_name)?;
    chain.by = [chain.by, run.task().deadline()].into_iter().flatten().min();
    let mut metadata = fields(said.metadata.as_ref());
    let parts = match (&call.skill, &call.arguments) {
        (Some(_), Some(arguments)) if is_ours => vec![Part::data(arguments.clone())],
        (Some(_) | None, _) => said.parts.clone(),
    };
    if let Some(skill) = call.skill.as_ref().filter(|_| is_ours) {
        let mut note: BTreeMap<String, Json> =
            metadata.get(EXTENSION_URI).and_then(|json| json.read().ok()).unwrap_or_default();
        note.insert("skill".to_owned(), Json::of(skill.as_str()));
        metadata.insert(EXTENSION_URI.to_owned(), Json::of(&note));
    }
    let mut extensions = said.extensions.clone();
    if is_ours && !extensions.iter().any(|uri| **uri == *EXTENSION_URI) {
        extensions.push(EXTENSION_URI.into());
    }
    Ok(Message {
        // The same for each attempt, and no other message's.
        id: MessageId::parse(&run.key().replace('/', "-")).expect("a UUID and a number"),
        role: Role::User,
        parts,
        metadata: Some(chain.put(Some(&Json::of(&metadata)))),
        extensions,
        // Tasks of ours mean nothing over there.
        reference_tasks: Vec::new(),
    })
}

/// An answer of our caller, as it is kept with our task until it is handed on: the whole message.
pub(crate) fn keep_answer(message: &Message) -> Json {
    Json::of(message)
}

/// The same, to be handed on.
pub(crate) fn handed_on(answer: &Json) -> Message {
    let message = answer.read::<Message>().ok();
    let message = message.unwrap_or_else(|| {
        let id = MessageId::parse("answer").expect("a word");
        Message::from_agent(id, vec![Part::data(answer.clone())])
    });
    Message { role: Role::User, reference_tasks: Vec::new(), ..message }
}

/// The context that a peer knows ours by. It is made of whose ours is too: a peer sees one caller, this node, and must not give what
/// one of our callers said to another who says the same context.
pub(crate) fn context_for(task: &Task) -> ContextId {
    let mut hash = Sha256::new();
    for part in [task.tenant.as_str(), task.owner.as_str(), task.context.as_str()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    ContextId::parse(&hex::encode(&hash.finalize()[..16])).expect("hexadecimal digits")
}

/// A message of the peer with where it comes from.
pub(crate) fn with_origin(message: Message, agent: &str, task: &str) -> Message {
    let mut metadata = fields(message.metadata.as_ref());
    metadata.insert(ORIGIN_KEY.to_owned(), Json::from(&serde_json::json!({ "agent": agent, "task": task })));
    Message { metadata: Some(Json::of(&metadata)), ..message }
}

/// Metadata that says who has done the work.
pub(crate) fn with_via(metadata: Option<&Json>, agent: &str) -> Json {
    let mut fields = fields(metadata);
    fields.insert(VIA_KEY.to_owned(), Json::of(agent));
    Json::of(&fields)
}

/// The JSON Schema of the answer to a question, if its data says it.
pub(crate) fn schema_of(question: &Message) -> Option<Json> {
    let data = fields(question.data());
    let schema = data.get("requestedSchema").or_else(|| data.get("schema"))?;
    schema.is_object().then(|| schema.clone())
}

fn fields(json: Option<&Json>) -> BTreeMap<String, Json> {
    json.and_then(|json| json.read().ok()).unwrap_or_default()
}
