//! The sessions that an agent holds with its server, each under a key that says who shares it.
//!
//! Every session is supervised for itself: its restarts, its breaker, who may call at the same time as whom. What is known
//! of the server is the agent's, unless the key says otherwise. A key that is added to [`SessionKey`] says there where its
//! session keeps its files and whether it ends when it is idle; nothing else here asks which keys there are.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bobbinet_core::Fault;
use bobbinet_engine::{Run, watched};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    authorization::Authorization,
    config::{McpConfig, ServerAddress},
    exclusive_tools::{CallPermit, CallProfile},
    lost_session,
    read_cache::ReadCache,
    retry_budget::RetryBudget,
    scoped_sessions::{ScopeId, ScopedSessions, SessionLease},
    server_profile::ServerProfile,
    sharing::SessionScope,
    supervised_session::{self, SupervisedSession},
    transport::Transport,
};

/// Sessions beside the shared one, of a server that is declared to keep no state. Each is a process that takes some 50 to
/// 130 MB.
const OVERFLOW_MAX: usize = 3;

/// How often it is looked whether a session still has something to do that ends when it is idle.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Which session, and so who shares what the server keeps in its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SessionKey {
    /// The one that all calls share.
    Shared,
    /// One of a few more, for calls that would have to wait for a question of somebody else's call. Only where the server
    /// keeps no state.
    Overflow(usize),
    /// One with another replica of the server, counted from 1: [`SessionKey::Shared`] is with the first.
    Replica(usize),
}

impl SessionKey {
    /// The session's own folder, in the agent's. Earlier versions have written there too: what they left is found.
    fn folder(self, agent: &Path) -> PathBuf {
        match self {
            Self::Shared => agent.to_owned(),
            Self::Overflow(number) => agent.join(format!("beside-{number}")),
            Self::Replica(number) => agent.join(format!("{REPLICA}{number}")),
        }
    }

    /// Whether the session ends when no call needs it any more.
    fn ends_when_idle(self) -> bool {
        match self {
            Self::Shared | Self::Replica(_) => false,
            Self::Overflow(_) => true,
        }
    }

    /// With which replica of the server it is.
    fn replica(self) -> usize {
        match self {
            Self::Shared | Self::Overflow(_) => 0,
            Self::Replica(number) => number,
        }
    }

    fn of_replica(number: usize) -> Self {
        if number == 0 { Self::Shared } else { Self::Replica(number) }
    }
}

/// What the folder of a replica's session begins with.
const REPLICA: &str = "replica-";

/// The folder, in the agent's, that has those of all sessions which belong to somebody.
const SCOPED: &str = "sessions";

/// How often it is looked for the tools of a server that is in several places.
const TOOLS_INTERVAL: Duration = Duration::from_millis(100);

/// Where a run makes its calls.
#[derive(Debug)]
pub(crate) enum Home {
    /// In the one session that there is, or the least busy of several that are alike.
    Shared,
    /// In a session of its caller, context or task.
    Scoped(SessionLease),
}

/// The sessions of one agent. They are begun when they are asked for, and end with the pool.
#[derive(Debug)]
pub(crate) struct SessionPool {
    config: Arc<McpConfig>,
    profile: Arc<ServerProfile>,
    /// What was read through any of its sessions.
    pub(crate) cache: Arc<ReadCache>,
    /// How many of its calls may be made again.
    pub(crate) retries: RetryBudget,
    /// One for each replica of the server.
    transports: Vec<Arc<dyn Transport>>,
    /// The agent's.
    folder: PathBuf,
    tracker: TaskTracker,
    /// The parent of each session's own.
    stop: CancellationToken,
    /// Whether what an earlier life has left running under the keys of the overflow was ended.
    is_overflow_open: AtomicBool,
    sessions: Mutex<BTreeMap<SessionKey, Arc<SupervisedSession>>>,
    scoped: Arc<ScopedSessions>,
    /// Over when nothing is left of the sessions that belonged to somebody in an earlier life.
    is_swept: CancellationToken,
    /// Which replica was the last to be called.
    turn: AtomicUsize,
}

impl SessionPool {
    /// A pool without a session. What keeps its sessions are tasks of `tracker`: whoever stops it waits for that.
    pub(crate) fn new(
        config: Arc<McpConfig>,
        profile: Arc<ServerProfile>,
        transports: Vec<Arc<dyn Transport>>,
        folder: PathBuf,
        tracker: TaskTracker,
    ) -> Arc<Self> {
        let is_stateless = config.stateless;
        let pool = Arc::new(Self {
            scoped: Arc::new(ScopedSessions::new(&config)),
            is_swept: CancellationToken::new(),
            turn: AtomicUsize::new(0),
            cache: Arc::new(ReadCache::new(&config)),
            retries: RetryBudget::new(&config.limits),
            config,
            profile,
            transports,
            folder,
            tracker,
            stop: CancellationToken::new(),
            is_overflow_open: AtomicBool::new(false),
            sessions: Mutex::default(),
        });
        pool.tracker.spawn(watched("MCP server", pool.clone().keep_scoped()));
        if is_stateless {
            pool.tracker.spawn(watched("MCP server", pool.clone().open_overflow()));
        }
        pool
    }

    /// What somebody logs in to for them, one for each replica of the server that has such a thing.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (Arc<Authorization>, &Arc<dyn Transport>)> {
        self.transports.iter().filter_map(|transport| Some((transport.account()?, transport)))
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionKey, Arc<SupervisedSession>>> {
        self.sessions.lock().expect("nobody panics while holding a few sessions")
    }

    /// The session of this key; it is begun, in the background, if there is none. In a pool that was stopped it
    /// ends at once.
    pub(crate) fn session(self: &Arc<Self>, key: SessionKey) -> Arc<SupervisedSession> {
        self.session_in(&mut self.sessions(), key)
    }

    fn session_in(
        self: &Arc<Self>,
        sessions: &mut BTreeMap<SessionKey, Arc<SupervisedSession>>,
        key: SessionKey,
    ) -> Arc<SupervisedSession> {
        if let Some(known) = sessions.get(&key) {
            return known.clone();
        }
        let folder = key.folder(&self.folder);
        let profile = match key {
            SessionKey::Shared | SessionKey::Replica(_) => self.profile.clone(),
            // What one of several processes lists at some moment is not to change the agent's card.
            SessionKey::Overflow(_) => Arc::new(self.profile.apart(folder.clone())),
        };
        let session = self.new_session(profile, key.replica(), folder);
        self.tracker.spawn(supervised_session::run(session.clone(), self.tracker.clone()));
        if key.ends_when_idle() {
            self.tracker.spawn(watched("MCP server", self.clone().end_when_idle(key, session.clone())));
        }
        sessions.insert(key, session.clone());
        session
    }

    fn new_session(&self, profile: Arc<ServerProfile>, replica: usize, folder: PathBuf) -> Arc<SupervisedSession> {
        let (config, changes) = (self.config.clone(), self.cache.changes.clone());
        let (transport, stop) = (self.transports[replica].clone(), self.stop.child_token());
        Arc::new(SupervisedSession::new(config, profile, changes, transport, folder, stop))
    }

    /// The sessions with each replica of the server, the first one first. All of them are begun.
    pub(crate) fn replicas(self: &Arc<Self>) -> Vec<Arc<SupervisedSession>> {
        let mut sessions = self.sessions();
        let keys = (0..self.transports.len()).map(SessionKey::of_replica);
        keys.map(|key| self.session_in(&mut sessions, key)).collect()
    }

    /// Whether the server can be called in any of its places, and why not in the first if not.
    pub(crate) fn ready(self: &Arc<Self>) -> Result<(), String> {
        let first = self.session(SessionKey::Shared).ready();
        if first.is_err() && self.replicas().iter().any(|session| session.ready().is_ok()) { Ok(()) } else { first }
    }

    /// Whether a call could go to the server in any of its places.
    pub(crate) fn takes_calls(self: &Arc<Self>) -> bool {
        self.session(SessionKey::Shared).takes_calls() || self.replicas().iter().any(|session| session.takes_calls())
    }

    /// Whether the server was up at least once in any of its places.
    pub(crate) fn was_up(self: &Arc<Self>) -> bool {
        self.session(SessionKey::Shared).was_up() || self.replicas().iter().any(|session| session.was_up())
    }

    /// Waits until the tools are known, from whichever place, or says why nobody waits for them any longer. Safe to drop.
    pub(crate) async fn tools_known(self: &Arc<Self>) -> Result<(), Fault> {
        let first = self.session(SessionKey::Shared);
        let from_another = async {
            while self.transports.len() == 1 || self.profile.catalog().is_none() {
                tokio::time::sleep(TOOLS_INTERVAL).await;
            }
        };
        tokio::select! {
            biased;
            known = first.tools_known() => known,
            () = from_another => Ok(()),
        }
    }

    /// The session for a call that any replica can take: of those that are up, the one with the fewest calls; of several, each in
    /// its turn.
    pub(crate) fn least_busy(self: &Arc<Self>) -> Arc<SupervisedSession> {
        if self.transports.len() == 1 {
            return self.session(SessionKey::Shared);
        }
        let replicas = self.replicas();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let standing = |number: usize| {
            let session = &replicas[number];
            (session.ready().is_err(), !session.takes_calls(), session.exclusive_tools.count())
        };
        let in_turn = (0..replicas.len()).map(|number| (number + turn) % replicas.len());
        let chosen = in_turn.min_by_key(|number| standing(*number)).unwrap_or_default();
        replicas[chosen].clone()
    }

    /// Where the calls of this run are made. Safe to drop.
    ///
    /// # Errors
    /// If there is no room for a session of its own, or the one it had is lost.
    pub(crate) async fn home(self: &Arc<Self>, run: &Run) -> Result<Home, Fault> {
        let task = run.task();
        let Some(id) = ScopeId::of(self.config.share.session, task) else { return Ok(Home::Shared) };
        self.is_swept.cancelled().await;
        let replicas = if self.transports.len() == 1 { Vec::new() } else { self.replicas() };
        let all = 0..self.transports.len();
        let up = all.clone().filter(|number| replicas.get(*number).is_none_or(|session| session.ready().is_ok()));
        let up = up.collect::<Vec<_>>();
        let open = if up.is_empty() { all.collect() } else { up };
        if self.config.share.tells_loss(self.config.stateless) && !self.keeps_nothing_by_sessions() {
            if let Some(known) = self.scoped.find(id, &open) {
                return Ok(Home::Scoped(known));
            }
            if lost_session::has_left_something(run, self.profile.catalog().as_deref()).await? {
                return Err(lost_session::fault(&self.config.name, task));
            }
        }
        let begin = |number: u64, replica: usize| {
            let folder = self.folder.join(SCOPED).join(number.to_string());
            let profile = self.profile.beside(folder.clone());
            let session = self.new_session(Arc::new(profile), replica, folder.clone());
            let (run, tracker) = (session.clone(), self.tracker.clone());
            self.tracker.spawn(watched("MCP server", async move {
                supervised_session::run(run, tracker).await;
                // Nothing of it is left that anybody would have to end.
                let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
            }));
            session
        };
        self.scoped.enter(id, &open, begin).map(Home::Scoped)
    }

    /// Whether there is nothing that would end with a session: a server of the newest era that is reached by its URL.
    pub(crate) fn keeps_nothing_by_sessions(&self) -> bool {
        match self.config.server {
            ServerAddress::Command(_) => false,
            ServerAddress::Url(_) => self.profile.has_no_sessions(),
        }
    }

    /// Ends what earlier sessions have left running that belonged to somebody or were with a replica that there is no more; then, again
    /// and again, those whose time is up.
    async fn keep_scoped(self: Arc<Self>) {
        let mut ended = 0;
        for folder in self.left_folders() {
            // Processes are known by what is written down in the folder, whichever replica they were.
            ended += self.transports[0].clean_up(&folder).await;
            let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
        }
        if ended > 0 {
            tracing::warn!(
                agent = self.config.name,
                ended,
                "ended what an earlier life had left running for single callers"
            );
        }
        self.is_swept.cancel();
        if self.config.share.session == SessionScope::Shared {
            return;
        }
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(self.scoped.look_interval()) => {}
            }
            self.scoped.end_idle();
        }
    }

    /// The folders of sessions that none of this life has.
    fn left_folders(&self) -> Vec<PathBuf> {
        let entries = |folder: &Path| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let is_left = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number = name.strip_prefix(REPLICA).and_then(|number| number.parse::<usize>().ok());
            number.is_some_and(|number| number >= self.transports.len())
        };
        let mut left = entries(&self.folder.join(SCOPED));
        left.extend(entries(&self.folder).into_iter().filter(is_left));
        left
    }

    /// Ends a session when it has nothing to do any more.
    async fn end_when_idle(self: Arc<Self>, key: SessionKey, session: Arc<SupervisedSession>) {
        loop {
            tokio::select! {
                biased;
                () = session.stopping() => return,
                () = tokio::time::sleep(IDLE_CHECK_INTERVAL) => {}
            }
            // Nobody is sent to it while it is looked at.
            let mut sessions = self.sessions();
            if session.exclusive_tools.is_empty() {
                sessions.remove(&key);
                session.stop();
                return;
            }
        }
    }

    async fn open_overflow(self: Arc<Self>) {
        let mut ended = 0;
        for number in 0..OVERFLOW_MAX {
            ended += self.transports[0].clean_up(&SessionKey::Overflow(number).folder(&self.folder)).await;
        }
        if ended > 0 {
            tracing::warn!(agent = self.config.name, "ended what an earlier life had left running beside the first");
        }
        self.is_overflow_open.store(true, Ordering::Relaxed);
    }

    /// A session beside the shared one that takes the call now, if there may be one.
    pub(crate) fn try_acquire_overflow(
        self: &Arc<Self>,
        call: &CallProfile,
    ) -> Option<(Arc<SupervisedSession>, CallPermit)> {
        if !self.is_overflow_open.load(Ordering::Relaxed) || self.stop.is_cancelled() {
            return None;
        }
        let mut sessions = self.sessions();
        let keys = (0..OVERFLOW_MAX).map(SessionKey::Overflow);
        for session in keys.clone().filter_map(|key| sessions.get(&key)) {
            if let Ok(permit) = session.exclusive_tools.try_acquire(call) {
                return Some((session.clone(), permit));
            }
        }
        let key = keys.into_iter().find(|key| !sessions.contains_key(key))?;
        let session = self.session_in(&mut sessions, key);
        tracing::info!(agent = self.config.name, ?key, "one more session, since a question is open");
        let permit = session.exclusive_tools.try_acquire(call).ok()?;
        Some((session, permit))
    }

    /// Ends all sessions, and begins no more. Whoever wants to know that they have ended waits for the tracker.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::Json;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::{
        exclusive_tools::{CallOwner, ConcurrencyClass},
        mailbox::Reply,
        pinned_tools::PinnedTools,
        session::Client,
        transport::memory::MemoryTransport,
    };

    const PATIENCE: Duration = Duration::from_secs(30);

    /// The client of a session that is up.
    async fn client(session: &SupervisedSession) -> Arc<Client> {
        session.client(|| Instant::now() + PATIENCE).await.unwrap()
    }

    /// What the server at the other end says of itself.
    async fn name(client: &Arc<Client>) -> String {
        let reply = client.request("resources/read", Json::of(&())).await;
        let Reply::Result(result) = reply else { panic!("{reply:?}") };
        result.to_value()["contents"][0]["text"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn each_key_has_a_session_of_its_own_that_lives_and_ends_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = McpConfig::new("a", "", &[]);
        config.limits.restart_first_ms = 1;
        let (config, folder, tracker) = (Arc::new(config), folder.path().join("agent"), TaskTracker::new());
        let pins = Arc::new(PinnedTools::read(config.clone(), &folder));
        let profile = Arc::new(ServerProfile::remembered(config.clone(), folder.clone(), pins));
        let transport = Arc::new(MemoryTransport::default());
        let pool = SessionPool::new(config, profile.clone(), vec![transport], folder, tracker.clone());

        let shared = pool.session(SessionKey::Shared);
        let first = client(&shared).await;
        assert_eq!(name(&first).await, "agent 0");
        assert!(profile.catalog().unwrap().get("who").is_some(), "what it lists is the agent's");
        let other = pool.session(SessionKey::Overflow(0));
        let beside = client(&other).await;
        assert_eq!(name(&beside).await, "beside-0 1");
        assert!(Arc::ptr_eq(&shared, &pool.session(SessionKey::Shared)), "one session for each key");

        // One is begun again after its server's death; the other does not notice.
        assert!(matches!(first.request("die", Json::of(&())).await, Reply::Broken(_)));
        assert_eq!(name(&client(&shared).await).await, "agent 2");
        assert!(Arc::ptr_eq(&beside, &client(&other).await));

        // Whoever calls through one keeps nobody from the other.
        let call = |owner| CallProfile {
            owner: CallOwner::named(owner),
            tool: "who".to_owned(),
            class: ConcurrencyClass::Interactive,
        };
        let _permit = shared.exclusive_tools.try_acquire(&call("ann")).unwrap();
        assert!(
            shared.exclusive_tools.try_acquire(&call("bob")).is_err()
                && other.exclusive_tools.try_acquire(&call("bob")).is_ok()
        );

        other.stop();
        assert!(timeout(PATIENCE, beside.in_flight.ended()).await.is_ok());
        assert_eq!(name(&client(&shared).await).await, "agent 2");
        pool.stop();
        tracker.close();
        timeout(PATIENCE, tracker.wait()).await.unwrap();
        assert!(shared.ready().is_err());
    }
}
