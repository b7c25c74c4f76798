//! Whether somebody is logged in at a server, and the end of that.

use bobbinet_engine::{Env, SystemEnv};

use super::Authorization;

/// How it stands with a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginStanding {
    /// Where it is: the server's origin.
    pub server: String,
    /// With whom, as far as that is known.
    pub issuer: Option<String>,
    /// Whether the node has something to show to the server. Whether the server still takes it is seen when it is called.
    pub is_logged_in: bool,
    /// How many browsers have come back since the node was started, with a login or without.
    pub returns: u64,
}

impl Authorization {
    /// How it stands now.
    pub(crate) fn standing(&self) -> LoginStanding {
        let returns = self.logins();
        let state = self.state();
        let now = SystemEnv.now().as_millis();
        let login = state.record.login.as_ref();
        let issuer = login.map(|login| &login.issuer).or(state.record.pending.as_ref().map(|pending| &pending.issuer));
        LoginStanding {
            server: self.server(),
            issuer: issuer.cloned(),
            is_logged_in: login.is_some_and(|login| login.refresh_token.is_some() || now < login.good_until),
            returns,
        }
    }

    /// Takes the login away, and the address that somebody may have for another. Nobody asks the authorization server to forget it.
    /// Returns whether there was one; it is gone for good then, unless the log says otherwise.
    pub(crate) async fn log_out(&self) -> bool {
        let Ok(_turn) = self.turn.acquire().await else { return false };
        let mut record = self.state().record.clone();
        let was_logged_in = record.login.take().is_some();
        record.pending = None;
        self.keep(record).await;
        let mut state = self.state();
        state.granted = None;
        state.failed = None;
        was_logged_in
    }
}
