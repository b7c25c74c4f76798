//! Why there is no token for a server, in words that say what to do.

use std::{error::Error, io, time::Duration};

use bobbinet_outbound::{
    OutboundError,
    oauth::{MetadataFault, TokenFault},
};

/// Characters that are told on: somebody else's words may be in them.
const TOLD_MAX: usize = 600;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthFault {
    /// What the operator named cannot be read.
    #[error("the token cannot be read")]
    Secret(#[source] io::Error),
    /// What the server points at cannot be had.
    #[error("{place}, where the server says who gives out its tokens, cannot be read")]
    Resource {
        place: String,
        #[source]
        source: OutboundError,
    },
    /// Or it says nothing of the kind.
    #[error("{place}, where the server says who gives out its tokens, answers {status}")]
    ResourceStatus { place: String, status: u16 },
    /// What it says does not go together.
    #[error("what the server says at {place} of who gives out its tokens is not believed")]
    ResourceMetadata {
        place: String,
        #[source]
        source: MetadataFault,
    },
    /// It takes tokens of others than the one that knows this node.
    #[error(
        "the server takes tokens of {}, and this node is a client of {configured}: a secret is shown to nobody but whom it is from. \
         Write the id and the secret that one of those gave, with its name as the issuer",
        named.join(", ")
    )]
    OtherIssuer { configured: String, named: Vec<String> },
    /// The authorization server does not say where it is asked.
    #[error("the authorization server {issuer} does not say where tokens are given out")]
    Issuer {
        issuer: String,
        #[source]
        source: IssuerFault,
    },
    /// It gives none.
    #[error("the authorization server at {place} gives no token")]
    NoToken {
        place: String,
        #[source]
        source: TokenFault,
    },
    /// Nobody can log in there.
    #[error("the authorization server {issuer} lets nobody log in with a browser: it names no authorization_endpoint")]
    NoLogin { issuer: String },
    #[error(
        "the authorization server {issuer} does not say that it takes PKCE with S256 (code_challenge_methods_supported), without which \
         whoever sees a code could use it"
    )]
    NoPkce { issuer: String },
    /// It does not know this node, and cannot come to.
    #[error(
        "the authorization server {issuer} neither reads who a client is at the client's URL nor registers clients by itself. Register this node \
         there with the redirect URI {redirect}, and write the id that it gives: auth: {{ login: {{ issuer: {issuer}, id: … }} }}"
    )]
    NoClient { issuer: String, redirect: String },
    #[error(
        "the authorization server {issuer} does not register this node. Register it there by hand with the redirect URI {redirect}, and write \
         the id that it gives: auth: {{ login: {{ issuer: {issuer}, id: … }} }}"
    )]
    NotRegistered {
        issuer: String,
        redirect: String,
        #[source]
        source: TokenFault,
    },
    #[error("this node knows no URL of its own that a browser could come back to")]
    NoAddress,
    #[error("there is no randomness to be had")]
    NoChance,
    #[error("no token was got within {} s", .limit.as_secs())]
    TooSlow { limit: Duration },
    #[error("there is no other token")]
    Withheld,
}

/// Why an issuer's metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssuerFault {
    #[error(transparent)]
    Outbound(OutboundError),
    #[error(transparent)]
    Metadata(MetadataFault),
    #[error("it answers {status}; name its token endpoint yourself, with token_url in place of the issuer")]
    Status { status: u16 },
}

impl AuthFault {
    /// With all that is behind it, in one line.
    pub(crate) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            let cause = error.to_string();
            if !text.contains(&cause) {
                text = format!("{text}: {cause}");
            }
            next = error.source();
        }
        text.chars().take(TOLD_MAX).collect()
    }
}
