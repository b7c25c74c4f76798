//! What a signature of an Agent Card covers (specification section 8.4.1), and where signatures stand in it. Whose keys they are made
//! with is not known here.
//!
//! There are two readings of what is left out before a card is put into its canonical form (RFC 8785). The specification keeps what is
//! required though it is empty; the SDKs for Python and JavaScript leave out all that is empty. Where the two differ a card of ours has a
//! signature for each, and a signature by either reading is good. What no message of A2A 1.0 has is covered by neither: so whoever has
//! checked a card reads what was covered, and nothing else.

use std::iter;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Number, Value};

use crate::write::{array, object};

/// Signatures of one card that are looked at.
pub const CARD_SIGNATURES_MAX: usize = 16;

/// One signature of a card, as JWS has it (RFC 7515) without what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardSignature {
    /// The protected header, as base64url.
    pub protected: String,
    /// The signature, as base64url.
    pub signature: String,
}

/// What a signature can cover.
struct Form {
    covered: Value,
    canonical: Vec<u8>,
}

/// The card, which readers of 1.0 must know, with a signature for each reading. `sign` makes one of a payload.
///
/// # Errors
/// If it cannot sign.
pub fn sign<E>(mut card: Vec<u8>, mut sign: impl FnMut(&[u8]) -> Result<CardSignature, E>) -> Result<Vec<u8>, E> {
    let Ok(value) = serde_json::from_slice::<Value>(&card) else { return Ok(card) };
    let mut signatures = Vec::new();
    for form in forms_of_1_0(&value) {
        signatures.push(sign(&form.canonical)?);
    }
    if signatures.is_empty() || card.pop() != Some(b'}') {
        return Ok(serde_json::to_vec(&value).unwrap_or(card));
    }
    let comma: &[u8] = if value.as_object().is_some_and(Map::is_empty) { b"" } else { b"," };
    card.extend_from_slice(comma);
    card.extend_from_slice(b"\"signatures\":");
    array(&mut card, &signatures, |out, signature| {
        object(out, |fields| {
            fields.text("protected", &signature.protected);
            fields.text("signature", &signature.signature);
        });
    });
    card.push(b'}');
    Ok(card)
}

/// What of a card is covered by a signature that `is_good`, which is asked with what was signed; `None` if there is none.
pub fn covered(card: &Value, is_good: impl Fn(&CardSignature, &[u8]) -> bool) -> Option<Value> {
    let signatures = signatures(card);
    if signatures.is_empty() {
        return None;
    }
    let whole = whole(card).into_iter();
    let mut forms = whole.chain(forms_of_1_0(card)).chain(iter::once_with(|| without_schemes(card)).flatten());
    forms.find(|form| signatures.iter().any(|it| is_good(it, &form.canonical))).map(|form| form.covered)
}

/// What is signed where a payload is: the protected header, a dot, and the payload as base64url.
pub fn signing_input(protected: &str, payload: &[u8]) -> String {
    format!("{protected}.{}", URL_SAFE_NO_PAD.encode(payload))
}

fn signatures(card: &Value) -> Vec<CardSignature> {
    let read = |value: &Value| {
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        Some(CardSignature { protected: text("protected")?, signature: text("signature")? })
    };
    let all = card.get("signatures").and_then(Value::as_array);
    all.into_iter().flatten().take(CARD_SIGNATURES_MAX).filter_map(read).collect()
}

/// The card as it came, whatever it says, but for numbers that no double is.
fn whole(card: &Value) -> Option<Form> {
    let mut fields = card.as_object()?.clone();
    fields.remove("signatures");
    form(any(&Value::Object(fields)))
}

/// The card as a message of A2A 1.0: what the specification leaves in, and, if that is something else, what the SDKs do.
fn forms_of_1_0(card: &Value) -> Vec<Form> {
    let Some(strict) = message(AGENT_CARD, card) else { return Vec::new() };
    let cleaned = without_empty(&strict).unwrap_or_else(|| Value::Object(Map::new()));
    let mut forms: Vec<Form> = form(strict).into_iter().collect();
    let cleaned = form(cleaned).filter(|cleaned| forms.iter().all(|form| form.canonical != cleaned.canonical));
    forms.extend(cleaned);
    forms
}

/// A card as the SDK for JavaScript signs one that it has in memory: it loses the security schemes (a2a-js issue 663, in 1.3.0), so they
/// are not covered, and not read. A card of ours is never signed so.
fn without_schemes(card: &Value) -> Option<Form> {
    let mut fields = card.as_object()?.clone();
    fields.remove("securitySchemes")?;
    form(without_empty(&message(AGENT_CARD, &Value::Object(fields))?)?)
}

fn form(covered: Value) -> Option<Form> {
    let canonical = serde_json_canonicalizer::to_vec(&covered).ok()?;
    Some(Form { covered, canonical })
}

/// Without what is empty, all the way down.
fn without_empty(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then(|| value.clone()),
        Value::Array(items) => {
            let items: Vec<Value> = items.iter().filter_map(without_empty).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(fields) => {
            let left = fields.iter().filter_map(|(name, value)| Some((name.clone(), without_empty(value)?)));
            let fields: Map<String, Value> = left.collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        Value::Bool(_) | Value::Number(_) => Some(value.clone()),
    }
}

/// When a field is left out (specification section 5.7).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// Never.
    Required,
    /// If nobody has set it.
    Optional,
    /// If it is what it is by default.
    Implicit,
}

/// What a field holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Flag,
    /// Any JSON.
    Any,
    One(&'static [Field]),
    Texts,
    Many(&'static [Field]),
    TextByName,
    OneByName(&'static [Field]),
}

struct Field {
    name: &'static str,
    kind: Kind,
    presence: Presence,
}

const fn field(name: &'static str, kind: Kind, presence: Presence) -> Field {
    Field { name, kind, presence }
}

use Kind::{Any, Flag, Many, One, OneByName, Text, TextByName, Texts};
use Presence::{Implicit, Optional, Required};

const AGENT_CARD: &[Field] = &[
    field("name", Text, Required),
    field("description", Text, Required),
    field("supportedInterfaces", Many(INTERFACE), Required),
    field("provider", One(PROVIDER), Optional),
    field("version", Text, Required),
    field("documentationUrl", Text, Optional),
    field("capabilities", One(CAPABILITIES), Required),
    field("securitySchemes", OneByName(SECURITY_SCHEME), Implicit),
    field("securityRequirements", Many(SECURITY_REQUIREMENT), Implicit),
    field("defaultInputModes", Texts, Required),
    field("defaultOutputModes", Texts, Required),
    field("skills", Many(SKILL), Required),
    field("iconUrl", Text, Optional),
];

const INTERFACE: &[Field] = &[
    field("url", Text, Required),
    field("protocolBinding", Text, Required),
    field("tenant", Text, Implicit),
    field("protocolVersion", Text, Required),
];

const PROVIDER: &[Field] = &[field("url", Text, Required), field("organization", Text, Required)];

const CAPABILITIES: &[Field] = &[
    field("streaming", Flag, Optional),
    field("pushNotifications", Flag, Optional),
    field("extensions", Many(EXTENSION), Implicit),
    field("extendedAgentCard", Flag, Optional),
];

const EXTENSION: &[Field] = &[
    field("uri", Text, Implicit),
    field("description", Text, Implicit),
    field("required", Flag, Implicit),
    field("params", Any, Optional),
];

const SKILL: &[Field] = &[
    field("id", Text, Required),
    field("name", Text, Required),
    field("description", Text, Required),
    field("tags", Texts, Required),
    field("examples", Texts, Implicit),
    field("inputModes", Texts, Implicit),
    field("outputModes", Texts, Implicit),
    field("securityRequirements", Many(SECURITY_REQUIREMENT), Implicit),
];

const SECURITY_REQUIREMENT: &[Field] = &[field("schemes", OneByName(STRING_LIST), Implicit)];

const STRING_LIST: &[Field] = &[field("list", Texts, Implicit)];

const SECURITY_SCHEME: &[Field] = &[
    field("apiKeySecurityScheme", One(API_KEY_SCHEME), Optional),
    field("httpAuthSecurityScheme", One(HTTP_SCHEME), Optional),
    field("oauth2SecurityScheme", One(OAUTH2_SCHEME), Optional),
    field("openIdConnectSecurityScheme", One(OPEN_ID_SCHEME), Optional),
    field("mtlsSecurityScheme", One(MTLS_SCHEME), Optional),
];

const API_KEY_SCHEME: &[Field] =
    &[field("description", Text, Implicit), field("location", Text, Required), field("name", Text, Required)];

const HTTP_SCHEME: &[Field] =
    &[field("description", Text, Implicit), field("scheme", Text, Required), field("bearerFormat", Text, Implicit)];

const OAUTH2_SCHEME: &[Field] = &[
    field("description", Text, Implicit),
    field("flows", One(OAUTH_FLOWS), Required),
    field("oauth2MetadataUrl", Text, Implicit),
];

const OPEN_ID_SCHEME: &[Field] = &[field("description", Text, Implicit), field("openIdConnectUrl", Text, Required)];

const MTLS_SCHEME: &[Field] = &[field("description", Text, Implicit)];

const OAUTH_FLOWS: &[Field] = &[
    field("authorizationCode", One(AUTHORIZATION_CODE_FLOW), Optional),
    field("clientCredentials", One(CLIENT_CREDENTIALS_FLOW), Optional),
    field("implicit", One(IMPLICIT_FLOW), Optional),
    field("password", One(PASSWORD_FLOW), Optional),
    field("deviceCode", One(DEVICE_CODE_FLOW), Optional),
];

const AUTHORIZATION_CODE_FLOW: &[Field] = &[
    field("authorizationUrl", Text, Required),
    field("tokenUrl", Text, Required),
    field("refreshUrl", Text, Implicit),
    field("scopes", TextByName, Required),
    field("pkceRequired", Flag, Implicit),
];

const CLIENT_CREDENTIALS_FLOW: &[Field] =
    &[field("tokenUrl", Text, Required), field("refreshUrl", Text, Implicit), field("scopes", TextByName, Required)];

const IMPLICIT_FLOW: &[Field] = &[
    field("authorizationUrl", Text, Implicit),
    field("refreshUrl", Text, Implicit),
    field("scopes", TextByName, Implicit),
];

const PASSWORD_FLOW: &[Field] =
    &[field("tokenUrl", Text, Implicit), field("refreshUrl", Text, Implicit), field("scopes", TextByName, Implicit)];

const DEVICE_CODE_FLOW: &[Field] = &[
    field("deviceAuthorizationUrl", Text, Required),
    field("tokenUrl", Text, Required),
    field("refreshUrl", Text, Implicit),
    field("scopes", TextByName, Required),
];

/// What a message of these fields is in JSON; `None` if it is none.
fn message(fields: &[Field], value: &Value) -> Option<Value> {
    let given = value.as_object()?;
    let mut kept = Map::new();
    for Field { name, kind, presence } in fields {
        let value = match (given.get(*name).filter(|value| !value.is_null()), presence) {
            (Some(value), _) => of_kind(*kind, value)?,
            (None, Required) => of_kind(*kind, &kind.default())?,
            (None, Optional | Implicit) => continue,
        };
        if *presence != Implicit || value != kind.default() {
            kept.insert((*name).to_owned(), value);
        }
    }
    Some(Value::Object(kept))
}

fn of_kind(kind: Kind, value: &Value) -> Option<Value> {
    let by_name = |read: &dyn Fn(&Value) -> Option<Value>| {
        let entries = value.as_object()?.iter().map(|(name, value)| Some((name.clone(), read(value)?)));
        Some(Value::Object(entries.collect::<Option<_>>()?))
    };
    let list = |read: &dyn Fn(&Value) -> Option<Value>| {
        Some(Value::Array(value.as_array()?.iter().map(read).collect::<Option<_>>()?))
    };
    let text = |value: &Value| value.is_string().then(|| value.clone());
    match kind {
        Text => text(value),
        Flag => value.is_boolean().then(|| value.clone()),
        Any => value.as_object().map(|_| any(value)),
        One(fields) => message(fields, value),
        Texts => list(&text),
        Many(fields) => list(&|value| message(fields, value)),
        TextByName => by_name(&text),
        OneByName(fields) => by_name(&|value| message(fields, value)),
    }
}

impl Kind {
    fn default(self) -> Value {
        match self {
            Text => Value::String(String::new()),
            Flag => Value::Bool(false),
            Any | One(_) | TextByName | OneByName(_) => Value::Object(Map::new()),
            Texts | Many(_) => Value::Array(Vec::new()),
        }
    }
}

/// The largest number up to which each whole one is a double of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A number that no double is becomes the nearest one: that alone is signed, and so that alone is read.
fn any(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let double = number.as_f64().filter(|double| double.abs() >= EXACT_MAX).and_then(Number::from_f64);
            Value::Number(double.unwrap_or_else(|| number.clone()))
        }
        Value::Array(items) => Value::Array(items.iter().map(any).collect()),
        Value::Object(fields) => Value::Object(fields.iter().map(|(name, value)| (name.clone(), any(value))).collect()),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}
