//! Sessions that not all calls share: which there are, who uses them, and when they end. Begins none itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bobbinet_core::{Fault, Task};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::{
    config::{McpConfig, McpLimits},
    sharing::SessionScope,
    supervised_session::SupervisedSession,
};

/// Whose a session is, as a hash: of the tenant and the owner always, so that no two of them ever share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScopeId([u8; 32]);

impl ScopeId {
    /// The scope that the calls of this task are made in. `None`: that of all.
    pub(crate) fn of(scope: SessionScope, task: &Task) -> Option<Self> {
        let last = match scope {
            SessionScope::Shared => return None,
            SessionScope::PerCaller => String::new(),
            SessionScope::PerContext => task.context.to_string(),
            SessionScope::PerTask => task.id.to_string(),
        };
        let mut hash = Sha256::new();
        for part in [task.tenant.as_str(), task.owner.as_str(), last.as_str()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Some(Self(hash.finalize().into()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The sessions of one agent that belong to somebody.
#[derive(Debug)]
pub(crate) struct ScopedSessions {
    agent: String,
    scope: SessionScope,
    /// Whether who has lost his session is told so: then none is left that could still be there.
    tells_loss: bool,
    max: usize,
    idle: Duration,
    life: Duration,
    state: Mutex<ScopedState>,
}

#[derive(Debug, Default)]
struct ScopedState {
    /// Counts the sessions there ever were.
    next: u64,
    /// By their numbers. Those whose time is up stand here until their last call is over.
    sessions: BTreeMap<u64, ScopedSession>,
}

#[derive(Debug)]
struct ScopedSession {
    id: ScopeId,
    session: Arc<SupervisedSession>,
    /// Which replica of the server it is with.
    replica: usize,
    begun: Instant,
    /// Runs that are on their way in it.
    users: usize,
    /// Since when there are none.
    idle_since: Instant,
}

impl ScopedSessions {
    pub(crate) fn new(config: &McpConfig) -> Self {
        let McpLimits { sessions_max, session_idle_ms, session_life_ms, .. } = config.limits;
        Self {
            agent: config.name.clone(),
            scope: config.share.session,
            tells_loss: config.share.tells_loss(config.stateless),
            max: sessions_max.max(1),
            idle: Duration::from_millis(session_idle_ms),
            life: Duration::from_millis(session_life_ms),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, ScopedState> {
        self.state.lock().expect("nobody panics while holding a few sessions")
    }

    /// How often it should be looked for sessions whose time is up.
    pub(crate) fn look_interval(&self) -> Duration {
        (self.idle.min(self.life) / 4).clamp(Duration::from_millis(20), Duration::from_secs(60))
    }

    /// The session of this scope, if there is one that is of use.
    pub(crate) fn find(self: &Arc<Self>, id: ScopeId, open: &[usize]) -> Option<SessionLease> {
        self.find_in(&mut self.state(), id, open)
    }

    fn find_in(self: &Arc<Self>, state: &mut ScopedState, id: ScopeId, open: &[usize]) -> Option<SessionLease> {
        let now = Instant::now();
        let (number, known) = state.sessions.iter_mut().find(|(_, known)| {
            // What is kept at a replica that is down is not waited for, where there is another.
            let is_reached = known.users > 0 || open.contains(&known.replica);
            let is_of_use = match self.tells_loss {
                true => !known.session.was_lost() && (is_reached || known.session.ready().is_ok()),
                false => is_reached,
            };
            known.id == id && now < known.begun + self.life && is_of_use
        })?;
        known.users += 1;
        Some(SessionLease { sessions: self.clone(), number: *number, session: known.session.clone() })
    }

    /// The session of this scope; one is begun if there is none, with a number of its own and on one of the replicas that are `open`:
    /// the one that has fewest. If there are as many as there may be, the one that has been idle for longest makes room.
    ///
    /// # Errors
    /// If all of them are in use.
    pub(crate) fn enter(
        self: &Arc<Self>,
        id: ScopeId,
        open: &[usize],
        begin: impl FnOnce(u64, usize) -> Arc<SupervisedSession>,
    ) -> Result<SessionLease, Fault> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(known) = self.find_in(&mut state, id, open) {
            return Ok(known);
        }
        // What this scope had before, if nobody is in it any more.
        state.end_where(|known| known.id == id && known.users == 0);
        if state.sessions.len() >= self.max {
            let idle = state.sessions.iter().filter(|(_, known)| known.users == 0);
            let Some((number, _)) = idle.min_by_key(|(_, known)| known.idle_since) else { return Err(self.full()) };
            let number = *number;
            tracing::info!(agent = self.agent, "a session that nobody has used for longest makes room for another");
            state.end(number);
        }
        let load = |replica: &&usize| state.sessions.values().filter(|known| known.replica == **replica).count();
        let replica = open.iter().min_by_key(load).copied().unwrap_or_default();
        let number = state.next;
        state.next += 1;
        let session = begin(number, replica);
        let scoped = ScopedSession { id, session: session.clone(), replica, begun: now, users: 1, idle_since: now };
        state.sessions.insert(number, scoped);
        Ok(SessionLease { sessions: self.clone(), number, session })
    }

    fn full(&self) -> Fault {
        let Self { agent, scope, max, .. } = self;
        let text = format!(
            "agent `{agent}` has {max} sessions with its MCP server, one {}, and all of them are in use. Try again later, or raise \
             `sessions_max` of its limits",
            scope.as_str()
        );
        Fault::new("sessions-full", text)
    }

    /// Ends those that have been idle for long enough, or are as old as they may be. One in use ends after its last call.
    pub(crate) fn end_idle(&self) {
        let now = Instant::now();
        self.state().end_where(|known| {
            known.users == 0 && (now >= known.idle_since + self.idle || now >= known.begun + self.life)
        });
    }

    fn leave(&self, number: u64) {
        let now = Instant::now();
        let mut state = self.state();
        let Some(known) = state.sessions.get_mut(&number) else { return };
        known.users -= 1;
        known.idle_since = now;
        let is_over = match self.scope {
            SessionScope::PerTask => true,
            SessionScope::Shared | SessionScope::PerContext | SessionScope::PerCaller => now >= known.begun + self.life,
        };
        if known.users == 0 && is_over {
            state.end(number);
        }
    }
}

impl ScopedState {
    fn end(&mut self, number: u64) {
        if let Some(ended) = self.sessions.remove(&number) {
            ended.session.stop();
        }
    }

    fn end_where(&mut self, is_over: impl Fn(&ScopedSession) -> bool) {
        let over = self.sessions.iter().filter(|(_, known)| is_over(known)).map(|(number, _)| *number);
        for number in over.collect::<Vec<_>>() {
            self.end(number);
        }
    }
}

/// A session for as long as a run needs it: nobody ends it meanwhile for being idle.
#[derive(Debug)]
pub(crate) struct SessionLease {
    sessions: Arc<ScopedSessions>,
    number: u64,
    pub(crate) session: Arc<SupervisedSession>,
}

impl SessionLease {
    /// Whether it is over, and what the server kept in it gone, for somebody who is to know that.
    pub(crate) fn is_lost(&self) -> bool {
        self.sessions.tells_loss && self.session.was_lost()
    }

    /// Which replica of the server it is with.
    pub(crate) fn replica(&self) -> usize {
        self.sessions.state().sessions.get(&self.number).map_or(0, |known| known.replica)
    }
}

impl Drop for SessionLease {
    fn drop(&mut self) {
        self.sessions.leave(self.number);
    }
}
