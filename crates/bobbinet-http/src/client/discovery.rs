//! Finding an issuer's keys by its name alone: OpenID Connect Discovery 1.0, and RFC 8414 where there is no OpenID.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_auth::{FetchJwks, Fetched};
use reqwest::Url;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::{connect::is_loopback_address, jwks::HttpJwks, jwks::JwksUrlFault};

/// For how long it is remembered where an issuer's keys are. One that moves them serves them at both places for a while.
const LOCATION_AGE: Duration = Duration::from_secs(60 * 60);

/// For all of it: two documents that may say where the keys are, and the keys.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The keys of an issuer whose metadata say where they are.
pub struct DiscoveredJwks {
    issuer: String,
    is_here: bool,
    /// Where its metadata are: the first that is there counts.
    metadata: [HttpJwks; 2],
    location: Mutex<Option<(Arc<HttpJwks>, Instant)>>,
}

/// What is read of an issuer's metadata (RFC 8414 section 2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl DiscoveredJwks {
    /// The keys of the issuer of this name: an `https` URL, or `http` on this machine.
    ///
    /// # Errors
    /// If its name is no such URL.
    pub fn new(issuer: &str) -> Result<Self, JwksUrlFault> {
        let [openid, oauth] = metadata_urls(issuer)?;
        let is_here = Url::parse(issuer).is_ok_and(|url| is_loopback_address(&url));
        let metadata = [HttpJwks::new(&openid)?, HttpJwks::new(&oauth)?];
        Ok(Self { issuer: issuer.to_owned(), is_here, metadata, location: Mutex::new(None) })
    }

    /// Where its OpenID configuration is.
    pub fn url(&self) -> &str {
        self.metadata[0].url()
    }

    fn known(&self) -> Option<Arc<HttpJwks>> {
        let location = self.location.lock().unwrap_or_else(PoisonError::into_inner);
        location.as_ref().filter(|(_, found)| found.elapsed() < LOCATION_AGE).map(|(keys, _)| keys.clone())
    }

    fn keep(&self, location: Option<Arc<HttpJwks>>) {
        let mut kept = self.location.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = location.map(|keys| (keys, Instant::now()));
    }

    async fn find(&self) -> Result<Arc<HttpJwks>, String> {
        let mut complaints = Vec::new();
        for place in &self.metadata {
            match place.fetch().await.and_then(|Fetched { text, .. }| self.read(&text)) {
                Ok(keys) => return Ok(Arc::new(keys)),
                Err(why) => complaints.push(format!("{}: {why}", place.url())),
            }
        }
        Err(complaints.join("; "))
    }

    /// Where a document says that the keys are, if it is the issuer's.
    fn read(&self, text: &[u8]) -> Result<HttpJwks, String> {
        let Metadata { issuer, jwks_uri } =
            serde_json::from_slice(text).map_err(|error| format!("it is no issuer's metadata: {error}"))?;
        // To the letter: else one issuer could speak for another (RFC 8414 section 3.3).
        if issuer != self.issuer {
            return Err(format!("it is about the issuer {issuer:?}"));
        }
        let keys = HttpJwks::new(&jwks_uri).map_err(|fault| format!("its jwks_uri {fault}"))?;
        let leads_here = Url::parse(keys.url()).is_ok_and(|url| is_loopback_address(&url));
        if leads_here && !self.is_here {
            return Err(format!("its jwks_uri {jwks_uri:?} leads to this machine"));
        }
        Ok(keys)
    }

    async fn fetch_keys(&self) -> Result<Fetched, String> {
        if let Some(keys) = self.known() {
            match keys.fetch().await {
                Ok(fetched) => return Ok(fetched),
                // They may have moved.
                Err(_) => self.keep(None),
            }
        }
        let keys = self.find().await?;
        let fetched = keys.fetch().await.map_err(|why| format!("{}: {why}", keys.url()))?;
        self.keep(Some(keys));
        Ok(fetched)
    }
}

#[async_trait]
impl FetchJwks for DiscoveredJwks {
    async fn fetch(&self) -> Result<Fetched, String> {
        timeout(DISCOVERY_TIMEOUT, self.fetch_keys()).await.unwrap_or_else(|_| Err("it takes too long".to_owned()))
    }
}

/// Where an issuer's metadata are: below its name (OpenID Connect Discovery section 4), and between its host and its path (RFC 8414
/// section 3.1).
fn metadata_urls(issuer: &str) -> Result<[String; 2], JwksUrlFault> {
    let url = Url::parse(issuer).map_err(|_| JwksUrlFault::new(issuer, "is no URL"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(JwksUrlFault::new(issuer, "has a query or a fragment, so nothing can be found by it"));
    }
    let mut between = url.clone();
    between.set_path(&format!("/.well-known/oauth-authorization-server{}", url.path().trim_end_matches('/')));
    Ok([format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')), between.to_string()])
}

/// Without the client.
impl fmt::Debug for DiscoveredJwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiscoveredJwks").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_found_by_its_name() {
        for (issuer, expected) in [
            (
                "https://idp.example",
                Some([
                    "https://idp.example/.well-known/openid-configuration",
                    "https://idp.example/.well-known/oauth-authorization-server",
                ]),
            ),
            (
                "https://idp.example/realms/a/",
                Some([
                    "https://idp.example/realms/a/.well-known/openid-configuration",
                    "https://idp.example/.well-known/oauth-authorization-server/realms/a",
                ]),
            ),
            ("https://idp.example?x=1", None),
            ("https://idp.example#x", None),
            ("idp", None),
        ] {
            let found = metadata_urls(issuer).ok();
            assert_eq!(found.as_ref().map(|urls| urls.each_ref().map(String::as_str)), expected, "{issuer}");
        }
        for (issuer, is_fit) in [
            ("https://idp.example", true),
            ("http://127.0.0.1:7420", true),
            ("http://idp.example", false),
            ("https://me:secret@idp.example", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(DiscoveredJwks::new(issuer).is_ok(), is_fit, "{issuer}");
        }
    }

    #[test]
    fn what_metadata_say_is_believed_of_their_issuer_alone() {
        let far = DiscoveredJwks::new("https://idp.example").unwrap();
        let here = DiscoveredJwks::new("http://127.0.0.1:80").unwrap();
        let of = |issuer: &str, keys: &str| format!(r#"{{"issuer":{issuer:?},"jwks_uri":{keys:?},"more":1}}"#);
        for (of_whom, text, expected) in [
            (&far, of("https://idp.example", "https://keys.example/jwks"), None),
            (&far, of("https://idp.example/", "https://keys.example/jwks"), Some("about the issuer")),
            (&far, of("https://IDP.example", "https://keys.example/jwks"), Some("about the issuer")),
            (&far, of("https://other.example", "https://keys.example/jwks"), Some("about the issuer")),
            (&far, of("https://idp.example", "http://keys.example/jwks"), Some("use https")),
            (&far, of("https://idp.example", "http://127.0.0.1/jwks"), Some("leads to this machine")),
            (&far, of("https://idp.example", "https://localhost/jwks"), Some("leads to this machine")),
            (&far, of("https://idp.example", "file:///etc/passwd"), Some("neither https nor http")),
            (&here, of("http://127.0.0.1:80", "http://127.0.0.1:81/jwks"), None),
            (&here, of("http://127.0.0.1:80", "http://10.0.0.1/jwks"), Some("use https")),
            (&far, "{}".to_owned(), Some("no issuer's metadata")),
            (&far, "<html>".to_owned(), Some("no issuer's metadata")),
        ] {
            let found = of_whom.read(text.as_bytes()).err();
            match expected {
                None => assert_eq!(found, None, "{text}"),
                Some(part) => assert!(found.as_ref().is_some_and(|why| why.contains(part)), "{text}: {found:?}"),
            }
        }
    }
}
