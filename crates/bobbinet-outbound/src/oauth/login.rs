//! Logging in with a browser: where it is sent, and what it brings back (RFC 6749 section 4.1, RFC 7636, RFC 9207).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Url;
use sha2::{Digest, Sha256};

use super::form;

/// Bytes of what a browser brings.
const BROUGHT_MAX: usize = 16 << 10;

/// What a person is asked for.
#[derive(Clone, Copy, Debug)]
pub struct LoginRequest<'a> {
    /// Who asks, by the name that the authorization server knows.
    pub client: &'a str,
    /// Where the browser is to come back.
    pub redirect: &'a str,
    /// What tells this login from all others. Nobody can guess it.
    pub state: &'a str,
    /// What only its asker knows until the code is exchanged.
    pub verifier: &'a str,
    /// The server that the token is for (RFC 8707).
    pub resource: &'a str,
    /// What it is to be good for; empty for whatever the authorization server thinks fit.
    pub scope: &'a str,
}

impl LoginRequest<'_> {
    /// Where a browser is sent to.
    pub fn url(&self, endpoint: &Url) -> Url {
        let mut url = endpoint.clone();
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier));
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("response_type", "code");
            query.append_pair("client_id", self.client);
            query.append_pair("redirect_uri", self.redirect);
            query.append_pair("state", self.state);
            query.append_pair("code_challenge", &challenge);
            query.append_pair("code_challenge_method", "S256");
            query.append_pair("resource", self.resource);
            if !self.scope.is_empty() {
                query.append_pair("scope", self.scope);
            }
        }
        url
    }
}

/// What a browser has brought. It is anybody's word until it was looked at.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginResponse {
    /// Which login it is about.
    pub state: String,
    code: Option<String>,
    error: Option<String>,
    issuer: Option<String>,
}

/// Why what a browser has brought is no login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginFault {
    /// It comes from another authorization server, or does not say from which.
    #[error("it does not come from the authorization server that was asked")]
    OtherIssuer,
    /// The authorization server has let nobody in, for this reason of the standards' or none that is known.
    #[error("the authorization server says no{}", .0.map(|code| format!(" ({code})")).unwrap_or_default())]
    Refused(Option<&'static str>),
    /// There is no code in it.
    #[error("there is no code in it")]
    NoCode,
}

impl LoginResponse {
    /// Reads a query. `None` if it is about no login, or says something twice.
    pub fn read(query: &str) -> Option<Self> {
        if query.len() > BROUGHT_MAX {
            return None;
        }
        let pairs = form::pairs(query);
        let one = |name: &str| {
            let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone());
            let value = values.next().filter(|value| !value.is_empty());
            values.next().is_none().then_some(value)
        };
        Some(Self { state: one("state")??, code: one("code")?, error: one("error")?, issuer: one("iss")? })
    }

    /// The code, if this authorization server has given it. Its name is compared to the letter.
    ///
    /// # Errors
    /// [`LoginFault`]; what another server says is neither acted on nor told.
    pub fn code(self, issuer: &str, says_issuer: bool) -> Result<String, LoginFault> {
        const KNOWN: [&str; 7] = [
            "access_denied",
            "invalid_request",
            "unauthorized_client",
            "unsupported_response_type",
            "invalid_scope",
            "server_error",
            "temporarily_unavailable",
        ];
        match &self.issuer {
            Some(said) if said != issuer => return Err(LoginFault::OtherIssuer),
            None if says_issuer => return Err(LoginFault::OtherIssuer),
            Some(_) | None => {}
        }
        match (self.error, self.code) {
            (Some(error), _) => Err(LoginFault::Refused(KNOWN.into_iter().find(|known| *known == error))),
            (None, Some(code)) => Ok(code),
            (None, None) => Err(LoginFault::NoCode),
        }
    }
}

/// Without what is secret.
impl std::fmt::Debug for LoginResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginResponse").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_sent_with_all_that_ties_its_answer_to_the_question() {
        let endpoint: Url = "https://i.example/authorize?tenant=1".parse().unwrap();
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let (client, redirect, resource) = ("n", "http://127.0.0.1:1/cb", "https://a/mcp");
        let request = LoginRequest { client, redirect, state: "s", verifier, resource, scope: "a b" };
        assert_eq!(
            request.url(&endpoint).as_str(),
            "https://i.example/authorize?tenant=1&response_type=code&client_id=n&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcb&state=s\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&resource=https%3A%2F%2Fa%2Fmcp&scope=a+b"
        );
    }

    #[test]
    fn what_a_browser_brings_is_believed_only_of_the_server_that_was_asked() {
        let check = |query: &str, says_issuer: bool, expected: &str| {
            let found = LoginResponse::read(query).map(|response| response.code("https://i.example", says_issuer));
            let found = match found {
                None => "none".to_owned(),
                Some(Ok(code)) => format!("code {code}"),
                Some(Err(fault)) => format!("{fault:?}"),
            };
            assert_eq!(found, expected, "{query}");
        };
        check("code=a%2Fb&state=s", false, "code a/b");
        check("code=a&state=s&iss=https%3A%2F%2Fi.example", true, "code a");
        check("code=a&state=s&iss=https%3A%2F%2Fi.example", false, "code a");
        check("code=a&state=s", true, "OtherIssuer");
        check("code=a&state=s&iss=", true, "OtherIssuer");
        check("code=a&state=s&iss=https%3A%2F%2Fi.example%2F", false, "OtherIssuer");
        check("code=a&state=s&iss=https%3A%2F%2FI.example", false, "OtherIssuer");
        check("error=access_denied&state=s&iss=https://evil.example", false, "OtherIssuer");
        check("error=access_denied&state=s", false, "Refused(Some(\"access_denied\"))");
        check("error=%3Cb%3E&state=s&code=a", false, "Refused(None)");
        check("state=s", false, "NoCode");
        check("code=a", false, "none");
        check("code=a&code=b&state=s", false, "none");
        check("code=a&state=s&state=t", false, "none");
    }
}
