//! The server: an engine's agents, each at its base path, and what they have in common.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::Router;
use bobbinet_auth::{KeyRing, KeysError, SealingKey, Verifier};
use bobbinet_core::AgentName;
use bobbinet_gateway::{Gateway, START_WAIT_MAX};
use bobbinet_wire::interface::CardForm;
use http::{Extensions, HeaderMap, HeaderValue, Request, Uri, header, uri::Authority};
use ipnet::IpNet;
use tokio::{net::TcpStream, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    cards::{Cards, Told},
    forwarded,
    logins::Logins,
    tls::Tls,
    unsent::Unsent,
};
use crate::HttpLimits;

/// Where the agents stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// One agent, at the root of the address.
    Root(AgentName),
    /// Each of the engine's agents at `/agents/NAME`.
    EachByName,
}

/// Makes the routes of a binding that stands beside JSON-RPC, such as gRPC's.
pub type OtherBinding = fn(Arc<Server>) -> Router;

/// What a [`Server`] is made of.
#[derive(Debug)]
pub struct ServerSetup {
    /// Does what callers ask for.
    pub gateway: Arc<Gateway>,
    /// The node's keys: their public halves are shown to anyone.
    pub keys: Arc<KeyRing>,
    /// Says who a caller is.
    pub verifier: Verifier,
    /// Where the agents stand.
    pub mount: Mount,
    /// The address that the listener is bound to.
    pub listen: SocketAddr,
    /// Where a listener on every address is reached, as far as is known.
    pub addresses: Vec<IpAddr>,
    /// What callers know the node by, such as `https://agents.example.com`, if that is not its address: with a proxy
    /// before it, it must be said. A path is kept: agents stand below it.
    pub public_url: Option<String>,
    /// Proxies before the node: each stands for many callers, so no share of the connections is measured out to it. What they say of
    /// where a request came to (`Forwarded`, `X-Forwarded-*`) is believed in cards, unless `public_url` says it, and never of what a token
    /// may be for.
    pub proxies: Vec<IpNet>,
    /// Origins whose pages may call the agents from a browser, such as `https://ui.example.com`; `*` for every one. Without any,
    /// browsers let no page of another origin read an answer.
    pub cors: Vec<String>,
    /// The bounds of connections, requests and answers.
    pub limits: HttpLimits,
    /// Whether a request in words of A2A 1.x must say so. The specification takes a silent one for 0.3 (section 3.6.2).
    pub is_version_required: bool,
    /// gRPC, if it is spoken: on the same port, over HTTP/2.
    pub grpc: Option<OtherBinding>,
    /// MCP, if it is spoken: all agents as one server of it.
    pub mcp: Option<OtherBinding>,
    /// Which card is shown to those who do not say which version they speak.
    pub card: CardForm,
    /// Told when the server is to stop: nothing more is accepted, streams and waits end.
    pub stop: CancellationToken,
}

/// Why no server can be made of a setup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Not an absolute `http` or `https` URL without query.
    #[error("the public URL {0:?} is not one like https://agents.example.com")]
    PublicUrl(String),
    /// Not an origin as browsers send it.
    #[error("the origin {0:?} is not one like https://ui.example.com, without a path, and not *")]
    Cors(String),
    /// The engine has no agent of this name.
    #[error("there is no agent {0} to serve")]
    NoAgent(AgentName),
}

/// The agents of a node at their URLs. Served with [`super::serve`].
#[derive(Debug)]
pub struct Server {
    pub(super) gateway: Arc<Gateway>,
    pub(super) keys: Arc<KeyRing>,
    pub(super) verifier: Verifier,
    pub(super) mount: Mount,
    pub(super) agents: BTreeMap<String, Mounted>,
    /// The URLs that a token for any of the agents may name.
    pub(super) agents_audiences: Vec<String>,
    /// The URLs that a token for publishing events may name.
    pub(super) events_audiences: Vec<String>,
    /// Where agents stood that are not configured any more: for those whose tasks they have left.
    unserved: BTreeMap<String, Mounted>,
    /// Where callers find the node, without a slash at the end; `None` if only the request can tell.
    pub(super) public_url: Option<String>,
    /// All that the node is reached at: cards name nothing else, and tokens may be for any of them. The first is the one to
    /// prefer.
    pub(super) origins: Vec<String>,
    /// Whether it depends on the connection by which address the node is reached.
    is_everywhere: bool,
    pub(super) proxies: Vec<IpNet>,
    pub(super) cors: Vec<HeaderValue>,
    pub(super) limits: HttpLimits,
    pub(super) is_version_required: bool,
    pub(super) card: CardForm,
    pub(super) unsent: Unsent,
    /// What its connections begin with; `None` if they are plain.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) grpc: Option<OtherBinding>,
    pub(super) mcp: Option<OtherBinding>,
    pub(super) logins: OnceLock<Arc<dyn Logins>>,
    /// What goes on beside the connections, until [`super::serve`] returns.
    pub(super) work: TaskTracker,
    pub(super) stop: CancellationToken,
    /// Whether those who route to the node are to turn away.
    is_retired: AtomicBool,
    /// Since when it is there.
    begun: Instant,
}

/// How a connection came to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    /// The address that it was made to, where the node listens at every one.
    address: Option<SocketAddr>,
    /// Whether a proxy that the node is told of has made it.
    is_by_proxy: bool,
}

/// One agent at its URL.
#[derive(Debug)]
pub(super) struct Mounted {
    pub(super) name: AgentName,
    /// Its path below the node's URL: empty, or `/agents/NAME`.
    pub(super) base: String,
    /// The URLs that a token for it may name: those that the configuration says it is reached at. What a request says of that, through
    /// whichever proxy, is for cards alone: else a caller could name the agent that his token was made for.
    pub(super) audiences: Vec<String>,
    pub(super) cards: Cards,
}

impl Server {
    /// Puts the gateway's agents at their places, and is reached without TLS: on this machine, or through a proxy.
    pub fn new(setup: ServerSetup) -> Result<Arc<Self>, SetupError> {
        Self::over(None, setup)
    }

    /// The same, reached by TLS.
    pub fn with_tls(tls: Arc<Tls>, setup: ServerSetup) -> Result<Arc<Self>, SetupError> {
        Self::over(Some(tls), setup)
    }

    fn over(tls: Option<Arc<Tls>>, setup: ServerSetup) -> Result<Arc<Self>, SetupError> {
        let public_url = setup.public_url.as_deref().map(checked_url).transpose()?;
        let cors = setup.cors.iter().map(|text| checked_origin(text)).collect::<Result<Vec<_>, _>>()?;
        let origins = origins(public_url.as_deref(), scheme_of(tls.as_ref()), setup.listen, &setup.addresses);
        let mounted = |name: &AgentName, base: String| {
            let at = |origin: &String| [format!("{origin}{base}"), format!("{origin}{base}/")];
            let audiences = origins.iter().flat_map(at).collect();
            (name.to_string(), Mounted { name: name.clone(), base, audiences, cards: Cards::default() })
        };
        let agents = match &setup.mount {
            Mount::Root(name) if setup.gateway.agent(name).is_none() => return Err(SetupError::NoAgent(name.clone())),
            Mount::Root(name) => BTreeMap::from([mounted(name, String::new())]),
            Mount::EachByName => setup.gateway.agents().map(|name| mounted(name, format!("/agents/{name}"))).collect(),
        };
        let unserved = match &setup.mount {
            Mount::Root(_) => BTreeMap::new(),
            Mount::EachByName => {
                setup.gateway.unserved().map(|name| mounted(name, format!("/agents/{name}"))).collect()
            }
        };
        let events_at = |origin: &String| [format!("{origin}/events"), format!("{origin}/events/")];
        Ok(Arc::new(Self {
            agents_audiences: [&agents, &unserved]
                .into_iter()
                .flat_map(BTreeMap::values)
                .flat_map(|mounted| mounted.audiences.iter().cloned())
                .collect(),
            events_audiences: origins.iter().flat_map(events_at).collect(),
            unsent: Unsent::new(&setup.limits),
            tls,
            grpc: setup.grpc,
            mcp: setup.mcp,
            logins: OnceLock::new(),
            work: TaskTracker::new(),
            gateway: setup.gateway,
            keys: setup.keys,
            verifier: setup.verifier,
            mount: setup.mount,
            agents,
            unserved,
            public_url,
            origins,
            is_everywhere: setup.listen.ip().is_unspecified(),
            proxies: setup.proxies,
            cors,
            limits: setup.limits,
            is_version_required: setup.is_version_required,
            card: setup.card,
            stop: setup.stop,
            is_retired: AtomicBool::new(false),
            begun: Instant::now(),
        }))
    }

    /// Lets browsers come back from logins elsewhere. The first word counts.
    pub fn take_logins(&self, logins: Arc<dyn Logins>) {
        let _ = self.logins.set(logins);
    }

    /// Says from now on that the node is not ready, and works all the same: those who route to it turn away before it stops.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    /// Whether agents that were never seen before are still given time to start.
    pub(super) fn is_young(&self) -> bool {
        self.begun.elapsed() < START_WAIT_MAX
    }

    /// Whether callers may show certificates.
    pub(super) fn has_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.takes_certificates())
    }

    /// What the card of this agent says beside what it says of itself.
    pub(super) fn told(&self, agent: &AgentName) -> Told<'_> {
        Told {
            accepted: self.verifier.accepted(),
            has_certificates: self.has_certificates(),
            has_grpc: self.grpc.is_some(),
            is_only: self.agents.len() == 1,
            is_extended: self.gateway.has_extended_card(agent),
            has_webhooks: self.gateway.has_webhooks(),
            keys: &self.keys,
            now: self.gateway.now(),
        }
    }

    /// What its own URLs begin with, `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        scheme_of(self.tls.as_ref()).0
    }

    /// The bounds it keeps.
    pub fn limits(&self) -> &HttpLimits {
        &self.limits
    }

    /// The URLs that a token for this agent may be made for; the first is the one to prefer.
    pub fn audiences(&self, agent: &AgentName) -> &[String] {
        self.agents.get(agent.as_str()).map_or(&[], |mounted| &mounted.audiences)
    }

    /// The URLs that a token for what is at this path of the node may name, such as `/mcp`.
    pub fn audiences_at(&self, path: &str) -> Vec<String> {
        self.origins.iter().flat_map(|origin| [format!("{origin}{path}"), format!("{origin}{path}/")]).collect()
    }

    /// What seals texts that another process of this node is to read.
    ///
    /// # Errors
    /// If the folder of the node's keys cannot be used.
    pub fn sealing_key(&self) -> Result<SealingKey, KeysError> {
        SealingKey::open_or_create(self.keys.folder())
    }

    /// The agent of this name, also one that is only known by the tasks that it has left.
    pub(super) fn known(&self, name: &str) -> Option<&Mounted> {
        self.agents.get(name).or_else(|| self.unserved.get(name))
    }

    /// What of a connection says more than the configuration.
    pub(super) fn reached(&self, stream: &TcpStream) -> Option<Reached> {
        if self.public_url.is_some() {
            return None;
        }
        let address = if self.is_everywhere { stream.local_addr().ok() } else { None };
        let peer = if self.proxies.is_empty() { None } else { stream.peer_addr().ok() };
        let is_by_proxy = peer.is_some_and(|peer| {
            let peer = peer.ip().to_canonical();
            self.proxies.iter().any(|network| network.contains(&peer))
        });
        (address.is_some() || is_by_proxy).then_some(Reached { address, is_by_proxy })
    }

    /// Where the caller finds the node: as configured, else as a proxy of ours says, else as it has just found it. What a request
    /// itself says of that counts only if it is one of the node's own names: a card is read by others, and its tokens go where it says.
    pub(super) fn origin<B>(&self, request: &Request<B>) -> Cow<'_, str> {
        self.origin_of(request.headers(), request.uri(), request.extensions())
    }

    /// The same of a request that has been taken apart.
    pub(super) fn origin_of(&self, headers: &HeaderMap, uri: &Uri, extensions: &Extensions) -> Cow<'_, str> {
        if let Some(url) = &self.public_url {
            return Cow::Borrowed(url);
        }
        if let Some(origin) = self.forwarded(uri, headers, extensions) {
            return Cow::Owned(origin);
        }
        let host = host(uri, headers);
        let (scheme, port) = scheme_of(self.tls.as_ref());
        let port = format!(":{port}");
        let is_at = |origin: &&String, host: &str| {
            let known = origin.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
            known.is_some_and(|known| known.eq_ignore_ascii_case(host.strip_suffix(&port).unwrap_or(host)))
        };
        let named = host.and_then(|host| self.origins.iter().find(|origin| is_at(origin, host)));
        let reached = || {
            let address = extensions.get::<Reached>()?.address?;
            let host = SocketAddr::new(address.ip().to_canonical(), address.port()).to_string();
            self.origins.iter().find(|origin| is_at(origin, &host))
        };
        let origin = named.or_else(reached).or_else(|| self.origins.first());
        Cow::Borrowed(origin.map_or("", String::as_str))
    }

    /// Where a proxy of ours says that the request came to.
    fn forwarded(&self, uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> Option<String> {
        let is_by_proxy = extensions.get::<Reached>().is_some_and(|reached| reached.is_by_proxy);
        if is_by_proxy { forwarded::origin(headers, host(uri, headers), self.scheme()) } else { None }
    }

    /// The agent at the root, if there is one.
    pub(super) fn root(&self) -> Option<&Mounted> {
        match &self.mount {
            Mount::Root(name) => self.agents.get(name.as_str()),
            Mount::EachByName => None,
        }
    }
}

/// What URLs begin with, and the port that this implies.
fn scheme_of(tls: Option<&Arc<Tls>>) -> (&'static str, u16) {
    if tls.is_some() { ("https", 443) } else { ("http", 80) }
}

/// The host that a request names.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let header = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    uri.authority().map(Authority::as_str).or(header)
}

fn checked_url(text: &str) -> Result<String, SetupError> {
    let wrong = || SetupError::PublicUrl(text.to_owned());
    let url: Uri = text.parse().map_err(|_| wrong())?;
    let is_web = matches!(url.scheme_str(), Some("http" | "https"));
    let has_host = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if !is_web || !has_host || url.query().is_some() {
        return Err(wrong());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// An origin as a browser names it (RFC 6454 section 6.2), or `*`.
fn checked_origin(text: &str) -> Result<HeaderValue, SetupError> {
    let wrong = || SetupError::Cors(text.to_owned());
    let url: Uri = text.parse().map_err(|_| wrong())?;
    let is_origin = text == "*"
        || url.authority().is_some_and(|authority| {
            let scheme = url.scheme_str().unwrap_or_default();
            text.eq_ignore_ascii_case(&format!("{scheme}://{authority}")) && !authority.as_str().contains('@')
        });
    if !is_origin {
        return Err(wrong());
    }
    HeaderValue::from_str(&text.to_ascii_lowercase()).map_err(|_| wrong())
}

/// Where the node can be reached: as configured, on this machine by its address and, on loopback, by name, and, where it listens
/// at every address, by those that are known.
pub(super) fn origins(
    public_url: Option<&str>,
    (scheme, default_port): (&str, u16),
    listen: SocketAddr,
    addresses: &[IpAddr],
) -> Vec<String> {
    let port = listen.port();
    let mut hosts = Vec::new();
    let is_local = listen.ip().is_loopback() || listen.ip().is_unspecified();
    match listen.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() => hosts.push(ip.to_string()),
        IpAddr::V6(ip) if !ip.is_unspecified() => hosts.push(format!("[{ip}]")),
        IpAddr::V4(_) => hosts.push("127.0.0.1".to_owned()),
        IpAddr::V6(_) => hosts.extend(["127.0.0.1".to_owned(), "[::1]".to_owned()]),
    }
    if is_local {
        hosts.push("localhost".to_owned());
    }
    if listen.ip().is_unspecified() {
        let is_served = |ip: &&IpAddr| listen.is_ipv6() || ip.is_ipv4();
        let host = |ip: &IpAddr| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        for host in addresses.iter().filter(is_served).map(host) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
    }
    // A URL leaves out the port that its scheme implies.
    let of_host = |host: &String| match port == default_port {
        true => format!("{scheme}://{host}"),
        false => format!("{scheme}://{host}:{port}"),
    };
    public_url.map(str::to_owned).into_iter().chain(hosts.iter().map(of_host)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(public_url: Option<&str>, listen: &str, expected: &[&str]) {
        let addresses = ["127.0.0.1".parse().unwrap(), "10.1.2.3".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(origins(public_url, ("http", 80), listen.parse().unwrap(), &addresses), expected);
    }

    #[test]
    fn a_node_with_tls_is_known_by_https() {
        let check = |listen: &str, expected: &[&str]| {
            assert_eq!(origins(None, ("https", 443), listen.parse().unwrap(), &[]), expected);
        };
        check("127.0.0.1:7420", &["https://127.0.0.1:7420", "https://localhost:7420"]);
        check("10.1.2.3:443", &["https://10.1.2.3"]);
        check("10.1.2.3:80", &["https://10.1.2.3:80"]);
    }

    #[test]
    fn a_node_is_known_by_its_addresses() {
        check(None, "127.0.0.1:7420", &["http://127.0.0.1:7420", "http://localhost:7420"]);
        check(None, "0.0.0.0:80", &["http://127.0.0.1", "http://localhost", "http://10.1.2.3"]);
        let everywhere = ["127.0.0.1:7420", "[::1]:7420", "localhost:7420", "10.1.2.3:7420", "[fd00::1]:7420"];
        check(None, "[::]:7420", &everywhere.map(|host| format!("http://{host}")).each_ref().map(String::as_str));
        check(Some("https://a.example"), "10.1.2.3:7420", &["https://a.example", "http://10.1.2.3:7420"]);
    }

    #[test]
    fn an_origin_has_no_path() {
        for (text, expected) in [
            ("https://UI.example", Some("https://ui.example")),
            ("http://127.0.0.1:3000", Some("http://127.0.0.1:3000")),
            ("*", Some("*")),
            ("https://ui.example/", None),
            ("https://user@ui.example", None),
            ("ui.example", None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(checked_origin(text).ok(), expected.map(HeaderValue::from_static), "{text}");
        }
    }

    #[test]
    fn a_public_url_is_an_origin_and_perhaps_a_path() {
        for (text, expected) in [
            ("https://a.example/", Some("https://a.example")),
            ("https://a.example/mesh", Some("https://a.example/mesh")),
            ("a.example", None),
            ("ftp://a.example", None),
            ("https://user@a.example", None),
            ("https://a.example?x", None),
        ] {
            assert_eq!(checked_url(text).ok().as_deref(), expected, "{text}");
        }
    }
}
