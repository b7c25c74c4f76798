//! Our own `bobbinet.yaml`: a node and its agents. Unknown settings are refused.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bobbinet_core::AgentName;
use bobbinet_http::CardForm;
use bobbinet_mcp_server::names::Naming;
use bobbinet_outbound::Origin;
use ipnet::IpNet;

use super::{
    AgentConfig, Config, NodeConfig, ServerConfig,
    agent::{self, AGENT_KEYS},
    callers,
    flows::{self, INTERNAL_AGENTS},
    limits::Bounds,
    models::{self, ModelSettings},
    peers::{self, PeerSettings},
    reader::{MapSettings, Reader},
    sampling, share_check, tls,
    tree::{Node, Value},
};

pub(super) const ROOT_KEYS: [&str; 8] =
    ["node", "agents", "peers", "principals", "trust", "api_keys", "policy", "flows"];
const NODE_KEYS: [&str; 17] = [
    "listen",
    "tls",
    "data",
    "public_url",
    "issuer",
    "proxies",
    "cors",
    "limits",
    "pre_stop_delay",
    "grace",
    "otlp",
    "version_required",
    "card",
    "grpc",
    "mcp",
    "wait_max",
    "webhooks",
];
const SERVER_KEYS: [&str; 11] =
    ["command", "args", "env", "env_file", "cwd", "replicas", "url", "urls", "headers", "auth", "transport"];

/// What is said of a server that is started, and means nothing for one that is called.
const COMMAND_KEYS: [&str; 6] = ["command", "args", "env", "env_file", "cwd", "replicas"];

/// Reads the whole file; what cannot be read is a finding, and left at its default.
pub(crate) fn read(reader: &mut Reader<'_>, root: &Node) -> Config {
    let mut config = Config::default();
    let fields = reader.fields(root, "the file", &ROOT_KEYS);
    if let Some(node) = fields.get("node") {
        read_node(reader, node, &mut config);
    }
    match fields.get("agents") {
        Some(node) => (config.agents, config.remotes, config.models) = read_agents(reader, node),
        None if fields.get("flows").is_some() || fields.get("peers").is_some() => {}
        None => {
            let hint = "for example:\n    agents:\n      files:\n        use: filesystem\n        \
                        mcp: { command: [npx, -y, \"@modelcontextprotocol/server-filesystem\", ./docs] }";
            reader.fault_with_hint(fields.at, "there are no agents", hint);
        }
    }
    if let Some(node) = fields.get("peers") {
        config.peers = peers::read_nodes(reader, node);
    }
    let mut own: Vec<AgentName> =
        config.agents.keys().chain(config.remotes.keys()).chain(config.models.keys()).cloned().collect();
    config.flows = flows::read(reader, &fields, own.iter());
    own.extend(config.flows.names().cloned());
    peers::check_fallbacks(reader, fields.get("agents"), &config.remotes, &own);
    own.extend(sampling::own_models(&config.agents));
    if !config.flows.is_empty() {
        // Only flows call them, and policy lines name them.
        own.extend(INTERNAL_AGENTS.iter().filter_map(|name| AgentName::parse(name).ok()));
    }
    // What a node calls its agents is known when it is asked.
    let known = if config.peers.is_empty() { callers::Agents::These(&own) } else { callers::Agents::AndOthers };
    config.callers = callers::read(reader, &fields, config.node.issuer.as_deref(), &config.node.gateway, known);
    let calling = config.agents.iter().filter(|(_, agent)| agent.calls_mesh).map(|(name, _)| name.as_str());
    config.callers.know_servers(calling);
    config
}

fn read_node(reader: &mut Reader<'_>, node: &Node, config: &mut Config) {
    let fields = reader.fields(node, "node", &NODE_KEYS);
    let settings = &mut config.node;
    if let Some(listen) = fields.get("listen").and_then(|node| address(reader, node)) {
        settings.listen = listen;
    }
    if let Some(tls) = fields.get("tls").and_then(|node| tls::read(reader, node)) {
        settings.tls = tls;
    }
    if let Some(data) = fields.get("data").and_then(|node| reader.text(node, "data")) {
        settings.data = reader.source().folder.join(data);
    }
    settings.public_url = fields.get("public_url").and_then(|node| reader.text(node, "public_url"));
    settings.issuer = fields.get("issuer").and_then(|node| callers::read_issuer(reader, node));
    if let Some(node) = fields.get("proxies") {
        let texts = reader.words(node, "proxies");
        settings.proxies = texts.iter().filter_map(|text| network(reader, node, text)).collect();
    }
    if let Some(node) = fields.get("cors") {
        settings.cors = reader.words(node, "cors");
    }
    if let Some(node) = fields.get("webhooks") {
        let texts = reader.words(node, "webhooks");
        settings.webhooks = texts.iter().filter_map(|text| receiver(reader, node, text)).collect();
    }
    settings.otlp = fields.get("otlp").and_then(|node| reader.text(node, "otlp"));
    if let Some(pre_stop_delay) = duration(reader, &fields, "pre_stop_delay") {
        settings.pre_stop_delay = pre_stop_delay;
    }
    if let Some(grace) = duration(reader, &fields, "grace") {
        settings.grace = grace;
    }
    if let Some(flag) = fields.get("version_required").and_then(|node| reader.flag(node, "version_required")) {
        settings.is_version_required = flag;
    }
    if let Some(form) = fields.get("card").and_then(|node| card_form(reader, node)) {
        settings.card = form;
    }
    if let Some(flag) = fields.get("grpc").and_then(|node| reader.flag(node, "grpc")) {
        settings.has_grpc = flag;
    }
    if let Some(node) = fields.get("mcp") {
        read_mcp(reader, node, settings);
    }
    settings.wait_max = duration(reader, &fields, "wait_max");
    if let Some(node) = fields.get("limits") {
        let (mut tasks, mut http) = (Bounds::of(&settings.limits), Bounds::of(&settings.http));
        let (mut gateway, mut blobs) = (Bounds::of(&settings.gateway), Bounds::of(&settings.blobs));
        let known = tasks.names().into_iter().chain(http.names()).chain(gateway.names()).chain(blobs.names());
        let known: Vec<String> = known.map(str::to_owned).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let entries = reader.fields(node, "limits", &known);
        for name in &known {
            if let Some(node) = entries.get(name) {
                tasks.take(reader, name, node);
                http.take(reader, name, node);
                gateway.take(reader, name, node);
                blobs.take(reader, name, node);
            }
        }
        settings.limits = tasks.into_limits();
        settings.http = http.into_limits();
        settings.gateway = gateway.into_limits();
        settings.blobs = blobs.into_limits();
    }
}

/// An address to listen at: with a port, and an IP address, since a name could be any.
pub(crate) fn parse_address(text: &str) -> Option<SocketAddr> {
    let text = text.strip_prefix("localhost").map_or_else(|| text.to_owned(), |rest| format!("127.0.0.1{rest}"));
    let text = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text };
    text.parse().ok()
}

/// The addresses of a proxy: one, or a network such as `10.0.0.0/8`.
pub(crate) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)))
}

/// Whom cards are for, where their reader does not say what it speaks.
fn card_form(reader: &mut Reader<'_>, node: &Node) -> Option<CardForm> {
    match reader.word(node, "card")?.as_str() {
        "1.0" => Some(CardForm::V1_0),
        "0.3" => Some(CardForm::V0_3),
        "hybrid" => Some(CardForm::Hybrid),
        other => {
            let hint = "write 1.0, 0.3, or hybrid for a card that clients of both can read";
            reader.fault_with_hint(node.at, format!("card cannot be {other:?}"), hint);
            None
        }
    }
}

/// Whether there is an MCP server, and what its tools are called.
fn read_mcp(reader: &mut Reader<'_>, node: &Node, settings: &mut NodeConfig) {
    if !matches!(node.value, Value::Map(_)) {
        if let Some(flag) = reader.flag(node, "mcp") {
            settings.has_mcp = flag;
        }
        return;
    }
    let fields = reader.fields(node, "mcp", &["names"]);
    let Some(names) = fields.get("names") else { return };
    match reader.word(names, "names").as_deref() {
        Some("agent__skill") => settings.mcp_naming = Naming::AgentAndSkill,
        Some("transparent") => settings.mcp_naming = Naming::SkillAlone,
        Some(other) => {
            let hint = "write agent__skill, or transparent for tools that are called as their servers call them";
            reader.fault_with_hint(names.at, format!("names cannot be {other:?}"), hint);
        }
        None => {}
    }
}

fn network(reader: &mut Reader<'_>, node: &Node, text: &str) -> Option<IpNet> {
    let network = parse_network(text);
    if network.is_none() {
        let hint = "write an IP address, or a network such as 10.0.0.0/8";
        reader.fault_with_hint(node.at, format!("{text:?} is no address of a proxy"), hint);
    }
    network
}

/// A place that webhooks may lead to though it is not open to everybody.
fn receiver(reader: &mut Reader<'_>, node: &Node, text: &str) -> Option<Origin> {
    let origin = reqwest::Url::parse(text).ok().and_then(|url| Origin::of(&url).ok());
    if origin.is_none() {
        let hint = "write the scheme, host and port of a receiver, such as http://127.0.0.1:9000";
        reader.fault_with_hint(node.at, format!("{text:?} is no receiver of webhooks"), hint);
    }
    origin
}

fn address(reader: &mut Reader<'_>, node: &Node) -> Option<SocketAddr> {
    let text = reader.word(node, "listen")?;
    let address = parse_address(&text);
    if address.is_none() {
        let hint = "write an IP address and a port, such as 127.0.0.1:7420 or 0.0.0.0:7420";
        reader.fault_with_hint(node.at, format!("{text:?} is no address to listen at"), hint);
    }
    address
}

fn duration(reader: &mut Reader<'_>, fields: &MapSettings<'_>, name: &str) -> Option<Duration> {
    let node = fields.get(name)?;
    let text = reader.word(node, name)?;
    match humantime::parse_duration(&text) {
        Ok(duration) => Some(duration),
        Err(_) => {
            reader.fault_with_hint(
                node.at,
                format!("{name} cannot be {text:?}"),
                "write a time such as 500ms, 3s or 10m",
            );
            None
        }
    }
}

type Agents = (BTreeMap<AgentName, AgentConfig>, BTreeMap<AgentName, PeerSettings>, BTreeMap<AgentName, ModelSettings>);

fn read_agents(reader: &mut Reader<'_>, node: &Node) -> Agents {
    let (mut agents, mut remotes, mut models) = Agents::default();
    for (key, node) in reader.entries(node, "agents") {
        let name = match AgentName::parse(&key.text) {
            Ok(name) if INTERNAL_AGENTS.contains(&name.as_str()) => {
                reader.fault_with_hint(
                    key.at,
                    format!("{name} is what flows make requests by"),
                    "call the agent something else",
                );
                None
            }
            Ok(name) => Some(name),
            Err(error) => {
                let hint = "a name has lower-case letters, digits, - and _";
                reader.fault_with_hint(key.at, error.to_string(), hint);
                None
            }
        };
        if peers::is_one(node) {
            let settings = peers::read(reader, node, &key.text);
            remotes.extend(name.zip(settings));
        } else if models::is_one(node) {
            let settings = models::read(reader, node, &key.text);
            models.extend(name.zip(settings));
        } else {
            let config = read_agent(reader, node, &key.text);
            agents.extend(name.map(|name| (name, config)));
        }
    }
    (agents, remotes, models)
}

fn read_agent(reader: &mut Reader<'_>, node: &Node, name: &str) -> AgentConfig {
    let what = format!("agent {name}");
    let known: Vec<&str> = AGENT_KEYS.iter().copied().chain(["mcp", "a2a", "model"]).collect();
    let fields = reader.fields(node, &what, &known);
    let mut config = match fields.get("mcp") {
        Some(server) => read_server(reader, server),
        None => {
            if fields.get("a2a").is_none() && !fields.has_near("mcp") {
                let hint = "say how to start it: mcp: { command: [npx, -y, \"@scope/server\"] }; or where it is: a2a: https://agents.example.com";
                reader.fault_with_hint(fields.at, format!("{what} has no server"), hint);
            }
            AgentConfig::default()
        }
    };
    agent::settings(reader, &fields, &mut config);
    if let Some(server) = fields.get("mcp") {
        share_check::check_replicas(reader, server, &config);
    }
    config
}

fn read_server(reader: &mut Reader<'_>, node: &Node) -> AgentConfig {
    let fields = reader.fields(node, "mcp", &SERVER_KEYS);
    let urls = fields.get("urls").map(|node| several_urls(reader, node)).unwrap_or_default();
    let mut other_urls = Vec::new();
    let mut replicas = None;
    if let (Some((key, _)), Some(_)) = (fields.entry("urls"), fields.get("url")) {
        reader.fault_with_hint(key.at, "url and urls are the same setting", "say one or the other");
    }
    let server = if let Some(url) = fields.get("url").or(urls.first().copied()) {
        other_urls.extend(urls.iter().skip(1).filter_map(|url| agent::server_url(reader, url)));
        for name in COMMAND_KEYS {
            if let Some((key, _)) = fields.entry(name) {
                reader.fault_with_hint(
                    key.at,
                    format!("a server that has a url has no {name}"),
                    "say one or the other",
                );
            }
        }
        let kind = |text: &str| serde_json::from_value(serde_json::Value::from(text)).ok();
        let transport = fields.get("transport").and_then(|node| reader.parsed(node, "transport", kind));
        agent::server_of_url(reader, &fields, url, transport.unwrap_or_default())
    } else if fields.get("urls").is_some() {
        // What is wrong with them has been told.
        ServerConfig::default()
    } else {
        for name in ["headers", "auth", "transport"] {
            if let Some((key, _)) = fields.entry(name) {
                reader.fault_with_hint(key.at, format!("a server that is started has no {name}"), "they go with a url");
            }
        }
        let count = |text: &str| text.parse().ok().filter(|count| (1..=REPLICAS_MAX).contains(count));
        replicas = fields.get("replicas").and_then(|node| reader.parsed(node, "replicas", count));
        agent::server_of_command(reader, &fields, "env_file")
    };
    let mut config = AgentConfig { server, other_urls, replicas, ..AgentConfig::default() };
    agent::server_auth(reader, &fields, &mut config);
    config
}

/// Processes of one server. Each takes some 50 to 130 MB.
const REPLICAS_MAX: usize = 64;

/// The addresses of one server that is in several places.
fn several_urls<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Vec<&'n Node> {
    match &node.value {
        Value::List(urls) if !urls.is_empty() => urls.iter().collect(),
        Value::List(_) => {
            reader.fault(node.at, "urls has no address");
            Vec::new()
        }
        Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
            let hint = "for example urls: [https://a.example.com/mcp, https://b.example.com/mcp]";
            reader.fault_with_hint(node.at, format!("urls is a list of addresses, and here is {}", node.kind()), hint);
            Vec::new()
        }
    }
}
