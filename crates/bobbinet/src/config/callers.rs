//! Who may call beside the node's owner: `principals`, `trust`, `api_keys` and `policy` of a `bobbinet.yaml`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bobbinet_auth::{
    Algorithm, ApiKeys, CertificateName, CertifiedPrincipal, FileKeys, Issuer, KeySet, LIFETIME_CONFIGURED_MAX,
    LineFault, Lines, NODE_ISSUER, NODE_OWNER, NODE_TENANT, NamedPrincipal, Policy, PolicyLine, RemoteKeys,
    SUBJECT_MARK, TokenTypes,
};
use bobbinet_core::{AgentName, Principal, Tenant};
use bobbinet_gateway::{CallerLimits, GatewayLimits, NamedCallerLimits};
use bobbinet_http::client::{DiscoveredJwks, HttpJwks};
use bobbinet_text::{Position, nearest};

use super::{
    agent::mesh_subject,
    excerpt::Excerpt,
    finding::{Finding, Severity},
    reader::{MapSettings, Reader},
    tree::{Node, Value},
};

const PRINCIPAL_KEYS: [&str; 4] = ["tenant", "life", "limits", "certificate"];
const LIMIT_KEYS: [&str; 2] = ["requests", "requests_per_second"];
const TRUST_KEYS: [&str; 8] = ["issuer", "jwks", "algorithms", "typ", "audience", "tenant", "life", "principals"];
const JWKS_KEYS: [&str; 3] = ["file", "url", "tls"];
const LINE_KEYS: [&str; 2] = ["allow", "on"];

/// Algorithms that an issuer may be told to use, the first three if nothing is said.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("EdDSA", Algorithm::EdDSA),
    ("ES256", Algorithm::ES256),
    ("RS256", Algorithm::RS256),
    ("ES384", Algorithm::ES384),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
];

/// How many of those are taken if nothing is said.
const ALGORITHMS_DEFAULT: usize = 3;

/// Characters of an issuer's name: with its subjects' it makes a principal.
const ISSUER_LENGTH_MAX: usize = 128;

/// Who may call, and what they may. Without any of it the node's owner may do everything, and nobody else anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallersConfig {
    /// Those whom the node itself makes tokens for, by name.
    pub(crate) principals: BTreeMap<String, NamedPrincipal>,
    /// Those of them who are known by their certificates.
    pub(crate) certified: Vec<CertifiedPrincipal>,
    /// Others whose tokens are taken.
    pub(crate) trust: Vec<Issuer>,
    /// Which API keys are taken.
    pub(crate) api_keys: ApiKeysConfig,
    /// Those who may ask for more than others, or for less.
    pub(crate) limits: NamedCallerLimits,
    /// What those may do; `None` for nothing.
    pub(crate) policy: Option<Policy>,
}

/// Which API keys are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ApiKeysConfig {
    /// Those that were made in the node's key folder.
    #[default]
    KeyFolder,
    /// Those in this file.
    File(PathBuf),
    /// None.
    Off,
}

/// The agents that a line of the policy may name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Agents<'a> {
    /// These.
    These(&'a [AgentName]),
    /// Some whose names are not known yet.
    AndOthers,
}

/// Reads all that a file says of callers. `issuer` is the node's own name as one, and `usual` what callers may ask of whom nothing else
/// is said.
pub(crate) fn read<'n>(
    reader: &mut Reader<'_>,
    fields: &MapSettings<'_>,
    issuer: Option<&str>,
    usual: &GatewayLimits,
    agents: Agents<'n>,
) -> CallersConfig {
    let mut config = CallersConfig::default();
    if let Some(node) = fields.get("principals") {
        (config.principals, config.certified, config.limits) = read_principals(reader, node, usual);
    }
    if let Some(node) = fields.get("api_keys") {
        config.api_keys = read_api_keys(reader, node);
    }
    if let Some(node) = fields.get("trust") {
        let own: Vec<&str> = issuer.into_iter().chain([NODE_ISSUER]).collect();
        config.trust = read_trust(reader, node, &own, &config.principals);
    }
    if let Some(node) = fields.get("policy") {
        config.policy = read_policy(reader, node, agents);
    }
    let unheard = fields.entry("principals").or_else(|| fields.entry("trust"));
    if let Some((key, _)) = unheard.filter(|_| fields.get("policy").is_none()) {
        let hint = "for example:\n    policy:\n      - { allow: \"caller.principal == 'crypto' && skill == 'sign'\", on: vault }";
        reader.note(key.at, "without a policy, nobody but the node's owner may do anything", Some(hint.to_owned()));
    }
    config
}

/// The name that other nodes know this one's tokens by.
pub(crate) fn read_issuer(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = reader.text(node, "issuer")?;
    match issuer_fault(&name).or_else(|| (name == NODE_ISSUER).then(|| "is what every node calls itself".to_owned())) {
        Some(why) => {
            let hint = "take the URL of the node, which nobody else has: https://agents.example.com";
            reader.fault_with_hint(node.at, format!("issuer {name:?} {why}"), hint);
            None
        }
        None => Some(name),
    }
}

fn issuer_fault(name: &str) -> Option<String> {
    if name.is_empty() || name.chars().nth(ISSUER_LENGTH_MAX).is_some() {
        return Some(format!("must have from 1 to {ISSUER_LENGTH_MAX} characters"));
    }
    if name.contains(SUBJECT_MARK) {
        return Some(format!("may not have a {SUBJECT_MARK}: that is what ends an issuer's name in a principal's"));
    }
    Principal::parse(name).err().map(|error| error.to_string())
}

/// How long a server may show the token that it was started with, unless its name has a `life`: it is given none anew before it is started
/// again.
const SERVER_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl CallersConfig {
    /// Makes known the servers of these agents, which call other agents under names of their own.
    pub(crate) fn know_servers<'a>(&mut self, agents: impl Iterator<Item = &'a str>) {
        for subject in agents.map(mesh_subject) {
            let (Ok(principal), Ok(tenant)) = (Principal::parse(&subject), Tenant::parse(NODE_TENANT)) else {
                continue;
            };
            let known =
                self.principals.entry(subject).or_insert(NamedPrincipal { principal, tenant, lifetime_max: None });
            known.lifetime_max.get_or_insert(SERVER_LIFE);
        }
    }
}

fn read_principals(
    reader: &mut Reader<'_>,
    node: &Node,
    usual: &GatewayLimits,
) -> (BTreeMap<String, NamedPrincipal>, Vec<CertifiedPrincipal>, NamedCallerLimits) {
    let (mut principals, mut named) = (BTreeMap::new(), NamedCallerLimits::new());
    let mut certified: Vec<CertifiedPrincipal> = Vec::new();
    for (key, node) in reader.entries(node, "principals") {
        let what = format!("principal {}", key.text);
        let fields = reader.fields(node, &what, &PRINCIPAL_KEYS);
        let tenant = read_tenant(reader, &fields);
        let lifetime_max = fields.get("life").and_then(|node| read_life(reader, node));
        let limits = fields.get("limits").map(|node| read_limits(reader, node, &what, usual));
        let principal = match Principal::parse(&key.text) {
            Ok(_) if key.text == NODE_OWNER => Err(format!("{NODE_OWNER} is the node's owner, and needs no line here")),
            Ok(_) if key.text.contains(SUBJECT_MARK) => {
                Err(format!("a name of yours has no {SUBJECT_MARK}: that ends an issuer's name"))
            }
            Ok(principal) => Ok(principal),
            Err(error) => Err(error.to_string()),
        };
        let names =
            fields.get("certificate").map(|node| read_certificates(reader, node, &certified)).unwrap_or_default();
        match principal {
            Ok(principal) => {
                named.extend(limits.map(|limits| ((tenant.clone(), principal.clone()), limits)));
                let principal = NamedPrincipal { principal, tenant, lifetime_max };
                let known_by = |name| CertifiedPrincipal { name, principal: principal.clone() };
                certified.extend(names.into_iter().map(known_by));
                principals.insert(key.text.clone(), principal);
            }
            Err(why) => reader.fault(key.at, why),
        }
    }
    (principals, certified, named)
}

/// The names in certificates that a principal is known by: one, or a list.
fn read_certificates(reader: &mut Reader<'_>, node: &Node, known: &[CertifiedPrincipal]) -> Vec<CertificateName> {
    let words = match &node.value {
        Value::Text(_) => reader.text(node, "certificate").into_iter().collect(),
        Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
            reader.words(node, "certificate")
        }
    };
    let mut names = Vec::new();
    for word in words {
        let fault = match CertificateName::parse(&word) {
            Ok(name) if known.iter().any(|known| known.name == name) => "is another principal's already".to_owned(),
            Ok(name) => {
                names.push(name);
                continue;
            }
            Err(why) => format!("is no name in a certificate: {why}"),
        };
        let hint = "take a URI or a DNS name of its subjectAltName, or all of its subject: spiffe://prod/cart, cart.example.com, CN=cart,O=Shop";
        reader.fault_with_hint(node.at, format!("{word:?} {fault}"), hint);
    }
    names
}

/// What one principal may ask for; what is not said stays as it is for all.
fn read_limits(reader: &mut Reader<'_>, node: &Node, what: &str, usual: &GatewayLimits) -> CallerLimits {
    let fields = reader.fields(node, &format!("limits of {what}"), &LIMIT_KEYS);
    let mut number = |name: &str| {
        let node = fields.get(name)?;
        reader.parsed(node, name, |text| text.replace('_', "").parse::<u32>().ok())
    };
    let mut limits = CallerLimits::of(usual);
    if let Some(max) = number("requests") {
        limits.requests_max = usize::try_from(max).unwrap_or(usize::MAX);
    }
    if let Some(max) = number("requests_per_second") {
        limits.requests_per_second_max = max;
    }
    limits
}

/// `false`, or a file of hashes.
fn read_api_keys(reader: &mut Reader<'_>, node: &Node) -> ApiKeysConfig {
    let hint = "say false for none, or name a file that `bobbinet key create --file` has made; nothing said means those of the key folder";
    match &node.value {
        Value::Flag(false, _) => ApiKeysConfig::Off,
        Value::Flag(true, _) => ApiKeysConfig::KeyFolder,
        Value::Text(_) => {
            let Some(text) = reader.text(node, "api_keys") else { return ApiKeysConfig::Off };
            let path = reader.source().folder.join(text);
            match ApiKeys::open(&path) {
                Ok(_) if path.is_file() => {}
                Ok(_) => reader.fault_with_hint(node.at, format!("there is no file {}", path.display()), hint),
                Err(error) => reader.fault_with_hint(node.at, error.to_string(), hint),
            }
            ApiKeysConfig::File(path)
        }
        Value::Null(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
            reader.fault_with_hint(node.at, format!("api_keys is a file, or false, and here is {}", node.kind()), hint);
            ApiKeysConfig::Off
        }
    }
}

fn read_tenant(reader: &mut Reader<'_>, fields: &MapSettings<'_>) -> Tenant {
    let parse = |text: &str| Tenant::parse(text).ok();
    let tenant = fields.get("tenant").and_then(|node| reader.parsed(node, "tenant", parse));
    tenant.unwrap_or_else(|| Tenant::parse(NODE_TENANT).expect("a well-formed tenant"))
}

/// The longest life of a token.
fn read_life(reader: &mut Reader<'_>, node: &Node) -> Option<Duration> {
    let text = reader.word(node, "life")?;
    let life = humantime::parse_duration(&text).ok();
    let is_fit = |life: &Duration| (Duration::from_secs(1)..=LIFETIME_CONFIGURED_MAX).contains(life);
    let life = life.filter(is_fit);
    if life.is_none() {
        let days = LIFETIME_CONFIGURED_MAX.as_secs() / 86_400;
        let hint = format!("write a time such as 1h or 30d, at most {days}d: a token cannot be called back");
        reader.fault_with_hint(node.at, format!("life cannot be {text:?}"), hint);
    }
    life
}

fn items<'n>(reader: &mut Reader<'_>, node: &'n Node, what: &str) -> &'n [Node] {
    match &node.value {
        Value::List(items) => items,
        Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
            reader.fault(node.at, format!("{what} is a list, and here is {}", node.kind()));
            &[]
        }
    }
}

fn read_trust(
    reader: &mut Reader<'_>,
    node: &Node,
    own: &[&str],
    principals: &BTreeMap<String, NamedPrincipal>,
) -> Vec<Issuer> {
    let mut issuers: Vec<Issuer> = Vec::new();
    for node in items(reader, node, "trust") {
        let fields = reader.fields(node, "an issuer", &TRUST_KEYS);
        let name = read_trusted_name(reader, &fields, own, &issuers);
        let algorithms = read_algorithms(reader, &fields);
        let (keys, discovery) = match (fields.get("jwks"), &name) {
            (None, Some(name)) if !fields.has_near("jwks") => discovered(reader, &fields, name, &algorithms),
            (Some(_) | None, _) => (read_jwks(reader, &fields, &algorithms), None),
        };
        let tenant = read_tenant(reader, &fields);
        let types = |text: &str| match text {
            "at+jwt" => Some(TokenTypes::AccessTokens),
            "any" => Some(TokenTypes::Any),
            _ => None,
        };
        let tokens = fields.get("typ").and_then(|node| reader.parsed(node, "typ", types)).unwrap_or_default();
        let audience = fields.get("audience").and_then(|node| reader.text(node, "audience"));
        let lifetime_max = fields.get("life").and_then(|node| read_life(reader, node));
        let named = match fields.get("principals") {
            Some(node) => read_named(reader, node, principals),
            None => BTreeMap::new(),
        };
        if let (Some(name), Some(keys)) = (name, keys) {
            let issuer = Issuer::trusted(name, keys, algorithms, tenant);
            issuers.push(Issuer { tokens, audience, lifetime_max, principals: named, discovery, ..issuer });
        }
    }
    issuers
}

fn read_trusted_name(
    reader: &mut Reader<'_>,
    fields: &MapSettings<'_>,
    own: &[&str],
    issuers: &[Issuer],
) -> Option<String> {
    let Some(node) = fields.get("issuer") else {
        if !fields.has_near("issuer") {
            let hint = "say what its tokens have as iss: issuer: https://idp.example.com";
            reader.fault_with_hint(fields.at, "an issuer has no name", hint);
        }
        return None;
    };
    let name = reader.text(node, "issuer")?;
    let fault = if own.contains(&name.as_str()) {
        Some("is this node itself, whose tokens are taken anyway".to_owned())
    } else if issuers.iter().any(|issuer| issuer.name == name) {
        Some("stands here twice".to_owned())
    } else {
        issuer_fault(&name)
    };
    let hint = match name == NODE_ISSUER {
        true => "another node needs a name of its own: say node: { issuer: … } there, and the same here",
        false => "take the iss of its tokens, as it is spelled there",
    };
    match fault {
        Some(why) => {
            reader.fault_with_hint(node.at, format!("issuer {name:?} {why}"), hint);
            None
        }
        None => Some(name),
    }
}

fn read_algorithms(reader: &mut Reader<'_>, fields: &MapSettings<'_>) -> Vec<Algorithm> {
    let default = || ALGORITHMS[..ALGORITHMS_DEFAULT].iter().map(|(_, algorithm)| *algorithm).collect();
    let Some(node) = fields.get("algorithms") else { return default() };
    let mut algorithms = Vec::new();
    for word in reader.words(node, "algorithms") {
        match ALGORITHMS.iter().find(|(name, _)| *name == word) {
            Some((_, algorithm)) => algorithms.push(*algorithm),
            None => {
                let hint = format!("there is {}", ALGORITHMS.map(|(name, _)| name).join(", "));
                reader.fault_with_hint(node.at, format!("{word:?} is no algorithm that an issuer may use"), hint);
            }
        }
    }
    if algorithms.is_empty() { default() } else { algorithms }
}

/// The keys of an issuer of whom nothing is said but its name, and where its OpenID configuration is.
fn discovered(
    reader: &mut Reader<'_>,
    fields: &MapSettings<'_>,
    name: &str,
    algorithms: &[Algorithm],
) -> (Option<Arc<dyn KeySet>>, Option<String>) {
    match DiscoveredJwks::new(name) {
        Ok(fetch) => {
            let url = fetch.url().to_owned();
            let keys: Arc<dyn KeySet> = Arc::new(RemoteKeys::new(url.clone(), algorithms.to_vec(), Arc::new(fetch)));
            (Some(keys), Some(url))
        }
        Err(fault) => {
            let at = fields.get("issuer").map_or(fields.at, |node| node.at);
            reader.fault_with_hint(at, format!("an issuer's keys cannot be found by its name: {fault}"), JWKS_HINT);
            (None, None)
        }
    }
}

const JWKS_HINT: &str =
    "say where they are: jwks: { url: https://idp.example.com/jwks.json }, or jwks: { file: ./jwks.json }";

fn read_jwks(reader: &mut Reader<'_>, fields: &MapSettings<'_>, algorithms: &[Algorithm]) -> Option<Arc<dyn KeySet>> {
    let hint = JWKS_HINT;
    let Some(node) = fields.get("jwks") else {
        if !fields.has_near("jwks") {
            reader.fault_with_hint(fields.at, "an issuer has no keys", hint);
        }
        return None;
    };
    let source = reader.fields(node, "jwks", &JWKS_KEYS);
    let is_without_tls = match source.get("tls") {
        None => false,
        Some(node) => {
            // "off" is a flag to some who write YAML.
            let is_off = matches!(&node.value, Value::Flag(false, _))
                || matches!(&node.value, Value::Text(word) if word == "off");
            if !is_off || source.get("url").is_none() {
                let hint = "say it of an http URL, where you answer for all that stands in between: jwks: { url: http://…, tls: off }";
                reader.fault_with_hint(node.at, "tls of a jwks can only be off, beside a url", hint);
            }
            is_off
        }
    };
    match (source.get("file"), source.get("url")) {
        (Some(file), None) => {
            let path = reader.source().folder.join(reader.text(file, "file")?);
            match FileKeys::open(&path, algorithms.to_vec()) {
                Ok(keys) => Some(Arc::new(keys)),
                Err(fault) => {
                    let hint = "a JWK set, such as `bobbinet key jwks` prints of a node";
                    reader.fault_with_hint(file.at, fault.to_string(), hint);
                    None
                }
            }
        }
        (None, Some(node)) => {
            let url = reader.text(node, "url")?;
            let fetch = if is_without_tls { HttpJwks::without_tls(&url) } else { HttpJwks::new(&url) };
            match fetch {
                Ok(fetch) => {
                    Some(Arc::new(RemoteKeys::new(fetch.url().to_owned(), algorithms.to_vec(), Arc::new(fetch))))
                }
                Err(fault) => {
                    let is_plain = url.starts_with("http://") && !is_without_tls;
                    let answered =
                        "where you answer for all that stands in between, say so: jwks: { url: http://…, tls: off }";
                    reader.fault_with_hint(node.at, fault.to_string(), if is_plain { answered } else { hint });
                    None
                }
            }
        }
        (Some(_), Some(_)) | (None, None) => {
            reader.fault_with_hint(node.at, "jwks has one of file and url", hint);
            None
        }
    }
}

/// Which of an issuer's subjects are whom here.
fn read_named(
    reader: &mut Reader<'_>,
    node: &Node,
    principals: &BTreeMap<String, NamedPrincipal>,
) -> BTreeMap<String, NamedPrincipal> {
    let mut named = BTreeMap::new();
    for (key, node) in reader.entries(node, "principals") {
        let Some(name) = reader.text(node, "a principal's name") else { continue };
        match principals.get(&name) {
            // How long his tokens live is his issuer's to say.
            Some(principal) => {
                named.insert(key.text.clone(), NamedPrincipal { lifetime_max: None, ..principal.clone() });
            }
            None => {
                let known: Vec<&str> = principals.keys().map(String::as_str).collect();
                let hint = match nearest(&name, &known) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => format!("name his tenant: principals: {{ {name}: {{ tenant: … }} }}"),
                };
                reader.fault_with_hint(node.at, format!("there is no principal {name:?}"), hint);
            }
        }
    }
    named
}

fn read_policy(reader: &mut Reader<'_>, node: &Node, agents: Agents<'_>) -> Option<Policy> {
    let before = reader.findings.len();
    let mut lines = Vec::new();
    for item in items(reader, node, "policy") {
        lines.extend(read_line(reader, item, agents));
    }
    if lines.is_empty() || reader.findings[before..].iter().any(Finding::is_error) {
        return None;
    }
    match Lines::new(lines) {
        Ok(lines) => Some(Policy::new(lines)),
        Err(why) => {
            reader.fault(node.at, why);
            None
        }
    }
}

fn read_line(reader: &mut Reader<'_>, item: &Node, agents: Agents<'_>) -> Option<PolicyLine> {
    let fields = reader.fields(item, "a line of the policy", &LINE_KEYS);
    let on = fields.get("on").map(|node| read_on(reader, node, agents));
    let Some(allow) = fields.get("allow") else {
        if !fields.has_near("allow") {
            let hint = "say who may do what: allow: \"caller.principal == 'crypto' && skill == 'sign'\"";
            reader.fault_with_hint(fields.at, "a line of the policy allows nothing", hint);
        }
        return None;
    };
    // As it is written: a $ in it is CEL's business.
    let Some(text) = allow.as_written() else {
        reader.fault(allow.at, format!("allow is a text, and here is {}", allow.kind()));
        return None;
    };
    let place = format!("{}:{}", reader.source().name, allow.at.line);
    match PolicyLine::parse(place, text, on.unwrap_or_default()) {
        Ok(line) => Some(line),
        Err(fault) => {
            let finding = line_finding(reader, allow, text, fault);
            reader.findings.push(finding);
            None
        }
    }
}

fn read_on(reader: &mut Reader<'_>, node: &Node, agents: Agents<'_>) -> Vec<AgentName> {
    let words = match &node.value {
        Value::Text(_) => reader.text(node, "on").into_iter().collect(),
        Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
            reader.words(node, "on")
        }
    };
    if words.is_empty() {
        reader.fault_with_hint(node.at, "on names no agent", "leave it out for all agents");
    }
    let known: Vec<&str> = match agents {
        Agents::These(names) => names.iter().map(AgentName::as_str).collect(),
        Agents::AndOthers => Vec::new(),
    };
    let mut names = Vec::new();
    for word in words {
        let is_fit = matches!(agents, Agents::AndOthers) || known.contains(&word.as_str());
        match AgentName::parse(&word).ok().filter(|_| is_fit) {
            Some(name) => names.push(name),
            None => {
                let hint = match nearest(&word, &known) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => format!("there is {}", known.join(", ")),
                };
                reader.fault_with_hint(node.at, format!("there is no agent {word:?}"), hint);
            }
        }
    }
    names
}

/// A finding at the place in the file that a fault of a line is at. The line is shown as it stands: it says who may do what, and there
/// is no secret in that.
fn line_finding(reader: &Reader<'_>, node: &Node, text: &str, fault: LineFault) -> Finding {
    let source = reader.source();
    let written = |line: usize| source.text.lines().nth(line - 1).unwrap_or_default();
    // A block stands in the file as it is read, each of its lines behind the same indent; what is folded does not.
    let line = node.at.line + fault.line - 1;
    let mut behind = written(line).chars().skip(node.at.column.saturating_sub(1)).peekable();
    let quote = usize::from(fault.line == 1 && matches!(behind.peek(), Some('"' | '\'')));
    let before: Vec<char> =
        text.lines().nth(fault.line - 1).unwrap_or_default().chars().take(fault.column - 1).collect();
    let is_as_written = behind.skip(quote).take(before.len()).eq(before.iter().copied());
    let (position, rest) = match is_as_written {
        true => (Position { line, column: node.at.column + quote + fault.column - 1 }, String::new()),
        false => (node.at, format!(" (line {}, character {} of the expression)", fault.line, fault.column)),
    };
    let finding = Finding::at(Severity::Error, source, position, format!("allow: {}{rest}", fault.message));
    let excerpt = Excerpt { line: written(position.line).trim_end().to_owned(), column: position.column };
    Finding { hint: fault.hint, excerpt: Some(Box::new(excerpt)), ..finding }
}
