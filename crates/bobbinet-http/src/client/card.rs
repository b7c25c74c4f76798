//! An agent card that is kept for as long as it says (RFC 9111).

use std::{sync::Arc, time::Duration};

use bobbinet_wire::v1_0::CardView;
use reqwest::{
    Url,
    header::{self, HeaderMap, HeaderName},
};

use super::WithJson;

/// The longest that an answer is believed to be good (RFC 9111, section 1.2.2, lets a cache choose): whoever says more says "for ever".
const FRESH_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A card, where it is from, and for how long it is good.
#[derive(Clone, Debug)]
pub struct FetchedCard {
    pub(super) url: Url,
    /// The card.
    pub card: Arc<WithJson<CardView>>,
    /// For how long it is good.
    pub freshness: Freshness,
}

/// What came of asking for a card.
#[derive(Clone, Debug)]
pub enum CardFetch {
    /// It is the one that was known; for how long that is good now.
    Same(Freshness),
    /// This one.
    New(FetchedCard),
}

/// For how long an answer is good, as its headers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// From now on. `None` if they do not say.
    pub fresh_for: Option<Duration>,
    /// For how much longer it may serve while a newer one cannot be had (RFC 5861). `None` if they do not say.
    pub stale_if_error: Option<Duration>,
    /// Whether it may not serve at all once it is no longer fresh.
    pub must_revalidate: bool,
    /// What to ask with whether it has changed.
    pub etag: Option<String>,
}

impl Freshness {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let word = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        let mut found = Self { etag: word(header::ETAG).map(str::to_owned), ..Self::default() };
        let seconds = |text: &str| {
            text.trim().trim_matches('"').parse().ok().map(|time| Duration::from_secs(time).min(FRESH_MAX))
        };
        for directive in values.flat_map(|value| value.split(',')) {
            let directive = directive.trim().to_ascii_lowercase();
            match directive.split_once('=') {
                Some(("max-age", age)) if found.fresh_for.is_none() => found.fresh_for = seconds(age),
                Some(("stale-if-error", time)) => found.stale_if_error = seconds(time),
                // We keep it for ourselves alone, in memory, for as long as the agent is called by it: it is never fresh.
                None if directive == "no-store" || directive == "no-cache" => found.fresh_for = Some(Duration::ZERO),
                None if directive == "must-revalidate" => found.must_revalidate = true,
                Some(_) | None => {}
            }
        }
        // Some of that time has passed in other caches.
        let age = word(header::AGE).and_then(seconds).unwrap_or_default();
        found.fresh_for = found.fresh_for.map(|time| time.saturating_sub(age));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_good_for_as_long_as_its_headers_say() {
        let check = |cache: &str, age: Option<&str>, fresh: Option<u64>, stale: Option<u64>, must: bool| {
            let mut headers = HeaderMap::from_iter([(header::CACHE_CONTROL, cache.parse().unwrap())]);
            headers.extend(age.map(|age| (header::AGE, age.parse().unwrap())));
            headers.insert(header::ETAG, "\"a\"".parse().unwrap());
            let expected = Freshness {
                fresh_for: fresh.map(Duration::from_secs),
                stale_if_error: stale.map(Duration::from_secs),
                must_revalidate: must,
                etag: Some("\"a\"".to_owned()),
            };
            assert_eq!(Freshness::of(&headers), expected, "{cache}");
        };
        check("public, max-age=60", None, Some(60), None, false);
        check("Max-Age=\"60\"", Some("20"), Some(40), None, false);
        check("max-age=60", Some("90"), Some(0), None, false);
        check("max-age=60, stale-if-error=3600, must-revalidate", None, Some(60), Some(3_600), true);
        check("max-age=18446744073709551615", Some("5"), Some(365 * 86_400 - 5), None, false);
        check("max-age=1, stale-if-error=18446744073709551615", None, Some(1), Some(365 * 86_400), false);
        check("max-age=18446744073709551616", None, None, None, false);
        check("no-store", None, Some(0), None, false);
        check("private, no-cache", None, Some(0), None, false);
        check("max-age=soon", None, None, None, false);
        check("public", Some("5"), None, None, false);
    }
}
