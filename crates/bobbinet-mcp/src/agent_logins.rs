//! The logins of an agent at its server, for the node's owner: where they are done, how they stand, and the end of them.

use crate::{
    agent::McpAgent,
    authorization::{LoginLink, LoginStanding, Refusal},
};

/// What has to be done for a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginBegun {
    /// How it stands.
    pub standing: LoginStanding,
    /// The address to open in a browser; none, where somebody is logged in.
    pub url: Option<String>,
}

impl McpAgent {
    /// How the logins at its server stand: one for each replica. None, where nobody logs in with a browser.
    pub fn logins(&self) -> Vec<LoginStanding> {
        self.sessions().accounts().map(|(account, _)| account.standing()).collect()
    }

    /// Where somebody logs in: at the first replica where nobody is. `None`, where nobody logs in with a browser.
    ///
    /// # Errors
    /// Nobody can log in, for this reason; it is fit to be shown to the node's owner.
    pub async fn begin_login(&self) -> Result<Option<LoginBegun>, String> {
        let accounts: Vec<_> = self.sessions().accounts().collect();
        let open = accounts.iter().find(|(account, _)| !account.standing().is_logged_in);
        let Some((account, transport)) = open.or(accounts.first()) else { return Ok(None) };
        let standing = account.standing();
        if standing.is_logged_in {
            return Ok(Some(LoginBegun { standing, url: None }));
        }
        // What somebody was sent to stays good: the server may have said more there than it is asked for now.
        let asked = transport.login().filter(|needed| !needed.is_done).and_then(|needed| needed.url);
        let url = match asked {
            Some(url) => Some(url),
            None => match account.begin_login(&Refusal::Rejected(None)).await {
                Ok(link) => link.map(|LoginLink { url, .. }| url),
                Err(fault) => return Err(fault.in_full()),
            },
        };
        Ok(Some(LoginBegun { standing: account.standing(), url }))
    }

    /// Takes all logins away. `None`, where nobody logs in with a browser; else whether there was one.
    pub async fn log_out(&self) -> Option<bool> {
        let accounts: Vec<_> = self.sessions().accounts().collect();
        let mut was_logged_in = None;
        for (account, transport) in accounts {
            let was_one = account.log_out().await;
            // Where somebody was sent to leads nowhere any more.
            transport.forget_login();
            was_logged_in = Some(was_logged_in.unwrap_or(false) || was_one);
        }
        was_logged_in
    }

    /// Tries its server again, if that wanted somebody to log in and a browser has come back since.
    pub fn look_for_login(&self) {
        let session = self.shared();
        if session.last_login().is_some_and(|needed| needed.is_done) && session.login().is_some() {
            session.hurry();
        }
    }
}
