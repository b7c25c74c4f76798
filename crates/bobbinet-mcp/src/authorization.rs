//! The token that a server is shown: got before it is needed, shared by all requests, and got anew once for all of them.
//!
//! It stays in memory, under the issuer, the resource and the client that it was given out for, and goes to the server's origin alone.
//! Where tokens are given out follows from what the server says ([`discovery`]), but never who is shown the client's secret.
//!
//! Where somebody has to log in, nothing is shown until he has: then the server says what it wants, and a link is made for him ([`login`]).
//! What his browser brings is kept in a file, and got anew without him for as long as the authorization server lets it.

mod discovery;
mod fault;
mod login;

use std::{
    collections::BTreeSet,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bobbinet_engine::{Env, SystemEnv, watched};
use bobbinet_outbound::{
    Guard,
    oauth::{BearerChallenge, IssuedToken, LoginFault, LoginResponse, OAuthClient, request_token},
};
use reqwest::{Response, StatusCode, Url, header::HeaderValue};
use sha2::{Digest, Sha256};
use tokio::{
    sync::{Notify, Semaphore, oneshot},
    task::spawn_blocking,
    time::Instant,
};
use tokio_util::task::TaskTracker;

pub(crate) use self::{discovery::issuers_of, fault::AuthFault};
use self::{
    discovery::{Authority, LIMITS, Resource},
    login::LoginTarget,
};
use crate::{
    login_place::LoginPlace,
    login_record::{KeptLogin, LoginRecord},
    server_auth::{LoginConfig, OAuthClientConfig, ServerAuth},
};

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
pub(crate) struct Authorization {
    auth: ServerAuth,
    server: Url,
    guard: Guard,
    place: Arc<LoginPlace>,
    /// Where a login is kept, if it is.
    file: Option<PathBuf>,
    state: Mutex<TokenState>,
    /// Whoever has it gets a token; the others wait for that.
    turn: Semaphore,
    /// Of those who get one by a login.
    tracker: TaskTracker,
    /// How many logins have come back.
    logins: AtomicU64,
    /// Told at each of them.
    came_back: Notify,
}

#[derive(Default)]
struct TokenState {
    granted: Option<Granted>,
    serial: u64,
    found: Option<(Resource, Arc<Authority>, Instant)>,
    failed: Option<(Arc<AuthFault>, Instant)>,
    /// What is known of logins.
    record: LoginRecord,
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
pub(crate) struct Shown {
    serial: u64,
    /// Nothing, where nobody has logged in.
    pub(crate) header: Option<HeaderValue>,
}

/// What somebody has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoginLink {
    /// With whom.
    pub(crate) issuer: String,
    /// Where his browser goes.
    pub(crate) url: String,
}

/// Why what a browser has brought is no login.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReturnFault {
    #[error("this login is over already, or was never begun here")]
    Unknown,
    #[error(transparent)]
    Login(LoginFault),
    #[error(transparent)]
    Token(AuthFault),
}

/// Why a server wants another token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It does not take the one it was shown, or was shown none (401).
    Rejected(Option<BearerChallenge>),
    /// It is good, and not for this (403).
    Insufficient(BearerChallenge),
}

impl Refusal {
    /// That of an answer, if it is one.
    pub(crate) fn of(response: &Response) -> Option<Self> {
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
    pub(crate) fn new(
        auth: ServerAuth,
        server: Url,
        guard: Guard,
        place: Arc<LoginPlace>,
        tracker: TaskTracker,
    ) -> Self {
        let file = match &auth {
            ServerAuth::Login(login) => place.file(&file_name(login, &server)),
            ServerAuth::Bearer(_) | ServerAuth::ClientCredentials(_) => None,
        };
        let record = file.as_deref().map(LoginRecord::read).transpose().unwrap_or_else(|error| {
            tracing::warn!(server = server.origin().ascii_serialization(), %error, "what was kept of a login cannot be read");
            None
        });
        let state = TokenState { record: record.unwrap_or_default(), ..TokenState::default() };
        let (state, turn, logins) = (Mutex::new(state), Semaphore::new(1), AtomicU64::new(0));
        Self { auth, server, guard, place, file, state, turn, tracker, logins, came_back: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, TokenState> {
        self.state.lock().expect("nobody panics while looking at a token")
    }

    /// What the next request is shown with. Safe to drop.
    ///
    /// # Errors
    /// There is no token: the request cannot be made.
    pub(crate) async fn shown(self: &Arc<Self>) -> Result<Shown, Arc<AuthFault>> {
        if let Some(shown) = self.fresh() {
            return Ok(shown);
        }
        match (self.renew(Need::Fresh).await?, &self.auth) {
            (Some(shown), _) => Ok(shown),
            (None, ServerAuth::Login(_)) => Ok(Shown { serial: 0, header: None }),
            (None, ServerAuth::Bearer(_) | ServerAuth::ClientCredentials(_)) => Err(Arc::new(AuthFault::Withheld)),
        }
    }

    /// What a request is shown with that was refused, if anything else is worth trying. Safe to drop.
    ///
    /// # Errors
    /// There is no other token.
    pub(crate) async fn after(
        self: &Arc<Self>,
        shown: &Shown,
        refusal: Refusal,
    ) -> Result<Option<Shown>, Arc<AuthFault>> {
        self.renew(Need::After { serial: shown.serial, refusal }).await
    }

    /// The server has taken what it was shown.
    pub(crate) fn was_taken(&self, shown: &Shown) {
        if let Some(granted) = self.state().granted.as_mut().filter(|granted| granted.serial == shown.serial) {
            granted.is_taken = true;
        }
    }

    fn fresh(&self) -> Option<Shown> {
        let state = self.state();
        state.granted.as_ref().filter(|granted| Instant::now() < granted.fresh_until).map(Granted::shown)
    }

    /// Gets a token, once for all who come meanwhile.
    async fn renew(self: &Arc<Self>, need: Need) -> Result<Option<Shown>, Arc<AuthFault>> {
        match self.auth {
            ServerAuth::Bearer(_) | ServerAuth::ClientCredentials(_) => {
                let Ok(_turn) = self.turn.acquire().await else { return Ok(None) };
                self.renew_in_turn(&need).await
            }
            // What a refresh token has brought is the only one that is good from then on: whoever wanted it may go, and it is kept all the same.
            ServerAuth::Login(_) => {
                let (mut answer, answered) = oneshot::channel();
                let own = self.clone();
                let renewing = async move {
                    let turn = tokio::select! {
                        biased;
                        () = answer.closed() => return,
                        turn = own.turn.acquire() => turn,
                    };
                    if turn.is_ok() {
                        let _ = answer.send(own.renew_in_turn(&need).await);
                    }
                };
                self.tracker.spawn(watched("MCP login", renewing));
                answered.await.unwrap_or(Ok(None))
            }
        }
    }

    /// The same for the one whose turn it is.
    async fn renew_in_turn(&self, need: &Need) -> Result<Option<Shown>, Arc<AuthFault>> {
        if let Some(known) = self.without_asking(need)? {
            return Ok(known);
        }
        let asked = tokio::time::timeout(WHOLE_MAX, self.ask(need)).await;
        let asked = asked.unwrap_or(Err(AuthFault::TooSlow { limit: WHOLE_MAX }));
        let mut state = self.state();
        let now = Instant::now();
        match asked {
            Ok(Some(asked)) => {
                let follows_refusal = matches!(need, Need::After { .. });
                // A file still holds what was refused.
                let is_last = |last: &&mut Granted| follows_refusal && last.header == asked.header();
                if let Some(last) = state.granted.as_mut().filter(is_last) {
                    (last.follows_refusal, last.is_taken, last.since) = (true, false, now);
                    return Ok(None);
                }
                Ok(Some(self.grant(&mut state, asked, follows_refusal)))
            }
            Ok(None) => {
                let last = state.granted.as_ref().filter(|last| matches!(need, Need::Fresh) && now < last.good_until);
                Ok(last.map(Granted::shown))
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

    /// From now on the server is shown this.
    fn grant(&self, state: &mut TokenState, asked: Asked, follows_refusal: bool) -> Shown {
        let now = Instant::now();
        let life = asked.issued.life.unwrap_or(LIFE_DEFAULT).max(LIFE_MIN);
        state.failed = None;
        state.serial += 1;
        let granted = Granted {
            serial: state.serial,
            header: asked.header(),
            key: asked.key,
            scopes: asked.scopes,
            since: now,
            fresh_until: now + life.saturating_sub(RENEW_BEFORE).max(life / 2),
            good_until: now + life,
            follows_refusal,
            is_taken: false,
        };
        let shown = granted.shown();
        tracing::debug!(server = self.server.origin().ascii_serialization(), ?life, "a token was got");
        state.granted = Some(granted);
        shown
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
                    let is_own = matches!(self.auth, ServerAuth::ClientCredentials(_) | ServerAuth::Login(_));
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
                    if !wants_more || !self.asks_for_more() {
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

    /// Whether a token that is good for more is there to be had, without anybody having to log in.
    fn asks_for_more(&self) -> bool {
        match &self.auth {
            ServerAuth::ClientCredentials(client) => client.scope.is_none(),
            ServerAuth::Bearer(_) | ServerAuth::Login(_) => false,
        }
    }

    async fn ask(&self, need: &Need) -> Result<Option<Asked>, AuthFault> {
        match &self.auth {
            ServerAuth::Bearer(source) => {
                let access_token = source.read().map_err(AuthFault::Secret)?;
                let key = TokenKey { issuer: String::new(), resource: String::new(), client: String::new() };
                let issued = IssuedToken { access_token, life: None, refresh_token: None };
                Ok(Some(Asked { key, issued, scopes: BTreeSet::new() }))
            }
            ServerAuth::ClientCredentials(client) => self.ask_for(client, need).await.map(Some),
            ServerAuth::Login(config) => self.ask_by_login(config, need).await,
        }
    }

    /// What the last login is good for. `None`: somebody has to log in.
    async fn ask_by_login(&self, config: &LoginConfig, need: &Need) -> Result<Option<Asked>, AuthFault> {
        let (mut record, is_first) = {
            let state = self.state();
            (state.record.clone(), state.granted.is_none())
        };
        let Some(mut kept) = record.login.clone() else { return Ok(None) };
        let left = Duration::from_millis(kept.good_until.saturating_sub(SystemEnv.now().as_millis()));
        if matches!(need, Need::Fresh) && is_first && left > RENEW_BEFORE {
            return Ok(Some(Asked::of(&kept, left)));
        }
        let (Some(address), Some(_)) = (self.place.address(), &kept.refresh_token) else { return Ok(None) };
        if let Need::After { refusal: Refusal::Rejected(challenge), .. } = need {
            // What one authorization server gave is shown to no server that has gone over to another.
            let (issuer, challenge) = (config.issuer.as_deref(), challenge.as_ref());
            let (_, issuer) = discovery::find_login(&self.guard, &self.server, issuer, challenge).await?;
            if issuer != kept.issuer {
                return Ok(None);
            }
        }
        let issued = login::refresh(&self.guard, config, &record, &kept, address).await?;
        match &issued {
            Some(issued) => kept.take(issued),
            None => kept.refresh_token = None,
        }
        record.login = Some(kept.clone());
        // Before it is used: one that replaces another may be the only one that is good from now on.
        self.keep(record).await;
        Ok(issued.map(|issued| Asked::of(&kept, issued.life.unwrap_or(LIFE_DEFAULT))))
    }

    /// What somebody has to do for this refusal, if there is anything. One link is made for all who come meanwhile.
    pub(crate) async fn begin_login(&self, refusal: &Refusal) -> Result<Option<LoginLink>, Arc<AuthFault>> {
        let ServerAuth::Login(config) = &self.auth else { return Ok(None) };
        let Ok(_turn) = self.turn.acquire().await else { return Ok(None) };
        let failed = self.state().failed.clone().filter(|(_, at)| at.elapsed() < FAILED_PAUSE);
        if let Some((fault, _)) = failed {
            return Err(fault);
        }
        let begun = tokio::time::timeout(WHOLE_MAX, self.make_link(config, refusal)).await;
        begun.unwrap_or(Err(AuthFault::TooSlow { limit: WHOLE_MAX })).map_err(|fault| {
            let fault = Arc::new(fault);
            tracing::warn!(server = self.server.origin().ascii_serialization(), why = fault.in_full(), "no login");
            self.state().failed = Some((fault.clone(), Instant::now()));
            fault
        })
    }

    async fn make_link(&self, config: &LoginConfig, refusal: &Refusal) -> Result<Option<LoginLink>, AuthFault> {
        let address = self.place.address().ok_or(AuthFault::NoAddress)?;
        let challenge = match refusal {
            Refusal::Rejected(challenge) => challenge.as_ref(),
            Refusal::Insufficient(challenge) => Some(challenge),
        };
        let issuer = config.issuer.as_deref();
        let (resource, issuer) = discovery::find_login(&self.guard, &self.server, issuer, challenge).await?;
        let mut record = self.state().record.clone();
        let last = record.login.as_ref().filter(|last| last.issuer == issuer && last.resource == resource.name);
        let last: BTreeSet<String> = last.map(|last| last.scopes.iter().cloned().collect()).unwrap_or_default();
        let wanted = challenge.map(|challenge| challenge.scopes.as_slice()).unwrap_or_default();
        let wants_more = wanted.iter().any(|scope| !last.contains(scope));
        // Whoever logs in again for the same is told the same again.
        if matches!(refusal, Refusal::Insufficient(_)) && (!wants_more || config.scope.is_some()) {
            return Ok(None);
        }
        let scopes = match (&config.scope, wanted) {
            (Some(scope), _) => scope.split_whitespace().map(str::to_owned).collect(),
            (None, []) if last.is_empty() => resource.scopes.into_iter().collect(),
            (None, wanted) => last.into_iter().chain(wanted.iter().cloned()).collect(),
        };
        let target = LoginTarget { issuer, resource: resource.name, scopes };
        let pending = login::begin(&self.guard, config, &mut record, address, target).await?;
        self.keep(record).await;
        Ok(Some(LoginLink { issuer: pending.issuer, url: pending.url }))
    }

    /// Whether this is the login that somebody was asked for.
    pub(crate) fn expects(&self, response: &LoginResponse) -> bool {
        self.state().record.pending.as_ref().is_some_and(|pending| pending.state == response.state)
    }

    /// Somebody's browser has come back. It is exchanged once, whatever comes of it. A drop loses the login.
    ///
    /// # Errors
    /// [`ReturnFault`]: nobody is logged in by that.
    pub(crate) async fn complete(&self, response: LoginResponse) -> Result<(), ReturnFault> {
        let completed = self.take_login(response).await;
        // Whatever came of it, its address is used up, and whoever waits finds out what there is to do now.
        if !matches!(completed, Err(ReturnFault::Unknown)) {
            self.logins.fetch_add(1, Ordering::SeqCst);
            self.came_back.notify_waiters();
        }
        completed
    }

    async fn take_login(&self, response: LoginResponse) -> Result<(), ReturnFault> {
        let ServerAuth::Login(config) = &self.auth else { return Err(ReturnFault::Unknown) };
        let Ok(_turn) = self.turn.acquire().await else { return Err(ReturnFault::Unknown) };
        let mut record = self.state().record.clone();
        let pending = record.pending.take().filter(|pending| pending.state == response.state);
        let Some(pending) = pending else { return Err(ReturnFault::Unknown) };
        self.keep(record.clone()).await;
        let code = response.code(&pending.issuer, pending.says_issuer).map_err(ReturnFault::Login)?;
        let issued = login::exchange(&self.guard, config, &record, &pending, &code).await.map_err(|source| {
            let place = pending.token_url.origin().ascii_serialization();
            ReturnFault::Token(AuthFault::NoToken { place, source })
        })?;
        let mut kept = KeptLogin {
            issuer: pending.issuer,
            resource: pending.resource,
            client: pending.client,
            scopes: pending.scopes,
            access_token: String::new(),
            good_until: 0,
            refresh_token: None,
        };
        kept.take(&issued);
        record.login = Some(kept.clone());
        self.keep(record).await;
        {
            let mut state = self.state();
            self.grant(&mut state, Asked::of(&kept, issued.life.unwrap_or(LIFE_DEFAULT)), true);
        }
        tracing::info!(
            server = self.server.origin().ascii_serialization(),
            issuer = kept.issuer,
            "somebody has logged in"
        );
        Ok(())
    }

    /// How many browsers have come back, with a login or without.
    pub(crate) fn logins(&self) -> u64 {
        self.logins.load(Ordering::SeqCst)
    }

    /// Returns when more have than so many.
    pub(crate) async fn logged_in_after(&self, logins: u64) {
        loop {
            // Before the count is looked at, so that none comes back between the two.
            let mut told = std::pin::pin!(self.came_back.notified());
            told.as_mut().enable();
            if self.logins() > logins {
                return;
            }
            told.await;
        }
    }

    /// The server's address, as it may be shown.
    pub(crate) fn server(&self) -> String {
        self.server.origin().ascii_serialization()
    }

    /// Keeps what is known of logins. Durable when this returns, unless the log says otherwise.
    async fn keep(&self, record: LoginRecord) {
        let is_new = {
            let mut state = self.state();
            let is_new = state.record != record;
            state.record = record.clone();
            is_new
        };
        let Some(file) = self.file.clone().filter(|_| is_new) else { return };
        let written = spawn_blocking(move || record.write(&file)).await;
        if let Err(error) = written.unwrap_or_else(|panic| Err(std::io::Error::other(panic))) {
            let server = self.server.origin().ascii_serialization();
            tracing::error!(server, %error, "a login is not kept: after a restart somebody has to log in again");
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
                    discovery::find(&self.guard, &self.server, &client.authority, &client.credential, challenge)
                        .await?;
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
        let (id, method, audience) = (client.id.as_str(), authority.method, authority.issuer.as_str());
        let shown = OAuthClient { id, credential: &client.credential, method, audience, moment: login::moment() };
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

impl Asked {
    fn of(kept: &KeptLogin, life: Duration) -> Self {
        let KeptLogin { issuer, resource, client, .. } = kept.clone();
        let issued = IssuedToken { access_token: kept.access_token.clone(), life: Some(life), refresh_token: None };
        Self { key: TokenKey { issuer, resource, client }, issued, scopes: kept.scopes.iter().cloned().collect() }
    }

    fn header(&self) -> HeaderValue {
        let mut header = HeaderValue::try_from(format!("Bearer {}", self.issued.access_token))
            .expect("a token that was read may stand in a header");
        header.set_sensitive(true);
        header
    }
}

impl KeptLogin {
    /// A token was given out for it.
    fn take(&mut self, issued: &IssuedToken) {
        let life = issued.life.unwrap_or(LIFE_DEFAULT).max(LIFE_MIN);
        self.access_token = issued.access_token.clone();
        self.good_until = SystemEnv.now().after(life).as_millis();
        // One that stays is not said again.
        if let Some(refresh_token) = &issued.refresh_token {
            self.refresh_token = Some(refresh_token.clone());
        }
    }
}

impl Granted {
    fn shown(&self) -> Shown {
        Shown { serial: self.serial, header: Some(self.header.clone()) }
    }
}

/// What a login is kept under: another server, another client or another scope is another login.
fn file_name(login: &LoginConfig, server: &Url) -> String {
    let id = login.client.as_ref().map(|(id, _)| id);
    let words = [Some(server.as_str()), login.issuer.as_deref(), id.map(String::as_str), login.scope.as_deref()];
    let hash = Sha256::digest(serde_json::json!(words).to_string());
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Without what is secret.
impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization").field("auth", &self.auth).finish_non_exhaustive()
    }
}
