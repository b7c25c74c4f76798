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
    config::{Launcher, McpConfig, ProtocolEra},
    handshake::Opening,
    lane::Lane,
    listing::{self, Listing},
    mailbox::Broken,
    pace::Pace,
    process::headline,
    remembered::Remembered,
    session::{Link, Session, StartError},
    sweep,
};

/// How soon a server that failed over the list of its tools is asked again; each further time after twice as long.
const LIST_RETRY_FIRST: Duration = Duration::from_secs(1);

/// A server that ends over the handshake in the newest version so often in a row is greeted in the version that it hints at.
/// Once says nothing of versions: it may end of anything, and an older version has less to offer.
const NEWEST_ENDS_MAX: u32 = 2;

/// The longest time between two such questions.
const LIST_RETRY_MAX: Duration = Duration::from_secs(60);

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
    /// Whether it was up at least once in this life of the node.
    was_up: bool,
    /// The era that it was spoken to in, in an earlier life.
    known_era: Option<ProtocolEra>,
    /// What was last said of its listing.
    notes: Vec<String>,
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
        let known_era = remembered.as_ref().and_then(Remembered::era);
        let catalog = remembered.map(|known| Arc::new(Catalog::new(&config, known.info.as_ref(), &known.tools, None)));
        let description = match &catalog {
            Some(catalog) => catalog.description.clone(),
            None => Arc::new(catalog::describe(&config, None, Vec::new())),
        };
        let stage = Stage::Starting(None);
        let state = State {
            stage,
            catalog,
            description,
            down_since: None,
            was_foreseen: false,
            was_up: false,
            known_era,
            notes: Vec::new(),
        };
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

    /// Whether the server can be called, and why not if it cannot: in words that say nothing of its own.
    pub(crate) fn ready(&self) -> Result<(), String> {
        match &self.state().stage {
            Stage::Up(_) => Ok(()),
            Stage::Starting(None) => Err("the MCP server is starting".to_owned()),
            Stage::Starting(Some(why)) => Err(format!("the MCP server is starting again: {}", headline(why))),
            Stage::Resting { why, .. } => {
                Err(format!("the MCP server dies too often and is left alone for now: {}", headline(why)))
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

    /// Whether the server was up at least once.
    pub(crate) fn was_up(&self) -> bool {
        self.state().was_up
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
        // A call waits no longer than a start may take.
        let limit = Instant::now() + self.config.limits.start_limit();
        let deadline = || deadline().min(limit);
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
                Stage::Up(link) if link.in_flight.broken().is_none() => return Ok(link),
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

    /// Waits until the tools are known, or says why nobody waits for them any longer. Safe to drop.
    pub(crate) async fn tools_known(&self) -> Result<(), Fault> {
        if self.catalog().is_some() {
            return Ok(());
        }
        let limit = self.config.limits.start_limit();
        // They are known with the first connection.
        let linked = self.link(|| Instant::now() + limit).await;
        if self.catalog().is_some() { Ok(()) } else { linked.map(drop) }
    }

    /// The whole life of the server, until [`Shared::stop`]. Returns when nothing of it is left.
    pub(crate) async fn live(self: Arc<Self>, tracker: TaskTracker) {
        let swept = self.sweep().await;
        if swept > 0 {
            tracing::warn!(agent = self.config.name, processes = swept, "ended what an earlier life had left running");
        }
        let mut breaker = Breaker::default();
        let known = self.state().known_era;
        let mut opening = first_opening(self.config.era, known);
        let mut was_doubted = false;
        loop {
            let why = match self.live_once(&mut opening, &tracker).await {
                Life::Stopped => break,
                Life::Unanswered(error) => {
                    let tried = opening.clone();
                    opening = next_opening(self.config.era, &tried, &error);
                    // The question for its era may be all that it died of. Greeted in another way at once, it is not counted.
                    let is_doubtful = tried.era == ProtocolEra::Auto && opening.era == ProtocolEra::Legacy;
                    if is_doubtful && !std::mem::replace(&mut was_doubted, true) {
                        tracing::info!(
                            agent = self.config.name,
                            why = error.text,
                            "server is started again, as an old one"
                        );
                        self.enter(Stage::Starting(Some(error.text)));
                        continue;
                    }
                    tracing::warn!(agent = self.config.name, why = error.text, "server could not be started");
                    error.text
                }
                Life::Died(why) => {
                    was_doubted = false;
                    why
                }
            };
            if matches!(self.end(&mut breaker, why).await, Ending::Stop) {
                break;
            }
        }
        self.enter(Stage::Stopped);
    }

    /// One life. The opening becomes the one that worked.
    async fn live_once(&self, opening: &mut Opening, tracker: &TaskTracker) -> Life {
        let config = &self.config;
        let begun = Instant::now();
        let started = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            started = Session::start(config, &self.launcher, &self.folder, opening, self.lane.clone(), tracker) => Some(started),
        };
        let Some(started) = started else {
            // Its shim ends it, now that nobody holds the pipes. But whoever stops us wants to know that it has ended.
            self.sweep().await;
            return Life::Stopped;
        };
        let mut session = match started {
            Ok(session) => session,
            Err(error) => return Life::Unanswered(error),
        };
        let grace = config.limits.stop_grace();
        let link = session.link.clone();
        let listed = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            listed = listing::read(&link, &config.limits) => Some(listed),
        };
        let is_cut_off = match listed {
            Some(Ok(listing)) => self.take_in(&link, listing).await,
            Some(Err(_)) => {
                drop(link);
                return Life::Died(self.bury(session, None).await);
            }
            None => {
                drop(link);
                session.stop(grace).await;
                return Life::Stopped;
            }
        };
        if let Some(info) = link.info.as_deref() {
            let era = if info.protocol_version.has_initialize() { ProtocolEra::Legacy } else { ProtocolEra::Modern };
            *opening = first_opening(config.era, Some(era));
        }
        let tools = self.catalog().map_or(0, |catalog| catalog.tools().count());
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let era = opening.era;
        tracing::info!(agent = config.name, pid = session.pid(), tools, millis, ?era, "server is up");
        {
            let mut state = self.state();
            state.down_since = None;
            state.was_up = true;
        }
        self.enter(Stage::Up(link.clone()));
        let is_over = self.attend(&link, &mut session, is_cut_off).await;
        // Nobody is sent to it any more from here on.
        if !matches!(is_over, Ending::Stop) {
            self.enter(Stage::Starting(None));
        }
        let broken = link.in_flight.broken();
        // Its process may be seen to have ended before its pipe is: the calls that it has died under are told now.
        if broken.is_none() {
            let why = match is_over {
                Ending::Stop => "it ended".to_owned(),
                Ending::Died => session.tail().explain("it ended").await,
            };
            link.in_flight.close(Broken::Died(why));
        }
        self.state().was_foreseen = link.in_flight.was_foreseen();
        drop(link);
        match is_over {
            Ending::Stop => {
                session.stop(grace).await;
                Life::Stopped
            }
            Ending::Died => Life::Died(self.bury(session, broken).await),
        }
    }

    /// Ends what is left of a server that is over, and says why it is: its own end before what we noticed of it.
    async fn bury(&self, mut session: Session, broken: Option<Broken>) -> String {
        let tail = session.tail().clone();
        let why = match broken {
            Some(Broken::Garbage(why)) => why,
            Some(Broken::Died(_)) | None => match session.own_end().await {
                Some(status) => format!("it ended with {status}"),
                None => broken.map_or("it ended".to_owned(), |broken| headline(&broken.to_string()).to_owned()),
            },
        };
        session.stop(Duration::ZERO).await;
        let why = tail.explain(&why).await;
        tracing::warn!(agent = self.config.name, why, "server died");
        why
    }

    /// Looks after a session: reads the tools again when they change. Returns when it is over.
    async fn attend(&self, link: &Arc<Link>, session: &mut Session, is_cut_off: bool) -> Ending {
        let mut pace = Pace::new(Duration::from_millis(self.config.limits.list_debounce_ms));
        let mut retry = is_cut_off.then_some(LIST_RETRY_FIRST);
        loop {
            let pause = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ending::Stop,
                () = link.in_flight.ended() => return Ending::Died,
                () = session.ended() => return Ending::Died,
                // Some servers register their tools one by one, with a message for each.
                () = link.in_flight.tools_changed() => pace.pause(Instant::now()),
                () = sleep_or_never(retry) => Duration::ZERO,
            };
            let listed = async {
                tokio::time::sleep(pause).await;
                listing::read(link, &self.config.limits).await
            };
            let listed = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ending::Stop,
                () = link.in_flight.ended() => return Ending::Died,
                listed = listed => listed,
            };
            pace.read(Instant::now());
            match listed {
                Ok(listing) => {
                    let is_cut_off = self.take_in(link, listing).await;
                    let next = retry.map_or(LIST_RETRY_FIRST, |pause| (pause * 2).min(LIST_RETRY_MAX));
                    retry = is_cut_off.then_some(next);
                }
                Err(_) => return Ending::Died,
            }
        }
    }

    /// Makes a listing known, and what was left out of it, once. Returns whether the server should be asked again.
    async fn take_in(&self, link: &Link, listing: Listing) -> bool {
        let Listing { tools, notes, is_cut_off } = listing;
        let is_new = {
            let mut state = self.state();
            let is_new = state.notes != notes;
            state.notes.clone_from(&notes);
            is_new
        };
        if is_new && !notes.is_empty() {
            let notes = notes.join("; ");
            tracing::warn!(agent = self.config.name, notes, "not all that the server lists is taken");
        }
        // What was known is better than a part of what there is.
        if !is_cut_off || self.catalog().is_none() {
            self.publish(link, &tools).await;
        }
        is_cut_off
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
                tracing::info!(agent = self.config.name, why = headline(&why), ?pause, "server is started again");
                self.enter(again.clone());
                pause
            }
            Next::Rest(pause) => {
                let headline = headline(&why);
                tracing::error!(
                    agent = self.config.name,
                    why = headline,
                    ?pause,
                    "server dies too often and is left alone"
                );
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

/// How a server is spoken to at first: as the operator says, else as an old one if it was one the last time, else it is asked.
fn first_opening(configured: ProtocolEra, known: Option<ProtocolEra>) -> Opening {
    let era = match (configured, known) {
        (ProtocolEra::Auto, Some(ProtocolEra::Legacy)) => ProtocolEra::Legacy,
        // One of the new era is asked what it speaks all the same, and that costs nothing.
        (ProtocolEra::Auto, Some(ProtocolEra::Auto | ProtocolEra::Modern) | None) => ProtocolEra::Auto,
        (ProtocolEra::Modern | ProtocolEra::Legacy, _) => configured,
    };
    Opening { era, version: None, ends: 0 }
}

/// How a server is spoken to after it did not get ready: one that was asked for its era is greeted as an old one, one that was
/// greeted is asked.
fn next_opening(configured: ProtocolEra, tried: &Opening, error: &StartError) -> Opening {
    if !error.was_started {
        return tried.clone();
    }
    let era = match (configured, tried.era) {
        (ProtocolEra::Auto, ProtocolEra::Auto) => ProtocolEra::Legacy,
        (ProtocolEra::Auto, ProtocolEra::Legacy | ProtocolEra::Modern) => ProtocolEra::Auto,
        (ProtocolEra::Modern | ProtocolEra::Legacy, _) => configured,
    };
    // What an old one hints at is for its next greeting, also if it is asked in between.
    let (version, ends) = match (tried.era, error.version) {
        (ProtocolEra::Auto, _) => (tried.version, tried.ends),
        (ProtocolEra::Legacy | ProtocolEra::Modern, None) => (None, 0),
        (ProtocolEra::Legacy | ProtocolEra::Modern, Some(_)) if tried.ends + 1 < NEWEST_ENDS_MAX => {
            (None, tried.ends + 1)
        }
        (ProtocolEra::Legacy | ProtocolEra::Modern, Some(hint)) => (Some(hint), 0),
    };
    Opening { era, version, ends }
}

async fn sleep_or_never(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// How a life of a server ended.
enum Life {
    /// It was to.
    Stopped,
    /// It did not get ready.
    Unanswered(StartError),
    /// It was ready, and is no more.
    Died(String),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_get_ready_is_spoken_to_in_the_other_way() {
        let error = |was_started, version| StartError { text: String::new(), was_started, version };
        let opening = |era, version, ends| Opening { era, version, ends };
        let check = |configured, tried: Opening, error: StartError, expected: Opening| {
            assert_eq!(next_opening(configured, &tried, &error), expected, "{configured:?} {tried:?}");
        };
        let old = Some("2024-11-05");
        let [auto, legacy, modern] = [ProtocolEra::Auto, ProtocolEra::Legacy, ProtocolEra::Modern];
        check(auto, opening(auto, None, 0), error(true, old), opening(legacy, None, 0));
        // One end is no reason for an older version; a second one in a row is, whatever was asked in between.
        check(auto, opening(legacy, None, 0), error(true, old), opening(auto, None, 1));
        check(auto, opening(auto, None, 1), error(true, old), opening(legacy, None, 1));
        check(auto, opening(legacy, None, 1), error(true, old), opening(auto, old, 0));
        check(auto, opening(legacy, None, 1), error(true, None), opening(auto, None, 0));
        check(auto, opening(auto, old, 0), error(true, None), opening(legacy, old, 0));
        check(auto, opening(auto, old, 0), error(false, None), opening(auto, old, 0));
        check(legacy, opening(legacy, None, 0), error(true, old), opening(legacy, None, 1));
        check(legacy, opening(legacy, None, 1), error(true, old), opening(legacy, old, 0));
        check(modern, opening(modern, None, 0), error(true, None), opening(modern, None, 0));
        assert_eq!(first_opening(ProtocolEra::Auto, Some(ProtocolEra::Legacy)).era, ProtocolEra::Legacy);
        assert_eq!(first_opening(ProtocolEra::Auto, Some(ProtocolEra::Modern)).era, ProtocolEra::Auto);
        assert_eq!(first_opening(ProtocolEra::Modern, Some(ProtocolEra::Legacy)).era, ProtocolEra::Modern);
    }
}
