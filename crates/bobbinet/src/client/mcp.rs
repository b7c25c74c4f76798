//! The way to a node's MCP server.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use bobbinet_http::{client::Credentials, server::other_binding::MCP_PATH};
use bobbinet_mcp_server::NodeDoor;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::{Client, resolve::Agent};
use crate::{
    cli::Target,
    failure::{Code, Failure},
    remark::{Remark, remark},
};

/// Where an API key stands, as every node takes it.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long a node may be silent in the middle of an answer: it shows every three seconds that it lives.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What to do where no node runs.
const NO_NODE: &str =
    "start one with `bobbinet up FILE`; or say `bobbinet mcp FILE`, which has one for as long as its host is there";

pub(super) async fn door(client: &Client, url: Option<String>, data_dir: Option<PathBuf>) -> Result<NodeDoor, Failure> {
    let resolver = client.resolver(Target { agent: url.clone(), data_dir }).await;
    let (agent, base) = match url {
        Some(_) => {
            let agent = resolver.agent()?;
            let base = agent.url_with_scheme();
            (agent, base)
        }
        None => match resolver.all() {
            Ok(agents) => the_one_node(agents)?,
            // Whoever wants all agents has no use for the address of one.
            Err(failure) if *failure.code() == Code::Unreachable => return Err(failure.hint(NO_NODE)),
            Err(failure) => return Err(failure),
        },
    };
    let base = base.trim_end_matches('/');
    let url = if base.ends_with(MCP_PATH) { base.to_owned() } else { format!("{base}{MCP_PATH}") };
    let insecure = client.options.is_insecure && agent.node.is_none();
    let http = agent.http().connect_timeout(CONNECT_MAX).read_timeout(SILENCE_MAX);
    let http = if insecure { http.tls_danger_accept_invalid_certs(true) } else { http };
    let http = http.build().map_err(|error| Failure::of(Code::Internal, &error))?;
    let at = url.clone();
    let who = Arc::new(move || shown(&agent, &at).map_err(|failure| failure.to_string()));
    let unreached = Arc::new(|why: &str| remark(Remark::Warning, why));
    Ok(NodeDoor { http, url, who, unreached })
}

/// What shows the node who asks.
fn shown(agent: &Agent, url: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let header = |name: HeaderName, text: &str| {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| Failure::new(Code::Usage, "a token or key has characters that no header may have"))?;
        value.set_sensitive(true);
        Ok(vec![(name, value)])
    };
    if let Credentials::ApiKey(key, _) = &agent.options().credentials {
        return header(API_KEY, key);
    }
    match agent.token(url)? {
        Some(token) => header(AUTHORIZATION, &format!("Bearer {token}")),
        None => Ok(Vec::new()),
    }
}

/// The one node that these are of.
fn the_one_node(agents: Vec<Agent>) -> Result<(Agent, String), Failure> {
    let nodes: BTreeSet<&str> = agents.iter().filter_map(|agent| Some(agent.node.as_ref()?.url.as_str())).collect();
    if nodes.len() > 1 {
        let list = nodes.iter().copied().collect::<Vec<_>>().join(", ");
        let failure = Failure::new(Code::Usage, format!("which node? There are {list}"));
        return Err(failure.hint("say which: --node URL, or --data-dir FOLDER"));
    }
    let found = agents.into_iter().find_map(|agent| Some((agent.node.as_ref()?.url.clone(), agent)));
    let (url, agent) =
        found.ok_or_else(|| Failure::new(Code::Unreachable, "no node is running on this machine").hint(NO_NODE))?;
    Ok((agent, url))
}
