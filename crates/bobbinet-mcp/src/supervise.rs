//! Keeps one server alive: starts it, reads its tools, and after each death starts it again, or leaves it alone.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bobbinet_core::{Description, Fault};
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    breaker::{Breaker, Next},
    catalog::{self, Catalog},
    config::{Era, Launcher, McpConfig},
    lane::Lane,
    listing,
    mailbox::Broken,
    pace::Pace,
    remembered::Remembered,
    session::{Link, Session, StartError},
    sweep,
};

/// What the agent and the task that keeps its server alive have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: McpConfig,
    pub(crate) lane: Arc<Lane>,
    launcher: Launcher,
    folder: PathBuf,
    state: Mutex<State>,
    changed: Notify,
    stop: CancellationToken,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    catalog: Option<Arc<Catalog>>,
    description: Arc<Description>,
    /// Since when it was not up, if it was left alone since.
    down_since: Option<Instant>,
    /// Whether it has died under a call that was known for that.
    was_foreseen: bool,
}

/// Where the server stands.
#[derive(Clone, Debug)]
enum Stage {
    /// It is on its way, perhaps again; with what was wrong the last time.
    Starting(Option<String>),
    Up(Arc<Link>),
    /// It dies too often, and is left alone until then.
    Resting {
        why: String,
        until: Instant,
    },
    Stopped,
}

impl State {
    /// Until when calls wait for a server that is left alone, if it is.
    fn waits_until(&self, config: &McpConfig) -> Option<Instant> {
        Some(self.down_since? + Duration::from_millis(config.limits.rest_wait_ms))
    }
}

/// What a server that is left alone means to whoever wants a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    IsWaitedOut,
    IsTheEnd,
}

impl Shared {
    pub(crate) fn new(config: McpConfig, launcher: Launcher, folder: PathBuf) -> Self {
        let lane = Arc::new(Lane::of(&config));
        let remembered = Remembered::read(&config, &folder);
        let catalog = remembered.map(|known| Arc::new(Catalog::new(&config, known.info.as_ref(), &known.tools, None)));
        let description = match &catalog {
            Some(catalog) => catalog.description.clone(),
            None => Arc::new(catalog::describe(&config, None, Vec::new())),
        };
        let stage = Stage::Starting(None);
        let state = State { stage, catalog, description, down_since: None, was_foreseen: false };
        Self {
            config,
            lane,
            launcher,
            folder,
            state: Mutex::new(state),
            changed: Notify::new(),
            stop: CancellationToken::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while looking at a server's state")
    }

    fn enter(&self, stage: Stage) {
        self.state().stage = stage;
        self.changed.notify_waiters();
    }

    /// Asks the task that keeps the server alive to end it, and itself.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Returns when the server is being stopped for good.
    pub(crate) async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// The newest tools, if there ever were any: in this life, or in an earlier one.
    pub(crate) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.state().catalog.clone()
    }

    pub(crate) fn description(&self) -> Arc<Description> {
        self.state().description.clone()
    }

    /// Whether the server can be called, and why not if it cannot.
    pub(crate) fn ready(&self) -> Result<(), String> {
        match &self.state().stage {
            Stage::Up(_) => Ok(()),
            Stage::Starting(None) => Err("the MCP server is starting".to_owned()),
            Stage::Starting(Some(why)) => Err(format!("the MCP server is starting again: {why}")),
            Stage::Resting { why, .. } => {
                Err(format!("the MCP server dies too often and is left alone for now: {why}"))
            }
            Stage::Stopped => Err("the MCP server is stopped".to_owned()),
        }
    }

    /// Whether a call could go to the server, or would fail at once. While the server is left alone, calls wait.
    pub(crate) fn takes_calls(&self) -> bool {
        self.state().waits_until(&self.config).is_none_or(|until| until <= Instant::now())
    }

    /// Whether it is starting, and was never up: in no earlier life either.
    pub(crate) fn is_starting(&self) -> bool {
        let state = self.state();
        state.catalog.is_none() && matches!(state.stage, Stage::Starting(_))
    }

    /// Waits for a connection until `deadline`, or says why there is none. Safe to drop.
    pub(crate) async fn link(&self, deadline: impl Fn() -> Instant) -> Result<Arc<Link>, Fault> {
        self.find_link(deadline, Rest::IsWaitedOut).await
    }

    /// The same, but a server that is left alone is not waited for.
    pub(crate) async fn link_unless_resting(&self, deadline: impl Fn() -> Instant) -> Result<Arc<Link>, Fault> {
        self.find_link(deadline, Rest::IsTheEnd).await
    }

    async fn find_link(&self, deadline: impl Fn() -> Instant, rest: Rest) -> Result<Arc<Link>, Fault> {
        let name = &self.config.name;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let (stage, waited_for) = {
                let state = self.state();
                let until = state.waits_until(&self.config).filter(|until| *until > Instant::now());
                (state.stage.clone(), until.filter(|_| rest == Rest::IsWaitedOut))
            };
            let mut look_again = deadline();
            let last = match stage {
                Stage::Up(link) if link.tap.broken().is_none() => return Ok(link),
                Stage::Up(_) => None,
                Stage::Starting(last) => last,
                Stage::Resting { why, until } => match waited_for {
                    Some(until) => {
                        look_again = look_again.min(until);
                        Some(why)
                    }
                    None => return Err(self.left_alone(&why, until)),
                },
                Stage::Stopped => {
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

    fn left_alone(&self, why: &str, until: Instant) -> Fault {
        let seconds = until.saturating_duration_since(Instant::now()).as_secs() + 1;
        let name = &self.config.name;
        let text = format!("the MCP server of agent `{name}` dies too often and is left alone for {seconds} s: {why}");
        Fault::new("server-unavailable", text)
    }

    /// The whole life of the server, until [`Shared::stop`]. Returns when nothing of it is left.
    pub(crate) async fn live(self: Arc<Self>, tracker: TaskTracker) {
        let swept = self.sweep().await;
        if swept > 0 {
            tracing::warn!(agent = self.config.name, processes = swept, "ended what an earlier life had left running");
        }
        let mut breaker = Breaker::default();
        // The era that worked is not asked for again; a server that kept silent is taken for an old one once.
        let mut era = self.config.era;
        loop {
            let Some(why) = self.live_once(&mut era, &tracker).await else { break };
            if matches!(self.end(&mut breaker, why).await, Ending::Stop) {
                break;
            }
        }
        self.enter(Stage::Stopped);
    }

    /// One life. Returns why it ended, or `None` if it was to.
    async fn live_once(&self, era: &mut Era, tracker: &TaskTracker) -> Option<String> {
        let config = &self.config;
        let begun = Instant::now();
        let started = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            started = Session::start(config, &self.launcher, &self.folder, *era, self.lane.clone(), tracker) => Some(started),
        };
        let Some(started) = started else {
            // Its shim ends it, now that nobody holds the pipes. But whoever stops us wants to know that it has ended.
            self.sweep().await;
            return None;
        };
        let mut session = match started {
            Ok(session) => session,
            Err(StartError { text, was_silent, .. }) => {
                *era = if was_silent { Era::Legacy } else { config.era };
                return Some(text);
            }
        };
        let grace = config.limits.stop_grace();
        let link = session.link.clone();
        let listed = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(None),
            listed = listing::read(&link, &config.limits) => listed.map_err(Some),
        };
        match listed {
            Ok(tools) => self.publish(&link, &tools).await,
            Err(why) => {
                drop(link);
                session.stop(if why.is_some() { Duration::ZERO } else { grace }).await;
                return why;
            }
        }
        if let Some(info) = link.info.as_deref() {
            *era = if info.protocol_version.has_initialize() { Era::Legacy } else { Era::Modern };
        }
        let tools = self.catalog().map_or(0, |catalog| catalog.tools().count());
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(agent = config.name, pid = session.pid(), tools, millis, ?era, "server is up");
        self.state().down_since = None;
        self.enter(Stage::Up(link.clone()));
        let is_over = self.attend(&link, &mut session).await;
        // Nobody is sent to it any more from here on.
        if !matches!(is_over, Ending::Stop) {
            self.enter(Stage::Starting(None));
        }
        let broken = link.tap.broken();
        // Its process may be seen to have ended before its pipe is: the calls that it has died under are told now.
        link.tap.close(Broken::Died("it ended".to_owned()));
        self.state().was_foreseen = link.tap.was_foreseen();
        drop(link);
        match is_over {
            Ending::Stop => {
                session.stop(grace).await;
                None
            }
            Ending::Died => {
                let words = session.last_words();
                let status = session.stop(Duration::ZERO).await;
                let why = match (broken, status) {
                    (Some(Broken::Garbage(why)), _) => why,
                    (_, Some(status)) => format!("it ended with {status}"),
                    (Some(Broken::Died(why)), None) => why,
                    (None, None) => "it ended".to_owned(),
                };
                tracing::warn!(
                    agent = config.name,
                    why,
                    "server died{}{words}",
                    if words.is_empty() { "" } else { "; its last words:\n" }
                );
                Some(why)
            }
        }
    }

    /// Looks after a session: reads the tools again when they change. Returns when it is over.
    async fn attend(&self, link: &Arc<Link>, session: &mut Session) -> Ending {
        let mut pace = Pace::new(Duration::from_millis(self.config.limits.list_debounce_ms));
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ending::Stop,
                () = link.tap.ended() => return Ending::Died,
                () = session.ended() => return Ending::Died,
                () = link.tap.tools_changed() => {}
            }
            let pause = pace.pause(Instant::now());
            let listed = async {
                // Some servers register their tools one by one, with a message for each.
                tokio::time::sleep(pause).await;
                listing::read(link, &self.config.limits).await
            };
            let listed = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ending::Stop,
                () = link.tap.ended() => return Ending::Died,
                listed = listed => listed,
            };
            pace.read(Instant::now());
            match listed {
                Ok(tools) => self.publish(link, &tools).await,
                Err(why) => tracing::warn!(agent = self.config.name, why, "the tools changed, but stay as they were"),
            }
        }
    }

    async fn publish(&self, link: &Link, tools: &[listing::RawTool]) {
        self.remember(Remembered::new(&self.config, link.info.as_deref(), tools)).await;
        let before = self.catalog();
        let catalog = Arc::new(Catalog::new(&self.config, link.info.as_deref(), tools, before.as_deref()));
        let description = catalog.description.clone();
        let mut state = self.state();
        state.catalog = Some(catalog);
        if state.description != description {
            state.description = description;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    async fn remember(&self, remembered: Remembered) {
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || remembered.write(&folder)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(agent = self.config.name, %error, "the tools are not remembered for the next start");
        }
    }

    /// After a death: the pause.
    async fn end(&self, breaker: &mut Breaker, why: String) -> Ending {
        let now = Instant::now();
        let again = Stage::Starting(Some(why.clone()));
        let was_foreseen = std::mem::take(&mut self.state().was_foreseen);
        let next = match was_foreseen {
            true => breaker.died_as_foreseen(&self.config.limits, chance()),
            false => breaker.died(now, &self.config.limits, chance()),
        };
        let pause = match next {
            Next::Restart(pause) => {
                tracing::info!(agent = self.config.name, why, ?pause, "server is started again");
                self.enter(again.clone());
                pause
            }
            Next::Rest(pause) => {
                tracing::error!(agent = self.config.name, why, ?pause, "server dies too often and is left alone");
                self.state().down_since.get_or_insert(now);
                self.enter(Stage::Resting { why, until: now + pause });
                pause
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ending::Stop,
            () = tokio::time::sleep(pause) => {}
        }
        self.enter(again);
        Ending::Died
    }

    /// Ends what is written down as running, and says how many processes that were.
    async fn sweep(&self) -> usize {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || sweep::sweep(&folder)).await.unwrap_or_default()
    }
}

/// Whether things go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Stop,
    Died,
}

/// A number from 0 to 1 that differs from process to process.
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(std::process::id());
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}
