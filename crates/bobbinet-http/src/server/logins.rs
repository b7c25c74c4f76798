//! The logins of a node at servers elsewhere, as far as they come by here.

use std::fmt;

use async_trait::async_trait;
use http::StatusCode;

/// Where browsers come back, below the node's URL.
pub const CALLBACK_PATH: &str = "/oauth/callback";

/// Where it stands who the node is.
pub const CLIENT_PATH: &str = "/oauth/client.json";

/// The logins of a node at servers elsewhere.
#[async_trait]
pub trait Logins: fmt::Debug + Send + Sync {
    /// A browser has come back with this query: what its person is told. Not dropped before it is done.
    async fn come_back(&self, query: &str) -> (StatusCode, String);

    /// Who the node is, as JSON (OAuth Client ID Metadata Document), if it is to be looked up.
    fn client_metadata(&self) -> Option<String>;
}
