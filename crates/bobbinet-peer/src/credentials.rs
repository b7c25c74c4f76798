//! How this node shows a peer who calls.

use std::{
    error::Error,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bobbinet_http::client::{Credentials, ServiceParameter};
use bobbinet_outbound::{
    Guard, SecretSource,
    oauth::{ClientAuthMethod, ClientCredential, IssuedToken, OAuthClient, SigningMoment, request_token},
};
use reqwest::Url;
use tokio::{sync::Semaphore, time::Instant};

/// Makes a token of this node for an audience.
pub type MintToken = dyn Fn(&str) -> Result<String, Box<dyn Error + Send + Sync>> + Send + Sync;

/// How long before its end a token is asked for anew.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// How long a token is shown whose issuer does not say.
const LIFE_DEFAULT: Duration = Duration::from_secs(60);

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
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let credential = ClientCredential::Secret(self.secret.clone());
        // A secret is not signed with.
        let (method, moment) = (ClientAuthMethod::Basic, SigningMoment::default());
        let client = OAuthClient { id: &self.id, credential: &credential, method, audience: "", moment };
        let issued = request_token(&self.guard, &self.token_url, client, &form, self.guard.limits()).await;
        let IssuedToken { access_token, life, refresh_token: _ } =
            issued.map_err(|fault| crate::causes::in_full(&fault))?;
        Ok((access_token, life.unwrap_or(LIFE_DEFAULT)))
    }
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

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials").field("token_url", &self.token_url.as_str()).finish_non_exhaustive()
    }
}
