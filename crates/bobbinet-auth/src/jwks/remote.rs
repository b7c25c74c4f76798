//! A JWK set at a URL: fetched when a token needs it, kept for as long as its server says, and for longer while that is away.
//!
//! Nothing is fetched in the background: whoever finds the keys too old asks for new ones, once for all who come meanwhile. Those whose
//! key is known do not wait for that; those whose key is not do, since it may be a new one, but keys that nobody knows are not asked
//! for again within [`MISS_INTERVAL`]: whoever makes them up is nobody yet.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::Timestamp;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use super::{Keys, parse};
use crate::{Algorithm, KeySet, VerifyingKey};

/// For how long keys are good whose server says nothing of it.
pub const MAX_AGE_DEFAULT: Duration = Duration::from_secs(5 * 60);

/// Whatever the server says, keys are good for so long at least, and at most.
const MAX_AGE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(24 * 60 * 60)];

/// For how long the last good keys count while no new ones can be had.
pub const KEPT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How soon a fetch that failed is tried again.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// The same as long as there never were any keys: the issuer may be starting too.
const FIRST_RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// How soon keys are fetched again for a key id that is not known.
pub const MISS_INTERVAL: Duration = Duration::from_secs(30);

/// After so long nobody waits for a fetch any more: whoever began it is gone.
const FETCH_MAX: Duration = Duration::from_secs(15);

/// Gets a JWK set from where it is. Bounds its own time and the length of what it takes.
#[async_trait]
pub trait FetchJwks: fmt::Debug + Send + Sync + 'static {
    /// The set as it is now.
    ///
    /// # Errors
    /// Why there is none, for the log.
    async fn fetch(&self) -> Result<Fetched, String>;
}

/// What a server gave.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The set's text.
    pub text: Vec<u8>,
    /// For how long it is good, if the server says so.
    pub max_age: Option<Duration>,
}

type Flight = Shared<BoxFuture<'static, Arc<Result<Fetched, String>>>>;

/// The keys at a URL.
pub struct RemoteKeys {
    /// Where they are, for the log.
    url: String,
    algorithms: Vec<Algorithm>,
    fetch: Arc<dyn FetchJwks>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    generation: u64,
    /// Whether somebody was told the next generation, because these keys were too old.
    is_next_told: bool,
    keys: Keys,
    /// The text that the keys were read from, and when.
    read: Option<(Vec<u8>, Timestamp)>,
    fresh_until: Timestamp,
    tried: Option<Timestamp>,
    /// The fetch that is under way, its number, and since when.
    flight: Option<(u64, Timestamp, Flight)>,
    flights: u64,
    complaint: Option<String>,
}

/// What somebody who looks for a key has to do.
enum Next {
    Take(Option<Arc<VerifyingKey>>),
    Await(u64, Flight),
}

impl RemoteKeys {
    /// The keys at this URL, which are fetched when they are first needed.
    pub fn new(url: impl Into<String>, algorithms: Vec<Algorithm>, fetch: Arc<dyn FetchJwks>) -> Self {
        crate::install();
        Self { url: url.into(), algorithms, fetch, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, kid: &str, now: Timestamp) -> Next {
        let mut state = self.lock();
        state.drop_old(now);
        let known = state.keys.get(kid).cloned();
        if known.is_some() && now < state.fresh_until {
            return Next::Take(known);
        }
        match &state.flight {
            Some((number, began, flight)) if now < began.after(FETCH_MAX) => match known {
                Some(known) => Next::Take(Some(known)),
                None => Next::Await(*number, flight.clone()),
            },
            Some(_) | None if state.may_try(now) => {
                let fetch = self.fetch.clone();
                let flight = async move { Arc::new(fetch.fetch().await) }.boxed().shared();
                state.flights += 1;
                let number = state.flights;
                (state.flight, state.tried) = (Some((number, now, flight.clone())), Some(now));
                Next::Await(number, flight)
            }
            Some(_) | None => Next::Take(known),
        }
    }

    /// Takes over what a fetch has brought, once.
    fn settle(&self, number: u64, result: &Result<Fetched, String>, now: Timestamp) {
        let mut state = self.lock();
        if state.flight.as_ref().is_none_or(|(current, ..)| *current != number) {
            return;
        }
        state.flight = None;
        // What was verified meanwhile with the keys before may count as of the next generation, which is now; and others make another.
        state.generation += u64::from(std::mem::take(&mut state.is_next_told));
        let read = result.as_ref().map_err(Clone::clone);
        let read = read.and_then(|fetched| match parse(&fetched.text, &self.algorithms) {
            Ok(keys) => Ok((keys, fetched)),
            Err(fault) => Err(fault.to_string()),
        });
        let complaint = match read {
            Ok((keys, Fetched { text, max_age })) => {
                let is_same = state.read.as_ref().is_some_and(|(before, _)| before == text);
                state.generation += u64::from(!is_same);
                state.fresh_until = now.after(max_age.unwrap_or(MAX_AGE_DEFAULT).clamp(MAX_AGE[0], MAX_AGE[1]));
                (state.keys, state.read) = (keys, Some((text.clone(), now)));
                None
            }
            Err(why) => {
                state.fresh_until = now.after(RETRY_INTERVAL);
                Some(why)
            }
        };
        if complaint != state.complaint {
            match &complaint {
                Some(why) => tracing::warn!(url = self.url, why, "an issuer's keys cannot be fetched"),
                None => tracing::info!(url = self.url, keys = state.keys.len(), "an issuer's keys are there again"),
            }
            state.complaint = complaint;
        }
    }
}

impl State {
    /// Keys that nobody has vouched for in so long are none.
    fn drop_old(&mut self, now: Timestamp) {
        if self.read.as_ref().is_some_and(|(_, read)| now >= read.after(KEPT_MAX) && now >= self.fresh_until) {
            self.read = None;
            self.keys.clear();
            self.generation += 1;
        }
    }

    fn may_try(&self, now: Timestamp) -> bool {
        let interval = match (&self.complaint, &self.read) {
            (Some(_), Some(_)) => RETRY_INTERVAL,
            (_, None) => FIRST_RETRY_INTERVAL,
            // Fresh ones are asked for again only for a key that is not among them; others have had their time.
            (None, Some(_)) if now < self.fresh_until => MISS_INTERVAL,
            (None, Some(_)) => Duration::ZERO,
        };
        self.tried.is_none_or(|tried| now < tried || now >= tried.after(interval))
    }
}

#[async_trait]
impl KeySet for RemoteKeys {
    fn generation(&self, now: Timestamp) -> u64 {
        let mut state = self.lock();
        // Those that are too old are another set already: so whoever comes looks for them anew.
        state.is_next_told |= now >= state.fresh_until;
        state.generation + u64::from(now >= state.fresh_until)
    }

    fn source(&self) -> Option<&str> {
        Some(&self.url)
    }

    async fn find(&self, kid: &str, now: Timestamp) -> Option<Arc<VerifyingKey>> {
        match self.next(kid, now) {
            Next::Take(key) => key,
            Next::Await(number, flight) => {
                let result = flight.await;
                self.settle(number, &result, now);
                self.lock().keys.get(kid).cloned()
            }
        }
    }
}

/// Without the keys.
impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys").field("url", &self.url).finish_non_exhaustive()
    }
}
