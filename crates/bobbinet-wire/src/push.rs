//! What is asked of a webhook in whichever dialect it comes, and what is read of an authentication in all of them.

use std::borrow::Cow;

use bobbinet_core::{
    Json, PushAuthentication, PushConfig, PushPage, PushView, Secret,
    push::{PUSH_ID_LENGTH_MAX, PUSH_SECRET_LENGTH_MAX, PUSH_URL_LENGTH_MAX},
};
use serde::de::{Deserializer, MapAccess};
use serde_json::Value;

use crate::{
    dialect::Dialect,
    faults::At,
    from_proto::{Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    scalar::NonEmpty,
};

/// The fields of a webhook that all dialects have.
pub(crate) struct PushFields<'de> {
    pub(crate) id: Field<NonEmpty<'de>>,
    pub(crate) url: Field<NonEmpty<'de>>,
    pub(crate) token: Field<NonEmpty<'de>>,
    pub(crate) authentication: Field<PushAuthentication>,
}

/// A webhook of these fields.
pub(crate) fn config<V: Dialect>(fields: PushFields<'_>, at: &At<'_, V>, dialect: &str) -> Option<PushConfig> {
    let PushFields { id, url, token, authentication } = fields;
    let id = id.parse(at, "id", |id| checked_id(id.into_owned())).optional();
    let token = secret(token, at, "token");
    let url = url.parse(at, "url", |url| checked_url(url.into_owned()));
    let config = PushConfig {
        id,
        url: url.required(at, "url")?,
        token,
        authentication: authentication.optional(),
        dialect: dialect.into(),
    };
    Some(config)
}

/// An authentication of a scheme, and credentials if there are any.
pub(crate) fn authentication<V: Dialect>(
    scheme: String,
    credentials: Field<NonEmpty<'_>>,
    at: &At<'_, V>,
    scheme_name: &'static str,
) -> Option<PushAuthentication> {
    let credentials = secret(credentials, at, "credentials");
    match checked_scheme(&scheme) {
        Ok(()) => Some(PushAuthentication { scheme, credentials }),
        Err(why) => {
            at.field(scheme_name).wrong(why);
            None
        }
    }
}

fn secret<V: Dialect>(text: Field<NonEmpty<'_>>, at: &At<'_, V>, name: &'static str) -> Option<Secret> {
    let checked = text.parse(at, name, |text| checked_secret(text.into_owned()));
    checked.optional().map(Secret::new)
}

/// A scheme of HTTP by which a receiver is shown who we are.
///
/// # Errors
/// Why it is none.
pub fn checked_scheme(scheme: &str) -> Result<(), &'static str> {
    let is_one = !scheme.is_empty() && scheme.len() <= PUSH_ID_LENGTH_MAX && scheme.bytes().all(is_token_byte);
    if is_one { Ok(()) } else { Err("must be a scheme of HTTP, such as Bearer") }
}

/// A token, or credentials. It becomes a part of a header: what could end one is refused here.
///
/// # Errors
/// Why it cannot be one.
pub fn checked_secret(text: String) -> Result<String, String> {
    if text.len() > PUSH_SECRET_LENGTH_MAX {
        Err(format!("it may have {PUSH_SECRET_LENGTH_MAX} bytes"))
    } else if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        Err("it may have printable ASCII characters only".to_owned())
    } else {
        Ok(text)
    }
}

/// An id that a caller gives a webhook.
///
/// # Errors
/// Why it cannot be one.
pub fn checked_id(id: String) -> Result<String, String> {
    if id.chars().count() > PUSH_ID_LENGTH_MAX {
        return Err(format!("it may have {PUSH_ID_LENGTH_MAX} characters"));
    }
    if id.chars().any(char::is_control) {
        return Err("it may not have control characters".to_owned());
    }
    Ok(id)
}

/// A URL of a receiver. Whether it may be called at all is looked at by whoever calls it.
///
/// # Errors
/// Why it cannot be one.
pub fn checked_url(url: String) -> Result<String, String> {
    if url.len() > PUSH_URL_LENGTH_MAX {
        return Err(format!("it may have {PUSH_URL_LENGTH_MAX} bytes"));
    }
    if !url.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err("it may have visible ASCII characters only".to_owned());
    }
    Ok(url)
}

/// The names of what only a receiver may know, in every dialect.
const SECRETS: [&str; 2] = ["token", "credentials"];

/// What is shown in place of a secret.
const HIDDEN: &str = "***";

/// What is shown in place of a document that cannot be read: JSON too.
const HIDDEN_DOCUMENT: &str = r#""***""#;

/// A document about webhooks with nothing in it that only their receivers may know: some agents give back what they were told. One that
/// cannot be read may have anything in it, and nothing of it is shown.
pub fn without_secrets(json: &str) -> Cow<'_, str> {
    let Ok(mut document) = serde_json::from_str::<Value>(json) else { return Cow::Borrowed(HIDDEN_DOCUMENT) };
    // Of a field that is there twice, one was not looked at.
    let is_shown = !hide(&mut document) && Json::parse_strict(json).is_ok();
    if is_shown { Cow::Borrowed(json) } else { Cow::Owned(document.to_string()) }
}

/// Whether there was something to hide.
fn hide(value: &mut Value) -> bool {
    let mut has_hidden = false;
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_secret = SECRETS.contains(&name.as_str()) && !value.is_null() && value != "";
                if is_secret {
                    *value = Value::from(HIDDEN);
                }
                has_hidden |= is_secret || hide(value);
            }
        }
        Value::Array(items) => {
            for item in items {
                has_hidden |= hide(item);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    has_hidden
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// How many webhooks a page may have. Nothing, or zero, is as many as there may be (AIP-158).
pub(crate) fn page_size<V: Dialect>(size: Field<i32>, at: &At<'_, V>) -> Option<u32> {
    let size = size.parse(at, "pageSize", |size| u32::try_from(size).map_err(|_| "it may not be negative"));
    size.optional().filter(|size| *size > 0)
}

/// A page, where the dialect has pages.
impl<'de, V: Dialect> FromProto<'de, V> for PushPage
where
    PushView: FromProto<'de, V>,
{
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_, V>) -> Result<Field<Self>, D::Error> {
        read_object::<PageFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct PageFields<'de> {
    configs: Field<Vec<PushView>>,
    next_page_token: Field<NonEmpty<'de>>,
}

impl<'de, V: Dialect> ObjectBuilder<'de, V> for PageFields<'de>
where
    PushView: FromProto<'de, V>,
{
    type Output = PushPage;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_, V>) -> Result<(), A::Error> {
        match name {
            "configs" => read_field(&mut self.configs, map, at, "configs")?,
            "nextPageToken" => read_field(&mut self.next_page_token, map, at, "nextPageToken")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_, V>) -> Option<PushPage> {
        Some(PushPage {
            configs: self.configs.optional().unwrap_or_default(),
            next_page_token: self.next_page_token.optional().map(NonEmpty::into_owned),
        })
    }
}
