//! Cards whose keys are pinned: what no such key has signed is not read.

use std::borrow::Cow;

use bobbinet_auth::CardKeys;
use bobbinet_wire::signed_card::{self, signing_input};
use reqwest::Url;
use serde_json::Value;

use super::{ClientError, ClientOptions};

/// What is to be read of a card: all of it, or, where keys are pinned, what one of them has signed.
pub(super) fn covered<'a>(url: &Url, card: &'a [u8], options: &ClientOptions) -> Result<Cow<'a, [u8]>, ClientError> {
    let Some(keys) = &options.card_keys else { return Ok(Cow::Borrowed(card)) };
    let bad = |why: &str| ClientError::BadCard { url: url.to_string(), why: why.to_owned() };
    let card: Value = serde_json::from_slice(card).map_err(|_| bad("it is not JSON"))?;
    let covered =
        covered_by(&card, keys).ok_or_else(|| bad("none of its signatures is by a key that is pinned for it"))?;
    Ok(Cow::Owned(covered.to_string().into_bytes()))
}

/// What of a card is signed by one of these keys; `None` if nothing is.
pub fn covered_by(card: &Value, keys: &CardKeys) -> Option<Value> {
    signed_card::covered(card, |signature, payload| {
        keys.have_signed(&signature.protected, &signing_input(&signature.protected, payload), &signature.signature)
    })
}
