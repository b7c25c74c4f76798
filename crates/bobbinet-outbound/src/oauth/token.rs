//! Asking for a token (RFC 6749 section 4.4 and 6, RFC 8707).

use std::{fmt, time::Duration};

use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::Value;

use super::{
    client_auth::OAuthClient,
    token_fault::{TokenFault, code},
};
use crate::{Guard, OutboundError, OutboundLimits, fetch};

/// The longest that a token is believed to be good.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes of a token: it goes with every request, and headers have a bound of their own.
const TOKEN_LENGTH_MAX: usize = 16 << 10;

/// A token that was given out.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token itself.
    pub access_token: String,
    /// How long it is good, if that is said.
    pub life: Option<Duration>,
    /// What gets the next one without anybody having to log in, if that is given.
    pub refresh_token: Option<String>,
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
    let request = guard.http(url).and_then(|http| http.request(Method::POST, url)).map_err(OutboundError::from)?;
    let request = request.header(ACCEPT, "application/json").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let request = client.sign(request, form)?;
    let fetched = fetch(request, limits).await?;
    if !fetched.status.is_success() {
        return Err(TokenFault::Refused { status: fetched.status, code: code(&fetched.body) });
    }
    read(&fetched.body).ok_or(TokenFault::Unreadable)
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
        #[serde(default)]
        refresh_token: Option<String>,
    }
    let Answer { access_token, token_type, expires_in, refresh_token } = serde_json::from_slice(body).ok()?;
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
    let refresh_token = refresh_token.filter(|token| !token.is_empty() && token.len() <= TOKEN_LENGTH_MAX);
    Some(IssuedToken { access_token, life: life.map(|life| life.min(LIFE_MAX)), refresh_token })
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
}
