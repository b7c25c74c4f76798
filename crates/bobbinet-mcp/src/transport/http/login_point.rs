//! What there is to say to somebody whose call a server refuses because nobody has logged in.

use std::{fmt, sync::Arc, time::Duration};

use bobbinet_outbound::{Guard, oauth::BearerChallenge};
use reqwest::Url;

use super::authorization::issuers_of;
use crate::{login::LoginWatch, server_auth::ServerAuth};

/// How long it may take to find out who lets people in: somebody waits for his answer meanwhile.
const FIND_MAX: Duration = Duration::from_secs(5);

/// Where it is found out what a server wants of people.
pub(super) struct LoginPoint {
    server: Url,
    auth: Option<ServerAuth>,
    guard: Guard,
    watch: Arc<LoginWatch>,
}

impl LoginPoint {
    pub(super) fn new(server: Url, auth: Option<ServerAuth>, guard: Guard, watch: Arc<LoginWatch>) -> Self {
        Self { server, auth, guard, watch }
    }

    /// The server lets nobody in by what it was shown. Returns what somebody can do about it, unless that is the operator's business alone.
    pub(super) async fn refused(&self, challenge: Option<&BearerChallenge>) -> Option<String> {
        let server = self.server.origin().ascii_serialization();
        let (words, url) = match &self.auth {
            // Nobody logs in for that.
            Some(ServerAuth::ClientCredentials(_)) => return None,
            Some(ServerAuth::Bearer(_)) => {
                let words = format!(
                    "{server} does not take the token that this node has for it. Log in there, have the new token put where this node reads it, \
                     and answer"
                );
                (words, None)
            }
            None => {
                let finding = issuers_of(&self.guard, &self.server, challenge);
                let issuers = tokio::time::timeout(FIND_MAX, finding).await.unwrap_or_default();
                let issuer = issuers.into_iter().next()?;
                let words = format!(
                    "{server} wants a login with {issuer}. The operator of this node gives it credentials of that (`auth` beside the server's \
                     url); answer when that is done"
                );
                (words, Some(issuer))
            }
        };
        self.watch.refused(words.clone(), url);
        Some(words)
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
