//! What a wrapped server gets that may call other agents: where they are all one MCP server, and a token of its own. What it may call
//! there is the policy's to say, which allows nothing unless a line does.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bobbinet_auth::{Claims, KeyRing, LIFETIME_CONFIGURED_MAX, NODE_ISSUER, NamedPrincipal, mint_up_to};
use bobbinet_core::AgentName;
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_mcp::FreshEnv;

use crate::config::{AgentConfig, NodeConfig, mesh_subject};

/// The variables.
const URL: &str = "BOBBINET_MCP_URL";
const TOKEN: &str = "BOBBINET_MCP_TOKEN";

/// How servers of this node reach the mesh.
pub(super) struct MeshAccess {
    url: String,
    issuer: String,
    keys: Arc<KeyRing>,
    principals: BTreeMap<String, NamedPrincipal>,
}

impl MeshAccess {
    pub(super) fn new(
        node: &NodeConfig,
        listen: SocketAddr,
        has_tls: bool,
        keys: Arc<KeyRing>,
        principals: &BTreeMap<String, NamedPrincipal>,
    ) -> Self {
        let scheme = if has_tls { "https" } else { "http" };
        let here = match listen {
            SocketAddr::V4(address) if address.ip().is_unspecified() => format!("127.0.0.1:{}", address.port()),
            SocketAddr::V6(address) if address.ip().is_unspecified() => format!("[::1]:{}", address.port()),
            SocketAddr::V4(_) | SocketAddr::V6(_) => listen.to_string(),
        };
        // A certificate is for the name that others know, and a server is on the same machine.
        let known_as = node.public_url.as_deref().filter(|_| has_tls).map(|url| url.trim_end_matches('/').to_owned());
        let url = format!("{}/mcp", known_as.unwrap_or_else(|| format!("{scheme}://{here}")));
        let issuer = node.issuer.clone().unwrap_or_else(|| NODE_ISSUER.to_owned());
        Self { url, issuer, keys, principals: principals.clone() }
    }

    /// What this agent's server gets at each start.
    pub(super) fn env_of(&self, name: &AgentName, config: &AgentConfig) -> FreshEnv {
        let Some(principal) = self.principals.get(&mesh_subject(name.as_str())).filter(|_| config.calls_mesh) else {
            return FreshEnv::default();
        };
        let (url, issuer, keys) = (self.url.clone(), self.issuer.clone(), self.keys.clone());
        let (principal, agent) = (principal.clone(), name.clone());
        FreshEnv::new(move || {
            let claims = Claims {
                issuer: &issuer,
                subject: &principal.principal,
                tenant: &principal.tenant,
                audience: &url,
                scopes: &[],
                now: SystemEnv.now(),
                lifetime: principal.lifetime_max.unwrap_or(Duration::from_secs(60)),
            };
            match mint_up_to(&keys, &claims, LIFETIME_CONFIGURED_MAX) {
                Ok(token) => vec![(URL.to_owned(), url.clone()), (TOKEN.to_owned(), token)],
                Err(error) => {
                    tracing::warn!(%agent, %error, "the server gets no token for the mesh");
                    Vec::new()
                }
            }
        })
    }
}
