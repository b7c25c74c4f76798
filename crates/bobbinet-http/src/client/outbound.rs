//! Through what the requests of a client go out.

use std::net::IpAddr;

use bobbinet_outbound::{Guard, Http};
use reqwest::{Method, RequestBuilder, Url};

use super::ClientError;

/// Through what the requests of a client go out.
#[derive(Clone, Debug, Default)]
pub enum Outbound {
    /// Straight to where a person says: that is his to know.
    #[default]
    Straight,
    /// Through the node's guard.
    Guarded {
        /// The guard.
        guard: Guard,
        /// The one address that is called, if the agent has several.
        at: Option<IpAddr>,
    },
}

/// What sends requests.
#[derive(Clone, Debug)]
pub(super) enum Sender {
    Straight(reqwest::Client),
    Guarded(Box<Http>),
}

impl Sender {
    pub(super) fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, ClientError> {
        match self {
            Self::Straight(http) => Ok(http.request(method, url.clone())),
            Self::Guarded(http) => Ok(http.request(method, url)?),
        }
    }
}
