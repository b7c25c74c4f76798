//! From what is said of a peer to what calls it.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use bobbinet_auth::{Claims, KEYS_FOLDER, KeyRing, LIFETIME_DEFAULT, NODE_ISSUER, NODE_TENANT, mint};
use bobbinet_core::{AgentName, Principal, Tenant};
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_outbound::{ClientTlsFiles, Guard, Origin, OutboundLimits};
use bobbinet_peer::{ClientCredentials, MintToken, PeerAuth, PeerConfig, PeerLimits, SecretSource};
use reqwest::Url;

use crate::{
    config::{AuthSettings, ClientSettings, NodePeer, PeerSettings},
    failure::{Code, Failure},
    principals::KnownPrincipals,
};

/// What a peer knows this node by, if nobody says otherwise: the `sub` of its tokens.
const SUBJECT: &str = "node";

/// Makes what calls peers.
#[derive(Clone)]
pub(crate) struct Maker {
    /// The keys that tokens are made with, if there are any.
    pub(crate) keys: Option<Arc<KeyRing>>,
    /// What others know the node's tokens by, if they do.
    pub(crate) issuer: Option<String>,
    /// What the node is called in the paths of calls.
    pub(crate) node: String,
    pub(crate) guard: Guard,
    pub(crate) env: Arc<dyn Env>,
}

impl Maker {
    /// One that calls as the node on this data folder does, with the keys that it has. `node` is what the caller is called in the paths of
    /// calls.
    pub(crate) fn of_folder(data: &Path, node: String, guard: Guard) -> Self {
        let known = KnownPrincipals::read(data);
        Self {
            keys: KeyRing::open(&data.join(KEYS_FOLDER)).ok().map(Arc::new),
            issuer: known.is_known_elsewhere().then(|| known.issuer().to_owned()),
            node,
            guard,
            env: Arc::new(SystemEnv),
        }
    }

    /// A peer as it is called.
    pub(crate) fn config(&self, name: AgentName, settings: PeerSettings) -> Result<PeerConfig, Failure> {
        let auth = self.auth(&settings.auth)?;
        let usual = PeerLimits::default();
        let limits = PeerLimits {
            calls_max: settings.slots.unwrap_or(usual.calls_max),
            patience: settings.silence_max.unwrap_or(usual.patience).min(usual.patience),
            silence_max: settings.silence_max.unwrap_or(usual.silence_max),
            answer: settings.silence_max.unwrap_or(Duration::MAX).min(usual.answer),
            ..usual
        };
        Ok(PeerConfig {
            name,
            url: settings.url.to_string(),
            node: self.node.clone(),
            auth,
            fallback: settings.fallback,
            effect: settings.effect,
            origin: settings.origin,
            card_keys: settings.card_keys,
            grpc: Some(bobbinet_grpc::carry),
            title: settings.title,
            description: settings.description,
            env: self.env.clone(),
            guard: self.guard.clone(),
            limits,
        })
    }

    fn auth(&self, settings: &AuthSettings) -> Result<PeerAuth, Failure> {
        Ok(match settings {
            AuthSettings::Default if self.issuer.is_some() && self.keys.is_some() => self.node_token(None)?,
            AuthSettings::Default | AuthSettings::None => PeerAuth::None,
            AuthSettings::Node(subject) => self.node_token(subject.as_deref())?,
            AuthSettings::Bearer(token) => PeerAuth::Bearer(SecretSource::Text(token.clone())),
            AuthSettings::File(path) => PeerAuth::Bearer(SecretSource::File(path.clone())),
            AuthSettings::ApiKey(key) => PeerAuth::ApiKey(SecretSource::Text(key.clone())),
            AuthSettings::Client(ClientSettings { token_url, id, secret, scope }) => {
                let secret = match secret {
                    Ok(text) => SecretSource::Text(text.clone()),
                    Err(path) => SecretSource::File(path.clone()),
                };
                let client =
                    ClientCredentials::new(token_url.clone(), id.clone(), secret, scope.clone(), self.guard.clone());
                PeerAuth::ClientCredentials(Arc::new(client))
            }
        })
    }

    fn node_token(&self, subject: Option<&str>) -> Result<PeerAuth, Failure> {
        let keys = self.keys.clone().ok_or_else(|| {
            Failure::new(Code::CredentialsMissing, "this node has no key to make a token with")
                .hint("a node makes its first key when it starts; name its data folder with --data-dir")
        })?;
        let subject =
            Principal::parse(subject.unwrap_or(SUBJECT)).map_err(|error| Failure::of(Code::Config, &error))?;
        let issuer = self.issuer.clone().unwrap_or_else(|| NODE_ISSUER.to_owned());
        let env = self.env.clone();
        let make: Arc<MintToken> = Arc::new(move |audience: &str| {
            let claims = Claims {
                issuer: &issuer,
                subject: &subject,
                tenant: &Tenant::parse(NODE_TENANT).expect("a well-formed tenant"),
                audience,
                scopes: &[],
                now: env.now(),
                lifetime: LIFETIME_DEFAULT,
            };
            Ok(mint(&keys, &claims)?)
        });
        Ok(PeerAuth::Node(make))
    }
}

/// The guard of a node: whatever its operator has written down may be anywhere.
pub(crate) fn guard<'a>(
    remotes: impl Iterator<Item = &'a PeerSettings>,
    nodes: impl Iterator<Item = &'a NodePeer>,
) -> Result<Guard, Failure> {
    let mut origins = BTreeSet::new();
    let mut add = |url: &Url| origins.extend(Origin::of(url));
    let token_url = |auth: &'a AuthSettings| match auth {
        AuthSettings::Client(client) => Some(&client.token_url),
        AuthSettings::Default
        | AuthSettings::None
        | AuthSettings::Node(_)
        | AuthSettings::Bearer(_)
        | AuthSettings::File(_)
        | AuthSettings::ApiKey(_) => None,
    };
    let mut certificates: Vec<(Origin, ClientTlsFiles)> = Vec::new();
    let mut has_own = |url: &Url, tls: &ClientTlsFiles| {
        let origin = Origin::of(url).ok().filter(|_| !tls.is_empty());
        certificates.extend(origin.map(|origin| (origin, tls.clone())));
    };
    for peer in remotes {
        add(&peer.url);
        has_own(&peer.url, &peer.tls);
        token_url(&peer.auth).into_iter().for_each(&mut add);
        let called_at = peer.origin.as_ref().and_then(|origin| Url::parse(&origin.to_string()).ok());
        called_at.iter().for_each(&mut add);
        called_at.iter().for_each(|url| has_own(url, &peer.tls));
    }
    for node in nodes {
        add(&node.url);
        has_own(&node.url, &node.tls);
        token_url(&node.auth).into_iter().for_each(&mut add);
    }
    let mut guard =
        Guard::new(origins, OutboundLimits::default()).map_err(|error| Failure::of(Code::Internal, &error))?;
    for (origin, files) in one_for_each(certificates)? {
        let tls = files.read().map_err(|fault| Failure::of(Code::Config, &fault))?;
        guard = guard.with_tls(origin, tls).map_err(|error| Failure::of(Code::Config, &error))?;
    }
    Ok(guard)
}

/// Certificates go by where is called: two peers at one place cannot have different ones.
fn one_for_each(all: Vec<(Origin, ClientTlsFiles)>) -> Result<Vec<(Origin, ClientTlsFiles)>, Failure> {
    let mut each: Vec<(Origin, ClientTlsFiles)> = Vec::new();
    for (origin, files) in all {
        match each.iter().find(|(known, _)| known.is_same_place(&origin)) {
            None => each.push((origin, files)),
            Some((_, known)) if *known == files => {}
            Some(_) => {
                let text = format!("two peers at {origin} have different `tls`");
                let hint = "what is called at one origin is called with one certificate: say the same for both";
                return Err(Failure::new(Code::Config, text).hint(hint));
            }
        }
    }
    Ok(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_one_place_is_called_with_one_certificate() {
        let check = |one: (&str, &str), other: (&str, &str), expected: Option<usize>| {
            let named = [one, other].map(|(url, ca)| {
                let files = ClientTlsFiles { ca: Some(ca.into()), identity: None };
                (Origin::of(&Url::parse(url).unwrap()).unwrap(), files)
            });
            assert_eq!(one_for_each(named.into()).ok().map(|each| each.len()), expected, "{one:?} {other:?}");
        };
        check(("https://a.example/x", "a.pem"), ("https://a.example/y", "b.pem"), None);
        check(("https://localhost:1/x", "a.pem"), ("https://127.0.0.1:1/y", "b.pem"), None);
        check(("https://a.example/x", "a.pem"), ("https://a.example/y", "a.pem"), Some(1));
        check(("https://a.example/x", "a.pem"), ("https://b.example/y", "b.pem"), Some(2));
    }
}
