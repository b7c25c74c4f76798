//! Equal calls that only read: those that come at the same time are one, and what one comes to is kept for those that come later, for as
//! long as the server or the operator says.
//!
//! What belongs to one caller is never another's: a result is kept for whoever has asked, unless the server or the operator says that it is
//! the same for everybody. A call that may change something takes all that is kept away, when it begins and when it ends.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bobbinet_core::{Effect, Json, Task};
use sha2::{Digest, Sha256};
use tokio::{sync::Notify, time::Instant};

use crate::{
    cache_config::{CacheConfig, CachedTools},
    config::{McpConfig, McpLimits},
    digest::canonical,
    json_object::JsonObject,
    scoped_sessions::ScopeId,
    server_changes::ServerChanges,
    server_feature::ServerFeature,
    sharing::SessionScope,
};

/// The longest time that a result is kept, whatever is said.
const KEPT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What holds for the result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CachePolicy {
    key: CacheKey,
    /// The same for everybody. Nothing if no two callers ever share this agent's results.
    public_key: Option<CacheKey>,
    /// For how long it is kept unless the server says otherwise.
    ttl: Duration,
    /// Whether it is everybody's unless the server says otherwise.
    is_public: bool,
    /// Whether the server's own word counts.
    is_servers: bool,
    /// Whether it is one with equal calls of other callers while it is on its way.
    flies_for_all: bool,
}

/// The call and whose result it is, as a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CacheKey([u8; 32]);

impl CachePolicy {
    /// What holds for this call; nothing if its result is only its own.
    pub(crate) fn of(
        config: &McpConfig,
        feature: ServerFeature,
        skill: &str,
        arguments: &Json,
        effect: Effect,
        task: &Task,
    ) -> Option<Self> {
        let CacheConfig { is_on, tools, ttl, is_public } = &config.cache;
        let is_chosen = match tools {
            CachedTools::None => false,
            CachedTools::Reads => true,
            CachedTools::These(these) => these.iter().any(|known| known == skill),
        };
        let is_servers = match feature {
            ServerFeature::Resource => true,
            ServerFeature::Tool | ServerFeature::ResourceList | ServerFeature::Prompt | ServerFeature::Completion => {
                false
            }
        };
        // What comes of a question is of whoever has answered it.
        let asks = config.interactive.iter().any(|known| known == skill);
        if !is_on || asks || effect != Effect::ReadOnly || !(is_chosen || is_servers) {
            return None;
        }
        // Where sessions are not everybody's, what one gives is not either.
        let session = config.share.session;
        let scope = match session {
            SessionScope::Shared | SessionScope::PerCaller => SessionScope::PerCaller,
            SessionScope::PerContext => SessionScope::PerContext,
            SessionScope::PerTask => return None,
        };
        let scope = ScopeId::of(scope, task)?;
        let canonical = canonical(&arguments.to_value());
        let key = |scope: &[u8]| {
            let mut hash = Sha256::new();
            for part in [scope, skill.as_bytes(), canonical.as_slice()] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            CacheKey(hash.finalize().into())
        };
        Some(Self {
            key: key(scope.as_bytes()),
            public_key: (session == SessionScope::Shared).then(|| key(&[])),
            ttl: if is_chosen { *ttl } else { Duration::ZERO },
            is_public: *is_public && is_chosen,
            is_servers,
            flies_for_all: *is_public && is_chosen,
        })
    }

    /// Under which key a call is one with others while it is on its way.
    fn flight_key(&self) -> CacheKey {
        self.public_key.filter(|_| self.flies_for_all).unwrap_or(self.key)
    }

    /// The same for whoever has learned that what such a call comes to is each caller's own.
    pub(crate) fn apart(self) -> Self {
        Self { flies_for_all: false, ..self }
    }

    /// How long a result is kept, and for whom.
    fn keeping(&self, result: &Json) -> (Duration, CacheKey) {
        let said = JsonObject::read(result).filter(|_| self.is_servers).unwrap_or_default();
        let ttl = said.get("ttlMs").and_then(|ttl| ttl.read::<f64>().ok());
        let ttl = ttl.map_or(self.ttl, |ttl| Duration::try_from_secs_f64(ttl.max(0.0) / 1_000.0).unwrap_or(KEPT_MAX));
        let is_public = match said.text("cacheScope").as_deref() {
            Some("public") => true,
            Some(_) => false,
            None => self.is_public,
        };
        (ttl.min(KEPT_MAX), self.public_key.filter(|_| is_public).unwrap_or(self.key))
    }
}

/// What was read through an agent and can be given again.
#[derive(Debug)]
pub(crate) struct ReadCache {
    entries_max: usize,
    bytes_max: usize,
    entry_bytes_max: usize,
    /// What the server has said to have changed, in any session.
    pub(crate) changes: Arc<ServerChanges>,
    state: Mutex<CacheState>,
}

#[derive(Debug, Default)]
struct CacheState {
    entries: BTreeMap<CacheKey, Kept>,
    /// Which entry came when.
    order: BTreeMap<u64, CacheKey>,
    next: u64,
    bytes: usize,
    flights: BTreeMap<CacheKey, Flight>,
    /// How often calls that may change something have begun or ended. What was read before is not what is there now.
    writes: u64,
    open_writes: usize,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    age: Age,
    result: Json,
    since: Instant,
    until: Instant,
}

/// A call that others wait for.
#[derive(Debug)]
struct Flight {
    number: u64,
    age: Age,
    landing: Arc<Landing>,
}

/// How much of what was changed a call may have seen that was made then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Age {
    writes: u64,
    /// By the server's own word.
    changes: u64,
}

/// Where those wait who want what a call comes to.
#[derive(Debug, Default)]
struct Landing {
    state: Mutex<LandingState>,
    changed: Notify,
}

#[derive(Debug, Default)]
enum LandingState {
    #[default]
    Flying,
    Landed(Json),
    /// It is its caller's own, known by this key.
    Private(Json, CacheKey),
    /// It comes to nothing for others.
    Lost,
}

impl Landing {
    fn state(&self) -> MutexGuard<'_, LandingState> {
        self.state.lock().expect("nobody panics while looking at a result")
    }

    fn end(&self, state: LandingState) {
        *self.state() = state;
        self.changed.notify_waiters();
    }
}

/// What there is for a call.
#[derive(Debug)]
pub(crate) enum Looked {
    /// It was read so long ago.
    Kept(Json, Duration),
    /// Somebody is reading it.
    Waits(Waiting),
    /// It is to be read, and others wait for it.
    Leads(LeadingCall),
}

/// Somebody else's call.
#[derive(Debug)]
pub(crate) struct Waiting {
    landing: Arc<Landing>,
    /// Under which the result would be one's own.
    key: CacheKey,
}

/// What somebody else's call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Landed {
    Result(Json),
    /// Nothing for others: it has to be looked for again.
    Lost,
    /// It is another caller's own: each makes such a call for himself.
    Private,
}

impl Waiting {
    /// What it comes to. Safe to drop.
    pub(crate) async fn landed(self) -> Landed {
        loop {
            let changed = self.landing.changed.notified();
            match &*self.landing.state() {
                LandingState::Landed(result) => return Landed::Result(result.clone()),
                LandingState::Private(result, key) if *key == self.key => return Landed::Result(result.clone()),
                LandingState::Private(..) => return Landed::Private,
                LandingState::Lost => return Landed::Lost,
                LandingState::Flying => {}
            }
            changed.await;
        }
    }
}

/// A call that others wait for. Dropped without a result, one of them makes it.
#[derive(Debug)]
pub(crate) struct LeadingCall {
    cache: Arc<ReadCache>,
    policy: CachePolicy,
    number: u64,
    age: Age,
    landing: Arc<Landing>,
}

impl ReadCache {
    pub(crate) fn new(config: &McpConfig) -> Self {
        let McpLimits { cache_entries_max, cache_bytes_max, .. } = config.limits;
        Self {
            entries_max: cache_entries_max,
            bytes_max: cache_bytes_max,
            entry_bytes_max: cache_bytes_max / 16,
            changes: Arc::default(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().expect("nobody panics while looking into a cache")
    }

    /// What a call sees that is made now.
    fn age(&self, state: &CacheState, policy: CachePolicy) -> Age {
        Age { writes: state.writes, changes: self.changes.seen_by(policy.is_servers) }
    }

    /// What there is for a call.
    pub(crate) fn look(self: &Arc<Self>, policy: CachePolicy) -> Looked {
        let now = Instant::now();
        let mut state = self.state();
        let age = self.age(&state, policy);
        for key in [Some(policy.key), policy.public_key].into_iter().flatten() {
            if let Some(kept) = state.entries.get(&key) {
                if kept.until > now && kept.age == age {
                    return Looked::Kept(kept.result.clone(), now - kept.since);
                }
                state.remove(key);
            }
        }
        if let Some(flight) = state.flights.get(&policy.flight_key()).filter(|flight| flight.age == age) {
            return Looked::Waits(Waiting { landing: flight.landing.clone(), key: policy.key });
        }
        let landing = Arc::new(Landing::default());
        let number = state.number();
        state.flights.insert(policy.flight_key(), Flight { number, age, landing: landing.clone() });
        Looked::Leads(LeadingCall { cache: self.clone(), policy, number, age, landing })
    }

    /// A call begins that may change something. It has ended when this is dropped.
    pub(crate) fn write(self: &Arc<Self>) -> OpenWrite {
        let mut state = self.state();
        state.open_writes += 1;
        state.forget_all();
        OpenWrite(self.clone())
    }
}

/// A call that may change something.
#[derive(Debug)]
pub(crate) struct OpenWrite(Arc<ReadCache>);

impl Drop for OpenWrite {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open_writes -= 1;
        state.forget_all();
    }
}

impl CacheState {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn remove(&mut self, key: CacheKey) {
        if let Some(kept) = self.entries.remove(&key) {
            self.order.remove(&kept.number);
            self.bytes -= kept.result.as_str().len();
        }
    }

    fn forget_all(&mut self) {
        self.writes += 1;
        self.entries.clear();
        self.order.clear();
        self.bytes = 0;
    }
}

impl LeadingCall {
    /// Gives the others what it came to, and keeps it where it may be kept.
    pub(crate) fn land(self, result: &Json, is_kept: bool) {
        let (ttl, key) = self.policy.keeping(result);
        let bytes = result.as_str().len();
        let now = Instant::now();
        let mut state = self.cache.state();
        let is_kept = is_kept
            && !ttl.is_zero()
            && bytes <= self.cache.entry_bytes_max
            && self.cache.age(&state, self.policy) == self.age
            && state.open_writes == 0;
        if is_kept {
            state.remove(key);
            while state.entries.len() >= self.cache.entries_max || state.bytes + bytes > self.cache.bytes_max {
                let Some(oldest) = state.order.first_key_value().map(|(_, key)| *key) else { break };
                state.remove(oldest);
            }
            let number = state.number();
            state.order.insert(number, key);
            state.bytes += bytes;
            state
                .entries
                .insert(key, Kept { number, age: self.age, result: result.clone(), since: now, until: now + ttl });
        }
        drop(state);
        // Whoever waits may be somebody else, and the server has the last word on whose it is.
        let is_for_all = key == self.policy.flight_key() || self.policy.flight_key() == self.policy.key;
        self.landing.end(match is_for_all {
            true => LandingState::Landed(result.clone()),
            false => LandingState::Private(result.clone(), self.policy.key),
        });
    }
}

impl Drop for LeadingCall {
    fn drop(&mut self) {
        let mut state = self.cache.state();
        let key = self.policy.flight_key();
        if state.flights.get(&key).is_some_and(|flight| flight.number == self.number) {
            state.flights.remove(&key);
        }
        drop(state);
        let is_lost = matches!(&*self.landing.state(), LandingState::Flying);
        if is_lost {
            self.landing.end(LandingState::Lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The call `name` of a caller.
    fn policy(caller: u8, name: u8, ttl: u64) -> CachePolicy {
        CachePolicy {
            key: CacheKey([caller * 16 + name; 32]),
            public_key: Some(CacheKey([name; 32])),
            ttl: Duration::from_millis(ttl),
            is_public: false,
            is_servers: true,
            flies_for_all: false,
        }
    }

    /// The same where the operator says that it is everybody's.
    fn for_all(caller: u8, name: u8, ttl: u64) -> CachePolicy {
        CachePolicy { is_public: true, flies_for_all: true, ..policy(caller, name, ttl) }
    }

    fn waits(cache: &Arc<ReadCache>, policy: CachePolicy) -> Waiting {
        match cache.look(policy) {
            Looked::Waits(waiting) => waiting,
            other @ (Looked::Kept(..) | Looked::Leads(_)) => panic!("{other:?}"),
        }
    }

    fn cache(change: impl Fn(&mut McpLimits)) -> Arc<ReadCache> {
        let mut config = McpConfig::new("a", "x", &[]);
        change(&mut config.limits);
        Arc::new(ReadCache::new(&config))
    }

    fn leads(cache: &Arc<ReadCache>, policy: CachePolicy) -> LeadingCall {
        match cache.look(policy) {
            Looked::Leads(call) => call,
            other @ (Looked::Kept(..) | Looked::Waits(_)) => panic!("{other:?}"),
        }
    }

    fn kept(cache: &Arc<ReadCache>, policy: CachePolicy) -> Option<String> {
        match cache.look(policy) {
            Looked::Kept(json, _) => Some(json.as_str().to_owned()),
            Looked::Waits(_) | Looked::Leads(_) => None,
        }
    }

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_is_given_again_until_its_time_is_up_and_to_nobody_else() {
        let cache = cache(|_| {});
        leads(&cache, policy(1, 1, 1_000)).land(&json("1"), true);
        assert_eq!(kept(&cache, policy(1, 1, 1_000)).as_deref(), Some("1"));
        assert_eq!(kept(&cache, policy(2, 1, 1_000)), None, "another caller");
        assert_eq!(kept(&cache, policy(1, 2, 1_000)), None, "another call");
        tokio::time::advance(Duration::from_millis(1_001)).await;
        assert_eq!(kept(&cache, policy(1, 1, 1_000)), None);
        // By the server's own word.
        let said = |caller, text: &str| leads(&cache, policy(caller, 3, 0)).land(&json(text), true);
        said(1, r#"{"ttlMs":500,"cacheScope":"private"}"#);
        assert!(kept(&cache, policy(1, 3, 0)).is_some() && kept(&cache, policy(2, 3, 0)).is_none());
        said(2, r#"{"ttlMs":500,"cacheScope":"public"}"#);
        assert!(kept(&cache, policy(4, 3, 0)).is_some());
        tokio::time::advance(Duration::from_millis(501)).await;
        for nothing in [r#"{"ttlMs":0}"#, r#"{"ttlMs":-7}"#, r#"{"ttlMs":"x"}"#, "{}"] {
            leads(&cache, policy(1, 4, 0)).land(&json(nothing), true);
            assert_eq!(kept(&cache, policy(1, 4, 0)), None, "{nothing}");
        }
        // The server's word is nothing where it does not say such things.
        let tool = CachePolicy { is_servers: false, ..policy(1, 5, 0) };
        leads(&cache, tool).land(&json(r#"{"ttlMs":500}"#), true);
        assert_eq!(kept(&cache, tool), None);
    }

    #[tokio::test]
    async fn calls_at_the_same_time_are_one_and_one_that_comes_to_nothing_is_made_by_another() {
        let cache = cache(|_| {});
        let first = leads(&cache, policy(1, 1, 0));
        let (second, third) = (waits(&cache, policy(1, 1, 0)), waits(&cache, policy(1, 1, 0)));
        let other = leads(&cache, policy(2, 1, 0));
        drop(first);
        assert_eq!(second.landed().await, Landed::Lost);
        let second = leads(&cache, policy(1, 1, 0));
        assert_eq!(third.landed().await, Landed::Lost);
        let third = waits(&cache, policy(1, 1, 0));
        second.land(&json("7"), true);
        assert_eq!(third.landed().await, Landed::Result(json("7")));
        assert_eq!(kept(&cache, policy(1, 1, 0)), None, "nothing is kept for no time");
        drop(other);
        assert!(cache.state().flights.is_empty());
    }

    #[tokio::test]
    async fn what_a_server_calls_private_is_given_to_nobody_else_who_waits_for_it() {
        let cache = cache(|_| {});
        let first = leads(&cache, for_all(1, 1, 9_000));
        let (own, others) = (waits(&cache, for_all(1, 1, 9_000)), waits(&cache, for_all(2, 1, 9_000)));
        let private = json(r#"{"cacheScope":"private"}"#);
        first.land(&private, true);
        assert_eq!(own.landed().await, Landed::Result(private.clone()), "his own other call");
        assert_eq!(others.landed().await, Landed::Private);
        assert!(kept(&cache, for_all(1, 1, 9_000)).is_some() && kept(&cache, for_all(2, 1, 9_000)).is_none());
        // Those who have learned it do not wait for each other.
        let [_bobs, _cats] = [2, 3].map(|caller| leads(&cache, for_all(caller, 1, 9_000).apart()));
        // What the operator calls everybody's is, unless the server says otherwise.
        let first = leads(&cache, for_all(1, 2, 9_000));
        let others = waits(&cache, for_all(2, 2, 9_000));
        first.land(&json("{}"), true);
        assert_eq!(others.landed().await, Landed::Result(json("{}")));
        // What the server calls everybody's is its caller's own other call's too.
        let first = leads(&cache, policy(1, 3, 0));
        let own = waits(&cache, policy(1, 3, 0));
        first.land(&json(r#"{"cacheScope":"public"}"#), true);
        assert!(matches!(own.landed().await, Landed::Result(_)));
    }

    #[tokio::test]
    async fn the_servers_own_word_makes_it_old_as_well() {
        let cache = cache(|_| {});
        let tool = |name| CachePolicy { is_servers: false, ..policy(1, name, 9_000) };
        let keep_both = || {
            leads(&cache, policy(1, 1, 9_000)).land(&json("1"), true);
            leads(&cache, tool(2)).land(&json("2"), true);
        };
        keep_both();
        let (reading, calling) = (leads(&cache, policy(1, 3, 9_000)), leads(&cache, tool(4)));
        cache.changes.resource_changed();
        assert_eq!(kept(&cache, policy(1, 1, 9_000)), None, "a resource");
        assert!(kept(&cache, tool(2)).is_some(), "what a tool gives is none");
        assert!(matches!(cache.look(tool(4)), Looked::Waits(_)) && kept(&cache, policy(1, 3, 9_000)).is_none());
        reading.land(&json("3"), true);
        calling.land(&json("4"), true);
        assert_eq!(kept(&cache, policy(1, 3, 9_000)), None, "it may have been before the change");
        assert!(kept(&cache, tool(4)).is_some());
        cache.changes.list_changed();
        assert!(kept(&cache, tool(2)).is_none() && kept(&cache, tool(4)).is_none());
        assert_eq!(cache.state().bytes, 0, "what is old is looked at no more");
    }

    #[tokio::test]
    async fn a_call_that_may_change_something_makes_all_of_it_old() {
        let cache = cache(|_| {});
        leads(&cache, policy(1, 1, 9_000)).land(&json("1"), true);
        let reading = leads(&cache, policy(1, 2, 9_000));
        let write = cache.write();
        assert_eq!(kept(&cache, policy(1, 1, 9_000)), None);
        // Whoever comes now does not want what was read before.
        let fresh = leads(&cache, policy(1, 2, 9_000));
        reading.land(&json("2"), true);
        assert!(matches!(cache.look(policy(1, 2, 9_000)), Looked::Waits(_)), "the newer one goes on");
        fresh.land(&json("2"), true);
        assert_eq!(kept(&cache, policy(1, 2, 9_000)), None, "it may have been before the change");
        let beside = leads(&cache, policy(1, 3, 9_000));
        drop(write);
        beside.land(&json("3"), true);
        assert_eq!(kept(&cache, policy(1, 3, 9_000)), None);
        leads(&cache, policy(1, 3, 9_000)).land(&json("3"), true);
        assert!(kept(&cache, policy(1, 3, 9_000)).is_some());
    }

    #[tokio::test]
    async fn it_takes_no_more_than_it_may() {
        let cache = cache(|limits| (limits.cache_entries_max, limits.cache_bytes_max) = (3, 160));
        for name in 0..5 {
            leads(&cache, policy(1, name, 9_000)).land(&json("1"), true);
        }
        let left = |cache: &Arc<ReadCache>| {
            (0..10).filter(|name| kept(cache, policy(1, *name, 9_000)).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(left(&cache), [2, 3, 4]);
        leads(&cache, policy(1, 5, 9_000)).land(&json(r#""eleven long""#), true);
        assert_eq!(left(&cache), [2, 3, 4], "one that takes too much of it is not kept");
        leads(&cache, policy(1, 6, 9_000)).land(&json("7"), false);
        assert_eq!(left(&cache), [2, 3, 4]);
        assert_eq!(cache.state().bytes, 3);
    }
}
