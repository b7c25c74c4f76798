//! The public card of an agent: written once for each version of the agent, then only handed out.

use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use bobbinet_core::{Description, Timestamp};
use bobbinet_wire::{
    sha256_hex,
    v1_0::card::{self, CardContext, Security},
};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};

use super::{
    answer,
    site::{Mounted, Site},
};

/// How many forms of one agent's card are kept: one for each name that the node is called by.
const FORMS_MAX: usize = 8;

/// The cards of one agent.
#[derive(Debug, Default)]
pub(super) struct Cards(Mutex<Vec<Arc<Card>>>);

#[derive(Debug)]
struct Card {
    description: Arc<Description>,
    origin: String,
    body: Bytes,
    etag: HeaderValue,
    modified: HeaderValue,
}

/// The card, or 304 to one who has it.
pub(super) fn answer<B>(site: &Site, agent: &Mounted, request: &Request<B>) -> Response {
    let Some(runs) = site.gateway.agent(&agent.name) else {
        return answer::text(StatusCode::NOT_FOUND, "there is nothing here\n");
    };
    let origin = site.origin(request).to_owned();
    let card = agent.cards.get(runs.describe(), origin, &agent.base, site.gateway.now());
    let is_known = request
        .headers()
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|etag| etag.trim().trim_start_matches("W/"))
        .any(|etag| etag == "*" || etag.as_bytes() == card.etag.as_bytes());
    let mut response = if is_known {
        answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        answer::json(StatusCode::OK, card.body.clone())
    };
    let age = site.limits.card_age_ms / 1_000;
    let cache = HeaderValue::try_from(format!("public, max-age={age}")).expect("words and a number");
    let answer_headers = response.headers_mut();
    answer_headers.insert(header::ETAG, card.etag.clone());
    answer_headers.insert(header::LAST_MODIFIED, card.modified.clone());
    answer_headers.insert(header::CACHE_CONTROL, cache);
    if site.public_url.is_none() {
        answer_headers.insert(header::VARY, HeaderValue::from_static("Host"));
    }
    response
}

impl Cards {
    fn get(&self, description: Arc<Description>, origin: String, base: &str, now: Timestamp) -> Arc<Card> {
        let mut cards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cards.retain(|card| is_same(&card.description, &description));
        if let Some(card) = cards.iter().find(|card| card.origin == origin) {
            return card.clone();
        }
        // All forms of one version are of the same age.
        let modified = cards.first().map_or_else(|| http_date(now), |card| card.modified.clone());
        let card = Arc::new(Card::write(description, origin, base, modified));
        cards.truncate(FORMS_MAX - 1);
        cards.insert(0, card.clone());
        card
    }
}

fn is_same(one: &Arc<Description>, other: &Arc<Description>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

impl Card {
    fn write(description: Arc<Description>, origin: String, base: &str, modified: HeaderValue) -> Self {
        let url = format!("{origin}{}", if base.is_empty() { "/" } else { base });
        let context =
            CardContext { url: &url, streaming: true, push: false, extended: false, security: Security::BearerJwt };
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
