//! A login with a browser, step by step: as whom the node asks, where the browser goes, and what becomes of what it brings.
//!
//! Nothing is kept here: what there is to remember is in the record that comes and goes.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_outbound::{
    Guard, SecretSource,
    oauth::{
        ClientAuthMethod, ClientCredential, ClientMetadata, IssuedToken, IssuerMetadata, LoginRequest, OAuthClient,
        SigningMoment, TokenFault, register, request_token,
    },
};

use super::{
    discovery::{self, LIMITS},
    fault::AuthFault,
};
use crate::{
    login_place::LoginAddress,
    login_record::{KeptLogin, LoginRecord, PendingLogin, Registration},
    server_auth::LoginConfig,
};

/// Bytes of chance in what nobody may guess.
const CHANCE_LENGTH: usize = 32;

/// The scope by which some authorization servers are asked for what gets the next token.
const OFFLINE: &str = "offline_access";

/// This node as one authorization server knows it.
#[derive(Debug)]
pub(super) struct LoginClient {
    pub(super) id: String,
    pub(super) credential: ClientCredential,
    pub(super) method: ClientAuthMethod,
}

/// When something is signed.
pub(super) fn moment() -> SigningMoment {
    SigningMoment { seconds: SystemEnv.now().as_millis() / 1_000, nonce: SystemEnv.uuid().to_string() }
}

fn chance() -> Result<String, AuthFault> {
    let mut bytes = [0; CHANCE_LENGTH];
    getrandom::fill(&mut bytes).map_err(|_| AuthFault::NoChance)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// As whom the node is known there already, in the order of MCP's specification: by the operator's word, by its own URL, by a registration.
fn known_client(
    config: &LoginConfig,
    record: &LoginRecord,
    address: &LoginAddress,
    issuer: &str,
    metadata: &IssuerMetadata,
) -> Result<Option<LoginClient>, AuthFault> {
    if let Some((id, credential)) = &config.client {
        let unfit = |fault| {
            let source = super::fault::IssuerFault::Metadata(fault);
            AuthFault::Issuer { issuer: issuer.to_owned(), source }
        };
        let method = metadata.method(credential).map_err(unfit)?;
        return Ok(Some(LoginClient { id: id.clone(), credential: credential.clone(), method }));
    }
    if let Some(url) = address.client_metadata.as_ref().filter(|_| metadata.reads_client_urls) {
        let (credential, method) = (ClientCredential::None, ClientAuthMethod::Nothing);
        return Ok(Some(LoginClient { id: url.to_string(), credential, method }));
    }
    let is_here = |it: &&Registration| it.issuer == issuer && it.redirect == address.redirect.as_str();
    Ok(record.registration.as_ref().filter(is_here).map(|registration| registered(registration, metadata)))
}

fn registered(registration: &Registration, metadata: &IssuerMetadata) -> LoginClient {
    let id = registration.id.clone();
    let Some(secret) = &registration.secret else {
        return LoginClient { id, credential: ClientCredential::None, method: ClientAuthMethod::Nothing };
    };
    let credential = ClientCredential::Secret(SecretSource::Text(secret.clone()));
    let has = |method: &ClientAuthMethod| credential.methods().contains(method) || *method == ClientAuthMethod::Nothing;
    let usual = || metadata.method(&credential).unwrap_or(ClientAuthMethod::Nothing);
    let method = registration.method.filter(has).unwrap_or_else(usual);
    LoginClient { id, credential, method }
}

/// The same, and if it is not known there, it asks to be.
async fn client(
    guard: &Guard,
    config: &LoginConfig,
    record: &mut LoginRecord,
    address: &LoginAddress,
    issuer: &str,
    metadata: &IssuerMetadata,
) -> Result<LoginClient, AuthFault> {
    if let Some(client) = known_client(config, record, address, issuer, metadata)? {
        return Ok(client);
    }
    let redirect = address.redirect.to_string();
    let Some(url) = &metadata.registration_url else {
        return Err(AuthFault::NoClient { issuer: issuer.to_owned(), redirect });
    };
    let wanted = [ClientAuthMethod::Basic, ClientAuthMethod::Post, ClientAuthMethod::Nothing];
    let method = wanted.into_iter().find(|method| metadata.takes(*method)).unwrap_or(ClientAuthMethod::Nothing);
    let asked = ClientMetadata { name: &address.client_name, redirect: &address.redirect, method };
    let given = register(guard, url, &asked, &LIMITS).await;
    let given = given.map_err(|source| AuthFault::NotRegistered {
        issuer: issuer.to_owned(),
        redirect: redirect.clone(),
        source,
    })?;
    let (issuer, id) = (issuer.to_owned(), given.id);
    let registration = Registration { issuer, redirect, id, secret: given.secret, method: given.method };
    let client = registered(&registration, metadata);
    record.registration = Some(registration);
    Ok(client)
}

/// What a login is for.
#[derive(Debug)]
pub(super) struct LoginTarget {
    pub(super) issuer: String,
    pub(super) resource: String,
    pub(super) scopes: BTreeSet<String>,
}

/// Finds out where a browser is to be sent for this. Where the record has a login that was begun for the same, that stays.
pub(super) async fn begin(
    guard: &Guard,
    config: &LoginConfig,
    record: &mut LoginRecord,
    address: &LoginAddress,
    target: LoginTarget,
) -> Result<PendingLogin, AuthFault> {
    let LoginTarget { issuer, resource, mut scopes } = target;
    let metadata = discovery::issuer_metadata(guard, &issuer).await?;
    let Some(endpoint) = &metadata.authorization_url else { return Err(AuthFault::NoLogin { issuer }) };
    if !metadata.has_pkce {
        return Err(AuthFault::NoPkce { issuer });
    }
    let client = client(guard, config, record, address, &issuer, &metadata).await?;
    if config.scope.is_none() && !scopes.is_empty() && metadata.scopes.iter().any(|scope| scope == OFFLINE) {
        scopes.insert(OFFLINE.to_owned());
    }
    let scopes: Vec<String> = scopes.into_iter().collect();
    let redirect = address.redirect.to_string();
    let is_same = |pending: &&PendingLogin| {
        (&pending.issuer, &pending.client, &pending.resource, &pending.redirect, &pending.scopes)
            == (&issuer, &client.id, &resource, &redirect, &scopes)
    };
    if let Some(pending) = record.pending.as_ref().filter(is_same) {
        return Ok(pending.clone());
    }
    let (state, verifier) = (chance()?, chance()?);
    let request = LoginRequest {
        client: &client.id,
        redirect: &redirect,
        state: &state,
        verifier: &verifier,
        resource: &resource,
        scope: &scopes.join(" "),
    };
    let url = request.url(endpoint).to_string();
    let pending = PendingLogin {
        state,
        verifier,
        issuer,
        says_issuer: metadata.says_issuer,
        token_url: metadata.token_url,
        client: client.id,
        method: client.method,
        redirect,
        resource,
        scopes,
        url,
        begun_at: SystemEnv.now().as_millis(),
    };
    record.pending = Some(pending.clone());
    Ok(pending)
}

/// What this client of a record shows there. A secret may have been exchanged since, so it is looked up whenever it is needed.
fn credential(config: &LoginConfig, record: &LoginRecord, issuer: &str, client: &str) -> ClientCredential {
    if let Some((_, credential)) = config.client.as_ref().filter(|(id, _)| id == client) {
        return credential.clone();
    }
    let registration = record.registration.as_ref().filter(|it| it.issuer == issuer && it.id == client);
    match registration.and_then(|registration| registration.secret.clone()) {
        Some(secret) => ClientCredential::Secret(SecretSource::Text(secret)),
        None => ClientCredential::None,
    }
}

/// Exchanges the code that a browser has brought.
pub(super) async fn exchange(
    guard: &Guard,
    config: &LoginConfig,
    record: &LoginRecord,
    pending: &PendingLogin,
    code: &str,
) -> Result<IssuedToken, TokenFault> {
    let credential = credential(config, record, &pending.issuer, &pending.client);
    let (id, method, audience) = (pending.client.as_str(), pending.method, pending.issuer.as_str());
    let client = OAuthClient { id, credential: &credential, method, audience, moment: moment() };
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", pending.redirect.as_str()),
        ("code_verifier", pending.verifier.as_str()),
        ("resource", pending.resource.as_str()),
    ];
    request_token(guard, &pending.token_url, client, &form, &LIMITS).await
}

/// Gets the next token without anybody. `None`: somebody has to log in.
pub(super) async fn refresh(
    guard: &Guard,
    config: &LoginConfig,
    record: &LoginRecord,
    kept: &KeptLogin,
    address: &LoginAddress,
) -> Result<Option<IssuedToken>, AuthFault> {
    let Some(refresh_token) = &kept.refresh_token else { return Ok(None) };
    let metadata = discovery::issuer_metadata(guard, &kept.issuer).await?;
    let client = known_client(config, record, address, &kept.issuer, &metadata)?;
    // It was given to another name of this node, and is of no use to this one.
    let Some(client) = client.filter(|client| client.id == kept.client) else { return Ok(None) };
    let (id, method, audience) = (client.id.as_str(), client.method, kept.issuer.as_str());
    let shown = OAuthClient { id, credential: &client.credential, method, audience, moment: moment() };
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.as_str()),
        ("resource", kept.resource.as_str()),
    ];
    match request_token(guard, &metadata.token_url, shown, &form, &LIMITS).await {
        Ok(issued) => Ok(Some(issued)),
        Err(TokenFault::Refused { code: Some(code), .. })
            if matches!(code.as_str(), "invalid_grant" | "invalid_client" | "unauthorized_client") =>
        {
            tracing::info!(issuer = kept.issuer, code, "a login is over");
            Ok(None)
        }
        Err(source) => Err(AuthFault::NoToken { place: metadata.token_url.origin().ascii_serialization(), source }),
    }
}
