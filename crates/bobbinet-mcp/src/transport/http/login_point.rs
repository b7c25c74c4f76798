//! What there is to say to somebody whose call a server refuses because nobody has logged in.

use std::{fmt, sync::Arc, time::Duration};

use bobbinet_outbound::Guard;
use reqwest::Url;

use crate::{
    authorization::{Authorization, LoginLink, Refusal, issuers_of},
    login::LoginWatch,
    server_auth::ServerAuth,
};

/// How long it may take to find out who lets people in: somebody waits for his answer meanwhile.
const FIND_MAX: Duration = Duration::from_secs(5);

/// Where it is found out what a server wants of people.
pub(super) struct LoginPoint {
    server: Url,
    authorization: Option<Arc<Authorization>>,
    auth: Option<ServerAuth>,
    guard: Guard,
    watch: Arc<LoginWatch>,
}

/// What somebody can do about a refusal.
pub(super) enum LoginAdvice {
    /// Log in, in words for callers.
    LogIn(String),
    /// Nobody can log in, for this reason.
    Failed(String),
    /// It is the operator's business alone.
    None,
}

impl LoginPoint {
    pub(super) fn new(
        server: Url,
        authorization: Option<Arc<Authorization>>,
        auth: Option<ServerAuth>,
        guard: Guard,
        watch: Arc<LoginWatch>,
    ) -> Self {
        Self { server, authorization, auth, guard, watch }
    }

    /// The server lets nobody in by what it was shown.
    pub(super) async fn refused(&self, refusal: &Refusal) -> LoginAdvice {
        let server = self.server.origin().ascii_serialization();
        let logins = self.authorization.as_ref().map_or(0, |authorization| authorization.logins());
        let (words, url) = match (&self.auth, refusal) {
            (Some(ServerAuth::Login(_)), _) => {
                let Some(authorization) = &self.authorization else { return LoginAdvice::None };
                match authorization.begin_login(refusal).await {
                    Ok(Some(LoginLink { issuer, url })) => {
                        let words = format!(
                            "{server} wants somebody to log in with {issuer}: open the address in a browser. It goes on by itself after that, or when \
                             you answer. What you may do there, this agent may do for everybody who may call it"
                        );
                        (words, Some(url))
                    }
                    Ok(None) => return LoginAdvice::None,
                    Err(fault) => {
                        let why = fault.in_full();
                        return LoginAdvice::Failed(format!(
                            "{server} wants somebody to log in, and nobody can: {why}"
                        ));
                    }
                }
            }
            (_, Refusal::Insufficient(_)) | (Some(ServerAuth::ClientCredentials(_)), _) => return LoginAdvice::None,
            (Some(ServerAuth::Bearer(_)), Refusal::Rejected(_)) => {
                let words = format!(
                    "{server} does not take the token that this node has for it. Log in there, have the new token put where this node reads it, \
                     and answer"
                );
                (words, None)
            }
            (None, Refusal::Rejected(challenge)) => {
                let finding = issuers_of(&self.guard, &self.server, challenge.as_ref());
                let issuers = tokio::time::timeout(FIND_MAX, finding).await.unwrap_or_default();
                let Some(issuer) = issuers.into_iter().next() else { return LoginAdvice::None };
                let words = format!(
                    "{server} wants a login with {issuer}. The operator of this node gives it credentials of that (`auth` beside the server's \
                     url), or lets callers log in with a browser (`auth: {{ login: {{}} }}`); answer when that is done"
                );
                (words, Some(issuer))
            }
        };
        self.watch.refused(words.clone(), url, logins);
        LoginAdvice::LogIn(words)
    }

    /// The server has taken something.
    pub(super) fn was_let_in(&self) {
        self.watch.forget();
    }
}

/// Without what is secret.
impl fmt::Debug for LoginPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginPoint").field("auth", &self.auth).finish_non_exhaustive()
    }
}
