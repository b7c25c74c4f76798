//! Logins of this node at MCP servers elsewhere: where browsers come back, and what their people are told.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc};

use async_trait::async_trait;
use bobbinet_auth::KEYS_FOLDER;
use bobbinet_core::AgentName;
use bobbinet_http::{AgentLogin, CALLBACK_PATH, CLIENT_PATH, Logins};
use bobbinet_mcp::{LoginAddress, LoginBegun, LoginDesk, LoginReturn, LoginStanding, McpAgent};
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};

use crate::{
    config::NodeConfig,
    failure::{Code, Failure},
};

/// Where logins are kept, in the folder of the node's keys: no server sees it, and it is in no copy of the store.
const FOLDER: &str = "logins";

/// Opens the place where all agents' logins come back. The node listens there.
pub(super) fn open(
    node: &NodeConfig,
    listen: SocketAddr,
    has_tls: bool,
    data: &Path,
) -> Result<Arc<LoginDesk>, Failure> {
    let folder = data.join(KEYS_FOLDER).join(FOLDER);
    bobbinet_store::make_folder(&folder, true).map_err(|error| {
        Failure::new(Code::Config, format!("the folder of logins {} cannot be made: {error}", folder.display()))
            .hint("name another data folder with --data-dir")
    })?;
    let desk = LoginDesk::in_folder(folder);
    let address = address(node.public_url.as_deref(), listen, has_tls);
    // What is wrong with a public URL is told by the server that stands there.
    if let Some(address) = address {
        desk.open(address);
    }
    Ok(Arc::new(desk))
}

/// Where the node is for browsers: at its public URL, or else on this machine.
fn address(public_url: Option<&str>, listen: SocketAddr, has_tls: bool) -> Option<LoginAddress> {
    let own = match public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            let scheme = if has_tls { "https" } else { "http" };
            let host = if listen.ip().is_unspecified() { "127.0.0.1".to_owned() } else { listen.ip().to_string() };
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            format!("{scheme}://{host}:{}", listen.port())
        }
    };
    let redirect: Url = format!("{own}{CALLBACK_PATH}").parse().ok()?;
    let client: Url = format!("{own}{CLIENT_PATH}").parse().ok()?;
    let name = match redirect.host_str() {
        Some(host) => format!("Bobbinet at {host}"),
        None => "Bobbinet".to_owned(),
    };
    // Authorization servers look it up, so it must be where they can.
    let client_metadata = public_url.is_some().then_some(client).filter(|url| url.scheme() == "https");
    Some(LoginAddress { redirect, client_metadata, client_name: name })
}

/// The pages of the node's logins.
#[derive(Debug)]
pub(super) struct LoginPages {
    pub(super) desk: Arc<LoginDesk>,
    pub(super) servers: BTreeMap<AgentName, Arc<McpAgent>>,
}

#[async_trait]
impl Logins for LoginPages {
    async fn come_back(&self, query: &str) -> (StatusCode, String) {
        match self.desk.come_back(query).await {
            LoginReturn::LoggedIn { server } => {
                self.servers.values().for_each(|agent| agent.look_for_login());
                let words = format!(
                    "You have logged in at {server} for this node: its agent may do there what you may, for all who may call it. \
                     You may close this page; a task that asked you goes on, or wants an answer."
                );
                (StatusCode::OK, words)
            }
            LoginReturn::Refused => (StatusCode::OK, "You have not logged in. You may close this page.".to_owned()),
            LoginReturn::Unknown => {
                let words = "Nobody waits for this login: it was used already, or another has taken its place. Answer the task to get a new \
                             address.";
                (StatusCode::BAD_REQUEST, words.to_owned())
            }
            LoginReturn::Failed(why) => {
                tracing::warn!(why, "a browser has come back without a login");
                (StatusCode::BAD_GATEWAY, format!("There is no login: {why}. Answer the task to try again."))
            }
        }
    }

    fn client_metadata(&self) -> Option<String> {
        self.desk.client_metadata()
    }

    async fn of_agent(&self, agent: &AgentName, asked: AgentLogin) -> Result<Option<Value>, String> {
        let Some(server) = self.servers.get(agent) else { return Ok(None) };
        match asked {
            AgentLogin::Show => {
                let logins: Vec<Value> = server.logins().iter().map(shown).collect();
                Ok((!logins.is_empty()).then(|| json!({ "logins": logins })))
            }
            AgentLogin::Begin => {
                let begun = server.begin_login().await?;
                Ok(begun.map(|LoginBegun { standing, url }| {
                    let mut document = shown(&standing);
                    document["url"] = url.into();
                    document
                }))
            }
            AgentLogin::Forget => Ok(server.log_out().await.map(|was_one| json!({ "wasLoggedIn": was_one }))),
        }
    }
}

fn shown(standing: &LoginStanding) -> Value {
    let LoginStanding { server, issuer, is_logged_in, returns } = standing;
    json!({ "server": server, "issuer": issuer, "loggedIn": is_logged_in, "returns": returns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_come_back_where_the_node_is_known() {
        let check = |public: Option<&str>, listen: &str, has_tls: bool, redirect: &str, client: Option<&str>| {
            let found = address(public, listen.parse().unwrap(), has_tls).unwrap();
            let found_client = found.client_metadata.as_ref().map(Url::as_str);
            assert_eq!((found.redirect.as_str(), found_client), (redirect, client));
        };
        let (callback, json) = ("/oauth/callback", "/oauth/client.json");
        check(None, "127.0.0.1:7420", false, &format!("http://127.0.0.1:7420{callback}"), None);
        check(None, "0.0.0.0:7420", true, &format!("https://127.0.0.1:7420{callback}"), None);
        check(None, "[::1]:7420", false, &format!("http://[::1]:7420{callback}"), None);
        let at = "https://a.example/mesh";
        check(
            Some("https://a.example/mesh/"),
            "0.0.0.0:1",
            false,
            &format!("{at}{callback}"),
            Some(&format!("{at}{json}")),
        );
        check(Some("http://a.mesh"), "0.0.0.0:1", false, &format!("http://a.mesh{callback}"), None);
    }
}
