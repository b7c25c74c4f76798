//! The token that a server is shown: got before it is needed, shared by all requests, and got anew once for all of them.
//!
//! It stays in memory, under the issuer, the resource and the client that it was given out for, and goes to the server's origin alone.
//! Where tokens are given out follows from what the server says ([`discovery`]), but never who is shown the client's secret.

mod discovery;
mod fault;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bobbinet_outbound::{
    Guard,
    oauth::{BearerChallenge, IssuedToken, OAuthClient, request_token},
};
use reqwest::{Response, StatusCode, Url, header::HeaderValue};
use tokio::{sync::Semaphore, time::Instant};

use self::discovery::{Authority, LIMITS, Resource};
pub(super) use self::{discovery::issuers_of, fault::AuthFault};
use crate::server_auth::{OAuthClientConfig, ServerAuth};

/// How long it may take to get a token, with all that has to be found out for it.
const WHOLE_MAX: Duration = Duration::from_secs(40);

/// How long before its end a token is got anew.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// How long a token is shown whose issuer does not say, and one that is in a file.
const LIFE_DEFAULT: Duration = Duration::from_secs(120);

/// The shortest that a token is shown, whatever its issuer says: until the server refuses it.
const LIFE_MIN: Duration = Duration::from_secs(5);

/// How long nobody is asked again for a token after there was none: all who come meanwhile are told the same.
const FAILED_PAUSE: Duration = Duration::from_secs(2);

/// How long a server that has refused a token got for its refusal of the last one is not believed that another would do.
const REJECTED_PAUSE: Duration = Duration::from_secs(30);

/// How long what was found out of issuers is believed, if no server says otherwise.
const DISCOVERY_AGE: Duration = Duration::from_secs(60 * 60);

/// What requests to one server are shown with.
pub(super) struct Authorization {
    auth: ServerAuth,
    server: Url,
    guard: Guard,
    state: Mutex<TokenState>,
    /// Whoever has it gets a token; the others wait for that.
    turn: Semaphore,
}

#[derive(Default)]
struct TokenState {
    granted: Option<Granted>,
    serial: u64,
    found: Option<(Resource, Arc<Authority>, Instant)>,
    failed: Option<(Arc<AuthFault>, Instant)>,
}

/// For whom, and by whom, a token was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TokenKey {
    issuer: String,
    resource: String,
    client: String,
}

struct Granted {
    serial: u64,
    key: TokenKey,
    header: HeaderValue,
    scopes: BTreeSet<String>,
    since: Instant,
    /// When another is got.
    fresh_until: Instant,
    good_until: Instant,
    /// Whether the server had refused the one before.
    follows_refusal: bool,
    is_taken: bool,
}

/// What a request was shown with.
#[derive(Clone)]
pub(super) struct Shown {
    serial: u64,
    pub(super) header: HeaderValue,
}

/// Why a server wants another token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not take the one it was shown, or was shown none (401).
    Rejected(Option<BearerChallenge>),
    /// It is good, and not for this (403).
    Insufficient(BearerChallenge),
}

impl Refusal {
    /// That of an answer, if it is one.
    pub(super) fn of(response: &Response) -> Option<Self> {
        match response.status() {
            StatusCode::UNAUTHORIZED => Some(Self::Rejected(BearerChallenge::of_headers(response.headers()))),
            StatusCode::FORBIDDEN => {
                let challenge = BearerChallenge::of_headers(response.headers())?;
                challenge.is_insufficient_scope().then_some(Self::Insufficient(challenge))
            }
            _ => None,
        }
    }
}

/// What is asked for, and why.
enum Need {
    /// There is none, or none for long.
    Fresh,
    /// This one was refused.
    After { serial: u64, refusal: Refusal },
}

impl Authorization {
    pub(super) fn new(auth: ServerAuth, server: Url, guard: Guard) -> Self {
        Self { auth, server, guard, state: Mutex::default(), turn: Semaphore::new(1) }
    }

    fn state(&self) -> MutexGuard<'_, TokenState> {
        self.state.lock().expect("nobody panics while looking at a token")
    }

    /// What the next request is shown with. Safe to drop.
    ///
    /// # Errors
    /// There is no token: the request cannot be made.
    pub(super) async fn shown(&self) -> Result<Shown, Arc<AuthFault>> {
        match self.fresh() {
            Some(shown) => Ok(shown),
            None => self.renew(Need::Fresh).await.and_then(|shown| shown.ok_or_else(|| Arc::new(AuthFault::Withheld))),
        }
    }

    /// What a request is shown with that was refused, if anything else is worth trying. Safe to drop.
    ///
    /// # Errors
    /// There is no other token.
    pub(super) async fn after(&self, shown: &Shown, refusal: Refusal) -> Result<Option<Shown>, Arc<AuthFault>> {
        self.renew(Need::After { serial: shown.serial, refusal }).await
    }

    /// The server has taken what it was shown.
    pub(super) fn was_taken(&self, shown: &Shown) {
        if let Some(granted) = self.state().granted.as_mut().filter(|granted| granted.serial == shown.serial) {
            granted.is_taken = true;
        }
    }

    fn fresh(&self) -> Option<Shown> {
        let state = self.state();
        state.granted.as_ref().filter(|granted| Instant::now() < granted.fresh_until).map(Granted::shown)
    }

    /// Gets a token, once for all who come meanwhile.
    async fn renew(&self, need: Need) -> Result<Option<Shown>, Arc<AuthFault>> {
        let Ok(_turn) = self.turn.acquire().await else { return Ok(None) };
        if let Some(known) = self.without_asking(&need)? {
            return Ok(known);
        }
        let asked = tokio::time::timeout(WHOLE_MAX, self.ask(&need)).await;
        let asked = asked.unwrap_or(Err(AuthFault::TooSlow { limit: WHOLE_MAX }));
        let mut state = self.state();
        let now = Instant::now();
        match asked {
            Ok(Asked { key, issued, scopes }) => {
                let mut header = HeaderValue::try_from(format!("Bearer {}", issued.access_token))
                    .expect("a token that was read may stand in a header");
                header.set_sensitive(true);
                state.failed = None;
                let follows_refusal = matches!(need, Need::After { .. });
                // A file still holds what was refused.
                if let Some(last) = state.granted.as_mut().filter(|last| follows_refusal && last.header == header) {
                    (last.follows_refusal, last.is_taken, last.since) = (true, false, now);
                    return Ok(None);
                }
                state.serial += 1;
                let life = issued.life.unwrap_or(LIFE_DEFAULT).max(LIFE_MIN);
                let granted = Granted {
                    serial: state.serial,
                    key,
                    header,
                    scopes,
                    since: now,
                    fresh_until: now + life.saturating_sub(RENEW_BEFORE).max(life / 2),
                    good_until: now + life,
                    follows_refusal,
                    is_taken: false,
                };
                let shown = granted.shown();
                tracing::debug!(server = self.server.origin().ascii_serialization(), ?life, "a token was got");
                state.granted = Some(granted);
                Ok(Some(shown))
            }
            Err(fault) => {
                let fault = Arc::new(fault);
                tracing::warn!(server = self.server.origin().ascii_serialization(), why = fault.in_full(), "no token");
                state.failed = Some((fault.clone(), now));
                // It may be good for a little longer.
                let last = state.granted.as_ref().filter(|last| matches!(need, Need::Fresh) && now < last.good_until);
                last.map(|last| Some(last.shown())).ok_or(fault)
            }
        }
    }

    /// What is known by the one whose turn it is: somebody was there before him, or asking would be in vain.
    fn without_asking(&self, need: &Need) -> Result<Option<Option<Shown>>, Arc<AuthFault>> {
        let state = self.state();
        let now = Instant::now();
        if let Some(last) = &state.granted {
            match need {
                Need::Fresh if now < last.fresh_until => return Ok(Some(Some(last.shown()))),
                Need::After { serial, .. } if last.serial != *serial => return Ok(Some(Some(last.shown()))),
                Need::After { refusal: Refusal::Rejected(_), .. } => {
                    // Somebody may have put another one into the file meanwhile.
                    let is_own = matches!(self.auth, ServerAuth::ClientCredentials(_));
                    let is_in_vain = is_own
                        && last.follows_refusal
                        && !last.is_taken
                        && now.duration_since(last.since) < REJECTED_PAUSE;
                    if is_in_vain {
                        return Ok(Some(None));
                    }
                }
                Need::After { refusal: Refusal::Insufficient(challenge), .. } => {
                    // Nothing more would be asked for.
                    let wants_more = challenge.scopes.iter().any(|scope| !last.scopes.contains(scope));
                    if !wants_more || self.has_fixed_scope() {
                        return Ok(Some(None));
                    }
                }
                Need::Fresh => {}
            }
        }
        match &state.failed {
            Some((fault, at)) if now.duration_since(*at) < FAILED_PAUSE => {
                let last = state.granted.as_ref().filter(|last| matches!(need, Need::Fresh) && now < last.good_until);
                last.map(|last| Some(Some(last.shown()))).ok_or_else(|| fault.clone())
            }
            Some(_) | None => Ok(None),
        }
    }

    fn has_fixed_scope(&self) -> bool {
        match &self.auth {
            ServerAuth::ClientCredentials(client) => client.scope.is_some(),
            ServerAuth::Bearer(_) => true,
        }
    }

    async fn ask(&self, need: &Need) -> Result<Asked, AuthFault> {
        match &self.auth {
            ServerAuth::Bearer(source) => {
                let access_token = source.read().map_err(AuthFault::Secret)?;
                let key = TokenKey { issuer: String::new(), resource: String::new(), client: String::new() };
                let issued = IssuedToken { access_token, life: None };
                Ok(Asked { key, issued, scopes: BTreeSet::new() })
            }
            ServerAuth::ClientCredentials(client) => self.ask_for(client, need).await,
        }
    }

    async fn ask_for(&self, client: &OAuthClientConfig, need: &Need) -> Result<Asked, AuthFault> {
        let challenge = match need {
            Need::Fresh => None,
            Need::After { refusal: Refusal::Rejected(challenge), .. } => challenge.as_ref(),
            Need::After { refusal: Refusal::Insufficient(challenge), .. } => Some(challenge),
        };
        let known = {
            let state = self.state();
            let found = state.found.as_ref().filter(|(_, _, at)| at.elapsed() < DISCOVERY_AGE);
            // A server that refuses a token may have changed its mind about who gives them out.
            let is_believed = !matches!(need, Need::After { refusal: Refusal::Rejected(_), .. });
            found.filter(|_| is_believed).map(|(resource, authority, _)| (resource.clone(), authority.clone()))
        };
        let (resource, authority) = match known {
            Some(known) => known,
            None => {
                let (resource, authority) =
                    discovery::find(&self.guard, &self.server, &client.authority, challenge).await?;
                let authority = Arc::new(authority);
                self.state().found = Some((resource.clone(), authority.clone(), Instant::now()));
                (resource, authority)
            }
        };
        let key =
            TokenKey { issuer: authority.issuer.clone(), resource: resource.name.clone(), client: client.id.clone() };
        let scopes = self.scopes(client, challenge, &resource, &key);
        let scope = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let mut form = vec![("grant_type", "client_credentials"), ("resource", resource.name.as_str())];
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let shown = OAuthClient { id: &client.id, secret: &client.secret, method: authority.method };
        let issued = request_token(&self.guard, &authority.token_url, shown, &form, &LIMITS).await;
        match issued {
            Ok(issued) => Ok(Asked { key, issued, scopes }),
            Err(source) => {
                // What was found out may be the reason.
                self.state().found = None;
                let place = authority.token_url.origin().ascii_serialization();
                Err(AuthFault::NoToken { place, source })
            }
        }
    }

    /// What the token is to be good for: what the operator says, or else what the server does (MCP's scope selection strategy), together
    /// with what the last one was for.
    fn scopes(
        &self,
        client: &OAuthClientConfig,
        challenge: Option<&BearerChallenge>,
        resource: &Resource,
        key: &TokenKey,
    ) -> BTreeSet<String> {
        if let Some(scope) = &client.scope {
            return scope.split_whitespace().map(str::to_owned).collect();
        }
        let state = self.state();
        let last = state.granted.as_ref().filter(|last| last.key == *key).map(|last| last.scopes.clone());
        match challenge.map(|challenge| &challenge.scopes).filter(|scopes| !scopes.is_empty()) {
            Some(wanted) => last.unwrap_or_default().into_iter().chain(wanted.iter().cloned()).collect(),
            None => last.unwrap_or_else(|| resource.scopes.iter().cloned().collect()),
        }
    }
}

/// A token that was just given out.
struct Asked {
    key: TokenKey,
    issued: IssuedToken,
    scopes: BTreeSet<String>,
}

impl Granted {
    fn shown(&self) -> Shown {
        Shown { serial: self.serial, header: self.header.clone() }
    }
}

/// Without what is secret.
impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization").field("auth", &self.auth).finish_non_exhaustive()
    }
}
