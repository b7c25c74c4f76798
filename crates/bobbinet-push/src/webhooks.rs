//! The webhooks of a node: asked for, shown, removed, and told what happens.

use std::{sync::Arc, time::Duration};

use bobbinet_auth::SealingKey;
use bobbinet_core::{Caller, Generation, PushConfig, PushPage, PushView, Refused, TaskId};
use bobbinet_engine::{Aggregate, Engine, EngineError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    Courier, Hook, HookState, HooksCommand, LETTERS_MAX, Letter, LetterState, Letters, NewHook, Of, TaskHooks,
    WebhookError,
    lanes::Lanes,
    pauses::AGAIN,
    running::{Room, Told},
    secrets,
    shared::Shared,
    task_hooks::{ACTIVE, ACTIVE_AND_DEAD, AT_REST, DEAD},
    tell::Telling,
    trying::Trying,
    unsure::Unsure,
};

/// How often webhooks are looked for whose tasks were kept long enough.
const SWEEP: Duration = Duration::from_secs(60 * 60);

/// What webhooks are made of.
#[derive(Debug)]
pub struct WebhooksSetup {
    /// Whose tasks they are told of.
    pub engine: Engine,
    /// Seals what callers entrust to us.
    pub seal: SealingKey,
    /// Carries notifications.
    pub courier: Arc<dyn Courier>,
}

/// A webhook that was just asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// As it is shown.
    pub view: PushView,
    registration: Arc<str>,
}

/// The webhooks of a node.
#[derive(Debug)]
pub struct Webhooks {
    shared: Arc<Shared>,
}

impl Webhooks {
    /// Goes on with all that were not told everything.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn start(setup: WebhooksSetup) -> Result<Arc<Self>, EngineError> {
        let WebhooksSetup { engine, seal, courier } = setup;
        let limits = engine.limits().clone();
        let shared = Arc::new(Shared {
            hooks: engine.aggregates(),
            lanes: Lanes::new(&limits),
            running: Arc::default(),
            unsure: Unsure::default(),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            engine,
            seal,
            courier,
            limits,
        });
        for state in [ACTIVE, ACTIVE_AND_DEAD] {
            for (task, _) in shared.hooks.in_state(state).await? {
                if let Some(hooks) = shared.readable(&task).await? {
                    hooks.hooks().iter().for_each(|hook| shared.begin(&task, hooks.of(), hook));
                }
            }
        }
        let going_on = shared.running.all().len();
        if going_on > 0 {
            info!(webhooks = going_on, "going on with webhooks");
        }
        shared.tracker.spawn(sweep(shared.clone()));
        shared.tracker.spawn(make_sure(shared.clone()));
        Ok(Arc::new(Self { shared }))
    }

    /// Tells nothing more. Returns when nothing is on its way. What was not taken is told after the next start.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.tracker.close();
        self.shared.tracker.wait().await;
    }

    /// Adds a webhook to a task, or puts it in the place of the one of its id. Durable when this returns. It is told the task as it stands,
    /// and all that follows.
    ///
    /// # Errors
    /// If nothing is ever sent to its URL, there are too many, or it was not kept.
    pub async fn register(
        &self,
        of: Of,
        task: &TaskId,
        at: Generation,
        config: &PushConfig,
    ) -> Result<Registered, WebhookError> {
        self.shared.register(of, task, Some(at), config).await
    }

    /// The same for a task that is about to begin, of which it is told everything. One that does not begin is forgotten.
    ///
    /// # Errors
    /// As [`Webhooks::register`].
    pub async fn register_first(&self, of: Of, task: &TaskId, config: &PushConfig) -> Result<Registered, WebhookError> {
        self.shared.register(of, task, None, config).await
    }

    /// Removes a webhook that was asked for by what does not count, and no other, whatever has its name by now. One that has taken
    /// another's place stays: that other one is gone, and whoever had it would be told nothing.
    ///
    /// # Errors
    /// If that was not kept.
    pub async fn take_back(&self, task: &TaskId, registered: &Registered) -> Result<(), WebhookError> {
        match self.shared.ask(task, HooksCommand::TakeBack(registered.registration.clone()), None).await {
            Ok(_) | Err(EngineError::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A webhook of a task; the first one if no id is said.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`] if there is none.
    pub async fn get(&self, task: &TaskId, id: Option<&str>) -> Result<PushView, WebhookError> {
        let hooks = self.shared.hooks.get(task).await?.ok_or(WebhookError::NotFound)?;
        let hook = match id {
            Some(id) => hooks.named(id),
            None => hooks.hooks().first(),
        };
        Ok(view(task, &hook.ok_or(WebhookError::NotFound)?.asked))
    }

    /// The webhooks of a task, in the order of their registration.
    ///
    /// # Errors
    /// [`WebhookError::BadPageToken`] for one that this list never gave out.
    pub async fn list(
        &self,
        task: &TaskId,
        page_size: Option<u32>,
        page_token: Option<&str>,
    ) -> Result<PushPage, WebhookError> {
        // A page begins after the serial that its token says: what was added or removed meanwhile moves nothing.
        let after = page_token.map_or(Ok(0), str::parse::<u64>).map_err(|_| WebhookError::BadPageToken)?;
        let Some(hooks) = self.shared.hooks.get(task).await? else { return Ok(PushPage::default()) };
        let rest: Vec<_> = hooks.hooks().iter().filter(|hook| hook.serial > after).collect();
        let size = page_size.map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX));
        let page = &rest[..rest.len().min(size)];
        let next = page.last().filter(|_| page.len() < rest.len()).map(|last| last.serial.to_string());
        Ok(PushPage { configs: page.iter().map(|hook| view(task, &hook.asked)).collect(), next_page_token: next })
    }

    /// Removes a webhook. One that is gone is no fault. What is on its way arrives; nothing follows it.
    ///
    /// # Errors
    /// If that was not kept.
    pub async fn remove(&self, task: &TaskId, id: &str) -> Result<(), WebhookError> {
        match self.shared.ask(task, HooksCommand::Remove(id.into()), None).await {
            Ok(_) | Err(EngineError::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Of the webhooks of one tenant: those whose receivers have not taken an event, and how many others there are.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn letters(&self, caller: &Caller) -> Result<Letters, WebhookError> {
        let shared = &self.shared;
        let mut letters = Letters::default();
        for state in [DEAD, ACTIVE_AND_DEAD] {
            for (task, summary) in shared.hooks.in_state(state).await? {
                if *summary.tenant != *caller.tenant.as_str() {
                    continue;
                }
                let Some(hooks) = shared.readable(&task).await? else { continue };
                for hook in hooks.hooks() {
                    let HookState::Dead { at, why } = &hook.state else { continue };
                    letters.push(Letter {
                        task,
                        of: hooks.of().clone(),
                        id: hook.asked.id.clone(),
                        receiver: shared.receiver(&hook.asked.url),
                        state: LetterState::Dead { at: *at },
                        why: why.clone(),
                    });
                }
            }
        }
        for ((task, _), told) in shared.running.all() {
            if told.of.tenant != caller.tenant {
                continue;
            }
            match told.trouble() {
                Some(trouble) => letters.push(Letter {
                    task,
                    of: told.of.clone(),
                    id: told.id.clone(),
                    receiver: told.receiver.clone(),
                    state: LetterState::Retrying { attempts: trouble.attempts, next: trouble.next },
                    why: trouble.why,
                }),
                None => letters.waiting += 1,
            }
        }
        Ok(letters)
    }

    /// Tries a webhook again: now if it waits, and from where it was given up if it is a dead letter.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`] if there is none of this name that has anything to tell.
    pub async fn retry(&self, task: &TaskId, id: &str) -> Result<(), WebhookError> {
        let shared = &self.shared;
        let hooks = match shared.ask(task, HooksCommand::Revive(id.into()), None).await {
            Ok(hooks) => hooks,
            Err(EngineError::Refused(Refused::Absent)) => return Err(WebhookError::NotFound),
            Err(EngineError::Refused(_)) => shared.hooks.get(task).await?.ok_or(WebhookError::NotFound)?,
            Err(error) => return Err(error.into()),
        };
        let hook = hooks.named(id).filter(|hook| hook.is_active()).ok_or(WebhookError::NotFound)?;
        if let Some(told) = shared.running.get(&(*task, hook.serial)) {
            told.now.notify_one();
        }
        Ok(())
    }
}

impl Letters {
    fn push(&mut self, letter: Letter) {
        if self.letters.len() < LETTERS_MAX {
            self.letters.push(letter);
        } else {
            self.left_out += 1;
        }
    }
}

impl Shared {
    async fn register(
        self: &Arc<Self>,
        of: Of,
        task: &TaskId,
        from: Option<Generation>,
        config: &PushConfig,
    ) -> Result<Registered, WebhookError> {
        self.courier.receiver(&config.url).map_err(WebhookError::Url)?;
        self.courier.check(&config.url).await.map_err(WebhookError::Url)?;
        let registration: Arc<str> = self.engine.env().uuid().to_string().into();
        let room = Room::of(&self.running, &registration, &of, &self.limits)?;
        let hook = NewHook {
            id: config.id.as_deref().map_or_else(|| registration.clone(), Into::into),
            url: config.url.as_str().into(),
            dialect: config.dialect.clone(),
            from,
            scheme: config.authentication.as_ref().map(|authentication| authentication.scheme.as_str().into()),
            sealed: secrets::seal(&self.seal, task, config)?.map(Into::into),
            registration: Some(registration.clone()),
        };
        // What stands under its name by then may be another's.
        let view = view(task, &hook);
        self.ask(task, HooksCommand::Register(of, hook), Some(room)).await?;
        Ok(Registered { view, registration })
    }

    /// Asks something of a task's webhooks, and has those told that are to be told after it; also if whoever asks hangs up meanwhile.
    async fn ask(
        self: &Arc<Self>,
        task: &TaskId,
        command: HooksCommand,
        room: Option<Room>,
    ) -> Result<Arc<TaskHooks>, EngineError> {
        let (shared, task) = (self.clone(), *task);
        let asked = self.tracker.spawn(async move {
            let asked = shared.hooks.command(&task, command).await;
            if let Ok(kept) = &asked {
                shared.align_from(&task, Some(kept.clone())).await.ok();
            } else if let Err(EngineError::Unavailable(_)) = &asked {
                // It may have been kept, but whoever asked need not wait until that is known.
                shared.unsure.add(task);
            }
            // It is counted among those that are told, or is none of them.
            drop(room);
            asked
        });
        // It is given up by nobody but by a node that ends.
        asked.await.unwrap_or(Err(EngineError::Draining))
    }

    /// Has told what is kept to be told of a task, and nothing else, as of now. Whoever changes that comes here afterwards. What is kept,
    /// as it was found last. If it cannot be read now, all this is done once it can.
    pub(crate) async fn align(self: &Arc<Self>, task: &TaskId) -> Result<Option<Arc<TaskHooks>>, EngineError> {
        let known = self.kept(task).await?;
        self.align_from(task, known).await
    }

    /// The same, beginning with what is known.
    async fn align_from(
        self: &Arc<Self>,
        task: &TaskId,
        mut known: Option<Arc<TaskHooks>>,
    ) -> Result<Option<Arc<TaskHooks>>, EngineError> {
        loop {
            let kept = known.as_deref().map_or(&[][..], TaskHooks::hooks);
            let is_told = |serial: u64| kept.iter().any(|hook| hook.serial == serial && hook.is_active());
            // One that was registered later is not known here.
            let is_known = |serial: u64| known.as_ref().is_none_or(|known| serial <= known.version());
            for (serial, told) in self.running.of(task) {
                if is_known(serial) && !is_told(serial) {
                    told.stop.cancel();
                }
            }
            if let Some(known) = &known {
                known.hooks().iter().for_each(|hook| self.begin(task, known.of(), hook));
            }
            // What has changed meanwhile may have been aligned already.
            let newest = self.kept(task).await?;
            let version = |hooks: &Option<Arc<TaskHooks>>| hooks.as_ref().map(|hooks| hooks.version());
            if version(&newest) == version(&known) {
                return Ok(newest);
            }
            known = newest;
        }
    }

    /// The webhooks of a task. Those that cannot be read keep no other from being told or shown: it is as if there were none.
    async fn readable(&self, task: &TaskId) -> Result<Option<Arc<TaskHooks>>, EngineError> {
        match self.hooks.get(task).await {
            Err(EngineError::Corrupt(why)) => {
                warn!(%task, why, "webhooks cannot be read");
                Ok(None)
            }
            read => read,
        }
    }

    /// The webhooks of a task. They are looked at again if the store does not answer.
    async fn kept(&self, task: &TaskId) -> Result<Option<Arc<TaskHooks>>, EngineError> {
        let kept = self.hooks.get(task).await;
        match &kept {
            Ok(_) | Err(EngineError::Draining | EngineError::Corrupt(_)) => {}
            Err(error) => {
                warn!(%task, %error, "webhooks could not be read; trying again");
                self.unsure.add(*task);
            }
        }
        kept
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// The place that a URL leads to; one that leads nowhere any more is told so when it is called.
    fn receiver(&self, url: &str) -> String {
        self.courier.receiver(url).unwrap_or_else(|_| "a URL that is not called".to_owned())
    }

    /// A webhook is told what happens from now on, unless it is already or has nothing to be told.
    fn begin(self: &Arc<Self>, task: &TaskId, of: &Of, hook: &Hook) {
        if !hook.is_active() {
            return;
        }
        let told = Told::new(of.clone(), hook.asked.id.clone(), self.receiver(&hook.asked.url));
        let registration = hook.asked.registration.as_deref();
        let Some(told) = self.running.begin((*task, hook.serial), registration, told, &self.stop) else { return };
        let telling = Telling {
            shared: self.clone(),
            task: *task,
            hook: hook.clone(),
            caller: Caller::new(of.owner.clone(), of.tenant.clone()),
            lane: self.lanes.to(&told.receiver),
            share: self.lanes.share(of),
            told,
            cursor: None,
            marked: Generation(0),
            attempts: 0,
            trying: Trying::default(),
            begun: self.engine.env().monotonic(),
            since: None,
            turn: None,
        };
        self.tracker.spawn(telling.run());
    }

    /// Forgets the webhooks of tasks that are forgotten. Neither is read for that, so that one that cannot be is in nobody's way.
    async fn sweep(&self) -> Result<(), EngineError> {
        for state in [AT_REST, DEAD] {
            for (task, _) in self.hooks.in_state(state).await? {
                if !self.engine.is_kept(&task).await? {
                    self.hooks.forget(&task).await?;
                }
            }
        }
        Ok(())
    }
}

/// Now and then, until the node stops.
async fn sweep(shared: Arc<Shared>) {
    let sweeping = async {
        loop {
            tokio::time::sleep(SWEEP).await;
            if let Err(error) = shared.sweep().await {
                warn!(%error, "could not look for webhooks that are not needed any more; trying again");
            }
        }
    };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => {}
        () = sweeping => {}
    }
}

/// Has told what is kept of tasks of which that was not known, one after the other, until the node stops.
async fn make_sure(shared: Arc<Shared>) {
    let aligning = async {
        let mut last = None;
        loop {
            let task = shared.unsure.next(last).await;
            last = Some(task);
            if shared.align(&task).await.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => {}
        () = aligning => {}
    }
}

fn view(task: &TaskId, asked: &NewHook) -> PushView {
    PushView {
        task: task.to_string(),
        id: asked.id.to_string(),
        url: asked.url.to_string(),
        scheme: asked.scheme.as_deref().map(str::to_owned),
    }
}
