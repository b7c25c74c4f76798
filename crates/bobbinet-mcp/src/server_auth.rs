//! How this node is shown to a server at a URL as who it is: what stands in the configuration of that.

use std::path::Path;

use bobbinet_outbound::{SecretSource, oauth::ClientCredential};
use reqwest::Url;

/// Where the token for a server comes from. Never from a caller: what he has shown is for this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAuth {
    /// Somebody else gets it, and it is here, or in a file.
    Bearer(SecretSource),
    /// An authorization server gives it to this node (RFC 6749 section 4.4).
    ClientCredentials(OAuthClientConfig),
    /// Somebody logs in with a browser (RFC 6749 section 4.1). What he may do there, the agent may do from then on, whoever calls it.
    Login(LoginConfig),
}

/// This node as a client of an authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthClientConfig {
    /// Who has given the node its name and secret there: no other is shown them, whatever a server says.
    pub authority: TokenAuthority,
    /// The node's name there.
    pub id: String,
    /// What it shows there.
    pub credential: ClientCredential,
    /// What its tokens are to be good for, and no more; `None` for what the server says.
    pub scope: Option<String>,
}

/// What is known of a login before anybody logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginConfig {
    /// The authorization server that it must be; `None` for whichever the server names.
    pub issuer: Option<String>,
    /// What the node is known by there, and what it shows; `None`: it says itself who it is, or is given a name.
    pub client: Option<(String, ClientCredential)>,
    /// What is asked for, and no more; `None` for what the server says.
    pub scope: Option<String>,
}

/// Who gives out tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenAuthority {
    /// The authorization server of this name: a URL, to the letter. Where it is asked it says itself (RFC 8414).
    Issuer(String),
    /// Whoever is asked at this URL.
    TokenUrl(Url),
}

impl ServerAuth {
    /// The file that holds what is secret of it, if one does.
    pub fn secret_file(&self) -> Option<&Path> {
        match self {
            Self::Bearer(secret) => secret.file(),
            Self::ClientCredentials(client) => client.credential.file(),
            Self::Login(login) => login.client.as_ref().and_then(|(_, credential)| credential.file()),
        }
    }

    /// The URL that the operator has written of who gives out tokens, if any.
    pub fn authority_url(&self) -> Option<Url> {
        match self {
            Self::Bearer(_) => None,
            Self::ClientCredentials(client) => match &client.authority {
                TokenAuthority::Issuer(issuer) => issuer.parse().ok(),
                TokenAuthority::TokenUrl(url) => Some(url.clone()),
            },
            Self::Login(login) => login.issuer.as_ref().and_then(|issuer| issuer.parse().ok()),
        }
    }
}
