//! From a URL that somebody typed to an agent that can be called.

use std::{
    fs::File,
    io::Read,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bobbinet_core::Json;
use bobbinet_wire::{
    Protocol, Transport, Version,
    v1_0::{CardView, Interface},
};
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{self, HeaderMap, HeaderValue},
    redirect,
};

use super::{
    CardFetch, Client, ClientError, ClientOptions, Credentials, Detour, FetchedCard, Freshness, Origin, WithJson, body,
    credentials::{self, Extras},
    error::unreachable,
    http::{Endpoint, Route, Ways, media_type, read_body},
    outbound::{Outbound, Sender},
    pinned, speech,
};

/// Where cards are, as of 0.3 and 1.0, and before.
const CARD_PATHS: [&str; 2] = [".well-known/agent-card.json", ".well-known/agent.json"];

/// Bytes of a card: the skills of a thousand tools.
const CARD_MAX: usize = 1 << 20;

/// For a card to come.
const CARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Redirects in a row that are followed, within one origin.
const REDIRECTS_MAX: usize = 3;

/// The header that most who look for an API key look for it in. A card behind a key cannot say which, since it is behind it.
const API_KEY_HEADER: &str = "x-api-key";

pub(super) async fn connect(reference: &str, options: ClientOptions) -> Result<Client, ClientError> {
    let (near, card_url, card) = find(reference, &options).await?;
    client(near, &card_url, Arc::new(card), options)
}

/// A client of the agent of a card that is there.
pub(super) fn with_card(fetched: &FetchedCard, options: ClientOptions) -> Result<Client, ClientError> {
    client(None, &fetched.url, fetched.card.clone(), options)
}

/// A card from where it is served, or that it has not changed.
pub(super) async fn fetch(
    reference: &str,
    options: &ClientOptions,
    known: Option<&FetchedCard>,
) -> Result<CardFetch, ClientError> {
    let given = read_url(reference)?;
    let http = sender(&given, options)?;
    let etag = known.and_then(|known| known.freshness.etag.as_deref());
    match fetch_card(&http, &given, options, etag).await? {
        (_, freshness, None) => Ok(CardFetch::Same(freshness)),
        (url, freshness, Some(bytes)) => {
            let card = Arc::new(read_card(&url, body::without_mark(&bytes), options)?);
            Ok(CardFetch::New(FetchedCard { url, card, freshness }))
        }
    }
}

fn client(
    near: Near,
    card_url: &Url,
    card: Arc<WithJson<CardView>>,
    options: ClientOptions,
) -> Result<Client, ClientError> {
    let mut routes = routes(&card.value, card_url, &options)?;
    let audience = audience(&card.value, card_url, &options);
    let detour = routes.first_mut().and_then(|route| route.detour.take());
    let scheme = card.value.api_key();
    let options = ClientOptions { credentials: options.credentials.for_card(scheme.as_ref()), ..options };
    let mut near = near;
    let mut all = Vec::with_capacity(routes.len());
    for mut route in routes {
        if route.protocol.transport == Transport::Grpc {
            route.audience = Some(audience.clone());
            let http = http2_sender(&route.url, &options)?;
            let extras = Extras::new(&options.parameters, &options.credentials, scheme.clone(), &route.url)?;
            all.push(Endpoint::new(http, route, extras));
            continue;
        }
        let http = match near.take() {
            // Whether there is a proxy in between depends on where requests go.
            Some((http @ Sender::Straight(_), given)) if is_loopback(&given) == is_loopback(&route.url) => http,
            Some(_) | None => sender(&route.url, &options)?,
        };
        let extras = Extras::new(&options.parameters, &options.credentials, scheme.clone(), &route.url)?;
        all.push(Endpoint::new(http, route, extras));
    }
    Ok(Client { ways: Arc::new(Ways::new(all, &card.value, options)), card, detour })
}

/// The card alone, whatever it says of where its agent is.
pub(super) async fn card(reference: &str, options: &ClientOptions) -> Result<WithJson<CardView>, ClientError> {
    find(reference, options).await.map(|(_, _, card)| card)
}

/// The bytes of a card, and where they are from.
pub(super) async fn card_bytes(reference: &str, options: &ClientOptions) -> Result<(String, Vec<u8>), ClientError> {
    let (_, url, bytes) = find_bytes(reference, options).await?;
    Ok((url.to_string(), body::without_mark(&bytes).to_vec()))
}

type Near = Option<(Sender, Url)>;

async fn find(reference: &str, options: &ClientOptions) -> Result<(Near, Url, WithJson<CardView>), ClientError> {
    let (near, card_url, bytes) = find_bytes(reference, options).await?;
    let card = read_card(&card_url, body::without_mark(&bytes), options)?;
    Ok((near, card_url, card))
}

async fn find_bytes(reference: &str, options: &ClientOptions) -> Result<(Near, Url, Vec<u8>), ClientError> {
    if let Some(path) = local_file(reference) {
        let (url, bytes) = read_file(&path)?;
        return Ok((None, url, bytes));
    }
    let given = read_url(reference)?;
    let http = sender(&given, options)?;
    let (url, _, bytes) = fetch_card(&http, &given, options, None).await?;
    let bytes = bytes.ok_or_else(|| no_card(&url, "it answers that it has not changed"))?;
    Ok((Some((http, given)), url, bytes))
}

fn read_card(url: &Url, bytes: &[u8], options: &ClientOptions) -> Result<WithJson<CardView>, ClientError> {
    let bad = |why: String| ClientError::BadCard { url: url.to_string(), why };
    let bytes = &*pinned::covered(url, bytes, options)?;
    let value = CardView::parse(bytes).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        bad(format!("{error}{cause}"))
    })?;
    let json = std::str::from_utf8(bytes).ok().and_then(|text| Json::parse(text).ok());
    let json = json.ok_or_else(|| bad("it is not JSON".to_owned()))?;
    let is_one =
        ["name", "skills", "supportedInterfaces", "url"].iter().any(|field| json.to_value().get(field).is_some());
    if is_one { Ok(WithJson { value, json }) } else { Err(bad("it has nothing that an agent card has".to_owned())) }
}

/// What calls the agent, or fetches the card, at a URL.
fn sender(near: &Url, options: &ClientOptions) -> Result<Sender, ClientError> {
    match &options.outbound {
        Outbound::Straight => http_client(near, options).map(Sender::Straight),
        Outbound::Guarded { guard, at: None } => Ok(Sender::Guarded(Box::new(guard.http(near)?))),
        Outbound::Guarded { guard, at: Some(address) } => Ok(Sender::Guarded(Box::new(guard.http_at(near, *address)?))),
    }
}

/// The same over HTTP/2 alone, as gRPC is.
fn http2_sender(near: &Url, options: &ClientOptions) -> Result<Sender, ClientError> {
    let unreachable = |source| ClientError::Unreachable { url: near.to_string(), source };
    match &options.outbound {
        Outbound::Straight => {
            let http2 = bobbinet_outbound::http2_alone(client_builder(near, options)).build();
            http2.map(Sender::Straight).map_err(unreachable)
        }
        Outbound::Guarded { guard, at } => Ok(Sender::Guarded(Box::new(guard.http2(near, *at)?))),
    }
}

fn http_client(near: &Url, options: &ClientOptions) -> Result<reqwest::Client, ClientError> {
    let built = client_builder(near, options).build();
    built.map_err(|source| ClientError::Unreachable { url: near.to_string(), source })
}

pub(super) fn client_builder(near: &Url, options: &ClientOptions) -> reqwest::ClientBuilder {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .redirect(redirect::Policy::custom(within_origin))
        .user_agent(concat!("bobbinet/", env!("CARGO_PKG_VERSION")));
    if is_loopback(near) {
        // A proxy, which many a machine has configured, cannot reach what runs on this one.
        builder = builder.no_proxy();
    }
    if options.is_any_certificate_believed {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    options.tls.apply(builder)
}

/// The file that is meant, if one is: `file://…`, or the path of one that is there.
fn local_file(reference: &str) -> Option<PathBuf> {
    match reference.strip_prefix("file://") {
        Some(path) => Some(PathBuf::from(path)),
        None => Some(PathBuf::from(reference)).filter(|path| path.is_file()),
    }
}

/// The card in a file, and the file as a URL.
fn read_file(path: &Path) -> Result<(Url, Vec<u8>), ClientError> {
    let no_card = |why: String| ClientError::NoCard { url: path.display().to_string(), why };
    let path = path.canonicalize().map_err(|error| no_card(error.to_string()))?;
    let url = Url::from_file_path(&path).map_err(|()| no_card("it has no URL".to_owned()))?;
    let file = File::open(&path).map_err(|error| no_card(error.to_string()))?;
    let mut bytes = Vec::new();
    let read = file.take(CARD_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| no_card(error.to_string()))?;
    if bytes.len() > CARD_MAX {
        return Err(no_card(format!("it has more than {CARD_MAX} bytes")));
    }
    if let Some(what) = body::fault(&bytes, "") {
        return Err(ClientError::BadCard { url: path.display().to_string(), why: format!("it is {what}") });
    }
    Ok((url, bytes))
}

/// What was typed, with a scheme: if it has none, https, or http on this machine.
pub fn with_scheme(text: &str) -> String {
    if text.contains("://") {
        return text.to_owned();
    }
    let https = format!("https://{text}");
    let is_here = Url::parse(&https).is_ok_and(|url| is_loopback(&url));
    if is_here { format!("http://{text}") } else { https }
}

fn read_url(text: &str) -> Result<Url, ClientError> {
    let bad = || ClientError::BadUrl(text.to_owned());
    let url = Url::parse(&with_scheme(text.trim())).map_err(|_| bad())?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let has_secrets = !url.username().is_empty() || url.password().is_some();
    if is_web && !has_secrets { Ok(url) } else { Err(bad()) }
}

fn card_urls(given: &Url) -> Vec<Url> {
    if given.path().ends_with(".json") {
        return vec![given.clone()];
    }
    let mut base = given.clone();
    base.set_query(None);
    base.set_fragment(None);
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", given.path()));
    }
    CARD_PATHS.iter().filter_map(|path| base.join(path).ok()).collect()
}

/// The card with its URL, and for how long it is good; without it if it is the one of this tag.
async fn fetch_card(
    http: &Sender,
    given: &Url,
    options: &ClientOptions,
    etag: Option<&str>,
) -> Result<(Url, Freshness, Option<Vec<u8>>), ClientError> {
    let mut missing = None;
    for url in card_urls(given) {
        let response = get_card(http, &url, given, options, etag).await?;
        let status = response.status();
        let freshness = Freshness::of(response.headers());
        if status == StatusCode::NOT_MODIFIED && etag.is_some() {
            return Ok((url, freshness, None));
        }
        if status.is_success() {
            let media_type = media_type(&response);
            let body = read_body(response, CARD_MAX).await?;
            return match body::fault(&body, &media_type) {
                None => Ok((url, freshness, Some(body))),
                Some(what) => Err(no_card(&url, &format!("there is {what}"))),
            };
        }
        if is_challenge(status) {
            return Err(unauthorized(&url, &response, &options.credentials));
        }
        // Where it should be, and not where it was long ago.
        missing.get_or_insert_with(|| no_card(&url, &format!("it answers {status}")));
        let is_worth_another_look = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        if !is_worth_another_look {
            break;
        }
    }
    Err(missing.unwrap_or_else(|| ClientError::BadUrl(given.to_string())))
}

/// Asks for a card as anybody, since cards are for everybody; where they are not, again with all that there is to show. That goes to
/// the origin that was typed alone: no redirect leads out of it.
async fn get_card(
    http: &Sender,
    url: &Url,
    given: &Url,
    options: &ClientOptions,
    etag: Option<&str>,
) -> Result<Response, ClientError> {
    let ask = async |headers: HeaderMap| {
        let mut request = http.request(Method::GET, url)?.header(header::ACCEPT, "application/json").headers(headers);
        // What a signature covers is settled for cards of 1.0 only.
        if options.card_keys.is_some() {
            request = request.header("a2a-version", "1.0");
        }
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let sent = request.timeout(CARD_TIMEOUT).send().await;
        sent.map_err(|source| unreachable(url, CARD_TIMEOUT, source))
    };
    let response = ask(HeaderMap::new()).await?;
    // Some lead those whom they do not know to a page where they can sign in.
    let status = response.status();
    if status == StatusCode::NOT_MODIFIED || (!is_challenge(status) && !status.is_redirection()) {
        return Ok(response);
    }
    let shown = shown_for_card(given, options)?;
    if shown.is_empty() { Ok(response) } else { ask(shown).await }
}

fn is_challenge(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// What is shown to see a card that is not for everybody.
fn shown_for_card(given: &Url, options: &ClientOptions) -> Result<HeaderMap, ClientError> {
    let unfit = |_| ClientError::Credentials { url: given.to_string(), source: "it does not fit a header".into() };
    let mut headers = HeaderMap::new();
    let mut credentials = &options.credentials;
    if let Credentials::ApiKey(key, otherwise) = credentials {
        headers.insert(API_KEY_HEADER, credentials::secret(HeaderValue::from_str(key).map_err(unfit)?));
        credentials = otherwise;
    }
    if let Some(token) = credentials.token_for(agent_of(given).as_str())? {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(unfit)?;
        headers.insert(header::AUTHORIZATION, credentials::secret(value));
    }
    for parameter in &options.parameters {
        parameter.put(&mut headers);
    }
    Ok(headers)
}

/// The agent's own URL, where its card's was given.
fn agent_of(given: &Url) -> Url {
    let mut url = given.clone();
    let base = CARD_PATHS.iter().find_map(|path| given.path().strip_suffix(path));
    if let Some(base) = base.map(str::to_owned) {
        url.set_path(&base);
    }
    url
}

fn unauthorized(url: &Url, response: &Response, credentials: &Credentials) -> ClientError {
    let scheme = response.headers().get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
    let scheme = scheme
        .and_then(|value| value.split([' ', ',']).next())
        .filter(|scheme| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    let asks = scheme.map(|scheme| format!(", and asks for {scheme}")).unwrap_or_default();
    let message = format!("the agent card at {url} is not for everybody: it answers {}{asks}", response.status());
    let hint = match credentials {
        Credentials::None => "show who you are: a bearer token, an API key, or the header that it wants",
        Credentials::Bearer(_) | Credentials::Mint(_) | Credentials::ApiKey(..) => {
            "it does not take what it was shown: check that this is for this agent and has not expired"
        }
    };
    ClientError::Unauthorized { message, hint: hint.to_owned() }
}

/// All ways to the agent that are spoken here and may be gone, in the order of the card, or of whoever says another.
fn routes(card: &CardView, card_url: &Url, options: &ClientOptions) -> Result<Vec<Route>, ClientError> {
    let mut spoken: Vec<(&Interface, Protocol)> = card
        .spoken()
        .filter(|(_, protocol)| speech::is_spoken(*protocol, options.grpc.is_some()))
        .filter(|(_, protocol)| options.version.is_none_or(|version| version == protocol.version))
        .collect();
    let rank = |protocol: Protocol| options.transports.iter().position(|transport| *transport == protocol.transport);
    if !options.transports.is_empty() {
        spoken.retain(|(_, protocol)| rank(*protocol).is_some());
        spoken.sort_by_key(|(_, protocol)| rank(*protocol));
    }
    if spoken.is_empty() {
        return Err(no_interface(card, card_url, options));
    }
    let (mut routes, mut wrong) = (Vec::new(), None);
    for (interface, protocol) in spoken {
        match route(interface, protocol, card_url, options) {
            Ok(route) => routes.push(route),
            Err(error) => drop(wrong.get_or_insert(error)),
        }
    }
    // What is wrong with one way is of interest to nobody who has another.
    match wrong.filter(|_| routes.is_empty()) {
        Some(error) => Err(error),
        None => Ok(routes),
    }
}

fn route(
    interface: &Interface,
    protocol: Protocol,
    card_url: &Url,
    options: &ClientOptions,
) -> Result<Route, ClientError> {
    let wrong = |why: &str| ClientError::BadCard {
        url: card_url.to_string(),
        why: format!("it sends callers to {:?}, and {why}", interface.url),
    };
    let url = match protocol.transport {
        Transport::JsonRpc | Transport::HttpJson => card_url.join(&interface.url).ok(),
        Transport::Grpc => grpc_url(&interface.url, card_url),
    };
    let url = url.ok_or_else(|| wrong("that is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("that is neither http nor https"));
    }
    let at = |url: Url, detour: Option<Detour>| {
        let tenant = interface.tenant.clone();
        Route { protocol, url, audience: None, tenant, detour }
    };
    if let Some(origin) = &options.origin {
        return Ok(at(origin.of(&url), None));
    }
    let is_file = card_url.scheme() == "file";
    if is_nowhere(&url, card_url) {
        // What a server is bound to is no address to call; whoever forgot to say where it is has it where its card is.
        let Some(origin) = Origin::of_url(card_url) else {
            return Err(wrong("nothing can be called there: say at which origin it is (--origin)"));
        };
        let there = origin.of(&url);
        let detour = Detour { card: url.to_string(), there: there.to_string() };
        return Ok(at(there, Some(detour)));
    }
    // Whoever has the card in a file has seen where it leads.
    if !options.is_other_origin_allowed && !is_file && !is_same_origin(&url, card_url) {
        return Err(ClientError::OtherOrigin {
            card: card_url.to_string(),
            origin: url.origin().ascii_serialization(),
            card_origin: card_url.origin().ascii_serialization(),
            url: url.to_string(),
        });
    }
    Ok(at(url, None))
}

/// Where gRPC is spoken: host and port, as it is secured as the card is; or a URL.
fn grpc_url(text: &str, card_url: &Url) -> Option<Url> {
    if text.contains("://") {
        return Url::parse(text).ok();
    }
    let https = Url::parse(&format!("https://{text}")).ok()?;
    let is_open = match card_url.scheme() {
        "http" => true,
        "https" => false,
        _ => is_loopback(&https),
    };
    if is_open { Url::parse(&format!("http://{text}")).ok() } else { Some(https) }
}

/// For whom a token is made that goes over gRPC, where only the node has an address: for the agent's URL in another binding, else that
/// of its card.
fn audience(card: &CardView, card_url: &Url, options: &ClientOptions) -> String {
    let others = card.spoken().filter(|(_, protocol)| protocol.transport != Transport::Grpc);
    let url = others.filter_map(|(interface, _)| card_url.join(&interface.url).ok()).next();
    let url = url.unwrap_or_else(|| agent_of(card_url));
    options.origin.as_ref().map_or_else(|| url.clone(), |origin| origin.of(&url)).into()
}

fn no_interface(card: &CardView, card_url: &Url, options: &ClientOptions) -> ClientError {
    let offered: Vec<String> = card
        .interfaces()
        .map(|interface| format!("A2A {} over {}", interface.protocol_version, interface.protocol_binding))
        .collect();
    let offered = match offered.is_empty() {
        false => offered.join(", "),
        true => "nothing: its card has no supportedInterfaces".to_owned(),
    };
    let all = Version::ALL
        .into_iter()
        .flat_map(|version| Transport::ALL.into_iter().map(move |transport| Protocol { version, transport }));
    let ours: Vec<String> = all
        .filter(|protocol| speech::is_spoken(*protocol, options.grpc.is_some()))
        .filter(|protocol| options.version.is_none_or(|version| version == protocol.version))
        .filter(|protocol| options.transports.is_empty() || options.transports.contains(&protocol.transport))
        .map(|protocol| protocol.to_string())
        .collect();
    ClientError::NoInterface { url: card_url.to_string(), offered, ours: ours.join(", ") }
}

/// Whether nobody can be called there: an address that only servers are bound to, or this machine, if the card is not from it.
fn is_nowhere(url: &Url, card_url: &Url) -> bool {
    let is_far = matches!(card_url.scheme(), "http" | "https") && !is_loopback(card_url) && !is_unspecified(card_url);
    is_unspecified(url) || (is_far && is_loopback(url))
}

fn is_unspecified(url: &Url) -> bool {
    ip(url).is_some_and(|ip| ip.is_unspecified())
}

fn ip(url: &Url) -> Option<IpAddr> {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').parse().ok()
}

pub(super) fn within_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let is_within = attempt.previous().first().is_some_and(|first| is_same_origin(first, attempt.url()));
    if is_within && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}

/// The same scheme, host and port; all names of this machine are one host.
fn is_same_origin(one: &Url, other: &Url) -> bool {
    let is_same_host = one.host() == other.host() || (is_loopback(one) && is_loopback(other));
    one.scheme() == other.scheme() && is_same_host && one.port_or_known_default() == other.port_or_known_default()
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || host.ends_with(".localhost") || ip(url).is_some_and(|ip| ip.is_loopback())
}

/// Whether it is an address of this machine, or the one name that never is another's.
pub(super) fn is_loopback_address(url: &Url) -> bool {
    url.host_str() == Some("localhost") || ip(url).is_some_and(|ip| ip.is_loopback())
}

fn no_card(url: &Url, why: &str) -> ClientError {
    ClientError::NoCard { url: url.to_string(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_urls(typed: &str, expected: &[&str]) {
        let urls: Vec<String> = read_url(typed).iter().flat_map(card_urls).map(|url| url.to_string()).collect();
        assert_eq!(urls, expected, "{typed}");
    }

    #[test]
    fn a_card_is_looked_for_where_cards_are() {
        let both = |base: &str| CARD_PATHS.map(|path| format!("{base}/{path}"));
        let check_base = |typed: &str, base: &str| {
            let both = both(base);
            check_urls(typed, &[&both[0], &both[1]]);
        };
        check_base("http://127.0.0.1:7420", "http://127.0.0.1:7420");
        check_base("127.0.0.1:7420", "http://127.0.0.1:7420");
        check_base("localhost:7420/agents/files/", "http://localhost:7420/agents/files");
        check_base("agents.example.com/x?y#z", "https://agents.example.com/x");
        check_urls("https://a.example/card.json", &["https://a.example/card.json"]);
        check_urls("ftp://a.example", &[]);
        check_urls("https://me:secret@a.example", &[]);
        check_urls("", &[]);
    }

    #[test]
    fn a_card_may_not_send_its_callers_elsewhere() {
        let check = |interface: &str, is_allowed: bool, expected: Option<&str>| {
            let card = format!(
                r#"{{"supportedInterfaces":[{{"url":"{interface}","protocolBinding":"JSONRPC","protocolVersion":"1.0"}}]}}"#
            );
            let card = CardView::parse(card.as_bytes()).unwrap();
            let card_url = Url::parse("http://127.0.0.1:7420/.well-known/agent-card.json").unwrap();
            let options = ClientOptions { is_other_origin_allowed: is_allowed, ..ClientOptions::default() };
            let url = routes(&card, &card_url, &options).ok().map(|routes| routes[0].url.to_string());
            assert_eq!(url.as_deref(), expected, "{interface}");
        };
        check("http://127.0.0.1:7420/", false, Some("http://127.0.0.1:7420/"));
        check("http://localhost:7420/a", false, Some("http://localhost:7420/a"));
        check("/a", false, Some("http://127.0.0.1:7420/a"));
        check("http://127.0.0.1:7421/", false, None);
        check("https://127.0.0.1:7420/", false, None);
        check("http://elsewhere.example:7420/", false, None);
        check("http://elsewhere.example/", true, Some("http://elsewhere.example/"));
        check("file:///etc/passwd", true, None);
    }

    #[test]
    fn an_address_that_nobody_can_call_is_that_of_the_card() {
        let check = |card_url: &str, interface: &str, expected: Option<&str>| {
            let card = format!(
                r#"{{"supportedInterfaces":[{{"url":"{interface}","protocolBinding":"JSONRPC","protocolVersion":"1.0"}}]}}"#
            );
            let card = CardView::parse(card.as_bytes()).unwrap();
            let routes = routes(&card, &Url::parse(card_url).unwrap(), &ClientOptions::default());
            let found = routes.ok().map(|routes| (routes[0].url.to_string(), routes[0].detour.is_some()));
            let is_detour = expected.is_some();
            assert_eq!(found, expected.map(|url| (url.to_owned(), is_detour)), "{card_url} {interface}");
        };
        let far = "https://a.example/.well-known/agent-card.json";
        check(far, "http://0.0.0.0:8000/rpc", Some("https://a.example/rpc"));
        check(far, "http://localhost:8000/rpc", Some("https://a.example/rpc"));
        check(far, "http://127.0.0.1/", Some("https://a.example/"));
        check("http://127.0.0.1:1/card.json", "http://[::]:2/", Some("http://127.0.0.1:1/"));
        check("http://127.0.0.1:1/card.json", "http://localhost:2/", None);
        check("file:///tmp/card.json", "http://0.0.0.0:2/", None);
    }
}
