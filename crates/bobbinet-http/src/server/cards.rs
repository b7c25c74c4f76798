//! The public cards of an agent, each written once for a version of the agent and a name of the node.

use std::sync::{Arc, Mutex, PoisonError};

use bobbinet_auth::{Accepted, KeyRing, MintError};
use bobbinet_core::{Description, Timestamp};
use bobbinet_wire::{
    Transport, Version,
    interface::{CardForm, CardInterface},
    sha256_hex,
    signed_card::{self, CardSignature},
    v1_0::card::{self, CardContext, SecurityScheme},
};
use bytes::Bytes;
use http::HeaderValue;

/// Where an API key may be shown, beside `Authorization`. Also what cards say.
pub(super) const API_KEY_HEADER: &str = "X-API-Key";

/// How many cards of one agent are kept: one for each form, and each name that the node is called by.
const KEPT_MAX: usize = 24;

/// Where the node's public keys are, below its URL.
pub(super) const JWKS_PATH: &str = "/.well-known/jwks.json";

/// The cards of one agent, the last written first.
#[derive(Debug, Default)]
pub(super) struct Cards(Mutex<Vec<Arc<Card>>>);

/// One card as it is sent.
#[derive(Debug)]
pub(super) struct Card {
    description: Arc<Description>,
    /// Which of the changes of what callers can show it says.
    accepted: u64,
    origin: String,
    form: CardForm,
    pub(super) body: Bytes,
    is_extended: bool,
    /// The key that has signed it.
    signed_by: Option<String>,
    pub(super) etag: HeaderValue,
    pub(super) modified: HeaderValue,
}

impl Cards {
    /// The card of this version of the agent for those who find the node at `origin`.
    pub(super) fn get(
        &self,
        description: Arc<Description>,
        told: &Told<'_>,
        origin: String,
        form: CardForm,
        base: &str,
    ) -> Arc<Card> {
        let (now, signed_by) = (told.now, told.keys.current_id(told.now));
        let mut cards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cards.retain(|card| {
            let is_as_now = card.accepted == told.accepted.number
                && card.is_extended == told.is_extended
                && card.signed_by == signed_by;
            is_as_now && is_same(&card.description, &description)
        });
        if let Some(card) = cards.iter().find(|card| card.form == form && card.origin == origin) {
            return card.clone();
        }
        // All forms of one version are of the same age.
        let modified = cards.first().map_or_else(|| http_date(now), |card| card.modified.clone());
        let card = Arc::new(Card::write(description, told, origin, form, base, modified));
        cards.truncate(KEPT_MAX - 1);
        cards.insert(0, card.clone());
        card
    }
}

fn is_same(one: &Arc<Description>, other: &Arc<Description>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

impl Card {
    fn write(
        description: Arc<Description>,
        told: &Told<'_>,
        origin: String,
        form: CardForm,
        base: &str,
        modified: HeaderValue,
    ) -> Self {
        let body = told.write(&description, &origin, form, base);
        let etag = HeaderValue::try_from(format!("\"{}\"", sha256_hex(&body))).expect("hexadecimal in quotes");
        Self {
            description,
            accepted: told.accepted.number,
            origin,
            form,
            body: body.into(),
            is_extended: told.is_extended,
            signed_by: told.keys.current_id(told.now),
            etag,
            modified,
        }
    }
}

/// What a card says beside what its agent says of itself, and the key that signs it.
#[derive(Clone, Debug)]
pub(super) struct Told<'a> {
    pub(super) accepted: Accepted,
    /// Whether callers may show certificates.
    pub(super) has_certificates: bool,
    /// Whether gRPC is spoken, too.
    pub(super) has_grpc: bool,
    /// Whether the node has no other agent: then nobody need say that he means it.
    pub(super) is_only: bool,
    /// Whether known callers get another card.
    pub(super) is_extended: bool,
    /// Whether the node sends events to webhooks.
    pub(super) has_webhooks: bool,
    pub(super) keys: &'a KeyRing,
    pub(super) now: Timestamp,
}

impl Told<'_> {
    /// A card, with the node's signature if readers of 1.0 can check one.
    pub(super) fn write(&self, description: &Description, origin: &str, form: CardForm, base: &str) -> Vec<u8> {
        let card = self.with_context(description, origin, form, base, |context| card::write(description, context));
        // What a signature covers is settled for 1.0 alone: of a card without its interfaces a signature would be good whatever it says of
        // the agent's URL.
        if form.has_1_0() { self.sign(card, origin) } else { card }
    }

    /// What a card says that is not its agent's own word.
    pub(super) fn with_context<R>(
        &self,
        description: &Description,
        origin: &str,
        form: CardForm,
        base: &str,
        write: impl FnOnce(CardContext<'_>) -> R,
    ) -> R {
        let interfaces = self.interfaces(origin, base);
        let security = schemes(&self.accepted, self.has_certificates);
        write(CardContext {
            interfaces: &interfaces,
            form,
            streaming: description.capabilities.streaming,
            push: self.has_webhooks && description.capabilities.push_notifications,
            extended: self.is_extended,
            security: &security,
        })
    }

    /// Where an agent is reached, all at one URL: JSON-RPC tells its versions apart by the method, REST by the path below. Over gRPC it is
    /// the node that is reached, and where it has several agents, one is named by the tenant, which 0.3 has not.
    fn interfaces(&self, origin: &str, base: &str) -> Vec<CardInterface> {
        let url = format!("{origin}{base}");
        let rpc = if base.is_empty() { format!("{url}/") } else { url.clone() };
        let mut interfaces = vec![
            CardInterface::new(rpc.clone(), Transport::JsonRpc, Version::V1_0),
            CardInterface::new(url.clone(), Transport::HttpJson, Version::V1_0),
            CardInterface::new(rpc, Transport::JsonRpc, Version::V0_3),
            CardInterface::new(url, Transport::HttpJson, Version::V0_3),
        ];
        if let Some(address) = host_and_port(origin).filter(|_| self.has_grpc) {
            let name = base.rsplit('/').next().filter(|name| !name.is_empty());
            let tenant = name.filter(|_| !self.is_only).map(str::to_owned);
            if tenant.is_none() {
                interfaces.push(CardInterface::new(address.clone(), Transport::Grpc, Version::V0_3));
            }
            let grpc = CardInterface::new(address, Transport::Grpc, Version::V1_0);
            interfaces.insert(2, CardInterface { tenant, ..grpc });
        }
        interfaces
    }

    /// The card as it was if there is no key: whoever asks for a signature sees that there is none.
    fn sign(&self, card: Vec<u8>, origin: &str) -> Vec<u8> {
        let jwks = format!("{origin}{JWKS_PATH}");
        let signed = signed_card::sign(card.clone(), |payload| {
            let input = |protected: &str| signed_card::signing_input(protected, payload);
            let (protected, signature) = self.keys.sign_card(&jwks, self.now, input)?;
            Ok::<_, MintError>(CardSignature { protected, signature })
        });
        signed.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "a card is not signed");
            card
        })
    }
}

/// What callers can show, as cards say it; nothing, where nothing has to be shown.
fn schemes(accepted: &Accepted, has_certificates: bool) -> Vec<SecurityScheme> {
    if accepted.is_open {
        return Vec::new();
    }
    let api_key = accepted.has_api_keys.then_some(SecurityScheme::ApiKey { header: API_KEY_HEADER });
    let providers = accepted.discovery.iter().map(|url| SecurityScheme::OpenIdConnect { url: url.clone() });
    let certificate = has_certificates.then_some(SecurityScheme::MutualTls);
    [SecurityScheme::BearerJwt].into_iter().chain(api_key).chain(providers).chain(certificate).collect()
}

/// The host and the port of a URL, as the address of a service without paths is written. `None` if the URL has a path.
fn host_and_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let is_bare = !authority.is_empty() && !authority.contains('/');
    let has_port = authority.rsplit(']').next().is_some_and(|after| after.contains(':'));
    let port = if scheme == "https" { 443 } else { 80 };
    is_bare.then(|| if has_port { authority.to_owned() } else { format!("{authority}:{port}") })
}

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
fn http_date(at: Timestamp) -> HeaderValue {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let text = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).expect("a date is plain ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_http_writes_it() {
        assert_eq!(http_date(Timestamp::from_millis(784_111_777_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn an_address_is_host_and_port() {
        for (url, expected) in [
            ("http://127.0.0.1:7420", Some("127.0.0.1:7420")),
            ("http://[::1]/", Some("[::1]:80")),
            ("http://[::1]:7420/", Some("[::1]:7420")),
            ("https://a.example", Some("a.example:443")),
            ("https://a.example/mesh", None),
            ("a.example", None),
        ] {
            assert_eq!(host_and_port(url).as_deref(), expected, "{url}");
        }
    }
}
