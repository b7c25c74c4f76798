//! Who asks.

use crate::{Principal, Tenant};

/// A verified caller. Only `bobbinet-auth` makes one from a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// Of which tenant.
    pub tenant: Tenant,
    /// Whether this is the node's owner, who can read its key file: may do everything.
    pub is_owner: bool,
    /// What the token allows, for policy to read.
    pub scopes: Vec<String>,
    /// On whose behalf, nearest first: the `act` chain of RFC 8693.
    pub chain: Vec<Principal>,
}
