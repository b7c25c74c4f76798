//! Fetching another issuer's public keys: a URL that the operator has configured, and nothing that comes from a caller.

use std::{error::Error, fmt, time::Duration};

use async_trait::async_trait;
use bobbinet_auth::{FetchJwks, Fetched, JWKS_LENGTH_MAX};
use http::header;
use reqwest::{Url, redirect};

use super::connect::{is_loopback_address, within_origin};

/// For a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For the whole of it. Whoever has shown a token waits for so long.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// A URL that a JWK set may be fetched from, and what it is fetched with.
pub struct HttpJwks {
    url: Url,
    http: reqwest::Client,
}

/// Why nothing can be fetched from a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JwksUrlFault(String);

impl JwksUrlFault {
    pub(super) fn new(url: &str, why: &str) -> Self {
        Self(format!("{url:?} {why}"))
    }
}

impl HttpJwks {
    /// The keys at this URL: `https`, or `http` on this machine, where nobody stands in between.
    ///
    /// # Errors
    /// If it is none of these.
    pub fn new(url: &str) -> Result<Self, JwksUrlFault> {
        Self::made(url, false)
    }

    /// The keys at this `http` URL, wherever it is: somebody has answered for all that stands in between.
    ///
    /// # Errors
    /// If it is none of these.
    pub fn without_tls(url: &str) -> Result<Self, JwksUrlFault> {
        Self::made(url, true)
    }

    fn made(url: &str, is_answered_for: bool) -> Result<Self, JwksUrlFault> {
        let fault = |why: &str| JwksUrlFault::new(url, why);
        let parsed = Url::parse(url).map_err(|_| fault("is no URL"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(fault("has a name or a password in it"));
        }
        let is_here = is_loopback_address(&parsed);
        match parsed.scheme() {
            "https" if is_answered_for => return Err(fault("is https, so there is TLS")),
            "https" => {}
            "http" if is_here || is_answered_for => {}
            "http" => {
                return Err(fault("is http, where anybody on the way could put keys of his: use https"));
            }
            _ => return Err(fault("is neither https nor http")),
        }
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(FETCH_TIMEOUT)
            .redirect(redirect::Policy::custom(within_origin))
            .user_agent(concat!("bobbinet/", env!("CARGO_PKG_VERSION")));
        // A proxy, which many a machine has configured, cannot reach what runs on this one.
        let builder = if is_here { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(|error| fault(&format!("cannot be fetched from: {error}")))?;
        Ok(Self { url: parsed, http })
    }

    /// The URL.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }
}

#[async_trait]
impl FetchJwks for HttpJwks {
    async fn fetch(&self) -> Result<Fetched, String> {
        let request =
            self.http.get(self.url.clone()).header(header::ACCEPT, "application/jwk-set+json, application/json");
        let mut response = request.send().await.map_err(|error| in_full(&error))?;
        if !response.status().is_success() {
            return Err(format!("it answers with {}", response.status()));
        }
        let max_age = max_age(response.headers());
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| in_full(&error))? {
            if text.len() + chunk.len() > JWKS_LENGTH_MAX {
                return Err(format!("it answers with more than {JWKS_LENGTH_MAX} bytes"));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(Fetched { text, max_age })
    }
}

/// For how long the answer is good, by RFC 9111.
fn max_age(headers: &http::HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives =
        values.flat_map(|value| value.split(',')).map(|directive| directive.trim().to_ascii_lowercase());
    directives.find_map(|directive| {
        if matches!(directive.as_str(), "no-store" | "no-cache") {
            return Some(Duration::ZERO);
        }
        directive.strip_prefix("max-age=")?.trim_matches('"').parse().ok().map(Duration::from_secs)
    })
}

/// An error with its causes: that nothing could be fetched says little.
fn in_full(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Without the client.
impl fmt::Debug for HttpJwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpJwks").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn keys_come_by_https_or_from_this_machine() {
        for (url, is_fit) in [
            ("https://idp.example/jwks.json", true),
            ("http://127.0.0.1:7420/.well-known/jwks.json", true),
            ("http://[::1]:7420/jwks.json", true),
            ("http://localhost/jwks.json", true),
            ("http://idp.example/jwks.json", false),
            ("http://127.0.0.1.example/jwks.json", false),
            ("http://x.localhost/jwks.json", false),
            ("http://10.0.0.1/jwks.json", false),
            ("http://169.254.169.254/jwks.json", false),
            ("http://2130706433/jwks.json", true),
            ("https://me:secret@idp.example/jwks.json", false),
            ("file:///etc/passwd", false),
            ("jwks.json", false),
        ] {
            assert_eq!(HttpJwks::new(url).is_ok(), is_fit, "{url}");
            let is_plain = url.starts_with("http://");
            assert_eq!(HttpJwks::without_tls(url).is_ok(), is_plain, "{url}");
        }
    }

    #[test]
    fn an_answer_is_good_for_as_long_as_it_says() {
        for (value, expected) in [
            ("max-age=60", Some(60)),
            ("public, Max-Age=300", Some(300)),
            ("no-store", Some(0)),
            ("public", None),
            ("max-age=soon", None),
        ] {
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, value.parse().unwrap())]);
            assert_eq!(max_age(&headers), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
