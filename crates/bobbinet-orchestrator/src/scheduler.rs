//! Runs that nobody asks for: each scheduled flow is begun when its time has come, or its events were heard, under the principal that the
//! node's configuration names.
//!
//! What is due is the engine's to say ([`KeptSchedule`] has a time at which it is woken, down or not), and what has become due stays so
//! until a run has begun for it. A run is submitted under a key made of the flow and its time, or of the place of the event that begins
//! it: what is submitted again is the same run.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bobbinet_core::{
    AgentName, Caller, ContextId, Generation, Json, Message, MessageId, Part, Plan, Role, TaskId, Tenant, Timestamp,
    cloud_event::{HOPS, hops_of},
};
use bobbinet_engine::{Aggregate, Aggregates, Authorizer, Engine, EngineError, Filter, NewTask};
use bobbinet_events::{Events, ListenError, Position};
use bobbinet_flow::{
    document::{Definition, Schedule},
    limits::Limits,
    run::{Error, Surroundings, Trigger},
    schedule::{next_after_end, next_tick, tick_after_missed},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    listening::said_within,
    schedule::{KeptSchedule, ScheduleCommand, ScheduleId},
};

/// How soon what could not be done is tried again, and how long that may grow to.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(30);

/// How soon whoever waits for a time looks at the clock again, which may have been set meanwhile.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(60);

/// After so many events that begin nothing it is kept how far was heard.
const PASSED_MAX: u64 = 256;

/// A flow that runs by itself.
#[derive(Clone, Debug)]
pub struct ScheduledFlow {
    /// The flow's agent.
    pub agent: AgentName,
    /// What it is.
    pub definition: Arc<Definition>,
    /// Under whom it runs. Policy is asked about him as about anybody.
    pub caller: Caller,
}

/// Begins the runs of scheduled flows, until it is stopped.
#[derive(Debug)]
pub struct Scheduler {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Scheduler {
    /// Begins to keep these flows' times. Flows without a schedule are left alone. Events that are published after this has returned are
    /// heard.
    pub async fn start(engine: &Engine, authorizer: &Arc<dyn Authorizer>, flows: Vec<ScheduledFlow>) -> Self {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        for flow in flows {
            let Some(schedule) = flow.definition.schedule.clone() else { continue };
            let keeper = Keeper {
                engine: engine.clone(),
                schedules: engine.aggregates(),
                authorizer: authorizer.clone(),
                id: ScheduleId::of(&flow.agent),
                flow,
                schedule,
            };
            // One that cannot be kept now is tried again.
            if let Err(error) = keeper.plan().await {
                warn!(flow = %keeper.flow.agent, %error, "a schedule could not be planned; trying again");
            }
            let stopped = stop.clone();
            tracker.spawn(async move {
                tokio::select! {
                    biased;
                    () = stopped.cancelled() => {}
                    () = keeper.keep() => {}
                }
            });
        }
        tracker.close();
        Self { tracker, stop }
    }

    /// Begins nothing more. Returns when nothing of it is running.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tracker.wait().await;
    }
}

/// Keeps the times of one flow.
struct Keeper {
    engine: Engine,
    schedules: Aggregates<KeptSchedule>,
    authorizer: Arc<dyn Authorizer>,
    id: ScheduleId,
    flow: ScheduledFlow,
    schedule: Schedule,
}

/// A run that is to begin.
struct Beginning {
    /// Tells it apart from the flow's other runs: what is said again under it is the same run.
    key: String,
    input: Value,
    hops: u32,
    /// Whether an earlier process may have begun it, longer ago than keys are remembered.
    may_be_old: bool,
}

impl Keeper {
    async fn keep(&self) {
        let mut pause = LOOK_AGAIN;
        // What an earlier process has left is looked at more closely.
        let mut is_first = true;
        loop {
            let kept = async {
                self.plan().await?;
                tokio::try_join!(self.keep_times(is_first), self.keep_events(is_first)).map(drop)
            };
            let Err(error) = kept.await else { return };
            if error == EngineError::Draining {
                return;
            }
            warn!(flow = %self.flow.agent, %error, "a schedule could not be kept; trying again");
            sleep(pause).await;
            (pause, is_first) = ((pause * 2).min(LOOK_AGAIN_MAX), true);
        }
    }

    fn now(&self) -> Timestamp {
        self.engine.env().now()
    }

    fn tenant(&self) -> &Tenant {
        &self.flow.caller.tenant
    }

    /// Says what is said to the schedule, which may have moved on.
    async fn say(&self, command: ScheduleCommand) -> Result<(), EngineError> {
        match self.schedules.command(&self.id, command).await {
            Ok(_) | Err(EngineError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn plan(&self) -> Result<(), EngineError> {
        let Schedule { every, cron, after, on, .. } = &self.schedule;
        let words = [
            every.map(|every| format!("every {}ms", every.as_millis())),
            cron.as_ref().map(|cron| format!("cron {cron}")),
            after.map(|after| format!("after {}ms", after.as_millis())),
            on.as_ref().map(|_| "on events".to_owned()),
        ];
        let now = self.now();
        let cursor = match on {
            Some(_) => Some(Events::new(self.engine.aggregates()).end(self.tenant()).await?),
            None => None,
        };
        self.say(ScheduleCommand::Plan {
            times: words.into_iter().flatten().collect::<Vec<_>>().join(", "),
            next: next_tick(&self.schedule, now),
            // The first run waits for none.
            again: after.map(|_| now),
            cursor,
        })
        .await
    }

    /// Begins a run for each time that has come, and looks for the end of the last one where the next goes by that.
    async fn keep_times(&self, mut is_first: bool) -> Result<(), EngineError> {
        let mut state = self.state().await?;
        loop {
            // Seen from here on, so that nothing that happens meanwhile is missed.
            let mut changes = self.schedules.follow(&self.id, Generation(state.version())).await?;
            if let Some(tick) = state.tick {
                self.begin_tick(&state, tick, is_first).await?;
                is_first = false;
            } else {
                let run = state.run.filter(|_| self.schedule.after.is_some() && state.again.is_none());
                tokio::select! {
                    biased;
                    changed = changes.next() => {
                        changed?.ok_or(EngineError::NotFound)?;
                    }
                    due = self.until(state.due()) => self.say(ScheduleCommand::Wake { due }).await?,
                    ended = self.end_of(run) => {
                        let (run, at) = ended?;
                        if let Some(again) = next_after_end(&self.schedule, at) {
                            self.say(ScheduleCommand::Ended { run, again }).await?;
                        }
                    }
                }
            }
            state = self.state().await?;
        }
    }

    /// Returns when it is this time. The engine says so, too, a little later; but by time that has passed, and a machine may have slept.
    async fn until(&self, due: Option<Timestamp>) -> Timestamp {
        let Some(due) = due else { return std::future::pending().await };
        loop {
            let left = due.since(self.now());
            if left.is_zero() {
                return due;
            }
            sleep(left.min(LOOK_AT_CLOCK)).await;
        }
    }

    async fn state(&self) -> Result<Arc<KeptSchedule>, EngineError> {
        self.schedules.get(&self.id).await?.ok_or(EngineError::NotFound)
    }

    async fn begin_tick(&self, state: &KeptSchedule, tick: Timestamp, may_be_old: bool) -> Result<(), EngineError> {
        let key = format!("{}-{}", self.flow.agent, tick.as_millis());
        let run = self.begin(Beginning { key, input: json!({}), hops: 0, may_be_old }).await?;
        let now = self.now();
        let next = match state.next {
            // What was missed has run by this.
            Some(next) if next <= now => tick_after_missed(&self.schedule, next, now),
            next => next,
        };
        // Where nothing runs, nothing ends.
        let again = if run.is_some() { None } else { next_after_end(&self.schedule, now) };
        self.say(ScheduleCommand::Begun { tick, run, next, again }).await
    }

    /// Returns when a run has ended, with the time; for no run never.
    async fn end_of(&self, run: Option<TaskId>) -> Result<(TaskId, Timestamp), EngineError> {
        let Some(run) = run else { return std::future::pending().await };
        loop {
            let (task, mut follower) = match self.engine.follow(&self.flow.caller, &self.flow.agent, &run).await {
                Ok(followed) => followed,
                // It was kept long enough, and is forgotten; or it is not this principal's any more.
                Err(EngineError::NotFound) => return Ok((run, self.now())),
                Err(EngineError::Limit { .. }) => {
                    sleep(LOOK_AGAIN).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if task.state.is_terminal() {
                return Ok((run, task.status_at));
            }
            while follower.next().await?.is_some() {}
        }
    }

    /// Begins a run for the events that match.
    async fn keep_events(&self, mut is_first: bool) -> Result<(), EngineError> {
        let Some(mut trigger) = Trigger::new(&self.flow.definition) else { return std::future::pending().await };
        let mut said = self.state().await?.cursor.unwrap_or_default();
        let mut listener = match Events::new(self.engine.aggregates()).listen(self.tenant(), said).await {
            Ok(listener) => listener,
            Err(ListenError::Engine(error)) => return Err(error),
            Err(ListenError::Trimmed { .. }) => return Err(EngineError::NotFound),
        };
        let mut hops = 0;
        let say_within = said_within(self.engine.limits());
        let mut say_by = Instant::now() + say_within;
        loop {
            let heard = match timeout_at(say_by, listener.next()).await {
                Ok(Ok(heard)) => heard,
                Err(_elapsed) => {
                    say_by = Instant::now() + say_within;
                    if trigger.is_new() && listener.cursor() > said {
                        said = listener.cursor();
                        self.say(ScheduleCommand::Heard { cursor: said }).await?;
                    }
                    continue;
                }
                Ok(Err(ListenError::Engine(error))) => return Err(error),
                Ok(Err(missing @ ListenError::Trimmed { .. })) => {
                    warn!(flow = %self.flow.agent, %missing, "events that could have begun a flow are gone");
                    continue;
                }
            };
            let Position(place) = heard.position;
            if let Some(event) = heard.event {
                let event = event.to_value();
                match self.hear(&mut trigger, &event) {
                    Ok(input) => {
                        // Of all that it has heard since it was new.
                        hops = hops.max(hops_of(&event));
                        if let Some(input) = input {
                            let key = format!("{}-on-{place}", self.flow.agent);
                            let may_be_old = std::mem::take(&mut is_first);
                            self.begin(Beginning { key, input, hops, may_be_old }).await?;
                            said = heard.position;
                            self.say(ScheduleCommand::Heard { cursor: said }).await?;
                        }
                        if trigger.is_new() {
                            hops = 0;
                        }
                    }
                    Err(error) => {
                        let why = error.detail.unwrap_or_default();
                        warn!(flow = %self.flow.agent, why, "an event could not be looked at");
                    }
                }
            }
            if trigger.is_new() && place.saturating_sub(said.0) >= PASSED_MAX {
                said = heard.position;
                self.say(ScheduleCommand::Heard { cursor: said }).await?;
            }
        }
    }

    fn hear(&self, trigger: &mut Trigger, event: &Value) -> Result<Option<Value>, Error> {
        let (limits, secrets, runtime) = (Limits::default(), BTreeMap::new(), json!({}));
        let around = Surroundings { limits: &limits, secrets: &secrets, runtime: &runtime, blobs: &() };
        trigger.hear(&self.flow.definition, event, self.now(), &around)
    }

    /// Begins a run, however long that takes. `None` if it may not be.
    async fn begin(&self, beginning: Beginning) -> Result<Option<TaskId>, EngineError> {
        let mut pause = LOOK_AGAIN;
        loop {
            match self.try_begin(&beginning).await {
                Ok(run) => return Ok(run),
                Err(EngineError::Draining) => return Err(EngineError::Draining),
                Err(error @ (EngineError::Unavailable(_) | EngineError::Limit { .. })) => {
                    warn!(flow = %self.flow.agent, %error, "a scheduled run could not begin yet; trying again");
                }
                Err(error) => {
                    warn!(flow = %self.flow.agent, %error, "a scheduled run cannot begin");
                    return Ok(None);
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_AGAIN_MAX);
        }
    }

    async fn try_begin(&self, beginning: &Beginning) -> Result<Option<TaskId>, EngineError> {
        let ScheduledFlow { agent, caller, .. } = &self.flow;
        let Beginning { key, input, hops, may_be_old } = beginning;
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let name = format!("schedule-{}", hex::encode(&hash[..16]));
        let context = ContextId::parse(&name).map_err(|error| EngineError::Corrupt(error.to_string()))?;
        if *may_be_old {
            let filter = Filter { context: Some(context.clone()), page_size: 1, bytes_max: 1, ..Filter::default() };
            if let Some(run) = self.engine.list(caller, agent, filter).await?.tasks.first() {
                return Ok(Some(run.id));
            }
        }
        let mut metadata = json!({ "schedule": key });
        if *hops > 0 {
            metadata[HOPS] = (*hops).into();
        }
        let message = Message {
            id: MessageId::parse(&name).map_err(|error| EngineError::Corrupt(error.to_string()))?,
            role: Role::User,
            parts: vec![Part::data(Json::from(input))],
            metadata: Some(Json::from(&metadata)),
            extensions: Vec::new(),
            reference_tasks: Vec::new(),
        };
        let idempotency = Some((name, hash));
        let new = NewTask { message, context: Some(context), skill: None, trace: None, idempotency };
        let planned = self.engine.plan(agent, new)?;
        if let Plan::Call(call) = planned.plan()
            && let Err(denied) = self.authorizer.allows_call(caller, agent, call)
        {
            warn!(flow = %agent, why = denied.text, "a scheduled run may not begin");
            return Ok(None);
        }
        let run = self.engine.submit_planned(caller, planned)?.accepted().await?.id;
        info!(flow = %agent, task = %run, schedule = key, "a scheduled run has begun");
        Ok(Some(run))
    }
}
