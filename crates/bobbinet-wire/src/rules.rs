//! What is asked of what comes in, whichever dialect it comes in.

use std::sync::Arc;

use bobbinet_core::{
    ContextId, IdError, Part, Role,
    operation::{Configuration, SendParams},
};

use crate::{
    dialect::Dialect,
    digest::sha256_hex,
    faults::{At, Author},
    from_proto::Field,
    scalar::{NonEmpty, Struct},
    view::MessageView,
};

/// Who speaks in a message.
pub(crate) fn role<V: Dialect>(role: Field<Role>, at: &At<'_, V>) -> Option<Role> {
    match at.author() {
        // Whoever sends us a message is the user of its task, whatever the message says: agents that call agents have been seen
        // to say ROLE_AGENT, and the servers of the official SDKs take that.
        Author::Client => role.required(at, "role").map(|_| Role::User),
        Author::Agent if role.is_wrong() => None,
        Author::Agent => Some(role.optional().unwrap_or(Role::Agent)),
    }
}

/// The context that a message names. An agent's own ids are its own business.
pub(crate) fn context_id<'de, V: Dialect>(id: Field<NonEmpty<'de>>, at: &At<'_, V>) -> Field<NonEmpty<'de>> {
    match at.author() {
        Author::Client => id.parse(at, "contextId", |id| ContextId::parse(&id.0).map(|_| id)),
        Author::Agent => id,
    }
}

/// An id that its sender has chosen. Of an agent any text will do, and none: what is no id of ours is told apart by its hash.
pub(crate) fn own_id<T, V: Dialect>(
    id: Field<NonEmpty<'_>>,
    at: &At<'_, V>,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, IdError>,
) -> Option<T> {
    match (id, at.author()) {
        (id, Author::Client) => id.parse(at, name, |id| parse(&id.0)).required(at, name),
        (Field::Wrong, Author::Agent) => None,
        (Field::Absent, Author::Agent) => parse(UNNAMED).ok(),
        (Field::Given(id), Author::Agent) => parse(&id.0).or_else(|_| parse(&sha256_hex(id.0.as_bytes()))).ok(),
    }
}

/// The id of what an agent gave none.
const UNNAMED: &str = "unnamed";

/// The specification wants at least one part; agents that stream text have been seen to send none.
pub(crate) fn parts<V: Dialect>(parts: Field<Vec<Part>>, at: &At<'_, V>) -> Option<Vec<Part>> {
    match (parts, at.author()) {
        (Field::Given(parts), Author::Agent) => Some(parts),
        (Field::Absent, Author::Agent) => Some(Vec::new()),
        (Field::Given(parts), Author::Client) if !parts.is_empty() => Some(parts),
        (Field::Given(_) | Field::Absent, Author::Client) => {
            at.field("parts").wrong("must have at least one part");
            None
        }
        (Field::Wrong, _) => None,
    }
}

/// Texts that may be held by many.
pub(crate) fn shared(words: Field<Vec<NonEmpty<'_>>>) -> Vec<Arc<str>> {
    words.optional().unwrap_or_default().into_iter().map(|word| Arc::from(word.0)).collect()
}

/// Zero is no history at all, nothing is all of it.
pub(crate) fn history_length<V: Dialect>(length: Field<i32>, at: &At<'_, V>) -> Option<u32> {
    length.parse(at, "historyLength", |length| u32::try_from(length).map_err(|_| "it may not be negative")).optional()
}

/// A message of a client, with what was said beside it.
pub(crate) fn sent(
    said: MessageView,
    configuration: Field<Configuration>,
    metadata: Field<Struct>,
    tenant: Option<String>,
) -> Box<SendParams> {
    let MessageView { message, task_id, context_id } = said;
    Box::new(SendParams {
        message,
        // A message of a client has a context id that can be one, or it is not read at all.
        context: context_id.and_then(|id| ContextId::parse(&id).ok()),
        task: task_id,
        configuration: configuration.optional().unwrap_or_default(),
        metadata: metadata.optional().map(|object| object.0),
        tenant,
    })
}
