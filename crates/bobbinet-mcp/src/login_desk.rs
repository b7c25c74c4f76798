//! The one place of a node where browsers come back to from a login, and where agents share what the node was given.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use bobbinet_outbound::{
    Guard,
    oauth::{ClientAuthMethod, ClientMetadata, LoginFault, LoginResponse},
};
use reqwest::Url;
use tokio_util::task::TaskTracker;

use crate::{
    authorization::{Authorization, ReturnFault},
    login_place::{LoginAddress, LoginPlace},
    server_auth::ServerAuth,
};

/// How long a node that stops waits for tokens that are on their way: with a new one, the one before is good no more.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// All that the agents of a node are shown to servers with. Agents that reach one server as one client share it, and so ask once.
#[derive(Debug, Default)]
pub struct LoginDesk {
    place: Arc<LoginPlace>,
    accounts: Mutex<Vec<Account>>,
    /// Of those who get tokens.
    tracker: TaskTracker,
}

#[derive(Debug)]
struct Account {
    auth: ServerAuth,
    server: Url,
    authorization: Weak<Authorization>,
}

/// What becomes of a browser that has come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginReturn {
    /// Somebody is logged in at this server now.
    LoggedIn {
        /// Its origin.
        server: String,
    },
    /// Nobody waits for this: it has come back before, or was never sent.
    Unknown,
    /// The person, or the authorization server for him, has said no.
    Refused,
    /// There is no login, for this reason; it is fit to be shown to the person.
    Failed(String),
}

impl LoginDesk {
    /// Logins are kept in this folder, which must be there, and its owner's alone.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { place: Arc::new(LoginPlace::in_folder(folder)), ..Self::default() }
    }

    /// Says where the node is for browsers. Until then nobody can log in. The first word counts.
    pub fn open(&self, address: LoginAddress) {
        self.place.open(address);
    }

    fn accounts(&self) -> MutexGuard<'_, Vec<Account>> {
        self.accounts.lock().expect("nobody panics while looking at the accounts")
    }

    /// What this server is shown by all who reach it so.
    pub(crate) fn account(&self, auth: &ServerAuth, server: &Url, guard: &Guard) -> Arc<Authorization> {
        let mut accounts = self.accounts();
        accounts.retain(|account| account.authorization.strong_count() > 0);
        let same = accounts.iter().find(|account| account.auth == *auth && account.server == *server);
        if let Some(same) = same.and_then(|account| account.authorization.upgrade()) {
            return same;
        }
        let (place, tracker) = (self.place.clone(), self.tracker.clone());
        let authorization = Arc::new(Authorization::new(auth.clone(), server.clone(), guard.clone(), place, tracker));
        let (auth, server) = (auth.clone(), server.clone());
        accounts.push(Account { auth, server, authorization: Arc::downgrade(&authorization) });
        authorization
    }

    /// Returns when what was got of tokens is kept, or it has taken too long.
    pub(crate) async fn settle(&self) {
        self.tracker.close();
        let _ = tokio::time::timeout(SETTLE_MAX, self.tracker.wait()).await;
    }

    /// A browser has come back with this query. A drop may lose the login.
    pub async fn come_back(&self, query: &str) -> LoginReturn {
        let Some(response) = LoginResponse::read(query) else { return LoginReturn::Unknown };
        let account = {
            let accounts = self.accounts();
            let mut all = accounts.iter().filter_map(|account| account.authorization.upgrade());
            all.find(|account| account.expects(&response))
        };
        let Some(account) = account else { return LoginReturn::Unknown };
        match account.complete(response).await {
            Ok(()) => LoginReturn::LoggedIn { server: account.server() },
            Err(ReturnFault::Unknown) => LoginReturn::Unknown,
            Err(ReturnFault::Login(LoginFault::Refused(Some("access_denied")))) => LoginReturn::Refused,
            Err(ReturnFault::Login(fault)) => LoginReturn::Failed(fault.to_string()),
            Err(ReturnFault::Token(fault)) => LoginReturn::Failed(fault.in_full()),
        }
    }

    /// Who the node is, for authorization servers that look it up at its URL; `None` if that is none to be known by.
    pub fn client_metadata(&self) -> Option<String> {
        let LoginAddress { redirect, client_metadata, client_name } = self.place.address()?;
        let url = client_metadata.as_ref()?;
        let metadata = ClientMetadata { name: client_name, redirect, method: ClientAuthMethod::Nothing };
        let mut json = metadata.json();
        json["client_id"] = url.as_str().into();
        Some(json.to_string())
    }
}
