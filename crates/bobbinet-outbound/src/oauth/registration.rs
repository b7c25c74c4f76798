//! Becoming known to an authorization server without its operator (RFC 7591).

use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client_auth::ClientAuthMethod,
    token_fault::{TokenFault, code},
};
use crate::{Guard, Origin, OutboundError, OutboundLimits, fetch};

/// Bytes of a name or a secret that is given out.
const GIVEN_LENGTH_MAX: usize = 4 << 10;

/// What a client says of itself, wherever that is written (RFC 7591 section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientMetadata<'a> {
    /// For people.
    pub name: &'a str,
    /// Where browsers come back.
    pub redirect: &'a Url,
    /// How it will show who it is.
    pub method: ClientAuthMethod,
}

impl ClientMetadata<'_> {
    /// As JSON. A client whose browsers come back to this very machine is a program of its user's, and any other a site.
    pub fn json(&self) -> Value {
        let is_here = Origin::of(self.redirect).is_ok_and(|origin| origin.is_loopback());
        json!({
            "client_name": self.name,
            "redirect_uris": [self.redirect.as_str()],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": self.method.name(),
            "application_type": if is_here { "native" } else { "web" },
        })
    }
}

/// What an authorization server has given a client.
#[derive(Clone, PartialEq, Eq)]
pub struct RegisteredClient {
    /// Its name there.
    pub id: String,
    /// Its secret, if it has one.
    pub secret: Option<String>,
    /// How it is to show who it is, if that is said.
    pub method: Option<ClientAuthMethod>,
}

/// Asks to be known at this URL.
///
/// # Errors
/// [`TokenFault`].
pub async fn register(
    guard: &Guard,
    url: &Url,
    client: &ClientMetadata<'_>,
    limits: &OutboundLimits,
) -> Result<RegisteredClient, TokenFault> {
    let request = guard.http(url).and_then(|http| http.request(Method::POST, url)).map_err(OutboundError::from)?;
    let request = request.header(ACCEPT, "application/json").header(CONTENT_TYPE, "application/json");
    let fetched = fetch(request.body(client.json().to_string()), limits).await?;
    if !fetched.status.is_success() {
        return Err(TokenFault::Refused { status: fetched.status, code: code(&fetched.body) });
    }
    read(&fetched.body).ok_or(TokenFault::NoClient)
}

fn read(body: &[u8]) -> Option<RegisteredClient> {
    #[derive(Deserialize)]
    struct Answer {
        client_id: String,
        #[serde(default)]
        client_secret: Option<String>,
        #[serde(default)]
        token_endpoint_auth_method: Option<String>,
    }
    let Answer { client_id, client_secret, token_endpoint_auth_method } = serde_json::from_slice(body).ok()?;
    let is_fit = |text: &str| {
        !text.is_empty() && text.len() <= GIVEN_LENGTH_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let secret = client_secret.filter(|secret| !secret.is_empty());
    if !is_fit(&client_id) || !secret.as_deref().is_none_or(is_fit) {
        return None;
    }
    let method = token_endpoint_auth_method.as_deref().and_then(ClientAuthMethod::named);
    Some(RegisteredClient { id: client_id, secret, method })
}

/// Without the secret.
impl std::fmt::Debug for RegisteredClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegisteredClient").field("id", &self.id).field("method", &self.method).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_out_is_one_word_each() {
        let check = |body: &str, expected: Option<(&str, Option<&str>, Option<ClientAuthMethod>)>| {
            let found = read(body.as_bytes());
            let found = found.as_ref().map(|it| (it.id.as_str(), it.secret.as_deref(), it.method));
            assert_eq!(found, expected, "{body}");
        };
        check(r#"{"client_id":"n"}"#, Some(("n", None, None)));
        check(
            r#"{"client_id":"n","client_secret":"s","token_endpoint_auth_method":"client_secret_post"}"#,
            Some(("n", Some("s"), Some(ClientAuthMethod::Post))),
        );
        check(r#"{"client_id":"n","client_secret":"","token_endpoint_auth_method":"odd"}"#, Some(("n", None, None)));
        check(r#"{"client_id":"a b"}"#, None);
        check(r#"{"client_id":"n","client_secret":"a\r\nx: y"}"#, None);
        check(r#"{"client_id":""}"#, None);
        check("<html>", None);
    }

    #[test]
    fn a_client_on_its_users_machine_says_so() {
        let kind = |redirect: &str| {
            let redirect = redirect.parse().unwrap();
            let metadata = ClientMetadata { name: "n", redirect: &redirect, method: ClientAuthMethod::Nothing };
            metadata.json()["application_type"].as_str().unwrap().to_owned()
        };
        assert_eq!(kind("http://127.0.0.1:7420/oauth/callback"), "native");
        assert_eq!(kind("http://localhost:7420/oauth/callback"), "native");
        assert_eq!(kind("https://agents.example.com/oauth/callback"), "web");
    }
}
