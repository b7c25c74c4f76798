//! Why a request does not go out, in words that say what to do.

use std::{error::Error, net::IpAddr};

/// Why the guard lets a request not go out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No URL of this kind is called, whoever says it.
    #[error("{url} is not called: {why}; write a URL such as https://agents.example.com, and credentials beside it")]
    Url {
        /// The URL, without what may be a secret.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The host is not for URLs that come from others.
    #[error(
        "{origin} is not called: its address is {address}, and {why}; if it is meant to be called, the operator of this node \
         names it in its configuration"
    )]
    Address {
        /// Where the request was to go.
        origin: String,
        /// The address that it would have gone to.
        address: IpAddr,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The host's name is this machine's, whatever it is resolved to.
    #[error(
        "{origin} is not called: that is a name of this machine; if it is meant to be called, the operator of this node names it in its configuration"
    )]
    LocalName {
        /// Where the request was to go.
        origin: String,
    },
    /// A client for one origin was to be used for another.
    #[error("{url} is not called with what is for {origin}: it is another origin")]
    OtherOrigin {
        /// Where the request was to go.
        url: String,
        /// What the client is for.
        origin: String,
    },
    /// An answer leads elsewhere.
    #[error(
        "{url} answers {status} and leads elsewhere: redirects are followed within an origin, and three in a row; write the URL \
         that it leads to"
    )]
    Redirect {
        /// What was called.
        url: String,
        /// The HTTP status.
        status: u16,
    },
}

impl Refused {
    /// The refusal among an error's causes: what a name is resolved to is known only in the middle of a request.
    pub fn among<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(refused) = error.downcast_ref::<Self>() {
                return Some(refused);
            }
            next = error.source();
        }
        None
    }
}
