//! The public cards of an agent, each written once for a version of the agent and a name of the node.

use std::sync::{Arc, Mutex, PoisonError};

use bobbinet_core::{Description, Timestamp};
use bobbinet_wire::{
    sha256_hex,
    v1_0::card::{self, CardContext, Security},
};
use bytes::Bytes;
use http::HeaderValue;

/// How many forms of one agent's card are kept: one for each name that the node is called by.
const FORMS_MAX: usize = 8;

/// The cards of one agent, the last written first.
#[derive(Debug, Default)]
pub(super) struct Cards(Mutex<Vec<Arc<Card>>>);

/// One card as it is sent.
#[derive(Debug)]
pub(super) struct Card {
    description: Arc<Description>,
    origin: String,
    pub(super) body: Bytes,
    pub(super) etag: HeaderValue,
    pub(super) modified: HeaderValue,
}

impl Cards {
    /// The card of this version of the agent for those who find the node at `origin`.
    pub(super) fn get(
        &self,
        description: Arc<Description>,
        origin: String,
        base: &str,
        has_webhooks: bool,
        now: Timestamp,
    ) -> Arc<Card> {
        let mut cards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cards.retain(|card| is_same(&card.description, &description));
        if let Some(card) = cards.iter().find(|card| card.origin == origin) {
            return card.clone();
        }
        // All forms of one version are of the same age.
        let modified = cards.first().map_or_else(|| http_date(now), |card| card.modified.clone());
        let card = Arc::new(Card::write(description, origin, base, has_webhooks, modified));
        cards.truncate(FORMS_MAX - 1);
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
        origin: String,
        base: &str,
        has_webhooks: bool,
        modified: HeaderValue,
    ) -> Self {
        let url = format!("{origin}{}", if base.is_empty() { "/" } else { base });
        let streaming = description.capabilities.streaming;
        let push = has_webhooks && description.capabilities.push_notifications;
        let context = CardContext { url: &url, streaming, push, extended: false, security: Security::BearerJwt };
        let body = card::write(&description, context);
        let etag = HeaderValue::try_from(format!("\"{}\"", sha256_hex(&body))).expect("hexadecimal in quotes");
        Self { description, origin, body: body.into(), etag, modified }
    }
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
}
