//! Asking an authorization server for tokens (RFC 6749), and for the next one once one has run out.

use std::time::Duration;

use bobbinet_core::Secret;
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_http::client::ClientOptions;
use reqwest::{Client as Http, Url};
use serde::{Deserialize, de::DeserializeOwned};

use super::kept_tokens::{Kept, Tokens};
use crate::{
    failure::{Code, Failure},
    remark::{Remark, remark},
};

/// For one answer of an authorization server.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(20);

/// The longest life of a token that is believed, in seconds.
const LIFE_MAX: u64 = 366 * 24 * 60 * 60;

/// What is sent in a form.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

pub(super) struct OAuthClient<'a> {
    /// As the agent is called, its authorization server is.
    pub(super) options: &'a ClientOptions,
    pub(super) id: &'a str,
    pub(super) secret: Option<&'a Secret>,
}

#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// An error as RFC 6749 has it, section 5.2.
#[derive(Debug, Default, Deserialize)]
pub(super) struct OAuthError {
    #[serde(default)]
    pub(super) error: String,
    #[serde(default)]
    pub(super) error_description: Option<String>,
}

impl TokenAnswer {
    pub(super) fn kept(self, token_url: &str, client_id: &str, refresh_token: Option<String>) -> Kept {
        let life = |seconds: u64| SystemEnv.now().after(Duration::from_secs(seconds.min(LIFE_MAX))).as_millis();
        Kept {
            access_token: self.access_token,
            // One that stays is not said again.
            refresh_token: self.refresh_token.or(refresh_token),
            expires_at: self.expires_in.map(life),
            token_url: token_url.to_owned(),
            client_id: client_id.to_owned(),
        }
    }
}

impl OAuthError {
    pub(super) fn failure(&self) -> Failure {
        let what = self.error_description.as_deref().unwrap_or(&self.error);
        Failure::new(Code::AuthFailed, format!("the authorization server gives no token: {what}"))
    }
}

impl OAuthClient<'_> {
    /// Asks for a token.
    pub(super) async fn token(
        &self,
        url: &str,
        form: &[(&str, &str)],
    ) -> Result<Result<TokenAnswer, OAuthError>, Failure> {
        let mut form: Vec<(&str, &str)> = form.iter().copied().filter(|(_, value)| !value.is_empty()).collect();
        let url = checked(url)?;
        let mut request = http(self.options, &url)?.post(url);
        match self.secret {
            Some(secret) => request = request.basic_auth(encoded(self.id), Some(encoded(secret.reveal()))),
            None => form.push(("client_id", self.id)),
        }
        let (status, body) =
            answer::<serde_json::Value>(request.body(form_of(&form)).header("content-type", FORM)).await?;
        let body = body?;
        if status {
            let read = serde_json::from_value(body);
            return read
                .map(Ok)
                .map_err(|_| Failure::new(Code::AuthFailed, "the authorization server's answer has no token"));
        }
        Ok(Err(serde_json::from_value(body).unwrap_or_default()))
    }
}

/// The token that is kept for the agent at a URL, got anew if it has run out and can be.
pub(super) async fn kept(url: &str, options: &ClientOptions) -> Option<String> {
    let tokens = Tokens::own()?;
    let kept = tokens.get(url)?;
    if kept.is_good() {
        return Some(kept.access_token);
    }
    let refresh = kept.refresh_token.clone()?;
    let client = OAuthClient { options, id: &kept.client_id, secret: None };
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    match client.token(&kept.token_url, &form).await {
        Ok(Ok(answer)) => {
            let renewed = answer.kept(&kept.token_url, &kept.client_id, Some(refresh));
            let token = renewed.access_token.clone();
            if let Err(error) = tokens.put(url, renewed) {
                remark(Remark::Warning, format_args!("the token that was renewed is not kept: {error}"));
            }
            Some(token)
        }
        Ok(Err(_)) | Err(_) => {
            remark(Remark::Note, "the token of `bobbinet auth login` has run out, and could not be renewed");
            None
        }
    }
}

/// What calls an authorization server, or fetches what is said of one.
pub(super) fn http(options: &ClientOptions, url: &Url) -> Result<Http, Failure> {
    let builder = options.builder_for(url).timeout(ANSWER_MAX).redirect(reqwest::redirect::Policy::none());
    builder.build().map_err(|error| Failure::of(Code::Internal, &error))
}

/// A URL that secrets may go to: encrypted, or on this machine.
pub(super) fn checked(text: &str) -> Result<Url, Failure> {
    let unfit = |why: &str| Failure::new(Code::CardInvalid, format!("the card's {text:?} {why}"));
    let url = Url::parse(text).map_err(|_| unfit("is no URL"))?;
    let is_here = url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err(unfit("is not https, and tokens go there")),
    }
}

/// Whether the answer is a good one, and what it says.
pub(super) async fn answer<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
) -> Result<(bool, Result<T, Failure>), Failure> {
    let answer = request.header("accept", "application/json").send().await;
    let answer = answer.map_err(|error| Failure::of(Code::Unreachable, &error))?;
    let (is_good, place) = (answer.status().is_success(), answer.url().to_string());
    let told = answer.json().await;
    Ok((
        is_good,
        told.map_err(|_| Failure::new(Code::AuthFailed, format!("{place} answers something that is no JSON"))),
    ))
}

pub(super) fn form_of(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("x:/").expect("a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

/// A word as a form has it, which is also how a client's name and secret stand in their header (RFC 6749, section 2.3.1).
pub(super) fn encoded(word: &str) -> String {
    form_of(&[("", word)]).trim_start_matches('=').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_nowhere_unencrypted() {
        assert!(checked("https://i.example/t").is_ok() && checked("http://127.0.0.1:1/t").is_ok());
        assert!(checked("http://i.example/t").is_err() && checked("file:///t").is_err() && checked("t").is_err());
        assert_eq!(encoded("a b:c"), "a+b%3Ac");
    }
}
