//! Who asks for something: a verified caller and its rights.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Json, Principal, Tenant};

/// A verified caller. Only `bobbinet-auth` makes one from a token. Kept with a task only while policy is still to be asked about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The name it is known by.
    pub principal: Principal,
    /// The tenant that it belongs to.
    pub tenant: Tenant,
    /// Whether this is the node's owner, who can read its key file: may do everything.
    #[serde(rename = "is_owner", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_node_owner: bool,
    /// What the token allows, for policy to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// On whose behalf, nearest first: the `act` chain of RFC 8693.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Principal>,
    /// Who vouches for him: the `iss` of his token. Nothing for the node's owner, of whom nothing is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Arc<str>>,
    /// All that his token says, for policy to read: an object, no longer than a token may be. Nothing for the node's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Json>,
}

impl Caller {
    /// A caller of whom nothing else is known.
    pub fn new(principal: Principal, tenant: Tenant) -> Self {
        Self {
            principal,
            tenant,
            is_node_owner: false,
            scopes: Vec::new(),
            chain: Vec::new(),
            issuer: None,
            claims: None,
        }
    }
}
