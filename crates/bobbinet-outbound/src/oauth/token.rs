//! Asking for a token (RFC 6749 section 4.4 and 6, RFC 8707).

use std::{fmt, io, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::Value;

use super::metadata::ClientAuthMethod;
use crate::{Guard, OutboundError, OutboundLimits, SecretSource, fetch};

/// The longest that a token is believed to be good.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes of a token: it goes with every request, and headers have a bound of their own.
const TOKEN_LENGTH_MAX: usize = 16 << 10;

/// This node as an authorization server knows it.
#[derive(Clone, Copy, Debug)]
pub struct OAuthClient<'a> {
    /// Its name there.
    pub id: &'a str,
    /// What it shows.
    pub secret: &'a SecretSource,
    /// And how.
    pub method: ClientAuthMethod,
}

/// A token that was given out.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token itself.
    pub access_token: String,
    /// How long it is good, if that is said.
    pub life: Option<Duration>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// There is no secret to show.
    #[error("the client's secret cannot be read")]
    Secret(#[source] io::Error),
    /// It is not asked, or does not answer.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// It gives none.
    #[error("it answers {status}{}", advice(code.as_deref()))]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The standard's code for why (RFC 6749 section 5.2, RFC 8707 section 2). What else it says may have secrets in it.
        code: Option<String>,
    },
    /// It says something else.
    #[error("its answer has no bearer token")]
    Unreadable,
}

/// What a code means, and what to do.
fn advice(code: Option<&str>) -> String {
    let Some(code) = code else { return String::new() };
    let what = match code {
        "invalid_client" => ": it does not know the client by this id and secret",
        "unauthorized_client" | "unsupported_grant_type" => {
            ": allow it the grant client_credentials there, or write another client"
        }
        "invalid_scope" => ": write a scope that the client may have",
        "invalid_target" => ": it gives out no token for this server",
        _ => "",
    };
    format!(" ({code}){what}")
}

/// Asks at this URL for a token, as this client, with these words in the form.
///
/// # Errors
/// [`TokenFault`]; without any secret in its words.
pub async fn request_token(
    guard: &Guard,
    url: &Url,
    client: OAuthClient<'_>,
    form: &[(&str, &str)],
    limits: &OutboundLimits,
) -> Result<IssuedToken, TokenFault> {
    let OAuthClient { id, secret, method } = client;
    let secret = secret.read().map_err(TokenFault::Secret)?;
    let request = guard.http(url).and_then(|http| http.request(Method::POST, url)).map_err(OutboundError::from)?;
    let request = request.header(ACCEPT, "application/json").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let request = match method {
        ClientAuthMethod::Basic => {
            let pair = format!("{}:{}", encoded(&[("", id)]), encoded(&[("", &secret)]));
            let mut basic = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
                .expect("base64 may stand in a header");
            basic.set_sensitive(true);
            request.header(AUTHORIZATION, basic).body(encoded(form))
        }
        ClientAuthMethod::Post => {
            let form = [form, &[("client_id", id), ("client_secret", &secret)]].concat();
            request.body(encoded(&form))
        }
    };
    let fetched = fetch(request, limits).await?;
    if !fetched.status.is_success() {
        return Err(TokenFault::Refused { status: fetched.status, code: code(&fetched.body) });
    }
    read(&fetched.body).ok_or(TokenFault::Unreadable)
}

/// The code of a refusal, if it is one of the standards': any other may be anything.
fn code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    const KNOWN: [&str; 7] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
    ];
    let Refusal { error } = serde_json::from_slice(body).ok()?;
    KNOWN.contains(&error.as_str()).then_some(error)
}

/// The token in an answer. Some servers write its life as a text, and some leave out its kind.
fn read(body: &[u8]) -> Option<IssuedToken> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
        #[serde(default)]
        token_type: Option<String>,
        #[serde(default)]
        expires_in: Value,
    }
    let Answer { access_token, token_type, expires_in } = serde_json::from_slice(body).ok()?;
    let is_fit = !access_token.is_empty() && access_token.bytes().all(|byte| byte.is_ascii_graphic());
    let is_bearer = token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !is_fit || !is_bearer || access_token.len() > TOKEN_LENGTH_MAX {
        return None;
    }
    let seconds = match &expires_in {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse::<f64>().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
    Some(IssuedToken { access_token, life: life.map(|life| life.min(LIFE_MAX)) })
}

/// Pairs as a form has them; a value alone, without its name.
fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("x:/").expect("a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    let text = url.query().unwrap_or_default();
    text.strip_prefix('=').unwrap_or(text).to_owned()
}

/// Without the token.
impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("life", &self.life).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(
            encoded(&[("grant_type", "client_credentials"), ("scope", "a b")]),
            "grant_type=client_credentials&scope=a+b"
        );
        assert_eq!(encoded(&[("", "a:b c")]), "a%3Ab+c");
    }

    #[test]
    fn an_answer_is_read_as_servers_write_it() {
        let check = |body: &str, expected: Option<(&str, Option<u64>)>| {
            let found = read(body.as_bytes());
            let found = found.as_ref().map(|it| (it.access_token.as_str(), it.life.map(|life| life.as_secs())));
            assert_eq!(found, expected, "{body}");
        };
        check(r#"{"access_token":"t","token_type":"Bearer","expires_in":60}"#, Some(("t", Some(60))));
        check(r#"{"access_token":"t","token_type":"bearer","expires_in":"60"}"#, Some(("t", Some(60))));
        check(r#"{"access_token":"t","expires_in":1e30}"#, Some(("t", None)));
        check(r#"{"access_token":"t","expires_in":99999999}"#, Some(("t", Some(86_400))));
        check(r#"{"access_token":"t","expires_in":-1}"#, Some(("t", Some(0))));
        check(r#"{"access_token":"t"}"#, Some(("t", None)));
        check(r#"{"access_token":"t","token_type":"DPoP"}"#, None);
        check(r#"{"access_token":"t\r\nx: y"}"#, None);
        check(r#"{"access_token":""}"#, None);
        check(r#"{"error":"invalid_client"}"#, None);
        check("<html>", None);
    }

    #[test]
    fn a_refusal_says_what_to_do_and_nothing_that_the_server_made_up() {
        let said = |body: &str| {
            TokenFault::Refused { status: StatusCode::BAD_REQUEST, code: code(body.as_bytes()) }.to_string()
        };
        assert!(said(r#"{"error":"invalid_client"}"#).contains("(invalid_client): it does not know the client"));
        assert_eq!(said(r#"{"error":"s3cret","error_description":"s3cret"}"#), "it answers 400 Bad Request");
        assert_eq!(said("s3cret"), "it answers 400 Bad Request");
    }
}
