//! `bobbinet auth login`: a token for an agent, by the way of OAuth 2.0 that its card names.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_http::client::ClientOptions;
use bobbinet_wire::login::{LoginFlow, Logins};
use reqwest::Url;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, sleep, timeout_at},
};

use super::{
    kept_tokens::Tokens,
    oauth::{ANSWER_MAX, FORM, OAuthClient, OAuthError, TokenAnswer, answer, checked, form_of, http},
    resolve::Agent,
};
use crate::{
    cli::{Login, LoginBy},
    failure::{Code, Failure},
    output::Output,
    remark::{Remark, remark},
};

/// How long a person may take in the browser, if the server does not say.
const PERSON_MAX: Duration = Duration::from_secs(10 * 60);

/// How often it is asked whether a person has agreed (RFC 8628, section 3.5).
const INTERVAL_DEFAULT: u64 = 5;

/// The same where it asks for more patience.
const SLOWER_BY: Duration = Duration::from_secs(5);

/// The longest interval that is believed, in seconds.
const INTERVAL_MAX: u64 = 60;

/// Bytes of a request of a browser's, as far as they matter.
const REQUEST_MAX: usize = 16 << 10;

/// Gets a token, and keeps it.
pub(super) async fn login(output: Output, agent: &Agent, login: &Login) -> Result<(), Failure> {
    let tokens = Tokens::own().ok_or_else(|| Failure::new(Code::Internal, "there is no home folder to keep it in"))?;
    let (card, _) = agent.card().await?;
    let options = agent.options();
    let flows = flows(options, &Logins::of(&card.value)).await?;
    let (flow, by) = chosen(&flows, login)?;
    let client = OAuthClient { options, id: &login.client_id, secret: login.client_secret.as_ref() };
    client.check(agent, &flow.token_url, login.issuer.as_deref())?;
    let scope = match (&login.scope[..], &flow.scopes[..]) {
        ([], asked) | (asked, _) => asked.join(" "),
    };
    let answer = match by {
        LoginBy::Device => client.by_device(flow, &scope).await?,
        LoginBy::Browser => client.by_browser(flow, &scope).await?,
        LoginBy::Client => {
            let form = [("grant_type", "client_credentials"), ("scope", scope.as_str())];
            client.token(&flow.token_url, &form).await?.map_err(|error| error.failure())?
        }
    };
    let place = agent.url_with_scheme();
    let kept = answer.kept(&flow.token_url, &login.client_id, None);
    let expires = kept.expires_at;
    tokens.put(&place, kept).map_err(|error| {
        Failure::new(Code::Internal, format!("keeping the token in {}: {error}", tokens.path().display()))
    })?;
    if output.is_json() {
        return output.json(&serde_json::json!({ "agent": place, "file": tokens.path(), "expiresAt": expires }));
    }
    output.field("Agent", &place)?;
    output.field("Kept in", tokens.path().display())
}

/// Forgets the token for an agent.
pub(super) fn logout(output: Output, agent: &Agent) -> Result<(), Failure> {
    let place = agent.url_with_scheme();
    let removed = Tokens::own().map(|tokens| tokens.remove(&place)).transpose();
    match removed.map_err(|error| Failure::new(Code::Internal, format!("forgetting the token: {error}")))? {
        Some(true) if output.is_json() => output.json(&serde_json::json!({ "agent": place })),
        Some(true) => output.field("Forgotten", &place),
        Some(false) | None => Err(Failure::new(Code::CredentialsMissing, format!("there is no token for {place}"))),
    }
}

/// The flows that a card names, and those of the documents that it names.
async fn flows(options: &ClientOptions, logins: &Logins) -> Result<Vec<LoginFlow>, Failure> {
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(default)]
        authorization_endpoint: Option<String>,
        #[serde(default)]
        token_endpoint: Option<String>,
        #[serde(default)]
        device_authorization_endpoint: Option<String>,
    }
    let mut flows = logins.flows.clone();
    for url in &logins.metadata_urls {
        let url = checked(url)?;
        let metadata: Metadata = answer(http(options, &url)?.get(url)).await?.1?;
        let Some(token_url) = metadata.token_endpoint else { continue };
        let flow = |device: Option<String>, browser: Option<String>| LoginFlow {
            device_authorization_url: device,
            authorization_url: browser,
            token_url: token_url.clone(),
            scopes: Vec::new(),
        };
        flows.extend(metadata.device_authorization_endpoint.map(|device| flow(Some(device), None)));
        flows.extend(metadata.authorization_endpoint.map(|browser| flow(None, Some(browser))));
        flows.push(flow(None, None));
    }
    Ok(flows)
}

/// The flow that is wanted, or the best for a person at a terminal: one with a secret of its own needs nobody.
fn chosen<'f>(flows: &'f [LoginFlow], login: &Login) -> Result<(&'f LoginFlow, LoginBy), Failure> {
    let by = |flow: &LoginFlow| match (&flow.device_authorization_url, &flow.authorization_url) {
        (Some(_), _) => LoginBy::Device,
        (None, Some(_)) => LoginBy::Browser,
        (None, None) => LoginBy::Client,
    };
    let order = match (login.by, &login.client_secret) {
        (Some(by), _) => vec![by],
        (None, Some(_)) => vec![LoginBy::Client, LoginBy::Device, LoginBy::Browser],
        (None, None) => vec![LoginBy::Device, LoginBy::Browser],
    };
    let found =
        order.iter().find_map(|wanted| flows.iter().find(|flow| by(flow) == *wanted).map(|flow| (flow, *wanted)));
    found.ok_or_else(|| {
        let failure = Failure::new(Code::CredentialsMissing, "the agent's card names no such way to get a token");
        match flows.is_empty() {
            true => failure.hint("show a token of your own: --bearer, or A2ACLI_BEARER"),
            false => failure.hint("there is another: --by device, browser or client (with --client-secret)"),
        }
    })
}

#[derive(Deserialize)]
struct DeviceAnswer {
    device_code: String,
    user_code: String,
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
    #[serde(default)]
    interval: Option<u64>,
}

impl OAuthClient<'_> {
    /// A secret of ours goes to no server that only the agent's card knows.
    fn check(&self, agent: &Agent, token_url: &str, issuer: Option<&str>) -> Result<(), Failure> {
        let token_url = checked(token_url)?;
        if self.secret.is_none() {
            return Ok(());
        }
        let known = [Some(agent.url_with_scheme()), issuer.map(str::to_owned)];
        let is_known =
            known.iter().flatten().filter_map(|url| Url::parse(url).ok()).any(|url| url.origin() == token_url.origin());
        if is_known {
            return Ok(());
        }
        let origin = token_url.origin().ascii_serialization();
        let text =
            format!("the agent's card has the client's secret shown to {origin}, which is not where the agent is");
        Err(Failure::new(Code::Usage, text).hint(format!("if that is right, say so: --issuer {origin}")))
    }

    /// By a code that a person types in on any device (RFC 8628).
    async fn by_device(&self, flow: &LoginFlow, scope: &str) -> Result<TokenAnswer, Failure> {
        let url = checked(flow.device_authorization_url.as_deref().unwrap_or_default())?;
        let form: Vec<_> =
            [("client_id", self.id), ("scope", scope)].into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let request = http(self.options, &url)?.post(url).body(form_of(&form)).header("content-type", FORM);
        let (is_good, body) = answer::<serde_json::Value>(request).await?;
        let body = body?;
        if !is_good {
            return Err(serde_json::from_value::<OAuthError>(body).unwrap_or_default().failure());
        }
        let device: DeviceAnswer = serde_json::from_value(body)
            .map_err(|_| Failure::new(Code::AuthFailed, "the authorization server's answer has no device code"))?;
        let place = device.verification_uri_complete.as_ref().unwrap_or(&device.verification_uri);
        remark(Remark::Note, format_args!("open {place} and confirm the code {}", device.user_code));
        let until = Instant::now()
            + device.expires_in.map_or(PERSON_MAX, |seconds| Duration::from_secs(seconds).min(PERSON_MAX));
        let mut interval = Duration::from_secs(device.interval.unwrap_or(INTERVAL_DEFAULT).min(INTERVAL_MAX));
        let form = [("grant_type", DEVICE_GRANT), ("device_code", device.device_code.as_str())];
        loop {
            sleep(interval).await;
            let error = match self.token(&flow.token_url, &form).await? {
                Ok(token) => return Ok(token),
                Err(error) => error,
            };
            match error.error.as_str() {
                "authorization_pending" => {}
                "slow_down" => interval += SLOWER_BY,
                _ => return Err(error.failure()),
            }
            if Instant::now() >= until {
                return Err(Failure::new(Code::Timeout, "nobody has confirmed the code in time"));
            }
        }
    }

    /// By a browser on this machine, which comes back to us (RFC 8252), with a proof that we began it (RFC 7636).
    async fn by_browser(&self, flow: &LoginFlow, scope: &str) -> Result<TokenAnswer, Failure> {
        let failed = |error: std::io::Error| Failure::of(Code::Internal, &error);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let redirect = format!("http://127.0.0.1:{}/callback", listener.local_addr().map_err(failed)?.port());
        let (verifier, state) = (random(), random());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let mut url = checked(flow.authorization_url.as_deref().unwrap_or_default())?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", self.id)
            .append_pair("redirect_uri", &redirect)
            .append_pair("state", &state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if !scope.is_empty() {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        remark(Remark::Note, format_args!("open {url}"));
        let code = comes_back(&listener, &state).await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", redirect.as_str()),
            ("code_verifier", verifier.as_str()),
        ];
        self.token(&flow.token_url, &form).await?.map_err(|error| error.failure())
    }
}

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Waits for the browser that brings the code. Whoever else comes meanwhile is told that there is nothing here.
async fn comes_back(listener: &TcpListener, state: &str) -> Result<String, Failure> {
    let late = || Failure::new(Code::Timeout, "nobody has come back from the browser in time");
    let until = Instant::now() + PERSON_MAX;
    loop {
        let accepted = timeout_at(until, listener.accept()).await.map_err(|_| late())?;
        let Ok((mut stream, _)) = accepted else { continue };
        let mut request = vec![0; REQUEST_MAX];
        let mut read = 0;
        while read < request.len() && !request[..read].windows(4).any(|end| end == b"\r\n\r\n") {
            match timeout_at(until.min(Instant::now() + ANSWER_MAX), stream.read(&mut request[read..])).await {
                Ok(Ok(0) | Err(_)) | Err(_) => break,
                Ok(Ok(more)) => read += more,
            }
        }
        let brought = brought(&request[..read], state);
        let (status, text) = match &brought {
            Some(Ok(_)) => ("200 OK", "You may close this page."),
            Some(Err(_)) => ("200 OK", "There is no token. You may close this page."),
            None => ("404 Not Found", "There is nothing here."),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
        // Whoever does not read it has brought what he had to.
        let _ = stream.write_all(answer.as_bytes()).await;
        if let Some(brought) = brought {
            return brought.map_err(|error| error.failure());
        }
    }
}

/// The code in a request, or why there is none; nothing if it is not the one that we began.
fn brought(request: &[u8], state: &str) -> Option<Result<String, OAuthError>> {
    let request = String::from_utf8_lossy(request);
    let path = request.strip_prefix("GET ")?.split(' ').next()?;
    let url = Url::parse("http://127.0.0.1/").ok()?.join(path).ok()?;
    if url.path() != "/callback" {
        return None;
    }
    let said = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    if said("state").as_deref() != Some(state) {
        return None;
    }
    match (said("code"), said("error")) {
        (_, Some(error)) => Some(Err(OAuthError { error, error_description: said("error_description") })),
        (Some(code), None) => Some(Ok(code)),
        (None, None) => None,
    }
}

/// 244 bits of chance, in letters that need no encoding (RFC 7636, section 4.1).
fn random() -> String {
    format!("{}{}", SystemEnv.uuid().simple(), SystemEnv.uuid().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_browser_that_we_sent_brings_a_code() {
        let check = |request: &str, expected: Option<Result<&str, &str>>| {
            let found = brought(request.as_bytes(), "s");
            let found = found.as_ref().map(|found| found.as_deref().map_err(|error| error.error.as_str()));
            assert_eq!(found, expected, "{request}");
        };
        check("GET /callback?code=a%2Fb&state=s HTTP/1.1\r\n", Some(Ok("a/b")));
        check("GET /callback?error=access_denied&state=s HTTP/1.1\r\n", Some(Err("access_denied")));
        check("GET /callback?code=a&state=other HTTP/1.1\r\n", None);
        check("GET /callback?code=a HTTP/1.1\r\n", None);
        check("GET /favicon.ico HTTP/1.1\r\n", None);
        check("POST /callback?code=a&state=s HTTP/1.1\r\n", None);
        check("", None);
    }
}
