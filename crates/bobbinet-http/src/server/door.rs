//! The one door between HTTP and the engine: may this caller do this to this agent? Then the engine is asked, and its answer
//! written.

use std::{collections::BTreeMap, future::pending, sync::Arc};

use bobbinet_auth::Operation as Action;
use bobbinet_core::{AgentName, Caller, Json, SkillId, Task, TaskId};
use bobbinet_engine::{EngineError, Filter, Handle, NewTask, Reply, Resumed};
use bobbinet_wire::{
    EXTENSION_URI, Error, ErrorKind, Id, Operation, Pieces, Sink, envelope,
    operation::{CancelParams, GetParams, ListParams, SendParams, SubscribeParams},
    v1_0::response::{self, Listed, Selection},
};
use tokio::time::sleep;

use super::{
    fault::{self, Doing},
    places::{Place, Room},
    site::Site,
    stream::{Cursor, Events},
};

/// Room for an answer of an ordinary task.
const ANSWER_CAPACITY: usize = 1 << 10;

/// An answer of more bytes is counted as long as its reader has not taken it.
const LARGE: usize = 64 << 10;

/// A caller before one agent, with what its request's headers say.
pub(super) struct Door<'a> {
    pub(super) site: &'a Arc<Site>,
    pub(super) agent: &'a AgentName,
    pub(super) caller: &'a Caller,
    /// The request's.
    pub(super) id: &'a Id,
    /// The skill that the URL names.
    pub(super) skill: Option<SkillId>,
    pub(super) trace: Option<Arc<str>>,
    pub(super) idempotency: Option<(String, [u8; 32])>,
    /// Where a stream is to go on.
    pub(super) cursor: Option<Cursor>,
}

/// The tasks of a page, and where the next one begins.
struct Page {
    tasks: Listed,
    next: Option<String>,
    total: usize,
}

/// What comes of a request.
pub(super) enum Answer {
    /// A whole JSON-RPC answer, and the room that it takes until it is out if it is large.
    Whole(Pieces, Option<Room>),
    /// One after the other.
    Stream(Box<Events>),
}

impl Door<'_> {
    /// Lets the caller do it, or says why not. `place` is given back as soon as there is nothing to do but wait.
    pub(super) async fn answer(&self, operation: Operation, place: Place) -> Result<Answer, Error> {
        match operation {
            Operation::Send(params) => self.send(params, place).await,
            Operation::SendStreaming(params) => self.send_streaming(params).await,
            Operation::Get(params) => self.get(params, place).await,
            // Boxed, so that the far more frequent ones need not carry the room for it.
            Operation::List(params) => Box::pin(self.list(params, place)).await,
            Operation::Cancel(params) => self.cancel(params, place).await,
            Operation::Subscribe(params) => Box::pin(self.subscribe(params)).await,
            Operation::ExtendedCard(_) => {
                self.allow(Action::Get(self.agent), ErrorKind::PermissionDenied)?;
                let error = Error::new(ErrorKind::UnsupportedOperation);
                Err(error.with_message("The agent has no extended card").with_hint("Use the public card."))
            }
            Operation::PushConfig(_) => {
                self.allow(Action::Get(self.agent), ErrorKind::PermissionDenied)?;
                Err(ErrorKind::PushNotificationNotSupported.into())
            }
        }
    }

    async fn send(&self, params: Box<SendParams>, place: Place) -> Result<Answer, Error> {
        self.allow_send(&params)?;
        let selection = Selection::history(params.configuration.history_length);
        if params.configuration.return_immediately {
            let handle = self.submit(params).await?;
            let task = handle.accepted().await.map_err(|error| self.fault(error, Doing::Send))?;
            drop(place);
            return Ok(self.done(|out| response::write_task_wrapped(out, &task, selection)).await);
        }
        // The place to wait in is taken before anything is done: once the task is kept, there is no refusing.
        let waiting = self.site.places.wait().map_err(|full| fault::of_full(full, &self.site.limits))?;
        let handle = self.submit(params).await?;
        drop(place);
        let task = self.wait(&handle).await.map_err(|error| self.fault(error, Doing::Send))?;
        drop(waiting);
        Ok(self.done(|out| response::write_task_wrapped(out, &task, selection)).await)
    }

    async fn send_streaming(&self, params: Box<SendParams>) -> Result<Answer, Error> {
        self.allow_send(&params)?;
        let stream_place = self.stream_place()?;
        let is_new = params.task.is_none();
        let selection = Selection::history(params.configuration.history_length);
        let handle = self.submit(params).await?;
        let task = handle.accepted().await.map_err(|error| self.fault(error, Doing::Send))?;
        let follower = handle.follow();
        let events = if is_new {
            // Its first event is the task itself.
            Events::begun(self.site, self.id, &task, follower, selection)
        } else {
            Events::answered(self.site, self.id, &task, follower, selection)
        };
        Ok(Answer::Stream(Box::new(events.holding(stream_place))))
    }

    async fn subscribe(&self, params: SubscribeParams) -> Result<Answer, Error> {
        self.allow(Action::Subscribe(self.agent), ErrorKind::TaskNotFound)?;
        let id = task_id(&params.id)?;
        let stream_place = self.stream_place()?;
        let (site, caller, agent) = (self.site, self.caller, self.agent);
        let fault = |error| self.fault(error, Doing::Read);
        let events = match self.cursor {
            Some(Cursor::After(generation)) => {
                match site.engine.resume(caller, agent, &id, generation).await.map_err(fault)? {
                    Resumed::After(follower) => {
                        let task = site.engine.get(caller, agent, &id).await.map_err(fault)?;
                        Events::after(site, self.id, &task, follower)
                    }
                    Resumed::Resync(task, follower) => Events::resync(site, self.id, &task, follower),
                }
            }
            Some(Cursor::Unreadable) => {
                let (task, follower) = site.engine.follow(caller, agent, &id).await.map_err(fault)?;
                Events::resync(site, self.id, &task, follower)
            }
            None => {
                let (task, follower) = site.engine.follow(caller, agent, &id).await.map_err(fault)?;
                if task.state.is_terminal() {
                    return Err(fault::ended());
                }
                Events::after_snapshot(site, self.id, &task, follower)
            }
        };
        Ok(Answer::Stream(Box::new(events.holding(stream_place))))
    }

    async fn get(&self, params: GetParams, place: Place) -> Result<Answer, Error> {
        self.allow(Action::Get(self.agent), ErrorKind::TaskNotFound)?;
        let id = task_id(&params.id)?;
        let task = self.site.engine.get(self.caller, self.agent, &id).await;
        let task = task.map_err(|error| self.fault(error, Doing::Read))?;
        let selection = Selection::history(params.history_length);
        drop(place);
        self.whole(|out| response::write_task(out, &task, selection)).await
    }

    async fn list(&self, params: ListParams, place: Place) -> Result<Answer, Error> {
        self.allow(Action::List(self.agent), ErrorKind::PermissionDenied)?;
        let (page_size, selection) = (
            params.page_size,
            Selection { history_length: params.history_length, artifacts: params.include_artifacts },
        );
        let page = self.page(params, selection).await?;
        let mut body = Pieces::default();
        envelope::write_result(&mut body, self.id, |out| {
            let page = response::Page {
                tasks: &page.tasks,
                next_page_token: page.next.as_deref().unwrap_or_default(),
                page_size,
                total_size: page.total,
            };
            response::write_page(out.bytes(), page);
        });
        drop(place);
        let room = self.room(body.len()).await?;
        Ok(Answer::Whole(body, room))
    }

    /// Reads a page, and ends it before the task that would make it too large: who lists does not know what the tasks weigh. They
    /// weigh more in memory than what is shown of them, so one page may be read in several goes.
    async fn page(&self, params: ListParams, selection: Selection) -> Result<Page, Error> {
        let bytes_max = self.site.limits.page_bytes_max;
        let mut page = Page { tasks: Listed::default(), next: params.page_token, total: 0 };
        let mut left = usize::try_from(params.page_size).unwrap_or(usize::MAX);
        let mut is_first = true;
        while left > 0 {
            let filter = Filter {
                context: params.context.clone(),
                state: params.state,
                status_since: params.status_timestamp_after,
                page_size: left,
                bytes_max,
                page_token: page.next.clone(),
            };
            let list = self.site.engine.list(self.caller, self.agent, filter).await;
            let list = list.map_err(|error| self.fault(error, Doing::Read))?;
            if is_first {
                page.total = list.total;
            }
            for (place, task) in list.tasks.iter().enumerate() {
                let before = page.tasks.len();
                page.tasks.push(task, selection);
                if page.tasks.len() > bytes_max && before > 0 {
                    page.tasks.truncate(before);
                    if place > 0 {
                        page.next = list.next_before(place);
                    }
                    return Ok(page);
                }
            }
            is_first = false;
            left = left.saturating_sub(list.tasks.len());
            page.next = list.next();
            if page.next.is_none() {
                break;
            }
        }
        Ok(page)
    }

    async fn cancel(&self, params: CancelParams, place: Place) -> Result<Answer, Error> {
        self.allow(Action::Cancel(self.agent), ErrorKind::TaskNotFound)?;
        let id = task_id(&params.id)?;
        let task = self.site.engine.cancel(self.caller, self.agent, &id).await;
        let task = task.map_err(|error| self.fault(error, Doing::Cancel))?;
        drop(place);
        Ok(self.done(|out| response::write_task(out, &task, Selection::ALL)).await)
    }

    /// Whoever names a task and may not touch it learns nothing of it, not even that it is there.
    fn allow_send(&self, params: &SendParams) -> Result<(), Error> {
        let denial = if params.task.is_some() { ErrorKind::TaskNotFound } else { ErrorKind::PermissionDenied };
        self.allow(Action::Send(self.agent), denial)?;
        match params.configuration.has_push_config {
            true => Err(ErrorKind::PushNotificationNotSupported.into()),
            false => Ok(()),
        }
    }

    fn allow(&self, action: Action<'_>, denial: ErrorKind) -> Result<(), Error> {
        let Err(denied) = self.site.policy.allows(self.caller, action) else { return Ok(()) };
        tracing::debug!(principal = %denied.principal, rule = denied.rule, operation = denied.operation, "denied");
        Err(if denial == ErrorKind::PermissionDenied { fault::of_denied(&denied) } else { denial.into() })
    }

    /// Begins a task, or answers one.
    async fn submit(&self, params: Box<SendParams>) -> Result<Handle, Error> {
        let skill = self.skill.clone().or_else(|| skill_in(params.metadata.as_ref()));
        let engine = &self.site.engine;
        let result = match &params.task {
            Some(text) => {
                let id = task_id(text)?;
                let reply = Reply {
                    message: params.message,
                    context: params.context,
                    skill,
                    idempotency: self.idempotency.clone(),
                };
                Box::pin(engine.reply(self.caller, self.agent, &id, reply)).await
            }
            None => {
                self.site.await_start(self.agent).await;
                let new = NewTask {
                    message: params.message,
                    context: params.context,
                    skill,
                    trace: self.trace.clone(),
                    idempotency: self.idempotency.clone(),
                };
                engine.submit(self.caller, self.agent, new)
            }
        };
        result.map_err(|error| self.fault(error, Doing::Send))
    }

    /// Until the task has ended or asks; or, where there is a limit or the server stops, the task as it stands then.
    async fn wait(&self, handle: &Handle) -> Result<Arc<Task>, EngineError> {
        let settled = tokio::select! {
            biased;
            settled = handle.settled() => Some(settled),
            () = self.wait_is_over() => None,
        };
        match settled {
            Some(settled) => settled,
            None => {
                let id = handle.accepted().await?.id;
                self.site.engine.get(self.caller, self.agent, &id).await
            }
        }
    }

    async fn wait_is_over(&self) {
        let limit = async {
            match self.site.wait_max {
                Some(wait_max) => sleep(wait_max).await,
                None => pending().await,
            }
        };
        let stopped = async {
            self.site.stop.cancelled().await;
            sleep(self.site.limits.drain()).await;
        };
        tokio::select! { biased; () = limit => {}, () = stopped => {} }
    }

    fn stream_place(&self) -> Result<super::places::StreamPlace, Error> {
        self.site.places.stream(self.caller).map_err(|full| fault::of_full(full, &self.site.limits))
    }

    fn fault(&self, error: EngineError, doing: Doing) -> Error {
        fault::of_engine(error, doing, &self.site.limits)
    }

    /// Room for an answer, if it is large. Whoever calls has given back his request's place: there is nothing to do but wait.
    async fn room(&self, bytes: usize) -> Result<Option<Room>, Error> {
        if bytes <= LARGE {
            return Ok(None);
        }
        let room = self.site.places.room(self.caller, bytes).await;
        room.map(Some).map_err(|full| fault::of_full(full, &self.site.limits))
    }

    /// The answer to a read. A large one is refused if there is no room for it.
    async fn whole(&self, result: impl FnOnce(&mut Pieces)) -> Result<Answer, Error> {
        let out = self.written(result);
        let room = self.room(out.len()).await?;
        Ok(Answer::Whole(out, room))
    }

    /// The answer to what has been done: there is no refusing it any more.
    async fn done(&self, result: impl FnOnce(&mut Pieces)) -> Answer {
        let out = self.written(result);
        let room = self.room(out.len()).await.ok().flatten();
        Answer::Whole(out, room)
    }

    fn written(&self, result: impl FnOnce(&mut Pieces)) -> Pieces {
        let mut out = Pieces::default();
        out.bytes().reserve(ANSWER_CAPACITY);
        envelope::write_result(&mut out, self.id, result);
        out
    }
}

/// A text that is no id of ours names no task.
fn task_id(text: &str) -> Result<TaskId, Error> {
    TaskId::parse(text).ok_or_else(|| ErrorKind::TaskNotFound.into())
}

/// The skill that the request's own metadata names under our extension; the agent reads the message's.
fn skill_in(metadata: Option<&Json>) -> Option<SkillId> {
    let metadata = metadata.filter(|metadata| metadata.as_str().contains(EXTENSION_URI))?;
    let ours = metadata.read::<BTreeMap<String, Json>>().ok()?.remove(EXTENSION_URI)?;
    let skill = ours.read::<BTreeMap<String, Json>>().ok()?.remove("skill")?;
    SkillId::parse(&skill.read::<String>().ok()?).ok()
}
