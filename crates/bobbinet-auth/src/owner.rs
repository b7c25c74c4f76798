//! The node as an issuer of tokens, and its owner: whoever can read its key folder.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bobbinet_core::{Principal, Tenant, Timestamp};

use crate::{Algorithm, Claims, Issuer, KeyRing, LIFETIME_DEFAULT, MintError, TokenTypes, mint};

/// The folder of a node's keys, in its data folder.
pub const KEYS_FOLDER: &str = "keys";

/// The issuer of tokens that a node signs with its own keys. Every node has the same: their keys tell them apart.
pub const NODE_ISSUER: &str = "bobbinet:node";

/// The subject of a token of the node's owner. It means that only under [`NODE_ISSUER`] and one of the node's own keys.
pub const NODE_OWNER: &str = "node-owner";

/// The tenant of the node's owner, and the only one until an operator names others.
pub const NODE_TENANT: &str = "local";

impl Issuer {
    /// The node itself, with its own keys.
    pub fn node(keys: Arc<KeyRing>) -> Self {
        Self {
            name: NODE_ISSUER.to_owned(),
            keys,
            tokens: TokenTypes::AccessTokens,
            algorithms: vec![Algorithm::EdDSA],
            owner: Some(NODE_OWNER.to_owned()),
            prefix: String::new(),
            tenant: None,
            audience: None,
            lifetime_max: None,
            principals: BTreeMap::new(),
            discovery: None,
        }
    }

    /// The node under a name that other nodes know it by, and under which it has no owner: a token that others could be shown is no
    /// owner's.
    pub fn node_as(name: impl Into<String>, keys: Arc<KeyRing>) -> Self {
        Self { name: name.into(), owner: None, ..Self::node(keys) }
    }
}

/// A token of the owner of the node with this data folder, for one audience and five minutes. How a program on the same
/// machine, which can read the folder, calls the node without a word of configuration.
///
/// Fails with [`crate::KeysError::None`] if no node has used the folder yet: nothing is made here.
pub fn owner_token(data: &Path, audience: &str, now: Timestamp) -> Result<String, MintError> {
    let keys = KeyRing::open(&data.join(KEYS_FOLDER))?;
    let claims = Claims {
        issuer: NODE_ISSUER,
        subject: &Principal::parse(NODE_OWNER).expect("a well-formed principal"),
        tenant: &Tenant::parse(NODE_TENANT).expect("a well-formed tenant"),
        audience,
        scopes: &[],
        now,
        lifetime: LIFETIME_DEFAULT,
    };
    mint(&keys, &claims)
}
