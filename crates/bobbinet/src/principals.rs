//! Whom a node knows, in its data folder: what it was started with, for `bobbinet token mint`, which has the keys and no configuration.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use bobbinet_auth::{API_KEYS_FILE, KEYS_FOLDER, LIFETIME_MAX, NODE_ISSUER, NamedPrincipal};
use bobbinet_core::{Principal, Tenant};
use serde::{Deserialize, Serialize};

use crate::config::{ApiKeysConfig, CallersConfig};

/// The file, in the data folder.
const FILE: &str = "principals.json";

/// Those whom a node makes tokens for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KnownPrincipals {
    /// What other nodes know its tokens by.
    issuer: Option<String>,
    /// Whether anybody but the node's owner may do anything.
    pub(crate) has_policy: bool,
    principals: BTreeMap<String, KnownPrincipal>,
    /// Whether it takes API keys.
    #[serde(default = "yes")]
    pub(crate) has_api_keys: bool,
    /// Where they are, if not in the key folder.
    #[serde(default)]
    api_keys: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

/// The file of a node's API keys.
pub(crate) fn api_keys_file(data: &Path, config: &ApiKeysConfig) -> Option<PathBuf> {
    match config {
        ApiKeysConfig::KeyFolder => Some(data.join(KEYS_FOLDER).join(API_KEYS_FILE)),
        ApiKeysConfig::File(path) => Some(path.clone()),
        ApiKeysConfig::Off => None,
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KnownPrincipal {
    pub(crate) principal: Principal,
    pub(crate) tenant: Tenant,
    /// How long a token of his may live, in seconds.
    life_secs: u64,
}

impl KnownPrincipal {
    /// How long a token of his may live, and does if nobody says otherwise.
    pub(crate) fn life(&self) -> Duration {
        Duration::from_secs(self.life_secs)
    }
}

impl KnownPrincipals {
    /// Whom a node with this configuration knows.
    pub(crate) fn of(issuer: Option<&str>, callers: &CallersConfig) -> Self {
        let known = |(name, named): (&String, &NamedPrincipal)| {
            let life_secs = named.lifetime_max.unwrap_or(LIFETIME_MAX).as_secs();
            let NamedPrincipal { principal, tenant, .. } = named.clone();
            (name.clone(), KnownPrincipal { principal, tenant, life_secs })
        };
        Self {
            issuer: issuer.map(str::to_owned),
            has_policy: callers.policy.is_some(),
            principals: callers.principals.iter().map(known).collect(),
            has_api_keys: callers.api_keys != ApiKeysConfig::Off,
            api_keys: match &callers.api_keys {
                ApiKeysConfig::File(path) => Some(path.clone()),
                ApiKeysConfig::KeyFolder | ApiKeysConfig::Off => None,
            },
        }
    }

    /// The file that the node on this data folder takes API keys from.
    pub(crate) fn api_keys_file(&self, data: &Path) -> PathBuf {
        self.api_keys.clone().unwrap_or_else(|| data.join(KEYS_FOLDER).join(API_KEYS_FILE))
    }

    /// The longest that a token of the node's may live.
    pub(crate) fn longest_life(&self) -> Duration {
        self.principals.values().map(KnownPrincipal::life).fold(LIFETIME_MAX, Duration::max)
    }

    /// Says so in the data folder.
    pub(crate) fn write(&self, data: &Path) -> io::Result<()> {
        let (file, new) = (data.join(FILE), data.join(FILE).with_extension("new"));
        fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&new, &file)
    }

    /// Whom the node on this data folder knew when it last started; nobody if it never did.
    pub(crate) fn read(data: &Path) -> Self {
        let text = fs::read(data.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_else(|_| Self::of(None, &CallersConfig::default()))
    }

    /// The one of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&KnownPrincipal> {
        self.principals.get(name)
    }

    /// All names.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.principals.keys().map(String::as_str).collect()
    }

    /// What the node's tokens have as `iss`.
    pub(crate) fn issuer(&self) -> &str {
        self.issuer.as_deref().unwrap_or(NODE_ISSUER)
    }

    /// Whether another node can tell this one's tokens from its own.
    pub(crate) fn is_known_elsewhere(&self) -> bool {
        self.issuer.is_some()
    }
}
