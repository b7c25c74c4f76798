//! Who may be called, and with what.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Url, redirect};

use crate::{
    ClientTls, Origin, OutboundLimits, Refused, Resolver, SystemResolver, address,
    limits::{IDLE_CONNECTION_MAX, PING_INTERVAL, PONG_MAX, REDIRECTS_MAX},
    resolve::Checked,
};

/// Whose word an origin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The operator wrote it down: it may be anywhere.
    Configured,
    /// A caller, a card or a message names it: it may be where anybody may be.
    Other,
}

/// Lets requests go out, or not. Cheap to clone.
///
/// About proxies: one resolves names itself, so behind it nobody here sees what is connected to. Origins that are not configured
/// are thus never called through one, even where the environment names it. A configured one is, as the operator wrote both down,
/// unless it is on this machine.
#[derive(Clone)]
pub struct Guard {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    configured: BTreeSet<Origin>,
    /// Whether whatever is on this machine counts as configured.
    trusts_loopback: bool,
    limits: OutboundLimits,
    redirects: Redirects,
    resolver: Arc<dyn Resolver>,
    proxies: Arc<Matcher>,
    /// For origins that are configured, straight.
    trusted: Client,
    /// For origins that are configured, through the proxy that the environment names for them.
    proxied: Client,
    /// For all others.
    other: Client,
    /// For origins that are configured with certificates of their own.
    own: BTreeMap<Origin, OwnClients>,
}

/// What calls an origin that has certificates of its own.
#[derive(Clone)]
struct OwnClients {
    tls: ClientTls,
    trusted: Client,
    proxied: Client,
}

/// What is done about an answer that leads elsewhere.
#[derive(Clone, Copy)]
enum Redirects {
    /// It is followed as long as it stays with its origin.
    WithinOrigin,
    /// It is the answer.
    Stop,
}

/// A client for one origin.
#[derive(Clone)]
pub struct Http {
    client: Client,
    origin: Origin,
    trust: Trust,
    limits: OutboundLimits,
}

impl Guard {
    /// A guard that lets requests go to these origins wherever they are, and to any other only where anybody may be.
    ///
    /// # Errors
    /// If there is no TLS to be had on this machine.
    pub fn new(configured: impl IntoIterator<Item = Origin>, limits: OutboundLimits) -> Result<Self, reqwest::Error> {
        Self::with_resolver(configured, limits, Arc::new(SystemResolver))
    }

    /// The same with another way to resolve names.
    ///
    /// # Errors
    /// If there is no TLS to be had on this machine.
    pub fn with_resolver(
        configured: impl IntoIterator<Item = Origin>,
        limits: OutboundLimits,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, reqwest::Error> {
        let redirects = Redirects::WithinOrigin;
        let [trusted, proxied, other] = clients(&limits, redirects, &resolver)?;
        let inner = Inner {
            configured: configured.into_iter().collect(),
            trusts_loopback: false,
            limits,
            redirects,
            proxies: Arc::new(Matcher::from_env()),
            trusted,
            proxied,
            other,
            own: BTreeMap::new(),
            resolver,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The same, which follows no redirect: for requests that are more than their URL. Most that are redirected come to their new place as
    /// a GET without a body (RFC 9110 section 15.4), and what that answers says nothing of them.
    ///
    /// # Errors
    /// If there is no TLS to be had on this machine.
    pub fn without_redirects(self) -> Result<Self, reqwest::Error> {
        let (inner, redirects) = (Arc::unwrap_or_clone(self.inner), Redirects::Stop);
        let [trusted, proxied, other] = clients(&inner.limits, redirects, &inner.resolver)?;
        let own = inner.own;
        let inner = Inner { redirects, trusted, proxied, other, own: BTreeMap::new(), ..inner };
        let guard = Self { inner: Arc::new(inner) };
        own.into_iter().try_fold(guard, |guard, (origin, own)| guard.with_tls(origin, own.tls))
    }

    /// The same, for which all that is on this machine is as if it were configured: for tests, where receivers stand at any port.
    #[must_use]
    pub fn trusting_loopback(self) -> Self {
        let inner = Inner { trusts_loopback: true, ..Arc::unwrap_or_clone(self.inner) };
        Self { inner: Arc::new(inner) }
    }

    /// The same, with certificates of its own for an origin that is configured.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn with_tls(self, origin: Origin, tls: ClientTls) -> Result<Self, reqwest::Error> {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        let checked = Checked { resolver: inner.resolver.clone(), is_trusted: true };
        let builder = || tls.apply(builder(&inner.limits, inner.redirects).dns_resolver(Arc::new(checked.clone())));
        let (trusted, proxied) = (builder().no_proxy().build()?, builder().build()?);
        inner.own.insert(origin, OwnClients { tls, trusted, proxied });
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whose word a URL's origin is.
    ///
    /// # Errors
    /// If no such URL is called at all.
    pub fn trust(&self, url: &Url) -> Result<Trust, Refused> {
        let origin = Origin::of(url)?;
        let is_configured = self.inner.configured.iter().any(|known| known.is_same_place(&origin));
        let is_here = self.inner.trusts_loopback && origin.is_loopback();
        Ok(if is_configured || is_here { Trust::Configured } else { Trust::Other })
    }

    /// A client for the origin of a URL. What its name is resolved to is looked at whenever a connection is made.
    ///
    /// # Errors
    /// If it is not to be called.
    pub fn http(&self, url: &Url) -> Result<Http, Refused> {
        let (origin, trust) = (Origin::of(url)?, self.trust(url)?);
        if trust == Trust::Other {
            check_host(&origin)?;
        }
        let client = match (trust, self.own_clients(&origin)) {
            (Trust::Configured, Some(own)) if self.is_proxied(&origin) => &own.proxied,
            (Trust::Configured, Some(own)) => &own.trusted,
            (Trust::Configured, None) if self.is_proxied(&origin) => &self.inner.proxied,
            (Trust::Configured, None) => &self.inner.trusted,
            (Trust::Other, _) => &self.inner.other,
        };
        Ok(Http { client: client.clone(), origin, trust, limits: self.inner.limits })
    }

    /// A client for the origin of a URL at one of its addresses, and no other: TLS still asks for the name. Without a proxy.
    ///
    /// # Errors
    /// If it is not to be called, there or at all.
    pub fn http_at(&self, url: &Url, address: IpAddr) -> Result<Http, Refused> {
        self.own(url, Some(address), |builder| builder)
    }

    /// A client of its own for the origin of a URL.
    fn own(
        &self,
        url: &Url,
        address: Option<IpAddr>,
        as_said: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Http, Refused> {
        let Http { origin, trust, .. } = self.http(url)?;
        if let Some(address) = address
            && trust == Trust::Other
            && let Some(why) = address::refusal(address)
        {
            return Err(Refused::Address { origin: origin.to_string(), address, why });
        }
        let host = url.host_str().unwrap_or_default();
        // For whatever else it may be used for.
        let checked = Checked { resolver: self.inner.resolver.clone(), is_trusted: trust == Trust::Configured };
        let builder =
            as_said(builder(&self.inner.limits, self.inner.redirects).no_proxy().dns_resolver(Arc::new(checked)));
        let builder = match self.own_clients(&origin) {
            Some(own) => own.tls.apply(builder),
            None => builder,
        };
        let builder = match address {
            Some(address) => builder.resolve(host, SocketAddr::new(address, 0)),
            None => builder,
        };
        let unusable = |_| Refused::Url { url: origin.to_string(), why: "no client can be made for it" };
        Ok(Http { client: builder.build().map_err(unusable)?, origin, trust, limits: self.inner.limits })
    }

    /// A client for the origin of a URL that speaks HTTP/2 alone, as gRPC does: without TLS too, and without a proxy. At one of its
    /// addresses and no other, if it is said.
    ///
    /// # Errors
    /// As [`Self::http_at`].
    pub fn http2(&self, url: &Url, address: Option<IpAddr>) -> Result<Http, Refused> {
        self.own(url, address, http2_alone)
    }

    /// All addresses that a URL's origin may be called at, as of now: each is a replica. None if a proxy stands in between, which
    /// chooses for us.
    ///
    /// # Errors
    /// [`Refused`] among the causes if one of them is not to be called; or the name has none.
    pub async fn addresses(&self, url: &Url) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let Http { origin, trust, .. } = self.http(url)?;
        if let Some(ip) = origin.literal() {
            return Ok(vec![ip]);
        }
        if trust == Trust::Configured && self.is_proxied(&origin) {
            return Ok(Vec::new());
        }
        let checked = Checked { resolver: self.inner.resolver.clone(), is_trusted: trust == Trust::Configured };
        let asked = tokio::time::timeout(self.inner.limits.connect, checked.addresses(origin.host()));
        let mut addresses = asked.await.map_err(|_| "nobody says what its name's addresses are")??;
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    /// The bounds that requests are under.
    pub fn limits(&self) -> &OutboundLimits {
        &self.inner.limits
    }

    fn own_clients(&self, origin: &Origin) -> Option<&OwnClients> {
        self.inner.own.iter().find(|(known, _)| known.is_same_place(origin)).map(|(_, own)| own)
    }

    fn is_proxied(&self, origin: &Origin) -> bool {
        let uri = origin.to_string().parse::<http::Uri>();
        !origin.is_loopback() && uri.is_ok_and(|uri| self.inner.proxies.intercept(&uri).is_some())
    }
}

impl Http {
    /// A request to a URL of the client's origin.
    ///
    /// # Errors
    /// If it is another origin's.
    pub fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, Refused> {
        match Origin::of(url)? {
            origin if origin == self.origin => Ok(self.client.request(method, url.clone())),
            _ => {
                let origin = self.origin.to_string();
                Err(Refused::OtherOrigin { url: url.origin().ascii_serialization(), origin })
            }
        }
    }

    /// Where its requests go.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whose word its origin is.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// The bounds that its requests are under.
    pub fn limits(&self) -> &OutboundLimits {
        &self.limits
    }
}

/// What can be told of a host that is not configured without asking anybody. An address in place of a name never comes to the resolver.
fn check_host(origin: &Origin) -> Result<(), Refused> {
    if let Some(address) = origin.literal() {
        return match address::refusal(address) {
            Some(why) => Err(Refused::Address { origin: origin.to_string(), address, why }),
            None => Ok(()),
        };
    }
    match crate::origin::is_local_name(origin.host()) {
        true => Err(Refused::LocalName { origin: origin.to_string() }),
        false => Ok(()),
    }
}

/// The same for HTTP/2 alone. A stream may be silent for as long as its task takes: pings tell whether the other side is still there.
pub fn http2_alone(builder: ClientBuilder) -> ClientBuilder {
    builder.http2_prior_knowledge().http2_keep_alive_interval(PING_INTERVAL).http2_keep_alive_timeout(PONG_MAX)
}

/// For origins that are configured, straight and through a proxy, and for all others.
fn clients(
    limits: &OutboundLimits,
    redirects: Redirects,
    resolver: &Arc<dyn Resolver>,
) -> Result<[Client; 3], reqwest::Error> {
    let builder = |is_trusted| {
        builder(limits, redirects).dns_resolver(Arc::new(Checked { resolver: resolver.clone(), is_trusted }))
    };
    Ok([builder(true).no_proxy().build()?, builder(true).build()?, builder(false).no_proxy().build()?])
}

fn builder(limits: &OutboundLimits, redirects: Redirects) -> ClientBuilder {
    let policy = match redirects {
        Redirects::WithinOrigin => redirect::Policy::custom(within_origin),
        Redirects::Stop => redirect::Policy::none(),
    };
    Client::builder()
        .connect_timeout(limits.connect)
        .pool_idle_timeout(IDLE_CONNECTION_MAX)
        .pool_max_idle_per_host(limits.idle_connections_max)
        .tcp_nodelay(true)
        .redirect(policy)
        // It would carry where we have been to where we are led.
        .referer(false)
        .user_agent(concat!("bobbinet/", env!("CARGO_PKG_VERSION")))
}

/// What leads elsewhere is not followed: whoever asked gets the answer that leads there.
fn within_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let origin = |url: &Url| Origin::of(url).ok();
    let first = attempt.previous().first().and_then(origin);
    let is_within = first.is_some() && first == origin(attempt.url());
    if is_within && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("configured", &self.inner.configured).finish_non_exhaustive()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("origin", &self.origin).field("trust", &self.trust).finish_non_exhaustive()
    }
}
