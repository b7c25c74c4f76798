//! Keeps one session of a pool alive: begins it, has its tools listed, and after each end begins it again, or leaves the
//! server alone.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bobbinet_core::Fault;
use bobbinet_engine::watched;
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    breaker::{Breaker, BreakerDecision},
    catalog::Catalog,
    config::{McpConfig, ProtocolEra, StartPolicy},
    exclusive_tools::ExclusiveTools,
    idle_time::IdleTime,
    last_words::headline,
    listing,
    listing_pace::ListingPace,
    login::LoginNeeded,
    mailbox::ConnectionError,
    opening::Opening,
    resource_watcher,
    server_changes::ServerChanges,
    server_profile::ServerProfile,
    session::{Client, Session, StartError},
    transport::Transport,
};

/// How soon a server that failed over the list of its tools is asked again; each further time after twice as long.
const LIST_RETRY_FIRST: Duration = Duration::from_secs(1);

/// A session that its server has ended sooner was no session: it counts as a death, so that nobody begins one after the other for ever.
const EXPIRY_MIN: Duration = Duration::from_secs(1);

/// The longest time between two such questions.
const LIST_RETRY_MAX: Duration = Duration::from_secs(60);

/// A session that is begun again after each end, and who waits for it. One entry of the agent's pool.
///
/// What is known of the server beyond this session (its tools, its description) is the [`ServerProfile`]'s.
#[derive(Debug)]
pub(crate) struct SupervisedSession {
    pub(crate) config: Arc<McpConfig>,
    /// Who may call through this session at the same time as whom.
    pub(crate) exclusive_tools: Arc<ExclusiveTools>,
    profile: Arc<ServerProfile>,
    /// What the server has said to have changed, in any session of the agent.
    changes: Arc<ServerChanges>,
    transport: Arc<dyn Transport>,
    /// The session's own folder, for its transport.
    folder: PathBuf,
    status: Mutex<SupervisionStatus>,
    changed: Notify,
    /// Somebody says that it is worth trying again now.
    hurry: Notify,
    stop: CancellationToken,
}

/// What changes of a supervised session.
#[derive(Debug)]
struct SupervisionStatus {
    stage: SessionStage,
    /// Since when it was not up, if it was left alone since.
    down_since: Option<Instant>,
    /// Whether it has died under a call that was known for that.
    was_foreseen: bool,
    /// Whether it was up at least once in this life of the node.
    was_up: bool,
    /// Whether one that was up is over: what its server kept in it is gone.
    was_lost: bool,
}

/// Where the session stands.
#[derive(Clone, Debug)]
enum SessionStage {
    /// Nobody has called it yet, or for a while: the next call starts it.
    Asleep,
    /// It is on its way, perhaps again; with what was wrong the last time.
    Starting(Option<String>),
    Up(Arc<Client>),
    /// It dies too often, and is left alone until then.
    Resting {
        why: String,
        until: Instant,
    },
    Stopped,
}

impl SupervisionStatus {
    /// Until when calls wait for a server that is left alone, if it is.
    fn waits_until(&self, config: &McpConfig) -> Option<Instant> {
        Some(self.down_since? + Duration::from_millis(config.limits.rest_wait_ms))
    }
}

/// What whoever wants a session does while the server is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RestPolicy {
    WaitOut,
    GiveUp,
}

impl SupervisedSession {
    /// `stop` ends it for good; it lives from [`run`] on.
    pub(crate) fn new(
        config: Arc<McpConfig>,
        profile: Arc<ServerProfile>,
        changes: Arc<ServerChanges>,
        transport: Arc<dyn Transport>,
        folder: PathBuf,
        stop: CancellationToken,
    ) -> Self {
        // What is not known of its tools yet somebody has to ask for.
        let sleeps = config.start == StartPolicy::OnDemand && profile.catalog().is_some();
        let status = SupervisionStatus {
            stage: if sleeps { SessionStage::Asleep } else { SessionStage::Starting(None) },
            down_since: None,
            was_foreseen: false,
            was_up: false,
            was_lost: false,
        };
        Self {
            exclusive_tools: Arc::new(ExclusiveTools::of(&config)),
            config,
            profile,
            changes,
            transport,
            folder,
            status: Mutex::new(status),
            changed: Notify::new(),
            hurry: Notify::new(),
            stop,
        }
    }

    fn status(&self) -> MutexGuard<'_, SupervisionStatus> {
        self.status.lock().expect("nobody panics while looking at a session's status")
    }

    fn enter(&self, stage: SessionStage) {
        self.status().stage = stage;
        self.changed.notify_waiters();
    }

    /// Asks the task that keeps the session to end it, and itself.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Returns when the session is being ended for good.
    pub(crate) async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// The newest tools, if there ever were any: in this life, or in an earlier one.
    pub(crate) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.profile.catalog()
    }

    /// Whether the server can be called, and why not if it cannot: in words that say nothing of its own.
    pub(crate) fn ready(&self) -> Result<(), String> {
        match &self.status().stage {
            SessionStage::Up(_) | SessionStage::Asleep => Ok(()),
            SessionStage::Starting(None) => Err("the MCP server is starting".to_owned()),
            SessionStage::Starting(Some(why)) => Err(format!("the MCP server is starting again: {}", headline(why))),
            SessionStage::Resting { why, .. } => {
                Err(format!("the MCP server dies too often and is left alone for now: {}", headline(why)))
            }
            SessionStage::Stopped => Err("the MCP server is stopped".to_owned()),
        }
    }

    /// Whether a call could go to the server, or would fail at once. While the server is left alone, calls wait for as long as the limits say.
    pub(crate) fn takes_calls(&self) -> bool {
        // Where somebody has to log in, calls are there to say so.
        self.login().is_some() || self.status().waits_until(&self.config).is_none_or(|until| until <= Instant::now())
    }

    /// Whether it is starting, and was never up: in no earlier life either.
    pub(crate) fn is_starting(&self) -> bool {
        self.profile.catalog().is_none() && matches!(self.status().stage, SessionStage::Starting(_))
    }

    /// Whether it is being started again after it could not be.
    pub(crate) fn has_failed_to_start(&self) -> bool {
        matches!(self.status().stage, SessionStage::Starting(Some(_)))
    }

    /// Whether the server was up at least once.
    pub(crate) fn was_up(&self) -> bool {
        self.status().was_up
    }

    /// Whether one that was up is over, and another has begun or will.
    pub(crate) fn was_lost(&self) -> bool {
        let status = self.status();
        let is_over = matches!(&status.stage, SessionStage::Up(client) if client.in_flight.broken().is_some());
        status.was_lost || is_over
    }

    /// What somebody has to do before the server takes calls, if it wants that and is not up.
    pub(crate) fn login(&self) -> Option<LoginNeeded> {
        let is_up = matches!(&self.status().stage, SessionStage::Up(client) if client.in_flight.broken().is_none());
        self.transport.login().filter(|_| !is_up)
    }

    /// The same, whether it is up or not: it may have refused a call.
    pub(crate) fn last_login(&self) -> Option<LoginNeeded> {
        self.transport.login()
    }

    /// Returns when somebody has done that, as far as it is seen here. Safe to drop.
    pub(crate) async fn logged_in(&self, login: &LoginNeeded) {
        self.transport.logged_in(login).await;
    }

    /// Tries again now, since somebody says that he has logged in.
    pub(crate) fn hurry(&self) {
        self.transport.forget_login();
        // Nobody is to find it left alone in between.
        let resting = match &self.status().stage {
            SessionStage::Resting { why, .. } => Some(why.clone()),
            SessionStage::Asleep | SessionStage::Starting(_) | SessionStage::Up(_) | SessionStage::Stopped => None,
        };
        if let Some(why) = resting {
            self.enter(SessionStage::Starting(Some(why)));
        }
        self.hurry.notify_one();
    }

    /// Waits for a session until `deadline`, or says why there is none. Safe to drop.
    pub(crate) async fn client(&self, deadline: impl Fn() -> Instant) -> Result<Arc<Client>, Fault> {
        self.find_client(deadline, RestPolicy::WaitOut).await
    }

    /// The same, but a server that is left alone is not waited for.
    pub(crate) async fn client_unless_resting(&self, deadline: impl Fn() -> Instant) -> Result<Arc<Client>, Fault> {
        self.find_client(deadline, RestPolicy::GiveUp).await
    }

    async fn find_client(&self, deadline: impl Fn() -> Instant, rest: RestPolicy) -> Result<Arc<Client>, Fault> {
        let refusal = self.login();
        if refusal.as_ref().is_some_and(LoginNeeded::is_old) {
            self.hurry();
        }
        let name = &self.config.name;
        // A call waits no longer than a start may take.
        let limit = Instant::now() + self.config.limits.start_limit();
        let deadline = || deadline().min(limit);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let (stage, waited_for) = {
                let status = self.status();
                let until = status.waits_until(&self.config).filter(|until| *until > Instant::now());
                (status.stage.clone(), until.filter(|_| rest == RestPolicy::WaitOut))
            };
            // One that wants somebody to log in is not waited for: that may take days. It was asked again if that was some time ago.
            match self.login() {
                Some(login) if login.is_done => {
                    self.hurry();
                    continue;
                }
                Some(login) if !login.is_old() || refusal.as_ref() != Some(&login) => return Err(login.fault()),
                Some(_) | None => {}
            }
            let mut look_again = deadline();
            let last = match stage {
                SessionStage::Up(client) if client.in_flight.broken().is_none() => return Ok(client),
                SessionStage::Up(_) => None,
                SessionStage::Asleep => {
                    self.wake();
                    continue;
                }
                SessionStage::Starting(last) => last,
                SessionStage::Resting { why, until } => match waited_for {
                    Some(until) => {
                        look_again = look_again.min(until);
                        Some(why)
                    }
                    None => return Err(self.left_alone(&why, until)),
                },
                SessionStage::Stopped => {
                    let text = format!("the MCP server of agent `{name}` is stopped");
                    return Err(Fault::new("server-stopped", text));
                }
            };
            let is_time_up = tokio::select! {
                biased;
                () = changed => false,
                () = tokio::time::sleep_until(look_again) => deadline() <= Instant::now(),
            };
            if is_time_up {
                let why = last.map(|why| format!(": {why}")).unwrap_or_default();
                let text = format!("the MCP server of agent `{name}` did not get ready in time{why}");
                return Err(Fault::new("server-not-ready", text));
            }
        }
    }

    /// Has a server started that sleeps.
    fn wake(&self) {
        let mut status = self.status();
        if matches!(status.stage, SessionStage::Asleep) {
            status.stage = SessionStage::Starting(None);
            drop(status);
            self.changed.notify_waiters();
        }
    }

    /// Returns when somebody wants the server; at once unless it sleeps.
    async fn wanted(&self) -> NextStep {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !matches!(self.status().stage, SessionStage::Asleep) {
                return NextStep::BeginAgain;
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return NextStep::Stop,
                () = changed => {}
            }
        }
    }

    fn left_alone(&self, why: &str, until: Instant) -> Fault {
        let seconds = until.saturating_duration_since(Instant::now()).as_secs() + 1;
        let name = &self.config.name;
        let text = format!("the MCP server of agent `{name}` dies too often and is left alone for {seconds} s: {why}");
        Fault::new("server-unavailable", text)
    }

    /// Waits until the tools are known, or says why nobody waits for them any longer. Safe to drop.
    pub(crate) async fn tools_known(&self) -> Result<(), Fault> {
        if self.catalog().is_some() {
            return Ok(());
        }
        let limit = self.config.limits.start_limit();
        // They are known with the first connection. Where somebody has to log in first, that is what there is to be said.
        let linked = self.client(|| Instant::now() + limit).await;
        if self.catalog().is_some() || self.login().is_some() { Ok(()) } else { linked.map(drop) }
    }

    /// All sessions of this entry, one after the other, until [`SupervisedSession::stop`]. Returns when nothing of it is left.
    pub(crate) async fn supervise(self: Arc<Self>, tracker: TaskTracker) {
        let swept = self.transport.clean_up(&self.folder).await;
        if swept > 0 {
            tracing::warn!(agent = self.config.name, processes = swept, "ended what an earlier life had left running");
        }
        let mut breaker = Breaker::default();
        let mut opening = Opening::first(self.config.era, self.profile.remembered_era());
        let mut was_doubted = false;
        loop {
            if self.wanted().await == NextStep::Stop {
                break;
            }
            let why = match self.run_once(&mut opening, &tracker).await {
                SessionEnd::Stopped => break,
                SessionEnd::Unanswered(error) => {
                    let tried = opening.clone();
                    if error.was_connected {
                        opening = Opening::after(self.config.era, &tried, error.version);
                    }
                    // The question for its era may be all that it died of. Greeted in another way at once, it is not counted.
                    let is_doubtful = tried.era == ProtocolEra::Auto && opening.era == ProtocolEra::Legacy;
                    if is_doubtful && !std::mem::replace(&mut was_doubted, true) {
                        tracing::info!(
                            agent = self.config.name,
                            why = error.text,
                            "server is started again, as an old one"
                        );
                        self.enter(SessionStage::Starting(Some(error.text)));
                        continue;
                    }
                    tracing::warn!(agent = self.config.name, why = error.text, "server could not be started");
                    error.text
                }
                SessionEnd::Died(why) => {
                    was_doubted = false;
                    why
                }
                SessionEnd::Expired => {
                    tracing::info!(agent = self.config.name, "server has ended the session; another is begun");
                    continue;
                }
                SessionEnd::Idle => {
                    tracing::info!(agent = self.config.name, "nobody has called the server for a while; it is ended");
                    continue;
                }
            };
            if matches!(self.pause_after(&mut breaker, why).await, NextStep::Stop) {
                break;
            }
        }
        self.enter(SessionStage::Stopped);
    }

    async fn open(&self, opening: &Opening, tracker: &TaskTracker) -> Result<Session, StartError> {
        let (exclusive_tools, changes) = (self.exclusive_tools.clone(), self.changes.clone());
        Session::open(&*self.transport, &self.folder, opening, &self.config, exclusive_tools, changes, tracker).await
    }

    /// One session from its beginning to its end. The opening becomes the one that worked.
    async fn run_once(&self, opening: &mut Opening, tracker: &TaskTracker) -> SessionEnd {
        let config = &self.config;
        let begun = Instant::now();
        let started = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            started = self.open(opening, tracker) => Some(started),
        };
        let Some(started) = started else {
            // It ends now that nobody holds the connection. But whoever stops us wants to know that it has ended.
            self.transport.clean_up(&self.folder).await;
            return SessionEnd::Stopped;
        };
        let mut session = match started {
            Ok(session) => session,
            Err(error) => return SessionEnd::Unanswered(error),
        };
        let grace = config.limits.stop_grace();
        let client = session.client().clone();
        let listed = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            listed = listing::read(&client, &config.limits) => Some(listed),
        };
        let least = Duration::from_millis(config.limits.list_fresh_min_ms);
        let fresh = listed.as_ref().and_then(|it| it.as_ref().ok()?.fresh_for(client.capabilities(), least));
        // Some let everybody shake hands, and nobody look around: there is nothing to be up for.
        let login = self.transport.login().filter(|_| self.catalog().is_none());
        let is_cut_off = match listed {
            Some(Ok(listing)) if listing.is_cut_off() && login.is_some() => {
                drop(client);
                session.close(grace).await;
                return SessionEnd::Died(login.map_or_else(String::new, |login| login.words));
            }
            Some(Ok(listing)) => self.profile.take_in(client.info(), listing).await,
            Some(Err(_)) => {
                drop(client);
                return SessionEnd::Died(self.close_dead(session, None).await);
            }
            None => {
                drop(client);
                session.close(grace).await;
                return SessionEnd::Stopped;
            }
        };
        if client.subscribes() {
            tracker.spawn(watched("MCP resource subscriptions", resource_watcher::watch(client.clone())));
        }
        let era = if client.is_modern() { ProtocolEra::Modern } else { ProtocolEra::Legacy };
        *opening = Opening::first(config.era, Some(era));
        let skills = self.catalog().map_or(0, |catalog| catalog.tools().count());
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (server, revision) = (session.connection().peer(), client.info().protocol_version.as_str());
        tracing::info!(agent = config.name, server, skills, millis, revision, "server is up");
        {
            let mut status = self.status();
            status.down_since = None;
            status.was_up = true;
        }
        self.enter(SessionStage::Up(client.clone()));
        let mut is_over = self.watch(&client, &mut session, is_cut_off, fresh).await;
        // Nobody is sent to it any more from here on.
        while is_over != NextStep::Stop {
            self.enter(SessionStage::Starting(None));
            // Whoever was sent to it at the last moment has his permit by now.
            if is_over == NextStep::BeginAgain || self.exclusive_tools.is_empty() {
                // What its server kept is gone with it.
                self.status().was_lost = true;
                break;
            }
            self.enter(SessionStage::Up(client.clone()));
            is_over = self.watch(&client, &mut session, false, fresh).await;
        }
        let broken = client.in_flight.broken();
        // It may be seen to be gone before its messages end: the calls that it has died under are told now.
        if broken.is_none() {
            let why = match is_over {
                NextStep::Stop | NextStep::Sleep => "it ended".to_owned(),
                NextStep::BeginAgain => session.connection().explain("it ended").await,
            };
            client.in_flight.close(ConnectionError::Died(why));
        }
        self.status().was_foreseen = client.in_flight.was_foreseen();
        let has_served = client.in_flight.has_served();
        drop(client);
        match is_over {
            NextStep::Stop => {
                session.close(grace).await;
                SessionEnd::Stopped
            }
            NextStep::Sleep => {
                session.close(grace).await;
                self.enter(SessionStage::Asleep);
                SessionEnd::Idle
            }
            NextStep::BeginAgain => {
                let has_expired = broken == Some(ConnectionError::Expired) && begun.elapsed() > EXPIRY_MIN;
                let mut why = self.close_dead(session, broken).await;
                // What it said at last may be of anybody's call, and whoever comes next reads this.
                if has_served {
                    why = headline(&why).to_owned();
                }
                if has_expired { SessionEnd::Expired } else { SessionEnd::Died(why) }
            }
        }
    }

    /// Ends what is left of a server that is over, and says why it is: its own end before what we noticed of it.
    async fn close_dead(&self, mut session: Session, broken: Option<ConnectionError>) -> String {
        let why = match broken {
            Some(ConnectionError::Garbage(why)) => why,
            Some(expired @ ConnectionError::Expired) => expired.to_string(),
            Some(ConnectionError::Died(_)) | None => match session.connection_mut().own_end().await {
                Some(end) => format!("it ended with {end}"),
                None => broken.map_or("it ended".to_owned(), |broken| headline(&broken.to_string()).to_owned()),
            },
        };
        let why = session.close(Duration::ZERO).await.explain(&why).await;
        tracing::warn!(agent = self.config.name, why, "server died");
        why
    }

    /// Looks after a session: reads the lists again when one changes. Returns when it is over.
    async fn watch(
        &self,
        client: &Arc<Client>,
        session: &mut Session,
        is_cut_off: bool,
        mut fresh: Option<Duration>,
    ) -> NextStep {
        let least = Duration::from_millis(self.config.limits.list_fresh_min_ms);
        let mut calls = self.exclusive_tools.admitted();
        let mut pace = ListingPace::new(Duration::from_millis(self.config.limits.list_debounce_ms));
        let mut retry = is_cut_off.then_some(LIST_RETRY_FIRST);
        let mut idle = IdleTime::new(&self.config);
        loop {
            let pause = tokio::select! {
                biased;
                () = self.stop.cancelled() => return NextStep::Stop,
                () = client.in_flight.ended() => return NextStep::BeginAgain,
                () = session.connection_mut().gone() => return NextStep::BeginAgain,
                // Some servers register their tools one by one, with a message for each.
                () = client.in_flight.lists_changed() => pace.pause(Instant::now()),
                () = idle.passed(&self.exclusive_tools, client) => return NextStep::Sleep,
                () = sleep_or_never(retry) => Duration::ZERO,
                // What nobody uses is not asked for again.
                () = sleep_or_never(fresh) => match self.exclusive_tools.admitted() == calls {
                    true => continue,
                    false => Duration::ZERO,
                },
            };
            calls = self.exclusive_tools.admitted();
            let listed = async {
                tokio::time::sleep(pause).await;
                listing::read(client, &self.config.limits).await
            };
            let listed = tokio::select! {
                biased;
                () = self.stop.cancelled() => return NextStep::Stop,
                () = client.in_flight.ended() => return NextStep::BeginAgain,
                listed = listed => listed,
            };
            pace.read(Instant::now());
            let next = retry.map_or(LIST_RETRY_FIRST, |pause| (pause * 2).min(LIST_RETRY_MAX));
            retry = match listed {
                Ok(listing) => {
                    fresh = listing.fresh_for(client.capabilities(), least);
                    self.profile.take_in(client.info(), listing).await.then_some(next)
                }
                Err(_) if client.in_flight.broken().is_some() => return NextStep::BeginAgain,
                // Where each request goes by itself, one that broke off says nothing of the others, which go on.
                Err(broken) => {
                    tracing::warn!(
                        agent = self.config.name,
                        why = headline(&broken.to_string()),
                        "its lists could not be read again"
                    );
                    Some(next)
                }
            };
        }
    }

    /// After a death: the pause.
    async fn pause_after(&self, breaker: &mut Breaker, why: String) -> NextStep {
        let now = Instant::now();
        let again = SessionStage::Starting(Some(why.clone()));
        let was_foreseen = std::mem::take(&mut self.status().was_foreseen);
        let next = match was_foreseen {
            true => breaker.died_as_foreseen(&self.config.limits, chance()),
            false => breaker.died(now, &self.config.limits, chance()),
        };
        let pause = match next {
            BreakerDecision::Restart(pause) => {
                tracing::info!(agent = self.config.name, why = headline(&why), ?pause, "server is started again");
                self.enter(again.clone());
                pause
            }
            BreakerDecision::Rest(pause) => {
                let headline = headline(&why);
                tracing::error!(
                    agent = self.config.name,
                    why = headline,
                    ?pause,
                    "server dies too often and is left alone"
                );
                self.status().down_since.get_or_insert(now);
                self.enter(SessionStage::Resting { why, until: now + pause });
                pause
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return NextStep::Stop,
            () = self.hurry.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        self.enter(again);
        NextStep::BeginAgain
    }
}

/// Supervises a session for as long as it is wanted. A panic inside is followed by another try: nobody else begins it.
pub(crate) async fn run(session: Arc<SupervisedSession>, tracker: TaskTracker) {
    while watched("MCP server", session.clone().supervise(tracker.clone())).await.is_none() {
        tokio::time::sleep(session.config.limits.restart_first()).await;
    }
}

async fn sleep_or_never(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// How one session ended.
enum SessionEnd {
    /// It was told to: the agent stops.
    Stopped,
    /// It could not be begun.
    Unanswered(StartError),
    /// It was up, and its server is gone, for this reason.
    Died(String),
    /// It was up, and its server has ended it in good order.
    Expired,
    /// It was up, and nobody has called it for a while.
    Idle,
}

/// What comes after the end of a session, or after the pause that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextStep {
    Stop,
    BeginAgain,
    /// Until somebody calls it.
    Sleep,
}

/// A number from 0 to 1 that differs from process to process.
pub(crate) fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(std::process::id());
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}
