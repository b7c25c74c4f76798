//! The sessions of older revisions: what a client said in its handshake, and what is at work for it. A session is its caller's, and for
//! anybody else as if it were not there.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bobbinet_auth::SealingKey;
use bobbinet_core::{Caller, ContextId, Json, Principal, Tenant, Timestamp};
use bobbinet_engine::Severity;
use tokio::{
    sync::{OnceCell, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{client::McpClient, limits::McpServerLimits, notes::Notes, sealed_session::SealedSession};

/// Whose a session is.
type Owner = (Tenant, Principal);

/// All sessions of a node.
pub(crate) struct Sessions {
    limits: McpServerLimits,
    /// Makes ids that a later process of the node can read. Without it a session ends with its process.
    seal: Option<SealingKey>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: BTreeMap<String, Arc<Session>>,
    /// Those that have ended in this process, the newest last: their ids say nothing of it.
    ended: VecDeque<String>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("open", &self.lock().open.len()).finish_non_exhaustive()
    }
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    id: String,
    owner: Owner,
    /// What its client is.
    pub(crate) client: McpClient,
    /// The conversation that its calls belong to.
    pub(crate) context: ContextId,
    /// Whether it follows again what it followed in an earlier process of the node.
    pub(crate) resumed: OnceCell<()>,
    /// What the ids of its requests to the client begin with: those of an earlier process are others.
    asks: String,
    calls_max: usize,
    state: Mutex<State>,
    /// What it is to be told when it listens.
    pub(crate) notes: Arc<Notes>,
}

#[derive(Debug)]
struct State {
    used: Instant,
    /// The calls at work, by the ids of their requests; and by a number, since agents that share a session may use the same ids.
    calls: BTreeMap<(String, u64), CancellationToken>,
    /// Requests of ours that wait for the client, by their ids.
    asked: BTreeMap<String, oneshot::Sender<Option<Json>>>,
    /// How grave what servers say for a log must be for its client to hear it, if it wants to hear any.
    log: Option<Severity>,
    /// Ends the stream that listens for changes.
    listening: CancellationToken,
    /// Ends that a resource is followed, by its address.
    watched: BTreeMap<String, CancellationToken>,
    count: u64,
}

/// A call at work, known by its session until this is dropped.
#[derive(Debug)]
pub(crate) struct CallEntry {
    session: Arc<Session>,
    key: (String, u64),
}

/// A request of ours that waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct Asked {
    session: Arc<Session>,
    pub(crate) id: String,
    answer: oneshot::Receiver<Option<Json>>,
}

/// So many calls of a session are at work as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyCalls(pub(crate) usize);

/// There are as many sessions as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Sessions {
    pub(crate) fn new(limits: &McpServerLimits, seal: Option<SealingKey>) -> Self {
        Self { limits: limits.clone(), seal, table: Mutex::default() }
    }

    /// A new session of this caller. If he has as many as he may, the one that was idle for the longest makes room.
    pub(crate) fn begin(&self, caller: &Caller, client: McpClient, now: Timestamp) -> Result<Arc<Session>, TooMany> {
        let context = ContextId::parse(&Uuid::new_v4().to_string()).map_err(|_| TooMany)?;
        let sealed = self.seal.as_ref().and_then(|seal| SealedSession::new(caller, client, &context, now).seal(seal));
        // Nobody guesses it; and who has overheard it is not its caller.
        let id = sealed.unwrap_or_else(|| Uuid::new_v4().to_string());
        self.open(caller, id, client, context, OnceCell::new_with(Some(()))).ok_or(TooMany)
    }

    /// The session of this id, which is this caller's: the open one, if another request has come for it first. `None` if it has ended, or
    /// there are too many.
    fn open(
        &self,
        caller: &Caller,
        id: String,
        client: McpClient,
        context: ContextId,
        resumed: OnceCell<()>,
    ) -> Option<Arc<Session>> {
        let owner = owner(caller);
        let mut table = self.lock();
        if let Some(known) = table.open.get(&id) {
            return Some(known.clone());
        }
        if table.ended.contains(&id) {
            return None;
        }
        self.sweep(&mut table);
        let mut own: Vec<_> = table
            .open
            .values()
            .filter(|session| session.owner == owner)
            .map(|session| (session.is_busy(), session.used(), session.id.clone()))
            .collect();
        own.sort();
        let excess = (own.len() + 1).saturating_sub(self.limits.sessions_per_caller_max);
        let ended: Vec<_> = own.iter().take(excess).filter_map(|(_, _, id)| self.remove(&mut table, id)).collect();
        if table.open.len() >= self.limits.sessions_max {
            return None;
        }
        let session = Arc::new(Session {
            id,
            owner,
            client,
            context,
            resumed,
            asks: format!("bobbinet-{:08x}", Uuid::new_v4().as_fields().0),
            calls_max: self.limits.calls_per_session_max,
            state: Mutex::new(State {
                used: Instant::now(),
                calls: BTreeMap::new(),
                asked: BTreeMap::new(),
                log: None,
                listening: CancellationToken::new(),
                watched: BTreeMap::new(),
                count: 0,
            }),
            notes: Arc::default(),
        });
        table.open.insert(session.id.clone(), session.clone());
        drop(table);
        ended.iter().for_each(|session| session.end());
        Some(session)
    }

    /// This caller's session of this id; also one that was begun with an earlier process of this node, and is not too old.
    pub(crate) fn find(&self, caller: &Caller, id: &str, now: Timestamp) -> Option<Arc<Session>> {
        let mut table = self.lock();
        let Some(session) = table.open.get(id).cloned() else {
            let is_over = table.ended.iter().any(|ended| ended == id);
            drop(table);
            return if is_over { None } else { self.revive(caller, id, now) };
        };
        if session.owner != owner(caller) {
            return None;
        }
        if self.is_stale(&session) {
            self.remove(&mut table, id);
            drop(table);
            session.end();
            return None;
        }
        drop(table);
        session.touch();
        Some(session)
    }

    fn revive(&self, caller: &Caller, id: &str, now: Timestamp) -> Option<Arc<Session>> {
        let sealed = SealedSession::open(self.seal.as_ref()?, id)?;
        let client = sealed.client_of(caller)?;
        let context = ContextId::parse(&sealed.context).ok()?;
        if now.since(Timestamp::from_millis(sealed.begun)) > self.limits.session_idle {
            return None;
        }
        self.open(caller, id.to_owned(), client, context, OnceCell::new())
    }

    /// Ends this caller's session of this id; `false` if there is none.
    pub(crate) fn end(&self, caller: &Caller, id: &str, now: Timestamp) -> bool {
        let Some(session) = self.find(caller, id, now) else { return false };
        let is_ended = self.remove(&mut self.lock(), id).is_some();
        session.end();
        is_ended
    }

    fn remove(&self, table: &mut Table, id: &str) -> Option<Arc<Session>> {
        let removed = table.open.remove(id)?;
        if table.ended.len() >= self.limits.sessions_max {
            table.ended.pop_front();
        }
        table.ended.push_back(id.to_owned());
        Some(removed)
    }

    fn is_stale(&self, session: &Session) -> bool {
        session.used().elapsed() > self.limits.session_idle && !session.is_busy()
    }

    fn sweep(&self, table: &mut Table) {
        if table.open.len() >= self.limits.sessions_max.min(self.limits.sessions_per_caller_max) {
            let stale: Vec<String> = table
                .open
                .values()
                .filter(|session| self.is_stale(session))
                .map(|session| session.id.clone())
                .collect();
            stale.iter().filter_map(|id| self.remove(table, id)).for_each(|session| session.end());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Notes that a request of this id is at work, and how it is taken back. Others may be at work under the same id: each has its
    /// answer on its own connection.
    pub(crate) fn begin_call(
        self: &Arc<Self>,
        id: &Json,
        canceled: &CancellationToken,
    ) -> Result<CallEntry, TooManyCalls> {
        let mut state = self.lock();
        if state.calls.len() >= self.calls_max {
            return Err(TooManyCalls(self.calls_max));
        }
        state.count += 1;
        let key = (id.as_str().to_owned(), state.count);
        state.calls.insert(key.clone(), canceled.clone());
        Ok(CallEntry { session: self.clone(), key })
    }

    /// What its client wants to hear of what servers say for a log.
    pub(crate) fn log(&self) -> Option<Severity> {
        self.lock().log
    }

    /// The same from now on.
    pub(crate) fn set_log(&self, severity: Severity) {
        self.lock().log = Some(severity);
    }

    /// Begins to listen for changes, in place of whoever did: no message goes out twice. Told when that ends.
    pub(crate) fn listen(&self) -> CancellationToken {
        let mut state = self.lock();
        state.listening.cancel();
        state.listening = CancellationToken::new();
        state.listening.clone()
    }

    /// Follows a resource until that is told to end; `false` if it follows so many as it may.
    pub(crate) fn watch(&self, uri: &str, ended: &CancellationToken, max: usize) -> bool {
        let mut state = self.lock();
        if state.watched.len() >= max && !state.watched.contains_key(uri) {
            return false;
        }
        if let Some(before) = state.watched.insert(uri.to_owned(), ended.clone()) {
            before.cancel();
        }
        true
    }

    pub(crate) fn unwatch(&self, uri: &str) {
        let watched = self.lock().watched.remove(uri);
        if let Some(ended) = watched {
            ended.cancel();
        }
    }

    /// Somebody is there.
    pub(crate) fn touch(&self) {
        self.lock().used = Instant::now();
    }

    /// Takes the request of this id back, if it is at work. Where there are several, nobody knows which is meant, and all go on.
    pub(crate) fn cancel(&self, id: &Json) {
        let id = id.as_str();
        let canceled = {
            let state = self.lock();
            let mut of_this_id = state.calls.range((id.to_owned(), 0)..=(id.to_owned(), u64::MAX));
            match (of_this_id.next(), of_this_id.next()) {
                (Some((_, canceled)), None) => Some(canceled.clone()),
                (None | Some(_), _) => None,
            }
        };
        if let Some(canceled) = canceled {
            canceled.cancel();
        }
    }

    /// A request of ours, whose answer is waited for.
    pub(crate) fn ask(self: &Arc<Self>) -> Asked {
        let (sender, answer) = oneshot::channel();
        let mut state = self.lock();
        state.count += 1;
        let id = format!("{}-{}", self.asks, state.count);
        state.asked.insert(id.clone(), sender);
        drop(state);
        Asked { session: self.clone(), id, answer }
    }

    /// What the client answers to a request of ours.
    pub(crate) fn answer(&self, id: &Json, result: Option<Json>) {
        let waiting = id.read::<String>().ok().and_then(|id| self.lock().asked.remove(&id));
        if let Some(waiting) = waiting {
            waiting.send(result).ok();
        }
    }

    fn used(&self) -> Instant {
        self.lock().used
    }

    fn is_busy(&self) -> bool {
        !self.lock().calls.is_empty()
    }

    /// Nobody answers any more. Its tasks go on.
    fn end(&self) {
        let mut state = self.lock();
        state.asked.clear();
        state.listening.cancel();
        std::mem::take(&mut state.watched).values().for_each(CancellationToken::cancel);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CallEntry {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        state.calls.remove(&self.key);
        state.used = Instant::now();
    }
}

impl Asked {
    /// The client's result; `None` if it answers with an error, or not at all.
    pub(crate) async fn answered(&mut self) -> Option<Json> {
        (&mut self.answer).await.ok().flatten()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.session.lock().asked.remove(&self.id);
    }
}

fn owner(caller: &Caller) -> Owner {
    (caller.tenant.clone(), caller.principal.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;
    use crate::revision::Revision;

    const NOW: Timestamp = Timestamp::from_millis(1);

    fn caller(name: &str) -> Caller {
        Caller::new(Principal::parse(name).unwrap(), Tenant::parse("here").unwrap())
    }

    fn client() -> McpClient {
        McpClient::silent(Revision::V2025_11_25)
    }

    fn sessions(sessions_max: usize, sessions_per_caller_max: usize) -> Sessions {
        Sessions::new(&McpServerLimits { sessions_max, sessions_per_caller_max, ..McpServerLimits::default() }, None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_its_callers_and_nobody_elses() {
        let (sessions, ann, bob) = (sessions(9, 9), caller("ann"), caller("bob"));
        let session = sessions.begin(&ann, client(), NOW).unwrap();
        assert!(sessions.find(&ann, session.id(), NOW).is_some());
        assert!(sessions.find(&bob, session.id(), NOW).is_none() && !sessions.end(&bob, session.id(), NOW));
        let elsewhere = Caller { tenant: Tenant::parse("there").unwrap(), ..ann.clone() };
        assert!(sessions.find(&elsewhere, session.id(), NOW).is_none());
        assert!(sessions.end(&ann, session.id(), NOW) && !sessions.end(&ann, session.id(), NOW));
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_was_idle_for_the_longest_makes_room_and_others_are_left_alone() {
        let (sessions, ann, bob) = (sessions(4, 2), caller("ann"), caller("bob"));
        let his = sessions.begin(&bob, client(), NOW).unwrap();
        let first = sessions.begin(&ann, client(), NOW).unwrap();
        let canceled = CancellationToken::new();
        let at_work = first.begin_call(&Json::of(&1), &canceled).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = sessions.begin(&ann, client(), NOW).unwrap();
        let third = sessions.begin(&ann, client(), NOW).unwrap();
        let is_there = |session: &Session| sessions.find(&ann, session.id(), NOW).is_some();
        assert!(is_there(&first), "it is at work");
        assert!(!is_there(&second) && is_there(&third) && sessions.find(&bob, his.id(), NOW).is_some());
        drop(at_work);
        for name in ["cat", "dan"] {
            let begun = sessions.begin(&caller(name), client(), NOW);
            assert_eq!(begun.is_ok(), name == "cat", "{name}");
        }
        tokio::time::advance(Duration::from_secs(25 * 60 * 60)).await;
        assert!(!is_there(&third), "a day is over");
        assert!(sessions.begin(&caller("dan"), client(), NOW).is_ok(), "the forgotten ones make room");
    }

    #[tokio::test]
    async fn a_call_is_taken_back_by_its_id_and_a_question_answered_by_its_own() {
        let sessions = sessions(9, 9);
        let session = sessions.begin(&caller("ann"), client(), NOW).unwrap();
        let (one, text_one) = (CancellationToken::new(), CancellationToken::new());
        let _calls = [(Json::of(&1), &one), (Json::of("1"), &text_one)]
            .map(|(id, canceled)| session.begin_call(&id, canceled).unwrap());
        let (other, another) = (CancellationToken::new(), CancellationToken::new());
        let _others = [&other, &another].map(|canceled| session.begin_call(&Json::of(&2), canceled).unwrap());
        session.cancel(&Json::of(&2));
        assert!(!other.is_cancelled() && !another.is_cancelled(), "nobody knows which of the two is meant");
        session.cancel(&Json::of("1"));
        assert!(text_one.is_cancelled() && !one.is_cancelled());
        let mut asked = session.ask();
        session.answer(&Json::of("bobbinet-99"), None);
        session.answer(&Json::of(&asked.id), Some(Json::of(&7)));
        assert_eq!(asked.answered().await, Some(Json::of(&7)));
        let mut asked = session.ask();
        session.end();
        assert_eq!(asked.answered().await, None);
    }

    #[test]
    fn one_that_an_earlier_process_began_goes_on_unless_it_has_ended_or_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let keys = bobbinet_auth::KeyRing::open_or_create(&folder.path().join("keys"), NOW).unwrap();
        let limits = McpServerLimits::default();
        let process = || Sessions::new(&limits, Some(SealingKey::open_or_create(keys.folder()).unwrap()));
        let (ann, bob) = (caller("ann"), caller("bob"));
        let first = process().begin(&ann, client(), NOW).unwrap();
        let second = process();
        assert!(second.find(&bob, first.id(), NOW).is_none(), "somebody else's");
        let again = second.find(&ann, first.id(), NOW).unwrap();
        assert_eq!((again.id(), &again.context, again.client), (first.id(), &first.context, first.client));
        let together = second.revive(&ann, first.id(), NOW).unwrap();
        assert!(Arc::ptr_eq(&again, &together), "two requests that come together have one");
        let (mut before, mut after) = (first.ask(), again.ask());
        again.answer(&Json::of(&before.id), Some(Json::of("to the earlier process")));
        again.answer(&Json::of(&after.id), Some(Json::of(&7)));
        assert_eq!(after.answered().now_or_never().flatten(), Some(Json::of(&7)));
        assert_eq!(before.answered().now_or_never(), None);
        assert!(second.end(&ann, first.id(), NOW) && second.find(&ann, first.id(), NOW).is_none());
        assert!(second.revive(&ann, first.id(), NOW).is_none(), "nor for a request that came together with its end");
        let old = NOW.after(limits.session_idle).after(Duration::from_secs(1));
        assert!(process().find(&ann, first.id(), old).is_none());
        assert!(process().find(&ann, &format!("{}x", first.id()), NOW).is_none());
    }
}
