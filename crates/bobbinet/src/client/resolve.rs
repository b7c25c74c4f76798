//! Which agent is meant, and how to show it who we are.

use std::{path::Path, sync::Arc};

use bobbinet_auth::owner_token;
use bobbinet_engine::{SystemWorld, World};
use bobbinet_http::client::{Answer, Client, ClientError, ClientOptions, Credentials};
use bobbinet_wire::v1_0::CardView;

use super::{Options, fault};
use crate::{
    cli::Target,
    failure::{Code, Failure, label},
    node::Running,
    output::printable,
};

/// An agent that somebody means.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    /// Its URL, or its card's.
    pub(crate) url: String,
    /// Its name on its node, if the node runs on this machine.
    pub(crate) name: Option<String>,
    client: ClientOptions,
}

/// Where agents are looked for.
#[derive(Debug)]
pub(crate) struct Resolver {
    target: Target,
    options: Options,
    nodes: Vec<Running>,
}

impl Resolver {
    /// Looks at what runs on this machine.
    pub(crate) fn new(target: Target, options: Options) -> Self {
        let nodes = match &target.data_dir {
            // One that is named and has a node is the only one meant; one that has none may hold the keys of a node elsewhere.
            Some(data) => Running::at(data).map_or_else(Running::all, |node| vec![node]),
            None => Running::all(),
        };
        Self { target, options, nodes }
    }

    /// The one agent that is meant: the one that was named, or the only one there is.
    pub(crate) fn agent(&self) -> Result<Agent, Failure> {
        match &self.target.agent {
            Some(text) => self.named(text),
            None => {
                let mut agents = self.agents();
                if agents.len() > 1 {
                    let names: Vec<&str> = agents.iter().filter_map(|agent| agent.name.as_deref()).collect();
                    let failure = Failure::new(Code::Usage, format!("which agent? There are {}", names.join(", ")));
                    return Err(failure.hint(format!("say which: -a {}", names[0])));
                }
                agents.pop().ok_or_else(nobody)
            }
        }
    }

    /// All agents that may be meant: the one that was named, or all there are.
    pub(crate) fn all(&self) -> Result<Vec<Agent>, Failure> {
        match &self.target.agent {
            Some(text) => Ok(vec![self.named(text)?]),
            None => {
                let agents = self.agents();
                if agents.is_empty() { Err(nobody()) } else { Ok(agents) }
            }
        }
    }

    /// The agent of this name or URL.
    pub(crate) fn named(&self, text: &str) -> Result<Agent, Failure> {
        let is_place = text.contains([':', '/', '.']) || text == "localhost";
        if is_place {
            return Ok(Agent { url: text.to_owned(), name: None, client: self.client(text) });
        }
        let of_name = |agent: &Agent| agent.name.as_deref() == Some(text);
        let mut found: Vec<Agent> = self.all_agents().into_iter().filter(of_name).collect();
        if found.is_empty() {
            let names: Vec<String> = self.all_agents().into_iter().filter_map(|agent| agent.name).collect();
            let failure = Failure::new(Code::CardNotFound, format!("no node on this machine has an agent {text:?}"));
            return Err(match names.is_empty() {
                true => {
                    failure.hint("no node is running here: start one with `bobbinet up`, or name the agent by its URL")
                }
                false => failure.hint(format!("there is {}; or name the agent by its URL", names.join(", "))),
            });
        }
        // The node of the working directory comes first.
        Ok(found.swap_remove(0))
    }

    /// The agents of the node of the working directory, if one runs there; else those of all nodes.
    fn agents(&self) -> Vec<Agent> {
        let is_here =
            |node: &&Running| Path::new(crate::config::DATA).canonicalize().is_ok_and(|data| data == node.data);
        match self.nodes.iter().find(is_here) {
            Some(node) => self.agents_of(node),
            None => self.all_agents(),
        }
    }

    fn all_agents(&self) -> Vec<Agent> {
        self.nodes.iter().flat_map(|node| self.agents_of(node)).collect()
    }

    fn agents_of(&self, node: &Running) -> Vec<Agent> {
        let agent = |(name, url): (&String, &String)| Agent {
            url: url.clone(),
            name: Some(name.clone()),
            client: self.client(url),
        };
        node.agents.iter().map(agent).collect()
    }

    fn client(&self, url: &str) -> ClientOptions {
        ClientOptions {
            credentials: self.credentials(url),
            parameters: self.options.parameters.clone(),
            origin: self.options.origin.clone(),
            is_any_certificate_believed: self.options.is_insecure,
            ..ClientOptions::default()
        }
    }

    /// A key or a token of the caller's own, or a token made with the key of the node that the URL leads to.
    fn credentials(&self, url: &str) -> Credentials {
        let bearer = self.options.bearer.as_ref().map(|bearer| Credentials::Bearer(bearer.0.clone()));
        if let Some(key) = &self.options.api_key {
            return Credentials::ApiKey(key.0.clone(), Box::new(bearer.unwrap_or_default()));
        }
        if let Some(bearer) = bearer {
            return bearer;
        }
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let node = self.nodes.iter().find(|node| node.is_at(&with_scheme)).map(|node| node.data.clone());
        let Some(data) = node.or_else(|| self.target.data_dir.clone()) else { return Credentials::None };
        Credentials::Mint(Arc::new(move |audience| Ok(owner_token(&data, audience, SystemWorld.now())?)))
    }
}

impl Agent {
    /// Fetches its card.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let client = Client::connect(&self.url, self.client.clone()).await.map_err(|error| self.fault(error))?;
        if let Some(detour) = client.detour() {
            let cyan = label();
            anstream::eprintln!("{cyan}warning:{cyan:#} {}", printable(&detour.to_string()));
        }
        Ok(client)
    }

    /// Fetches its card alone, and says why it cannot be called, if it cannot.
    pub(crate) async fn card(&self) -> Result<(Answer<CardView>, Option<Failure>), Failure> {
        match Client::connect(&self.url, self.client.clone()).await {
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

    /// What went wrong with a call of it.
    pub(crate) fn fault(&self, error: ClientError) -> Failure {
        let target = self.name.as_deref().unwrap_or(&self.url);
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
}

fn nobody() -> Failure {
    Failure::new(Code::Unreachable, "no node is running on this machine")
        .hint("start one with `bobbinet up FILE`, or name an agent: -a https://agents.example.com/agents/files")
}
