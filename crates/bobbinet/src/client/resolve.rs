//! Which agent is meant, and how to show it who we are.
//!
//! A name means an agent of the node of the working folder, never one of another folder's node: the same name there may
//! be the same tools on other files. What is meant elsewhere is named by its URL, or by its node's data folder.

use std::{
    net::{TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bobbinet_auth::owner_token;
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_http::client::{Client, ClientError, ClientOptions, Credentials, WithJson, with_scheme};
use bobbinet_wire::v1_0::CardView;
use tokio::time::{Instant, sleep};

use super::{Options, fault, oauth, progress::Progress, readiness};
use crate::{
    cli::Target,
    failure::{Code, Failure},
    node::{Running, Whose, is_starting},
    output::Output,
    remark::{Remark, remark},
    shell::quoted,
};

/// How long a node that is not there is waited for though nobody has said that it starts: a command that was typed right
/// behind `bobbinet up &` may be quicker than that.
const UNANNOUNCED_MAX: Duration = Duration::from_secs(1);

/// How long a node that has said that it starts is waited for: a large store takes its time to open.
const START_MAX: Duration = Duration::from_secs(60);

/// How often it is looked whether a node is there.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);

/// How long a connection within this machine may take.
const CONNECT_MAX: Duration = Duration::from_millis(250);

/// An agent that somebody means.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    /// Its URL, or its card's.
    pub(crate) url: String,
    /// Its name on its node, if it was found on a node of this machine.
    pub(crate) name: Option<String>,
    /// The node of this machine that it is on.
    pub(super) node: Option<Running>,
    output: Output,
    client: ClientOptions,
}

/// Where agents are looked for.
#[derive(Debug)]
pub(crate) struct Resolver {
    target: Target,
    options: Options,
    output: Output,
    nodes: Vec<Running>,
}

impl Resolver {
    /// Looks at what runs on this machine, and waits a moment for what is just being started.
    pub(crate) async fn new(target: Target, options: Options, output: Output) -> Self {
        let begun = Instant::now();
        let mut progress = None;
        loop {
            let nodes = nodes(&target);
            let waited = begun.elapsed();
            let is_awaited = waited < UNANNOUNCED_MAX || waited < START_MAX && is_starting(&whose(&target));
            if is_found(&target, &nodes) {
                return Self { target, options, output, nodes };
            }
            if !is_awaited {
                // One that has become ready since it was looked for does not say any more that it starts.
                let nodes = self::nodes(&target);
                return Self { target, options, output, nodes };
            }
            progress.get_or_insert_with(|| Progress::new(output)).wait("waiting for a node that starts");
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// The one agent that is meant: the one that was named, or the only one there is.
    pub(crate) fn agent(&self) -> Result<Agent, Failure> {
        let agent = match &self.target.agent {
            Some(text) => self.named(text)?,
            None => {
                let mut agents = self.agents_of(&self.meant()?);
                if agents.len() > 1 {
                    let names: Vec<&str> = agents.iter().filter_map(|agent| agent.name.as_deref()).collect();
                    let failure = Failure::new(Code::Usage, format!("which agent? There are {}", names.join(", ")));
                    return Err(failure.hint(format!("say which: -a {}", agents[0].reference())));
                }
                agents.pop().ok_or_else(nobody)?
            }
        };
        self.tell_nodes(agent.node.as_slice());
        Ok(agent)
    }

    /// All agents that may be meant: the one that was named, or all of the nodes of the working folder; where it has no
    /// node, all there are. For what is told apart by more than an agent's name.
    pub(crate) fn all(&self) -> Result<Vec<Agent>, Failure> {
        if self.target.agent.is_some() {
            return Ok(vec![self.agent()?]);
        }
        let here = self.meant().unwrap_or_default();
        let (nodes, is_elsewhere) = match (here.is_empty(), &self.target.data_dir) {
            (true, None) => (self.nodes.iter().collect(), true),
            (_, _) => (here, false),
        };
        let agents = self.agents_of(&nodes);
        if agents.is_empty() {
            return Err(nobody());
        }
        let nodes: Vec<Running> = nodes.into_iter().cloned().collect();
        if is_elsewhere {
            nodes.iter().for_each(|node| remark(Remark::Note, format_args!("asking the node of {}", place(node))));
        } else {
            self.tell_nodes(&nodes);
        }
        Ok(agents)
    }

    /// The agent of this name or URL.
    fn named(&self, text: &str) -> Result<Agent, Failure> {
        if is_place(text) {
            let node = self.nodes.iter().find(|node| node.is_at(&with_scheme(text)));
            return Ok(Agent {
                url: text.to_owned(),
                name: None,
                node: node.cloned(),
                output: self.output,
                client: self.client(text),
            });
        }
        let here = match self.meant() {
            Err(failure) if self.target.data_dir.is_some() => return Err(failure),
            meant => meant.unwrap_or_default(),
        };
        let mut found = self.agents_of(&here);
        found.retain(|agent| agent.name.as_deref() == Some(text));
        if found.len() > 1 {
            let places: Vec<String> = found.iter().map(at).collect();
            let text = format!("several nodes of this folder have an agent {text:?}: {}", places.join("; "));
            return Err(Failure::new(Code::Usage, text).hint(format!("say which: -a {}", quoted(&found[0].url))));
        }
        found.pop().ok_or_else(|| self.unknown(text, &here))
    }

    /// There is no such agent here; perhaps elsewhere.
    fn unknown(&self, text: &str, here: &[&Running]) -> Failure {
        let others: Vec<&Running> = self.nodes.iter().filter(|node| !here.contains(node)).collect();
        let mut elsewhere = self.agents_of(&others);
        elsewhere.retain(|agent| agent.name.as_deref() == Some(text));
        if let Some(first) = elsewhere.first() {
            let places: Vec<String> = elsewhere.iter().map(at).collect();
            let failure = Failure::new(
                Code::CardNotFound,
                format!("no node of this folder has an agent {text:?}, and elsewhere there is: {}", places.join("; ")),
            );
            return failure.hint(format!("if that is the one you mean, say so: -a {}", quoted(&first.url)));
        }
        let names: Vec<String> = self.agents_of(here).into_iter().filter_map(|agent| agent.name).collect();
        let failure = Failure::new(Code::CardNotFound, format!("no node on this machine has an agent {text:?}"));
        match names.is_empty() {
            true => failure.hint("no node is running here: start one with `bobbinet up`, or name the agent by its URL"),
            false => failure.hint(format!("there is {}; or name the agent by its URL", names.join(", "))),
        }
    }

    /// The nodes that a name is looked for on: that of the data folder that was named, else those of the working folder.
    fn meant(&self) -> Result<Vec<&Running>, Failure> {
        let is_meant = |node: &&Running| match &self.target.data_dir {
            Some(data) => data.canonicalize().is_ok_and(|data| data == node.data),
            None => node.is_here(),
        };
        let meant: Vec<&Running> = self.nodes.iter().filter(is_meant).collect();
        match (meant.is_empty(), &self.target.data_dir, self.nodes.first()) {
            (false, _, _) => Ok(meant),
            (true, Some(data), _) => {
                Err(Failure::new(Code::Unreachable, format!("no node is running on {}", data.display()))
                    .hint("start it with `bobbinet up`, or leave --data-dir (BOBBINET_DATA) out"))
            }
            (true, None, None) => Err(nobody()),
            (true, None, Some(_)) => {
                let places: Vec<String> = self.nodes.iter().map(place).collect();
                let text =
                    format!("no node is running in this folder; elsewhere there is that of {}", places.join("; "));
                Err(Failure::new(Code::Unreachable, text)
                    .hint("start one here with `bobbinet up`, or name an agent by its URL: -a URL"))
            }
        }
    }

    fn agents_of(&self, nodes: &[&Running]) -> Vec<Agent> {
        let agents = nodes.iter().flat_map(|node| node.agents.iter().map(move |(name, url)| (*node, name, url)));
        let agent = |(node, name, url): (&Running, &String, &String)| Agent {
            url: url.clone(),
            name: Some(name.clone()),
            node: Some(node.clone()),
            output: self.output,
            client: self.client(url),
        };
        agents.map(agent).collect()
    }

    fn client(&self, url: &str) -> ClientOptions {
        ClientOptions {
            credentials: self.credentials(url),
            parameters: self.options.parameters.clone(),
            origin: self.options.origin.clone(),
            is_any_certificate_believed: self.options.is_insecure || self.is_own(url),
            tls: self.options.tls.clone(),
            transports: self.options.transports.clone(),
            version: self.options.version,
            grpc: Some(bobbinet_grpc::carry),
            ..ClientOptions::default()
        }
    }

    /// Whether a URL leads to a node of this user's on this machine, whose certificate is made out for other names than the machine has
    /// for itself. That its process listens there was looked at, which says more.
    fn is_own(&self, url: &str) -> bool {
        is_local(url) && self.nodes.iter().any(|node| node.is_at(url))
    }

    /// A key or a token of the caller's own, or a token made with the key of the node that the URL leads to.
    fn credentials(&self, url: &str) -> Credentials {
        let bearer = self.options.bearer.as_ref().map(|bearer| Credentials::Bearer(bearer.reveal().to_owned()));
        if let Some(key) = &self.options.api_key {
            return Credentials::ApiKey(key.reveal().to_owned(), Box::new(bearer.unwrap_or_default()));
        }
        if let Some(bearer) = bearer {
            return bearer;
        }
        let node = self.nodes.iter().find(|node| node.is_at(&with_scheme(url))).map(|node| node.data.clone());
        let Some(data) = node.or_else(|| self.target.data_dir.clone()) else { return Credentials::None };
        Credentials::Mint(Arc::new(move |audience| Ok(owner_token(&data, audience, SystemEnv.now())?)))
    }

    /// Says which nodes are used, to whoever wants to know all.
    fn tell_nodes(&self, nodes: &[Running]) {
        if self.output.is_verbose {
            nodes.iter().for_each(|node| remark(Remark::Note, format_args!("using the node of {}", place(node))));
        }
    }
}

impl Agent {
    /// Fetches its card. One whose server is on its way for the first time is waited for: until it is up, nobody knows
    /// what it can do.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let client = self.started().await.map_err(|error| self.fault(error))?;
        if let Some(detour) = client.detour() {
            remark(Remark::Warning, detour);
        }
        Ok(client)
    }

    async fn started(&self) -> Result<Client, ClientError> {
        let mut options = self.client.clone();
        if matches!(options.credentials, Credentials::None)
            && let Some(token) = oauth::kept(&self.url_with_scheme(), &options).await
        {
            options.credentials = Credentials::Bearer(token);
        }
        let fetch = || Client::connect(&self.url, options.clone());
        let client = fetch().await?;
        let Some(node) = self.node.as_ref().filter(|_| client.card().value.skills.is_empty()) else {
            return Ok(client);
        };
        let is_waited_for = match self.name.as_deref().or_else(|| node.agent_at(&with_scheme(&self.url))) {
            Some(name) => readiness::wait(node, name, self.output).await,
            None => false,
        };
        if is_waited_for { fetch().await } else { Ok(client) }
    }

    /// Fetches its card alone, and says why it cannot be called, if it cannot.
    pub(crate) async fn card(&self) -> Result<(WithJson<CardView>, Option<Failure>), Failure> {
        match self.started().await {
            Ok(client) => Ok((client.card().clone(), None)),
            Err(
                why @ (ClientError::NoInterface { .. }
                | ClientError::OtherOrigin { .. }
                | ClientError::Credentials { .. }),
            ) => {
                let card = Client::card_at(&self.url, &self.client).await.map_err(|error| self.fault(error))?;
                Ok((card, Some(self.fault(why))))
            }
            Err(error) => Err(self.fault(error)),
        }
    }

    /// The bytes of its card, and where they are from, whatever they are.
    pub(crate) async fn card_bytes(&self) -> Result<(String, Vec<u8>), Failure> {
        Client::card_bytes_at(&self.url, &self.client).await.map_err(|error| self.fault(error))
    }

    /// What it is called in a command that is typed in the same folder.
    pub(crate) fn reference(&self) -> &str {
        let is_here = self.node.as_ref().is_some_and(Running::is_here);
        self.name.as_deref().filter(|_| is_here).unwrap_or(&self.url)
    }

    /// What went wrong with a call of it.
    pub(crate) fn fault(&self, error: ClientError) -> Failure {
        let target = self.reference();
        let is_anonymous = matches!(self.client.credentials, Credentials::None);
        fault::of_client(error, fault::Called { target, is_anonymous })
    }

    /// A token for a URL of its node, if one can be made or was given.
    pub(crate) fn token(&self, url: &str) -> Result<Option<String>, Failure> {
        match &self.client.credentials {
            Credentials::None | Credentials::ApiKey(..) => Ok(None),
            Credentials::Bearer(token) => Ok(Some(token.clone())),
            Credentials::Mint(mint) => match mint(url) {
                Ok(token) => Ok(Some(token)),
                Err(error) => Err(Failure::of(Code::CredentialsMissing, error.as_ref())),
            },
        }
    }

    /// What asks its node for what no agent elsewhere has.
    pub(crate) fn http(&self) -> reqwest::ClientBuilder {
        match &self.node {
            Some(node) => node.http(),
            None => self.client.tls.apply(reqwest::Client::builder().no_proxy()),
        }
    }

    /// How it is called.
    pub(super) fn options(&self) -> &ClientOptions {
        &self.client
    }

    /// Its URL, as a token for it names it.
    pub(crate) fn url_with_scheme(&self) -> String {
        with_scheme(&self.url)
    }

    /// The data folder of its node, if that is on this machine.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        self.node.as_ref().map(|node| node.data.clone())
    }
}

/// The nodes that may be meant. A data folder that is named and has a node is the only one meant; one that has none may
/// hold the keys of a node elsewhere.
fn nodes(target: &Target) -> Vec<Running> {
    let named = target.data_dir.as_deref().and_then(Running::at);
    named.map_or_else(Running::all, |node| vec![node])
}

fn whose(target: &Target) -> Whose {
    match (&target.agent, &target.data_dir) {
        (Some(agent), _) if is_place(agent) => Whose::Anyone,
        (_, Some(data)) => Whose::Data(data.clone()),
        (_, None) => Whose::Here,
    }
}

/// Whether what is meant is there, so that nobody need wait for a node.
fn is_found(target: &Target, nodes: &[Running]) -> bool {
    let is_meant = |node: &&Running| target.data_dir.is_some() || node.is_here();
    match target.agent.as_deref() {
        Some(place) if is_place(place) => {
            let url = with_scheme(place);
            nodes.iter().any(|node| node.is_at(&url)) || !is_local(&url) || is_listening(&url)
        }
        Some(name) => nodes.iter().filter(is_meant).any(|node| node.agents.contains_key(name)),
        None => nodes.iter().any(|node| is_meant(&node)),
    }
}

/// Whether it is a URL or a file, and no name.
fn is_place(text: &str) -> bool {
    text.contains([':', '/', '.']) || text == "localhost"
}

/// Host and port of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether a URL leads to this machine, where a node may be about to start. A file with a card leads nowhere.
fn is_local(url: &str) -> bool {
    let authority = authority(url);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let path = url.split_once("://").map_or(url, |(_, path)| path);
    let is_file = url.starts_with("file:") || Path::new(path).is_file();
    !is_file && (host == "localhost" || host == "[::1]" || host.starts_with("127."))
}

fn is_listening(url: &str) -> bool {
    let authority = authority(url);
    let with_port = if authority.ends_with(']') || !authority.contains(':') {
        format!("{authority}:80")
    } else {
        authority.to_owned()
    };
    let addresses = with_port.to_socket_addrs().into_iter().flatten();
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, CONNECT_MAX).is_ok())
}

/// A node, for a person: whose it is, and where.
fn place(node: &Running) -> String {
    let folder = if node.folder.as_os_str().is_empty() { &node.data } else { &node.folder };
    format!("{} at {}", folder.display(), node.url)
}

fn at(agent: &Agent) -> String {
    let folder = agent.node.as_ref().map(|node| format!("that of {} ", node.folder.display())).unwrap_or_default();
    format!("{folder}at {}", agent.url)
}

fn nobody() -> Failure {
    Failure::new(Code::Unreachable, "no node is running on this machine")
        .hint("start one with `bobbinet up FILE`, or name an agent: -a https://agents.example.com/agents/files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_this_machine_is_waited_for() {
        let check = |url: &str, expected: bool| assert_eq!(is_local(&with_scheme(url)), expected, "{url}");
        check("http://127.0.0.1:7420/agents/files", true);
        check("localhost:7420", true);
        check("http://[::1]:7420", true);

        check("https://agents.example.com/127.0.0.1", false);
        check("10.0.0.1:7420", false);
        check("Cargo.toml", false);
        check("file:///nowhere/card.json", false);
    }
}
