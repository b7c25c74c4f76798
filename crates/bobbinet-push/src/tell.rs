//! One webhook, from its mark to the end of its task.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Caller, Event, Generation, Secret, Task, TaskId};
use bobbinet_engine::{EngineError, Follower, PublicEvent, Resumed};
use futures::FutureExt;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::{
    Destination, Hook, HooksCommand, Notification, Posted, What, courier,
    lanes::{Lane, OwnerShare, Turn},
    pauses::{AGAIN, AGAIN_MAX, backoff},
    running::{Told, Trouble},
    secrets,
    shared::Shared,
    trying::Trying,
};

/// An event is tried so often before it is given up, however long that takes.
const ATTEMPTS_MIN: u32 = 3;

/// How long a task may take to be kept after its webhook was, or the node began: far longer than a store that works takes.
const BIRTH_MAX: Duration = Duration::from_secs(5 * 60);

/// How soon it is looked again for a task that is not there yet.
const BIRTH_LOOK: Duration = Duration::from_millis(20);

/// A webhook that has nothing to tell, or no turn to tell it, for so long lets go of its task, which would stay in memory with it.
const HELD_MAX: Duration = Duration::from_secs(5);

/// The same of one that finds nothing to tell, as all do that wait when the node starts: no longer than it takes to make a commit known.
/// One that has something to tell may read for as long as that takes.
const GLANCE: Duration = Duration::from_millis(100);

/// How often a task is looked for that has nothing to tell, whatever its store says.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// After so many events the mark is kept, also if there are more to tell: so many come again at most after a crash.
const UNMARKED_MAX: u32 = 16;

/// How long the store is given to keep something for a node that stops.
const LAST_WRITE_MAX: Duration = Duration::from_secs(5);

/// What is shown of why something was not taken, in characters.
const WHY_MAX: usize = 300;

/// A webhook that is told what happens.
pub(crate) struct Telling {
    pub(crate) shared: Arc<Shared>,
    pub(crate) task: TaskId,
    pub(crate) hook: Hook,
    pub(crate) told: Arc<Told>,
    pub(crate) caller: Caller,
    pub(crate) lane: Arc<Lane>,
    pub(crate) share: Arc<OwnerShare>,
    /// What it has taken; `None` if nothing is known yet.
    pub(crate) cursor: Option<Generation>,
    /// How much of that is in its mark.
    pub(crate) marked: Generation,
    /// How often in a row it did not take an event.
    pub(crate) attempts: u32,
    /// For how long.
    pub(crate) trying: Trying,
    /// When all of this began, in monotonic time.
    pub(crate) begun: Duration,
    /// How often its receiver had come back when it was tried last, if that was in vain.
    pub(crate) since: Option<u64>,
    /// Leave to tell the next event, got while nothing of the task was held.
    pub(crate) turn: Option<Turn>,
}

/// Why it is not told any more for now.
enum Pause {
    /// The task has ended, and all of it was told.
    End,
    /// The receiver does not want any more.
    Gone,
    /// The task is not there.
    NoTask,
    /// Nothing has happened for a while.
    Quiet,
    /// Others are told before it.
    Crowded,
    /// The receiver did not take what happened.
    Failed { why: String, retry_after: Option<Duration> },
    /// We could not go on.
    Engine(EngineError),
}

impl From<EngineError> for Pause {
    fn from(error: EngineError) -> Self {
        if error == EngineError::NotFound {
            return Self::NoTask;
        }
        Self::Engine(error)
    }
}

impl Telling {
    /// Tells all there is, however long that takes.
    pub(crate) async fn run(mut self) {
        let stop = self.told.stop.clone();
        let is_over = tokio::select! {
            biased;
            () = stop.cancelled() => !self.shared.is_stopping(),
            is_over = self.tell_all() => is_over,
        };
        let serial = self.hook.serial;
        self.shared.running.end(&(self.task, serial));
        self.turn = None;
        if !is_over {
            self.keep_at_last().await;
            return;
        }
        if self.trying.is_kept() {
            // What stays goes with its task, and nobody asks for it: whoever tries again does so under another name.
            self.shared.engine.mark_time(&self.task, &self.hook.trying(), Duration::ZERO).await.ok();
        }
        // Somebody may have wanted it to be tried again before it was seen here that it is over.
        let Ok(kept) = self.shared.align(&self.task).await else { return };
        if kept.is_none_or(|kept| kept.hooks().iter().all(|hook| hook.serial != serial)) {
            // Nobody asks for its mark any more. One that stays goes with its task.
            self.shared.engine.mark(&self.task, &self.hook.reader(), Generation(0)).await.ok();
        }
    }

    /// `false` if the node stops before it is kept what became of the webhook.
    async fn tell_all(&mut self) -> bool {
        let mut looks: u32 = 0;
        loop {
            let Err(pause) = self.tell_on().await;
            let serial = self.hook.serial;
            self.turn = None;
            let pause = match pause {
                Pause::Quiet => {
                    if !self.until_it_goes_on().await {
                        tokio::time::sleep(GLANCE).await;
                    }
                    continue;
                }
                Pause::Crowded => {
                    self.wait_for_turn().await;
                    continue;
                }
                Pause::End => {
                    let is_said = self.say(HooksCommand::Finish(serial)).await;
                    if !is_said {
                        // The node stops: what was taken need not come again.
                        self.mark().await.ok();
                    }
                    return is_said;
                }
                Pause::Gone => {
                    info!(task = %self.task, receiver = self.told.receiver, "a receiver is gone: its webhook is removed");
                    return self.say(HooksCommand::Drop(serial)).await;
                }
                Pause::NoTask if self.monotonic().saturating_sub(self.begun) > BIRTH_MAX => {
                    return self.say(HooksCommand::Drop(serial)).await;
                }
                Pause::NoTask => {
                    looks += 1;
                    (BIRTH_LOOK * looks).min(AGAIN)
                }
                Pause::Failed { why, retry_after } => {
                    let why = shortened(&why);
                    self.attempts = self.attempts.saturating_add(1);
                    self.trying.failed(self.monotonic());
                    if self.is_hopeless() {
                        return self.bury(why).await;
                    }
                    if let Err(error) = self.keep_time().await {
                        // The store is down: nothing of that is its receiver's fault, and it is tried all the same.
                        debug!(task = %self.task, %error, "could not keep how long a webhook was tried");
                    }
                    let pause = retry_after.unwrap_or_default().max(backoff(self.attempts)).min(AGAIN_MAX);
                    debug!(task = %self.task, receiver = self.told.receiver, %why, ?pause, "not delivered; trying again");
                    let next = self.shared.engine.env().now().after(pause);
                    self.told.set_trouble(Some(Trouble { attempts: self.attempts, next, why }));
                    pause
                }
                Pause::Engine(EngineError::Draining) => return false,
                // That becomes no better by itself. Whoever has mended it has it tried again.
                Pause::Engine(EngineError::Corrupt(why)) => return self.bury(shortened(&why)).await,
                Pause::Engine(error) => {
                    warn!(task = %self.task, %error, "could not go on with a webhook; trying again");
                    AGAIN
                }
            };
            self.pause(pause).await;
        }
    }

    /// Waits, but not while its receiver has come back for others, or somebody wants it to be tried now.
    async fn pause(&mut self, pause: Duration) {
        let since = self.since.take().unwrap_or_else(|| self.lane.returns());
        tokio::select! {
            biased;
            () = self.told.now.notified() => {}
            () = self.lane.is_back(since) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Waits until it may tell something, which may be long where many wait for a receiver that does not answer.
    async fn wait_for_turn(&mut self) {
        let (shared, lane, share) = (self.shared.clone(), self.lane.clone(), self.share.clone());
        let turn = shared.lanes.turn(&lane, &share);
        tokio::pin!(turn);
        loop {
            if let Ok(turn) = timeout(AGAIN_MAX, &mut turn).await {
                self.turn = Some(turn);
                return;
            }
            // What is not kept now is kept with the next try, or in a while.
            self.keep_time().await.ok();
        }
    }

    /// Waits until there may be more to tell, and holds nothing of its task meanwhile. `false` if there was all the time, or nobody knows.
    async fn until_it_goes_on(&self) -> bool {
        let seen = match self.shared.engine.get(&self.caller, &self.told.of.agent, &self.task).await {
            Ok(task) if Some(task.generation) == self.cursor => task.version,
            // Whoever tells it on meets the same.
            Ok(_) | Err(_) => return false,
        };
        timeout(LOOK_AGAIN, self.shared.engine.grown(&self.task, seen)).await.ok();
        true
    }

    fn monotonic(&self) -> Duration {
        self.shared.engine.env().monotonic()
    }

    /// Whether an event was tried for long enough.
    fn is_hopeless(&self) -> bool {
        let is_over = self.trying.time(self.monotonic()) >= self.shared.limits.webhook_retry();
        self.attempts >= ATTEMPTS_MIN && is_over
    }

    /// Keeps how long an event was tried, now and then.
    async fn keep_time(&mut self) -> Result<(), EngineError> {
        if let Some(time) = self.trying.to_keep(self.monotonic()) {
            self.shared.engine.mark_time(&self.task, &self.hook.trying(), time).await?;
            self.trying.set_kept(time);
        }
        Ok(())
    }

    /// Keeps that before the node ends, if the store does so soon.
    async fn keep_at_last(&self) {
        let Some(time) = self.trying.to_keep_at_last(self.monotonic()) else { return };
        let name = self.hook.trying();
        let kept = self.shared.engine.mark_time(&self.task, &name, time);
        match timeout(LAST_WRITE_MAX, kept).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(task = %self.task, %error, "could not keep how long a webhook was tried"),
            Err(_) => {
                warn!(task = %self.task, "could not keep how long a webhook was tried: the store does not answer")
            }
        }
    }

    /// Gives the webhook up. `false` if the node stops before that is kept.
    async fn bury(&self, why: Arc<str>) -> bool {
        warn!(task = %self.task, receiver = self.told.receiver, %why, "a webhook is given up: a dead letter");
        self.say(HooksCommand::Bury(self.hook.serial, why)).await
    }

    /// Says to the task's webhooks what has become of this one, until that is kept. `false` if the node stops before.
    async fn say(&self, command: HooksCommand) -> bool {
        loop {
            match self.shared.hooks.command(&self.task, command.clone()).await {
                Ok(_) | Err(EngineError::Refused(_)) => return true,
                Err(EngineError::Draining) => return false,
                Err(EngineError::Corrupt(why)) => {
                    warn!(task = %self.task, why, "webhooks cannot be read: one of them is told nothing more");
                    return true;
                }
                Err(error) => warn!(task = %self.task, %error, "could not say what became of a webhook; trying again"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Tells what follows the cursor, until something keeps it from that.
    async fn tell_on(&mut self) -> Result<std::convert::Infallible, Pause> {
        let cursor = match self.cursor {
            Some(cursor) => cursor,
            None => self.begin().await?,
        };
        let (engine, of) = (self.shared.engine.clone(), &self.told.of);
        let mut follower = match engine.resume_uncounted(&self.caller, &of.agent, &self.task, cursor).await? {
            Resumed::After(follower) => follower,
            // It has a mark that its task never came to: the store was put back to an earlier day.
            Resumed::Resync(task, follower) => {
                self.tell_task(task).await?;
                follower
            }
        };
        // What was folded for the last whole task, if the log was ahead of it.
        let mut shown = None;
        let mut held_max = GLANCE;
        loop {
            let Some(event) = self.next(&mut follower, held_max).await? else { return Err(Pause::End) };
            self.tell(&event, &mut shown).await?;
            held_max = HELD_MAX;
        }
    }

    /// Where it goes on: after its mark, else where it begins.
    async fn begin(&mut self) -> Result<Generation, Pause> {
        let marks = self.shared.engine.marks_of(&self.task).await?;
        self.trying.read(marks.time(&self.hook.trying()));
        let marked = marks.told(&self.hook.reader());
        if let Some(marked) = marked {
            self.marked = marked;
        }
        let cursor = match (marked, self.hook.asked.from) {
            (Some(marked), _) => marked,
            (None, None) => Generation(0),
            (None, Some(from)) => {
                let (engine, of) = (self.shared.engine.clone(), self.told.of.clone());
                let task = engine.as_of(&self.caller, &of.agent, &self.task, from).await?;
                let generation = task.generation;
                self.tell_task(task).await?;
                generation
            }
        };
        self.cursor = Some(cursor);
        Ok(cursor)
    }

    /// The next event. Before it waits for one it keeps what was taken.
    async fn next(&mut self, follower: &mut Follower, held_max: Duration) -> Result<Option<Arc<PublicEvent>>, Pause> {
        let ready = follower.next().now_or_never();
        let unmarked = self.cursor.unwrap_or_default().0.saturating_sub(self.marked.0);
        if ready.is_none() || unmarked >= u64::from(UNMARKED_MAX) {
            self.mark().await?;
        }
        if let Some(next) = ready {
            return Ok(next?);
        }
        if follower.is_behind() {
            // The turn is for what is read now. Cut off, all that was read would be read again.
            return Ok(follower.next().await?);
        }
        self.turn = None;
        match timeout(held_max, follower.next()).await {
            Ok(next) => Ok(next?),
            Err(_) => Err(Pause::Quiet),
        }
    }

    async fn mark(&mut self) -> Result<(), Pause> {
        // First, so that what was tried of one event never counts for the next.
        self.keep_time().await?;
        let cursor = self.cursor.unwrap_or_default();
        if cursor > self.marked {
            self.shared.engine.mark(&self.task, &self.hook.reader(), cursor).await?;
            self.marked = cursor;
        }
        Ok(())
    }

    /// Tells an event, if its dialect tells it.
    async fn tell(&mut self, event: &Arc<PublicEvent>, shown: &mut Option<Task>) -> Result<(), Pause> {
        let is_beginning = matches!(event.event, Event::Submitted(_));
        let told = self.shared.courier.told(&self.hook.asked.dialect, &event.event);
        let what = match told {
            courier::Told::Nothing => {
                self.cursor = Some(event.generation);
                return Ok(());
            }
            courier::Told::Event if !is_beginning => What::Event(event.clone()),
            // What begins a task is told as the task.
            courier::Told::Event | courier::Told::Task => What::Task(self.task_at(event, shown).await?),
        };
        let context = match &what {
            What::Task(task) => task.context.clone(),
            What::Event(_) => self.context().await?,
        };
        let notification = Notification { task: self.task, context, generation: event.generation, at: event.at, what };
        self.deliver(&notification).await
    }

    /// The whole task as it stood after this event.
    async fn task_at(&self, event: &PublicEvent, shown: &mut Option<Task>) -> Result<Arc<Task>, Pause> {
        let is_next = |shown: &&mut Task| shown.generation.0 + 1 == event.generation.0;
        if let Some(next) = shown.as_mut().filter(is_next) {
            next.apply(event.at, &event.event);
            return Ok(Arc::new(next.clone()));
        }
        let of = &self.told.of;
        let task = self.shared.engine.as_of(&self.caller, &of.agent, &self.task, event.generation).await?;
        // Folded, since there is more to come: the next one is made of it.
        *shown = Some(Task::clone(&task));
        Ok(task)
    }

    /// The context never changes, and the task is in memory as long as it is followed.
    async fn context(&self) -> Result<bobbinet_core::ContextId, Pause> {
        let task = self.shared.engine.get(&self.caller, &self.told.of.agent, &self.task).await?;
        Ok(task.context.clone())
    }

    async fn tell_task(&mut self, task: Arc<Task>) -> Result<(), Pause> {
        let notification = Notification {
            task: self.task,
            context: task.context.clone(),
            generation: task.generation,
            at: task.status_at,
            what: What::Task(task),
        };
        self.deliver(&notification).await
    }

    /// Sends a notification. Its receiver has taken it when this returns `Ok`.
    async fn deliver(&mut self, notification: &Notification) -> Result<(), Pause> {
        let failed = |why: &str| Pause::Failed { why: why.to_owned(), retry_after: None };
        let to = self.destination().ok_or_else(|| failed("its secrets were sealed with another key of this node"))?;
        let shared = self.shared.clone();
        let turn = match self.turn.take() {
            Some(turn) => turn,
            None => match timeout(HELD_MAX, shared.lanes.turn(&self.lane, &self.share)).await {
                Ok(turn) => turn,
                Err(_) => return Err(Pause::Crowded),
            },
        };
        let (body, room) = shared.lanes.body(|| shared.courier.write(&to.dialect, notification)).await;
        let limit = shared.limits.webhook_timeout();
        let since = self.lane.returns();
        let posted = timeout(limit, shared.courier.post(&to, notification, body)).await;
        drop((turn, room));
        match posted {
            Ok(Posted::Taken) => {
                self.lane.taken();
                self.attempts = 0;
                self.trying.taken();
                self.told.set_trouble(None);
                self.cursor = Some(notification.generation);
                Ok(())
            }
            Ok(Posted::Gone) => Err(Pause::Gone),
            Ok(Posted::Failed { why, retry_after }) => {
                self.lane.failed(false);
                self.since = Some(since);
                Err(Pause::Failed { why, retry_after })
            }
            Err(_) => {
                self.lane.failed(true);
                self.since = Some(since);
                Err(failed(&format!("no answer within {} s", limit.as_secs_f64())))
            }
        }
    }

    fn destination(&self) -> Option<Destination> {
        let asked = &self.hook.asked;
        let secrets = secrets::open(&self.shared.seal, &self.task, asked.sealed.as_deref())?;
        let authorization = asked.scheme.as_ref().map(|scheme| match &secrets.credentials {
            Some(credentials) => Secret::new(format!("{scheme} {}", credentials.reveal())),
            None => Secret::new(scheme.to_string()),
        });
        Some(Destination {
            url: asked.url.to_string(),
            dialect: asked.dialect.clone(),
            token: secrets.token,
            authorization,
        })
    }
}

fn shortened(why: &str) -> Arc<str> {
    why.chars().take(WHY_MAX).collect::<String>().into()
}
