//! Agents that are somewhere else: where, how they are shown who calls, and who stands in for them.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use bobbinet_core::{AgentName, Effect};
use bobbinet_http::client::{CardKeys, Origin as CalledAt};
use bobbinet_outbound::{ClientTlsFiles, Origin};
use bobbinet_text::nearest;
use reqwest::Url;

use super::{
    cards,
    reader::{MapSettings, Reader},
    tls,
    tree::{Node, Value},
};

const PEER_KEYS: [&str; 11] =
    ["a2a", "auth", "tls", "card_keys", "fallback", "effect", "origin", "timeout", "slots", "title", "description"];
const NODE_PEER_KEYS: [&str; 4] = ["url", "auth", "tls", "card_keys"];
const AUTH_KEYS: [&str; 5] = ["node", "bearer", "file", "api_key", "client"];
const CLIENT_KEYS: [&str; 5] = ["token_url", "id", "secret", "secret_file", "scope"];

const URL_HINT: &str = "write the URL of an agent or of its card, such as https://agents.example.com/agents/planner";
const AUTH_HINT: &str = "say auth: none, auth: node (a short token of this node), or one of { node: NAME }, { bearer: TOKEN }, \
                         { file: PATH }, { api_key: KEY } and { client: { token_url, id, secret } }";

/// One agent that is somewhere else.
#[derive(Clone, Debug)]
pub(crate) struct PeerSettings {
    pub(crate) url: Url,
    pub(crate) auth: AuthSettings,
    /// Whose certificates are believed there, and which one is shown.
    pub(crate) tls: ClientTlsFiles,
    /// Who must have signed its card.
    pub(crate) card_keys: Option<CardKeys>,
    pub(crate) fallback: Option<AgentName>,
    pub(crate) effect: Option<Effect>,
    pub(crate) origin: Option<CalledAt>,
    pub(crate) silence_max: Option<Duration>,
    pub(crate) slots: Option<usize>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
}

impl PeerSettings {
    /// One of which nothing else is said.
    pub(crate) fn new(url: Url, auth: AuthSettings) -> Self {
        Self {
            url,
            auth,
            tls: ClientTlsFiles::default(),
            card_keys: None,
            fallback: None,
            effect: None,
            origin: None,
            silence_max: None,
            slots: None,
            title: None,
            description: None,
        }
    }
}

/// A node all of whose agents are agents of this one, or an agent by its URL.
#[derive(Clone, Debug)]
pub(crate) struct NodePeer {
    pub(crate) url: Url,
    pub(crate) auth: AuthSettings,
    /// Whose certificates are believed there, and which one is shown.
    pub(crate) tls: ClientTlsFiles,
    /// Who must have signed its cards.
    pub(crate) card_keys: Option<CardKeys>,
    /// What it is called here, if it is one agent.
    pub(crate) name: Option<AgentName>,
}

/// How a peer is shown who calls.
#[derive(Clone, Default)]
pub(crate) enum AuthSettings {
    /// With a token of this node if others know it by a name, else not at all.
    #[default]
    Default,
    /// Not at all.
    None,
    /// With a short token of this node, as this subject.
    Node(Option<String>),
    /// With this token.
    Bearer(String),
    /// With the token in this file.
    File(PathBuf),
    /// With this API key.
    ApiKey(String),
    /// With a token of an authorization server.
    Client(ClientSettings),
}

/// This node as a client of an authorization server.
#[derive(Clone)]
pub(crate) struct ClientSettings {
    pub(crate) token_url: Url,
    pub(crate) id: String,
    /// The secret, or the file with it.
    pub(crate) secret: Result<String, PathBuf>,
    pub(crate) scope: Option<String>,
}

impl AuthSettings {
    /// The file that holds what is secret, if there is one.
    pub(crate) fn secret_file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Client(client) => client.secret.as_ref().err().map(PathBuf::as_path),
            Self::Default | Self::None | Self::Node(_) | Self::Bearer(_) | Self::ApiKey(_) => None,
        }
    }
}

/// Without what is secret.
impl fmt::Debug for AuthSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl AuthSettings {
    /// What kind it is, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::None => "none",
            Self::Node(_) => "node",
            Self::Bearer(_) => "bearer",
            Self::File(_) => "file",
            Self::ApiKey(_) => "api_key",
            Self::Client(_) => "client",
        }
    }
}

/// A URL that can be called.
pub(crate) fn peer_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("{text:?} is no URL"))?;
    Origin::of(&url).map_err(|refused| refused.to_string())?;
    Ok(url)
}

/// Whether an agent of the file is somewhere else.
pub(super) fn is_one(node: &Node) -> bool {
    matches!(&node.value, Value::Map(entries) if entries.iter().any(|(key, _)| key.text == "a2a"))
}

/// Reads one agent that is somewhere else.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<PeerSettings> {
    let what = format!("agent {name}");
    let fields = reader.fields(node, &what, &PEER_KEYS);
    let auth = read_auth(reader, &fields);
    let tls = tls::read_client(reader, &fields);
    let card_keys = read_card_keys(reader, &fields);
    let name = |text: &str| AgentName::parse(text).ok();
    let fallback = fields.get("fallback").and_then(|node| reader.parsed(node, "fallback", name));
    let effect = fields.get("effect").and_then(|node| cards::effect(reader, node));
    let origin = fields.get("origin").and_then(|node| reader.parsed(node, "origin", |text| CalledAt::parse(text).ok()));
    let silence_max = fields.get("timeout").and_then(|node| cards::timeout(reader, node));
    let positive = |text: &str| text.parse().ok().filter(|slots| *slots > 0);
    let slots = fields.get("slots").and_then(|node| reader.parsed(node, "slots", positive));
    let title = fields.get("title").and_then(|node| reader.text(node, "title"));
    let description = fields.get("description").and_then(|node| reader.text(node, "description"));
    let url = match fields.get("a2a") {
        Some(node) => read_url(reader, node)?,
        None => {
            reader.fault_with_hint(fields.at, format!("{what} is nowhere"), URL_HINT);
            return None;
        }
    };
    Some(PeerSettings { url, auth, tls, card_keys, fallback, effect, origin, silence_max, slots, title, description })
}

/// Reads the nodes whose agents are agents of this one.
pub(super) fn read_nodes(reader: &mut Reader<'_>, node: &Node) -> Vec<NodePeer> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
            let hint = "write a list: peers: [https://agents.example.com]";
            reader.fault_with_hint(node.at, format!("peers is a list, and here is {}", node.kind()), hint);
            &[]
        }
    };
    let mut peers: Vec<NodePeer> = Vec::new();
    for item in items {
        let read = match &item.value {
            Value::Text(_) => {
                read_url(reader, item).map(|url| (url, AuthSettings::Default, ClientTlsFiles::default(), None))
            }
            Value::Map(_) => {
                let fields = reader.fields(item, "a peer", &NODE_PEER_KEYS);
                let auth = read_auth(reader, &fields);
                let tls = tls::read_client(reader, &fields);
                let card_keys = read_card_keys(reader, &fields);
                match fields.get("url") {
                    Some(node) => read_url(reader, node).map(|url| (url, auth, tls, card_keys)),
                    None => {
                        reader.fault_with_hint(
                            fields.at,
                            "a peer is nowhere",
                            "say where it is: url: https://agents.example.com",
                        );
                        None
                    }
                }
            }
            Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::List(_) => {
                let hint = "write the URL of a node or of an agent, or { url, auth }";
                reader.fault_with_hint(item.at, format!("a peer is a URL, and here is {}", item.kind()), hint);
                None
            }
        };
        let Some((url, auth, tls, card_keys)) = read else { continue };
        if peers.iter().any(|known| known.url == url) {
            reader.fault(item.at, format!("{url} stands here twice"));
        } else {
            peers.push(NodePeer { url, auth, tls, card_keys, name: None });
        }
    }
    peers
}

/// Whoever stands in for a peer is an agent of this node, and not the peer itself.
pub(super) fn check_fallbacks(
    reader: &mut Reader<'_>,
    agents: Option<&Node>,
    remotes: &BTreeMap<AgentName, PeerSettings>,
    known: &[AgentName],
) {
    let Some(Value::Map(entries)) = agents.map(|node| &node.value) else { return };
    for (key, _) in entries {
        let Some(fallback) = remotes.get(key.text.as_str()).and_then(|peer| peer.fallback.as_ref()) else { continue };
        if fallback.as_str() == key.text {
            reader.fault(key.at, format!("agent {fallback} cannot stand in for itself"));
        } else if !known.contains(fallback) {
            let names: Vec<&str> = known.iter().map(AgentName::as_str).filter(|name| *name != key.text).collect();
            let hint = match nearest(fallback.as_str(), &names) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("there is {}", names.join(", ")),
            };
            reader.fault_with_hint(
                key.at,
                format!("there is no agent {:?} to stand in for {}", fallback.as_str(), key.text),
                hint,
            );
        }
    }
}

fn read_url(reader: &mut Reader<'_>, node: &Node) -> Option<Url> {
    let text = reader.text(node, "a URL")?;
    match peer_url(&text) {
        Ok(url) => Some(url),
        Err(why) => {
            reader.fault_with_hint(node.at, why, URL_HINT);
            None
        }
    }
}

/// Who must have signed a peer's card: a file with a JWK set, or the keys' thumbprints.
fn read_card_keys(reader: &mut Reader<'_>, fields: &MapSettings<'_>) -> Option<CardKeys> {
    let node = fields.get("card_keys")?;
    let hint = "name a file with a JWK set: card_keys: ./peer.jwks.json; or the thumbprints that `bobbinet card verify` prints: card_keys: [...]";
    let read = match &node.value {
        Value::Text(_) => {
            let path = reader.source().folder.join(reader.text(node, "card_keys")?);
            let text = std::fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()));
            text.and_then(|text| CardKeys::of_set(&text).map_err(|fault| format!("{}: {fault}", path.display())))
        }
        Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
            let words = reader.words(node, "card_keys");
            match words.is_empty() {
                true => Err("card_keys has no key".to_owned()),
                false => {
                    CardKeys::of_thumbprints(words).map_err(|wrong| format!("{wrong:?} is no thumbprint of a key"))
                }
            }
        }
    };
    read.map_err(|why| reader.fault_with_hint(node.at, why, hint)).ok()
}

fn read_auth(reader: &mut Reader<'_>, fields: &MapSettings<'_>) -> AuthSettings {
    let Some(node) = fields.get("auth") else { return AuthSettings::Default };
    match &node.value {
        Value::Text(word) if word == "none" => AuthSettings::None,
        Value::Text(word) if word == "node" => AuthSettings::Node(None),
        Value::Map(_) => read_auth_map(reader, node).unwrap_or_default(),
        Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
            reader.fault_with_hint(node.at, "auth cannot be that", AUTH_HINT);
            AuthSettings::Default
        }
    }
}

fn read_auth_map(reader: &mut Reader<'_>, node: &Node) -> Option<AuthSettings> {
    let fields = reader.fields(node, "auth", &AUTH_KEYS);
    let given: Vec<&str> = AUTH_KEYS.into_iter().filter(|key| fields.get(key).is_some()).collect();
    let [only] = given.as_slice() else {
        if given.len() > 1 || !AUTH_KEYS.iter().any(|key| fields.has_near(key)) {
            reader.fault_with_hint(node.at, "auth says one way", AUTH_HINT);
        }
        return None;
    };
    let value = fields.get(only)?;
    Some(match *only {
        "node" => AuthSettings::Node(Some(reader.text(value, "the name that the peer knows this node by")?)),
        "bearer" => AuthSettings::Bearer(reader.word(value, "a token")?),
        "api_key" => AuthSettings::ApiKey(reader.word(value, "an API key")?),
        "file" => AuthSettings::File(reader.source().folder.join(reader.text(value, "a file")?)),
        _ => AuthSettings::Client(read_client(reader, value)?),
    })
}

fn read_client(reader: &mut Reader<'_>, node: &Node) -> Option<ClientSettings> {
    let fields = reader.fields(node, "client", &CLIENT_KEYS);
    let token_url = fields.get("token_url").and_then(|node| read_url(reader, node));
    let id = fields.get("id").and_then(|node| reader.word(node, "id"));
    let secret = fields.get("secret").and_then(|node| reader.word(node, "secret"));
    let file = fields.get("secret_file").and_then(|node| reader.text(node, "secret_file"));
    let file = file.map(|file| reader.source().folder.join(file));
    let scope = fields.get("scope").and_then(|node| reader.word(node, "scope"));
    let secret = match (secret, file) {
        (Some(secret), None) => Some(Ok(secret)),
        (None, Some(file)) => Some(Err(file)),
        (Some(_), Some(_)) | (None, None) => None,
    };
    match (token_url, id, secret) {
        (Some(token_url), Some(id), Some(secret)) => Some(ClientSettings { token_url, id, secret, scope }),
        _ => {
            let hint = "for example { token_url: https://idp.example.com/token, id: node, secret_file: ./secret }";
            reader.fault_with_hint(
                fields.at,
                "a client has a token_url, an id, and one of secret and secret_file",
                hint,
            );
            None
        }
    }
}
