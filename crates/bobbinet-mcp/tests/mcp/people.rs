//! An authorization server that people log in at with a browser, scripted.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::authority::json_of;

/// What every refresh token begins with.
pub(crate) const REFRESH: &str = "refre5h-";

/// Whom it knows, and what it has given out.
#[derive(Default)]
pub(crate) struct People {
    clients: Vec<String>,
    codes: Vec<Code>,
    /// The one that is good: each that is used is replaced.
    refresh: Option<Refresh>,
    issued: usize,
    /// What it says of itself when it sends a browser back, if not its name.
    pub(crate) says_issuer: Option<String>,
    /// Whether it takes its time to say what token it has given out.
    pub(crate) is_slow: bool,
    /// Whether it has no way to get on without a browser.
    pub(crate) is_forgetful: bool,
}

struct Code {
    text: String,
    client: String,
    challenge: String,
    redirect: String,
    resource: String,
    scope: String,
}

struct Refresh {
    text: String,
    client: String,
    resource: String,
    scope: String,
}

/// A token that it has given out.
pub(crate) struct Granted {
    pub(crate) text: String,
    pub(crate) resource: String,
    pub(crate) scope: String,
}

/// What it says of itself.
pub(crate) fn metadata(url: &str, metadata: &mut Value) {
    metadata["authorization_endpoint"] = json!(format!("{url}/people/authorize"));
    metadata["registration_endpoint"] = json!(format!("{url}/people/register"));
    metadata["code_challenge_methods_supported"] = json!(["S256"]);
    metadata["authorization_response_iss_parameter_supported"] = json!(true);
    metadata["token_endpoint_auth_methods_supported"] = json!(["none"]);
    metadata["scopes_supported"] = json!(["r", "offline_access"]);
}

/// The pairs of a form.
fn pairs(form: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("x:/?{form}")).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// A form as a test looks at it.
pub(crate) fn told(form: &str) -> String {
    pairs(form).into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

fn refused(code: &str) -> Response {
    (StatusCode::BAD_REQUEST, json_of(&json!({ "error": code }))).into_response()
}

impl People {
    pub(crate) fn register(&mut self, body: &str) -> Response {
        let asked: Value = serde_json::from_str(body).unwrap();
        assert_eq!(asked["grant_types"], json!(["authorization_code", "refresh_token"]));
        assert_eq!(asked["application_type"], "native");
        let id = format!("client-{}", self.clients.len() + 1);
        self.clients.push(id.clone());
        (StatusCode::CREATED, json_of(&json!({"client_id": id, "token_endpoint_auth_method": "none"}))).into_response()
    }

    /// How many clients it knows.
    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Nobody gets on without logging in again.
    pub(crate) fn forget(&mut self) {
        self.refresh = None;
    }

    /// Lets a browser in at once, and sends it back.
    pub(crate) fn authorize(&mut self, issuer: &str, query: &str) -> Response {
        let pairs = pairs(query);
        let one = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap();
        assert_eq!((one("response_type").as_str(), one("code_challenge_method").as_str()), ("code", "S256"));
        assert!(self.clients.contains(&one("client_id")));
        let text = format!("c0de-{}", self.codes.len() + 1);
        let mut back: reqwest::Url = one("redirect_uri").parse().unwrap();
        let says = self.says_issuer.clone().unwrap_or_else(|| issuer.to_owned());
        back.query_pairs_mut().append_pair("code", &text).append_pair("state", &one("state")).append_pair("iss", &says);
        self.codes.push(Code {
            text,
            client: one("client_id"),
            challenge: one("code_challenge"),
            redirect: one("redirect_uri"),
            resource: one("resource"),
            scope: one("scope"),
        });
        (StatusCode::FOUND, [("location", back.to_string())], "").into_response()
    }

    pub(crate) fn token(&mut self, text: &str, form: &str) -> (Response, Option<Granted>) {
        let pairs = pairs(form);
        let one =
            |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default();
        let (client, resource, scope) = match one("grant_type").as_str() {
            "authorization_code" => {
                let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(one("code_verifier")));
                let is_it = |code: &Code| {
                    (&code.text, &code.client, &code.challenge, &code.redirect, &code.resource)
                        == (&one("code"), &one("client_id"), &challenge, &one("redirect_uri"), &one("resource"))
                };
                let Some(at) = self.codes.iter().position(is_it) else { return (refused("invalid_grant"), None) };
                let code = self.codes.remove(at);
                (code.client, code.resource, code.scope)
            }
            "refresh_token" => {
                let is_it = |it: &Refresh| it.text == one("refresh_token") && it.client == one("client_id");
                match self.refresh.take().filter(is_it) {
                    Some(refresh) => (refresh.client, refresh.resource, refresh.scope),
                    None => return (refused("invalid_grant"), None),
                }
            }
            other => panic!("{other}"),
        };
        self.issued += 1;
        let mut answer = json!({"access_token": text, "token_type": "Bearer", "expires_in": 3_600});
        if !self.is_forgetful {
            let next = format!("{REFRESH}{}", self.issued);
            answer["refresh_token"] = json!(next);
            self.refresh = Some(Refresh { text: next, client, resource: resource.clone(), scope: scope.clone() });
        }
        (json_of(&answer), Some(Granted { text: text.to_owned(), resource, scope }))
    }
}
