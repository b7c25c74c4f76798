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
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bobbinet_engine::watched;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::McpConfig,
    exclusive_tools::{CallPermit, CallProfile},
    server_profile::ServerProfile,
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
}

impl SessionKey {
    /// The session's own folder, in the agent's. Earlier versions have written there too: what they left is found.
    fn folder(self, agent: &Path) -> PathBuf {
        match self {
            Self::Shared => agent.to_owned(),
            Self::Overflow(number) => agent.join(format!("beside-{number}")),
        }
    }

    /// Whether the session ends when no call needs it any more.
    fn ends_when_idle(self) -> bool {
        match self {
            Self::Shared => false,
            Self::Overflow(_) => true,
        }
    }
}

/// The sessions of one agent. They are begun when they are asked for, and end with the pool.
#[derive(Debug)]
pub(crate) struct SessionPool {
    config: Arc<McpConfig>,
    profile: Arc<ServerProfile>,
    transport: Arc<dyn Transport>,
    /// The agent's.
    folder: PathBuf,
    tracker: TaskTracker,
    /// The parent of each session's own.
    stop: CancellationToken,
    /// Whether what an earlier life has left running under the keys of the overflow was ended.
    is_overflow_open: AtomicBool,
    sessions: Mutex<BTreeMap<SessionKey, Arc<SupervisedSession>>>,
}

impl SessionPool {
    /// A pool without a session. What keeps its sessions are tasks of `tracker`: whoever stops it waits for that.
    pub(crate) fn new(
        config: Arc<McpConfig>,
        profile: Arc<ServerProfile>,
        transport: Arc<dyn Transport>,
        folder: PathBuf,
        tracker: TaskTracker,
    ) -> Arc<Self> {
        let is_stateless = config.stateless;
        let pool = Arc::new(Self {
            config,
            profile,
            transport,
            folder,
            tracker,
            stop: CancellationToken::new(),
            is_overflow_open: AtomicBool::new(false),
            sessions: Mutex::default(),
        });
        if is_stateless {
            pool.tracker.spawn(watched("MCP server", pool.clone().open_overflow()));
        }
        pool
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
            SessionKey::Shared => self.profile.clone(),
            // What one of several processes lists at some moment is not to change the agent's card.
            SessionKey::Overflow(_) => Arc::new(ServerProfile::remembered(self.config.clone(), folder.clone())),
        };
        let stop = self.stop.child_token();
        let session =
            Arc::new(SupervisedSession::new(self.config.clone(), profile, self.transport.clone(), folder, stop));
        self.tracker.spawn(supervised_session::run(session.clone(), self.tracker.clone()));
        if key.ends_when_idle() {
            self.tracker.spawn(watched("MCP server", self.clone().end_when_idle(key, session.clone())));
        }
        sessions.insert(key, session.clone());
        session
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
            ended += self.transport.clean_up(&SessionKey::Overflow(number).folder(&self.folder)).await;
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
        let profile = Arc::new(ServerProfile::remembered(config.clone(), folder.clone()));
        let transport = Arc::new(MemoryTransport::default());
        let pool = SessionPool::new(config, profile.clone(), transport, folder, tracker.clone());

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
