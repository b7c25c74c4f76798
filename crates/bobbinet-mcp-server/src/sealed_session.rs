//! What the id of a session says of it, sealed: so that a later process of the node goes on with it, and nobody keeps a list.

use bobbinet_auth::SealingKey;
use bobbinet_core::{Caller, ContextId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{client::McpClient, revision::Revision};

/// What it is sealed for.
const PURPOSE: &[u8] = b"mcp session";

/// A session, as its id says it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SealedSession {
    tenant: String,
    principal: String,
    revision: String,
    fills_forms: bool,
    visits_urls: bool,
    samples: bool,
    #[serde(default)]
    lists_roots: bool,
    pub(crate) context: String,
    /// In milliseconds.
    pub(crate) begun: u64,
}

impl SealedSession {
    pub(crate) fn new(caller: &Caller, client: McpClient, context: &ContextId, now: Timestamp) -> Self {
        let McpClient { revision, fills_forms, visits_urls, takes_tasks: _, samples, lists_roots } = client;
        Self {
            tenant: caller.tenant.as_str().to_owned(),
            principal: caller.principal.as_str().to_owned(),
            revision: revision.as_str().to_owned(),
            fills_forms,
            visits_urls,
            samples,
            lists_roots,
            context: context.as_str().to_owned(),
            begun: now.as_millis(),
        }
    }

    /// As an id.
    pub(crate) fn seal(&self, key: &SealingKey) -> Option<String> {
        key.seal(PURPOSE, &serde_json::to_string(self).ok()?)
    }

    /// What an id says, if it was made by this node.
    pub(crate) fn open(key: &SealingKey, id: &str) -> Option<Self> {
        serde_json::from_str(&key.open(PURPOSE, id)?).ok()
    }

    /// What its client is, if it is this caller's.
    pub(crate) fn client_of(&self, caller: &Caller) -> Option<McpClient> {
        let is_his = self.tenant == caller.tenant.as_str() && self.principal == caller.principal.as_str();
        let revision = Revision::read(&self.revision).filter(|revision| is_his && !revision.is_stateless())?;
        let Self { fills_forms, visits_urls, samples, lists_roots, .. } = *self;
        Some(McpClient { revision, fills_forms, visits_urls, takes_tasks: false, samples, lists_roots })
    }
}
