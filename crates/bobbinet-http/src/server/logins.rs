//! The logins of a node at servers elsewhere, as far as they come by here.

use std::fmt;

use async_trait::async_trait;
use bobbinet_core::AgentName;
use http::StatusCode;
use serde_json::Value;

/// Where browsers come back, below the node's URL.
pub const CALLBACK_PATH: &str = "/oauth/callback";

/// Where it stands who the node is.
pub const CLIENT_PATH: &str = "/oauth/client.json";

/// What may be asked of an agent's logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentLogin {
    /// How they stand: `GET …/bobbinet/login`.
    Show,
    /// Where somebody logs in: `POST …/bobbinet/login`.
    Begin,
    /// To have none any more: `DELETE …/bobbinet/login`.
    Forget,
}

/// The logins of a node at servers elsewhere.
#[async_trait]
pub trait Logins: fmt::Debug + Send + Sync {
    /// A browser has come back with this query: what its person is told. Not dropped before it is done.
    async fn come_back(&self, query: &str) -> (StatusCode, String);

    /// Who the node is, as JSON (OAuth Client ID Metadata Document), if it is to be looked up.
    fn client_metadata(&self) -> Option<String>;

    /// What the node's owner wants of the logins of an agent. `None`: nobody logs in at its server.
    ///
    /// # Errors
    /// It cannot be done, for this reason.
    async fn of_agent(&self, _agent: &AgentName, _asked: AgentLogin) -> Result<Option<Value>, String> {
        Ok(None)
    }
}
