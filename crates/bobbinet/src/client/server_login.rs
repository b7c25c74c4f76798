//! `bobbinet login` and `bobbinet logout`: logins of a node at the MCP servers elsewhere that its agents are. The node has them at
//! a URL of its own, for its owner.

use std::{
    env,
    io::IsTerminal,
    process::{Command, Stdio},
    time::Duration,
};

use bobbinet_http::client::ClientError;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Client, resolve::Agent};
use crate::{
    cli::{ServerLogin, ServerLogout},
    failure::{Code, Failure},
    output::Output,
    remark::{Remark, remark},
};

/// How often it is looked whether the browser has come back.
const LOOK_INTERVAL: Duration = Duration::from_millis(400);

/// Bytes of an answer: more than a node says.
const ANSWER_MAX: usize = 1 << 20;

/// What opens an address in a browser.
const OPENER: &str = "xdg-open";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Standing {
    server: String,
    issuer: Option<String>,
    logged_in: bool,
    returns: u64,
    #[serde(default)]
    url: Option<String>,
}

impl Standing {
    /// Where somebody is logged in, for people.
    fn place(&self) -> String {
        self.issuer.as_ref().map_or_else(|| self.server.clone(), |issuer| format!("{} with {issuer}", self.server))
    }

    fn json(&self, agent: &Agent) -> Value {
        json!({ "agent": agent.reference(), "server": self.server, "issuer": self.issuer, "loggedIn": self.logged_in })
    }
}

#[derive(Debug, Deserialize)]
struct Standings {
    logins: Vec<Standing>,
}

pub(super) async fn login(client: &Client, command: ServerLogin) -> Result<(), Failure> {
    let output = client.output;
    let resolver = client.resolver(command.target()).await;
    if command.list {
        return list(output, &resolver.all()?).await;
    }
    let agent = resolver.agent()?;
    let begun: Standing = read(ask(&agent, Method::POST).await?.ok_or_else(|| no_login(&agent))?)?;
    let Some(url) = begun.url.as_deref().filter(|_| !begun.logged_in) else {
        return told(output, &agent, &begun);
    };
    show(output, url, !command.no_browser)?;
    let deadline = Instant::now() + command.timeout;
    loop {
        let is_interrupted = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => true,
            () = sleep(LOOK_INTERVAL) => false,
        };
        if is_interrupted {
            let failure = Failure::new(Code::Interrupted, "not waiting any more; the address stays good");
            return Err(failure.hint("`bobbinet login --list` shows whether somebody has logged in"));
        }
        let standings: Standings = read(ask(&agent, Method::GET).await?.ok_or_else(|| no_login(&agent))?)?;
        let Some(now) = standings.logins.into_iter().find(|it| it.server == begun.server) else {
            return Err(no_login(&agent));
        };
        if now.logged_in {
            return told(output, &agent, &now);
        }
        if now.returns > begun.returns {
            let text = format!("the browser has come back from {} without a login", now.place());
            return Err(Failure::new(Code::AuthFailed, text).hint("its page and the node's log say why"));
        }
        if Instant::now() >= deadline {
            let text = format!("nobody has logged in within {} s; the address stays good", command.timeout.as_secs());
            return Err(Failure::new(Code::Timeout, text).hint("--timeout TIME waits longer"));
        }
    }
}

pub(super) async fn logout(client: &Client, command: ServerLogout) -> Result<(), Failure> {
    let agent = client.resolver(command.target()).await.agent()?;
    let answer = ask(&agent, Method::DELETE).await?.ok_or_else(|| no_login(&agent))?;
    if answer["wasLoggedIn"] != true {
        let text = format!("nobody is logged in at the server of agent {}", agent.reference());
        return Err(Failure::new(Code::CredentialsMissing, text));
    }
    if client.output.is_json() {
        return client.output.json(&json!({ "agent": agent.reference(), "loggedIn": false }));
    }
    client.output.field("Logged out", agent.reference())?;
    remark(Remark::Note, "the server may still know what it has given out: take it back there if you must be sure");
    Ok(())
}

async fn list(output: Output, agents: &[Agent]) -> Result<(), Failure> {
    let mut all = Vec::new();
    for agent in agents {
        let Some(answer) = ask(agent, Method::GET).await? else { continue };
        let standings: Standings = read(answer)?;
        all.extend(standings.logins.into_iter().map(|standing| (agent, standing)));
    }
    if output.is_json() {
        return output.json(&all.iter().map(|(agent, standing)| standing.json(agent)).collect::<Vec<_>>());
    }
    for (agent, standing) in &all {
        let word = if standing.logged_in { "logged in" } else { "not logged in" };
        output.field(agent.reference(), format_args!("{word} at {}", standing.place()))?;
    }
    if all.is_empty() {
        remark(Remark::Note, "there is no agent at whose server people log in");
    }
    Ok(())
}

fn told(output: Output, agent: &Agent, standing: &Standing) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&standing.json(agent));
    }
    output.field("Logged in", format_args!("agent {} at {}", agent.reference(), standing.place()))
}

/// Shows the address, beside the results where those are for programs, and opens it.
fn show(output: Output, url: &str, is_opened: bool) -> Result<(), Failure> {
    if output.is_json() {
        remark(Remark::Note, format_args!("open {url}"));
    } else {
        output.field("Open", url)?;
    }
    if is_opened && has_browser() && is_page(url) {
        // It may start what goes on for long; nobody waits for that.
        let mut opener = Command::new(OPENER);
        let opened = opener.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        tracing::debug!(is_opened = opened.is_ok(), "opening a browser");
    }
    Ok(())
}

/// Whether somebody looks at a screen here.
fn has_browser() -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(is_set)
}

/// An authorization server has said what the address is: only that of a page is handed to the desktop.
fn is_page(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn no_login(agent: &Agent) -> Failure {
    let text = format!("nobody logs in at the server of agent {} with a browser", agent.reference());
    Failure::new(Code::Usage, text).hint("an agent with `auth: { login: {} }` beside its server's url has a login; `bobbinet login --list` shows which do")
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|_| {
        let failure = Failure::new(Code::Internal, "what the node says of logins cannot be read");
        failure.hint("the node may be of another version: bobbinet --version")
    })
}

/// `None`: the agent has no login, or is none of a node of ours.
async fn ask(agent: &Agent, method: Method) -> Result<Option<Value>, Failure> {
    let base = agent.url_with_scheme();
    let base = base.trim_end_matches('/');
    let url = format!("{base}/bobbinet/login");
    // What a node of ours has for its owner is asked for where the node is: no proxy, no redirect.
    let http = agent.http().redirect(reqwest::redirect::Policy::none()).build();
    let unreachable = |source: reqwest::Error| {
        agent.fault(ClientError::Unreachable { url: url.clone(), source: source.without_url() })
    };
    let mut request = http.map_err(unreachable)?.request(method, &url);
    if let Some(token) = agent.token(base)? {
        request = request.bearer_auth(token);
    }
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX {
            return Err(Failure::new(Code::Internal, format!("{url} answers with more than {ANSWER_MAX} bytes")));
        }
    }
    let document = || serde_json::from_slice::<Value>(&body).unwrap_or_default();
    match status {
        StatusCode::OK => Ok(Some(document())),
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let failure = Failure::new(Code::AuthFailed, "logins at servers are the business of the node's owner");
            Err(failure.hint("run this on the node's machine, as the user who can read its data folder"))
        }
        StatusCode::BAD_GATEWAY => {
            let document = document();
            let why = document["why"].as_str().unwrap_or("the node does not say why").to_owned();
            Err(Failure::new(Code::AuthFailed, format!("nobody can log in: {why}")))
        }
        status => Err(Failure::new(Code::Internal, format!("{url} answers {status}"))),
    }
}
