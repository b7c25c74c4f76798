//! Whom a verifier believes: issuers, and the holders of API keys. Exchanged as a whole when the configuration changes.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{Caller, Json, Timestamp};

use crate::{ApiKeyDescription, ApiKeys, Issuer, NODE_ISSUER, NamedPrincipal, Rejected};

/// How much of a generation counts changes of keys; what is above it counts exchanges of the whole.
const KEYS_BITS: u32 = 40;

/// API keys, and who their holders are.
#[derive(Clone, Debug)]
pub struct ApiKeyHolders {
    /// The keys.
    pub keys: Arc<ApiKeys>,
    /// Those whom the configuration names. A key of anybody else counts only if it was made with his tenant.
    pub principals: BTreeMap<String, NamedPrincipal>,
}

/// By what callers can show who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// How often it has changed.
    pub number: u64,
    /// Whether nothing has to be shown at all.
    pub is_open: bool,
    /// Whether API keys are taken.
    pub has_api_keys: bool,
    /// Where the OpenID configurations of issuers are.
    pub discovery: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Trusted {
    number: u64,
    pub(super) issuers: Vec<Issuer>,
    pub(super) api_keys: Option<ApiKeyHolders>,
}

impl Trusted {
    pub(super) fn new(issuers: Vec<Issuer>, api_keys: Option<ApiKeyHolders>) -> Self {
        Self { number: 0, issuers, api_keys }
    }

    /// The ones after these, with the sets of keys that stay the same.
    pub(super) fn followed_by(&self, mut issuers: Vec<Issuer>, api_keys: Option<ApiKeyHolders>) -> Self {
        for issuer in &mut issuers {
            let is_same = |before: &&Issuer| {
                let is_one = before.name == issuer.name && before.algorithms == issuer.algorithms;
                is_one && before.keys.source().is_some() && before.keys.source() == issuer.keys.source()
            };
            if let Some(before) = self.issuers.iter().find(is_same) {
                issuer.keys = before.keys.clone();
            }
        }
        Self { number: self.number + 1, issuers, api_keys }
    }

    /// Grows with every change of any issuer's keys, and with every exchange.
    pub(super) fn generation(&self, now: Timestamp) -> u64 {
        let keys: u64 = self.issuers.iter().map(|issuer| issuer.keys.generation(now)).sum();
        (self.number << KEYS_BITS) + keys
    }

    pub(super) fn accepted(&self) -> Accepted {
        Accepted {
            number: self.number,
            is_open: false,
            has_api_keys: self.api_keys.is_some(),
            discovery: self.issuers.iter().filter_map(|issuer| issuer.discovery.clone()).collect(),
        }
    }
}

impl ApiKeyHolders {
    /// Whose key this is.
    pub(super) fn caller(&self, key: &str, now: Timestamp) -> Result<Arc<Caller>, Rejected> {
        let ApiKeyDescription { id, principal, tenant, .. } = self.keys.check(key, now)?;
        let (principal, tenant) = match (self.principals.get(principal.as_str()), tenant) {
            (Some(named), _) => (named.principal.clone(), named.tenant.clone()),
            (None, Some(tenant)) => (principal, tenant),
            (None, None) => return Err(Rejected::UnknownPrincipal { id, principal: principal.as_str().to_owned() }),
        };
        // So that a line of the policy can tell a key from a token, and one key from another.
        let claims = Json::of(&BTreeMap::from([("api_key", id)]));
        let caller =
            Caller { issuer: Some(Arc::from(NODE_ISSUER)), claims: Some(claims), ..Caller::new(principal, tenant) };
        Ok(Arc::new(caller))
    }
}
