//! How this node shows a peer who calls.

use std::{
    error::Error,
    fmt,
    fs::File,
    io::{self, Read},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bobbinet_http::client::{Credentials, ServiceParameter};
use bobbinet_outbound::{Guard, fetch};
use reqwest::{Method, Url, header};
use serde::Deserialize;
use tokio::{sync::Semaphore, time::Instant};

/// Makes a token of this node for an audience.
pub type MintToken = dyn Fn(&str) -> Result<String, Box<dyn Error + Send + Sync>> + Send + Sync;

/// Bytes of a file with a secret.
const SECRET_MAX: u64 = 64 << 10;

/// How long before its end a token is asked for anew.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// How long a token is shown whose issuer does not say.
const LIFE_DEFAULT: Duration = Duration::from_secs(60);

/// The longest that a token is believed to be good.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How a peer is shown who calls.
#[derive(Clone, Default)]
pub enum PeerAuth {
    /// Not at all.
    #[default]
    None,
    /// With a short token of this node, made for the peer's URL.
    Node(Arc<MintToken>),
    /// With this bearer token.
    Bearer(SecretSource),
    /// With a name and a password (RFC 7617).
    Basic(String, String),
    /// With this API key, where the peer's card wants it.
    ApiKey(SecretSource),
    /// With a token that an authorization server gives this node (RFC 6749, section 4.4).
    ClientCredentials(Arc<ClientCredentials>),
}

/// Where a secret is.
#[derive(Clone)]
pub enum SecretSource {
    /// Here.
    Text(String),
    /// In a file. It is read again after two minutes, and when what it held is not taken, as those who rotate secrets change it.
    File(PathBuf),
}

impl SecretSource {
    fn read(&self) -> io::Result<String> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::File(path) => {
                let of_path = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                let mut text = String::new();
                let file = File::open(path).map_err(of_path)?;
                file.take(SECRET_MAX).read_to_string(&mut text).map_err(of_path)?;
                text.trim().to_owned()
            }
        };
        let is_fit = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_fit { Ok(text) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no token: one word")) }
    }
}

impl PeerAuth {
    /// What a client shows.
    pub(crate) fn credentials(&self) -> Result<Credentials, io::Error> {
        Ok(match self {
            // What is shown there is a header of its own.
            Self::None | Self::Basic(..) => Credentials::None,
            Self::Node(mint) => Credentials::Mint(mint.clone()),
            Self::Bearer(source) => {
                let source = source.clone();
                Credentials::Mint(Arc::new(move |_| Ok(source.read()?)))
            }
            Self::ApiKey(source) => Credentials::ApiKey(source.read()?, Box::default()),
            Self::ClientCredentials(client) => {
                let client = client.clone();
                Credentials::Mint(Arc::new(move |_| {
                    client.kept().ok_or_else(|| "the authorization server has given no token".into())
                }))
            }
        })
    }

    /// What else goes with each request.
    pub(crate) fn parameters(&self) -> Vec<ServiceParameter> {
        let Self::Basic(user, password) = self else { return Vec::new() };
        let header = format!("authorization: Basic {}", STANDARD.encode(format!("{user}:{password}")));
        ServiceParameter::parse(&header).into_iter().collect()
    }

    /// Gets ready what cannot be got in the middle of a request.
    pub(crate) async fn prepare(&self) -> Result<(), String> {
        match self {
            Self::ClientCredentials(client) => client.renew().await,
            Self::None | Self::Node(_) | Self::Bearer(_) | Self::Basic(..) | Self::ApiKey(_) => Ok(()),
        }
    }

    /// What was shown is not taken. Whether another may be.
    pub(crate) fn forget(&self) -> bool {
        match self {
            Self::ClientCredentials(client) => {
                *client.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
                true
            }
            // The client makes a new one by itself.
            Self::None | Self::Node(_) | Self::Bearer(_) | Self::Basic(..) | Self::ApiKey(_) => false,
        }
    }
}

/// This node as a client of an authorization server.
pub struct ClientCredentials {
    token_url: Url,
    id: String,
    secret: SecretSource,
    scope: Option<String>,
    guard: Guard,
    token: Mutex<Option<(String, Instant)>>,
    asks: Semaphore,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl ClientCredentials {
    /// A client that asks at this URL, through the guard.
    pub fn new(token_url: Url, id: String, secret: SecretSource, scope: Option<String>, guard: Guard) -> Self {
        Self { token_url, id, secret, scope, guard, token: Mutex::new(None), asks: Semaphore::new(1) }
    }

    fn kept(&self) -> Option<String> {
        let kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(_, until)| Instant::now() < *until).map(|(token, _)| token.clone())
    }

    /// Asks for a token unless there is one that is good; once for all who come meanwhile.
    async fn renew(&self) -> Result<(), String> {
        if self.kept().is_some() {
            return Ok(());
        }
        let Ok(_turn) = self.asks.acquire().await else { return Ok(()) };
        if self.kept().is_some() {
            return Ok(());
        }
        let (token, life) = self.ask().await.map_err(|why| format!("asking {} for a token: {why}", self.token_url))?;
        let until = Instant::now() + life.saturating_sub(RENEW_BEFORE).max(life / 2);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some((token, until));
        Ok(())
    }

    async fn ask(&self) -> Result<(String, Duration), String> {
        let secret = self.secret.read().map_err(|error| format!("its secret cannot be read: {error}"))?;
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let basic = STANDARD.encode(format!("{}:{}", encoded(&[("", &self.id)]), encoded(&[("", &secret)])));
        let http = self.guard.http(&self.token_url).map_err(|refused| refused.to_string())?;
        let request = http.request(Method::POST, &self.token_url).map_err(|refused| refused.to_string())?;
        let mut basic = header::HeaderValue::try_from(format!("Basic {basic}")).map_err(|error| error.to_string())?;
        basic.set_sensitive(true);
        let request = request
            .header(header::AUTHORIZATION, basic)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encoded(&form));
        let fetched = fetch(request, self.guard.limits()).await.map_err(|error| crate::causes::in_full(&error))?;
        if !fetched.status.is_success() {
            // What it says may have secrets in it.
            return Err(format!("it answers {}", fetched.status));
        }
        let answer: TokenAnswer = serde_json::from_slice(&fetched.body).map_err(|_| "its answer has no token")?;
        let life = answer.expires_in.map_or(LIFE_DEFAULT, |seconds| Duration::from_secs(seconds).min(LIFE_MAX));
        Ok((answer.access_token, life))
    }
}

/// Pairs as a form has them; a value alone, without its name.
fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("x:/").expect("a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    let text = url.query().unwrap_or_default();
    text.strip_prefix('=').unwrap_or(text).to_owned()
}

impl fmt::Debug for PeerAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Node(_) => "Node(…)",
            Self::Bearer(_) => "Bearer(…)",
            Self::Basic(..) => "Basic(…)",
            Self::ApiKey(_) => "ApiKey(…)",
            Self::ClientCredentials(_) => "ClientCredentials(…)",
        })
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials").field("token_url", &self.token_url.as_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(
            encoded(&[("grant_type", "client_credentials"), ("scope", "a b")]),
            "grant_type=client_credentials&scope=a+b"
        );
        assert_eq!(encoded(&[("", "a:b c")]), "a%3Ab+c");
    }

    #[test]
    fn a_file_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let source = SecretSource::File(path.clone());
        assert!(source.read().unwrap_err().to_string().contains("token"));
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(source.read().unwrap(), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(source.read().unwrap(), "two");
        std::fs::write(&path, "two words").unwrap();
        assert!(source.read().is_err());
        assert!(!format!("{:?}", SecretSource::Text("secret".to_owned())).contains("secret"));
    }
}
