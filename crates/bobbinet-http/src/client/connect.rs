//! From a URL that somebody typed to an agent that can be called.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bobbinet_core::Json;
use bobbinet_wire::v1_0::{BINDING, CardView, VERSION};
use reqwest::{StatusCode, Url, redirect};

use super::{
    Answer, Client, ClientError, ClientOptions,
    credentials::Extras,
    http::{Endpoint, read_body, unreachable},
};

/// Where cards are, as of 0.3 and 1.0, and before.
const CARD_PATHS: [&str; 2] = [".well-known/agent-card.json", ".well-known/agent.json"];

/// Bytes of a card: the skills of a thousand tools.
const CARD_MAX: usize = 1 << 20;

/// For a card to come.
const CARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Redirects in a row that are followed, within one origin.
const REDIRECTS_MAX: usize = 3;

pub(super) async fn connect(reference: &str, options: ClientOptions) -> Result<Client, ClientError> {
    let (http, card_url, bytes) = match local_file(reference) {
        Some(path) => {
            let (url, bytes) = read_file(&path)?;
            (None, url, bytes)
        }
        None => {
            let given = read_url(reference)?;
            let http = http_client(&given, &options)?;
            let (url, bytes) = fetch_card(&http, &given).await?;
            (Some(http), url, bytes)
        }
    };
    let card = CardView::parse(&bytes).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        ClientError::NoCard { url: card_url.to_string(), why: format!("{error}: {cause}") }
    })?;
    let json = std::str::from_utf8(&bytes).ok().and_then(|text| Json::parse(text).ok());
    let json = json.ok_or_else(|| no_card(&card_url, "it is not JSON"))?;
    let (endpoint_url, tenant) = endpoint(&card, &card_url, &options)?;
    let http = http.map_or_else(|| http_client(&endpoint_url, &options), Ok)?;
    let scheme = card.api_key();
    let options = ClientOptions { credentials: options.credentials.for_card(scheme.as_ref()), ..options };
    let extras = Extras::new(&options.parameters, &options.credentials, scheme, &endpoint_url)?;
    Ok(Client {
        endpoint: Arc::new(Endpoint::new(http, endpoint_url, tenant, options, extras)),
        card: Arc::new(Answer { value: card, json }),
    })
}

fn http_client(near: &Url, options: &ClientOptions) -> Result<reqwest::Client, ClientError> {
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
    builder.build().map_err(|source| ClientError::Unreachable { url: near.to_string(), source })
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
    Ok((url, bytes))
}

/// What was typed; without a scheme, it is https, or http on this machine.
fn read_url(text: &str) -> Result<Url, ClientError> {
    let bad = || ClientError::BadUrl(text.to_owned());
    let trimmed = text.trim();
    let url = match trimmed.contains("://") {
        true => Url::parse(trimmed).map_err(|_| bad())?,
        false => {
            let https = Url::parse(&format!("https://{trimmed}")).map_err(|_| bad())?;
            let http = Url::parse(&format!("http://{trimmed}")).map_err(|_| bad())?;
            if is_loopback(&https) { http } else { https }
        }
    };
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

async fn fetch_card(http: &reqwest::Client, given: &Url) -> Result<(Url, Vec<u8>), ClientError> {
    let mut missing = None;
    for url in card_urls(given) {
        let request = http.get(url.clone()).header("accept", "application/json").timeout(CARD_TIMEOUT);
        let response = request.send().await.map_err(|source| unreachable(&url, CARD_TIMEOUT, source))?;
        let status = response.status();
        if status.is_success() {
            let body = read_body(response, CARD_MAX).await?;
            return Ok((url, body));
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

fn endpoint(card: &CardView, card_url: &Url, options: &ClientOptions) -> Result<(Url, Option<String>), ClientError> {
    let Some(interface) = card.endpoint() else {
        let offered: Vec<String> = card
            .supported_interfaces
            .iter()
            .map(|interface| format!("{} {}", interface.protocol_binding, interface.protocol_version))
            .collect();
        let offered = if offered.is_empty() { "no interface".to_owned() } else { offered.join(", ") };
        let why = format!("{card_url} offers {offered}; this client speaks {BINDING} {VERSION}");
        return Err(ClientError::Protocol(why));
    };
    let wrong = |why: &str| ClientError::Protocol(format!("{card_url} sends callers to {}: {why}", interface.url));
    let url = card_url.join(&interface.url).map_err(|_| wrong("that is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("that is neither http nor https"));
    }
    // Whoever has the card in a file has seen where it leads.
    let is_trusted = options.is_other_origin_allowed || card_url.scheme() == "file";
    if !is_trusted && !is_same_origin(&url, card_url) {
        return Err(wrong("that is another origin than the card's, which must be allowed explicitly"));
    }
    Ok((url, interface.tenant.clone()))
}

fn within_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
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
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || ip.is_ok_and(|ip| ip.is_loopback())
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
            let url = endpoint(&card, &card_url, &options).ok().map(|(url, _)| url.to_string());
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
}
