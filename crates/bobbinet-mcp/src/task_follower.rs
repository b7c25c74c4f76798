//! A call that has become a task of the server's own: it is followed to its end, by whichever run and over whichever connection, and is
//! not called again.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Fault, Json, Message, Outcome, Part};
use bobbinet_engine::{Run, WorksElsewhere};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{
    call_attempt::{CallAttempt, CallRoute, NotAdmitted, Place},
    call_checkpoint::CallCheckpoint,
    call_listener::{AnswerEnd, CallListener, time_is_up, unknown, unreadable},
    config::ServerAddress,
    json_object::JsonObject,
    mailbox::{Mail, Reply, RpcError},
    server_questions::{Questions, not_offered},
    server_task::{ServerTask, TaskDialect, TaskStatus, dialect},
    session::{PendingRequest, RequestOptions},
    supervised_session::SupervisedSession,
};

/// JSON-RPC's code for wrong parameters: that of a task that the server does not know.
const INVALID_PARAMS: i64 = -32602;

/// How long a server may take to say how a task stands.
const GET_WAIT: Duration = Duration::from_secs(30);

/// Answers in a row that cannot be read, after which nothing more is expected.
const GARBAGE_MAX: u32 = 5;

/// How often it is looked at the most how a task stands, however often its server says that this has changed.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// How soon a server that was lost is looked for again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// How long a server may take to hear that its task is canceled: shorter than the engine waits for us.
const CANCEL_WAIT: Duration = Duration::from_secs(4);

/// How long the result of a task that has failed may take: the error is in it.
const RESULT_WAIT: Duration = Duration::from_secs(10);

/// How often, at the most, it is looked after a task that waits for our caller, which may take days.
const ASKING_POLL: Duration = Duration::from_secs(15);

/// How a server's task has ended.
pub(crate) enum TaskEnd {
    /// With what a call that is none would have had for its result, in this session.
    Result(Arc<SupervisedSession>, Json),
    Error(RpcError),
    Over(Outcome),
}

/// How the following over one connection has ended.
enum Leg {
    End(TaskEnd),
    /// The connection is over, or takes nothing.
    Lost,
}

/// One task of a server's, and the run that follows it.
pub(crate) struct TaskFollower<'a> {
    attempt: &'a CallAttempt<'a>,
    run: &'a Run,
    id: String,
    checkpoint: CallCheckpoint,
    /// When the server was last heard of it.
    heard: Instant,
    garbage: u32,
    /// What was said of it last.
    words: Option<String>,
    /// Whether our caller may be asked what nobody wants to know any more.
    has_old_question: bool,
    poll: Duration,
    /// Whether its result is waited for while it works. Not from a server that will not have that.
    waits: bool,
}

impl<'a> TaskFollower<'a> {
    /// Follows the task that a run has kept, this one or an earlier.
    pub(crate) fn new(attempt: &'a CallAttempt<'a>, checkpoint: CallCheckpoint, created: Option<&ServerTask>) -> Self {
        let run = attempt.run;
        let mut follower = Self {
            attempt,
            run,
            id: checkpoint.task.clone().unwrap_or_default(),
            checkpoint,
            heard: Instant::now(),
            garbage: 0,
            words: None,
            has_old_question: run.task().question.is_some(),
            poll: created.map_or(Duration::ZERO, |task| task.poll),
            waits: true,
        };
        created.into_iter().for_each(|task| follower.say(task));
        follower
    }

    /// To its end, at first over this route if there is one.
    pub(crate) async fn follow(mut self, mut route: Option<CallRoute>) -> TaskEnd {
        loop {
            let leg = match route.take() {
                Some(route) => self.follow_over(&route).await,
                None => match self.attempt.admit(1, Place::Replica(self.checkpoint.replica)).await {
                    Ok(route) => self.follow_over(&route).await,
                    Err(NotAdmitted::Over(outcome)) => return TaskEnd::Over(outcome),
                    Err(NotAdmitted::NoServer(fault)) if self.is_silent_too_long() => {
                        return TaskEnd::Over(self.unknown(fault.code, &fault.text));
                    }
                    Err(NotAdmitted::NoServer(_)) => Leg::Lost,
                },
            };
            match leg {
                Leg::End(end) => return end,
                Leg::Lost => {}
            }
            self.poll = Duration::ZERO;
            tokio::select! {
                biased;
                () = self.run.canceled() => return TaskEnd::Over(self.unknown("canceled", "it was canceled")),
                () = time_is_up(self.run) => return TaskEnd::Over(self.unknown("timed-out", "its time was up")),
                () = sleep(RECONNECT_PAUSE) => {}
            }
        }
    }

    fn unknown(&self, code: &'static str, why: &str) -> Outcome {
        let why = format!("{why}. The call runs there as the task `{}`", self.id);
        unknown(code, self.attempt.target, &why, false)
    }

    fn idle(&self) -> Duration {
        self.attempt.shared.config.idle(self.attempt.target.tool.as_str())
    }

    fn is_silent_too_long(&self) -> bool {
        self.heard.elapsed() >= self.idle()
    }

    async fn follow_over(&mut self, route: &CallRoute) -> Leg {
        match dialect(route.client.info()) {
            Some(TaskDialect::Core) => self.follow_core(route).await,
            Some(TaskDialect::Extension) | None => self.follow_extension(route).await,
        }
    }

    /// Asks how it stands. `Err`: there is no more to be heard, or not over this connection.
    async fn get(&mut self, route: &CallRoute) -> Result<Option<ServerTask>, Leg> {
        let reply = timeout(GET_WAIT, route.client.request("tasks/get", self.params().to_json())).await;
        let why = match reply {
            Ok(Reply::Result(json)) => match ServerTask::read(&json) {
                Ok(task) => {
                    self.heard = Instant::now();
                    self.garbage = 0;
                    self.poll = task.poll;
                    self.say(&task);
                    return Ok(Some(task));
                }
                Err(why) => why,
            },
            Ok(Reply::Error(error)) if error.code == INVALID_PARAMS => return Err(self.lost(&error).await),
            Ok(Reply::Error(error)) => format!("{} ({})", error.message, error.code),
            Ok(Reply::Unreadable(why)) => why,
            Ok(Reply::NotSent(_) | Reply::Broken(_)) => return Err(Leg::Lost),
            Err(_) if self.is_silent_too_long() => {
                let why = format!("there was no sign of life for {:?}", self.idle());
                return Err(Leg::End(TaskEnd::Over(self.unknown("timed-out", &why))));
            }
            // It may be busy with something else.
            Err(_) => return Ok(None),
        };
        self.garbage += 1;
        self.poll = self.poll.max(RECONNECT_PAUSE);
        if self.garbage < GARBAGE_MAX {
            return Ok(None);
        }
        let why = format!("what it says of its task cannot be read: {why}");
        Err(Leg::End(TaskEnd::Over(self.unknown("bad-reply", &why))))
    }

    fn params(&self) -> JsonObject {
        [("taskId".to_owned(), Json::of(&self.id))].into_iter().collect()
    }

    fn say(&mut self, task: &ServerTask) {
        if task.words.is_none() || task.words == self.words {
            return;
        }
        self.words.clone_from(&task.words);
        let message = task
            .words
            .as_deref()
            .map(|words| Message::from_agent(self.run.message_id("progress"), vec![Part::text(words)]));
        self.run.progress(message.map(Arc::new), None);
    }

    /// The server does not know it: it was started anew, or keeps its tasks no longer. Whoever wants the call made anew has to say so.
    async fn lost(&mut self, error: &RpcError) -> Leg {
        self.checkpoint.lose(self.run).await;
        let why = format!(
            "it became the task `{}` there, which the server does not know any more ({}): a server that was started anew has forgotten \
             it, and none keeps it for ever",
            self.id, error.message
        );
        Leg::End(TaskEnd::Over(unknown("task-lost", self.attempt.target, &why, true)))
    }

    /// Nobody here wants to know any more what an earlier run has asked: the server goes on without.
    async fn withdraw_old(&mut self) {
        if std::mem::take(&mut self.has_old_question) {
            // It was answered meanwhile, if it is not there.
            let _ = self.run.withdraw_question().await;
        }
    }

    async fn cancel(&mut self, route: &CallRoute, code: &'static str, why: &str) -> Outcome {
        let told = timeout(CANCEL_WAIT, route.client.request("tasks/cancel", self.params().to_json())).await;
        let heard = match told {
            Ok(Reply::Result(_)) => "and its server was told so",
            Ok(Reply::Error(_) | Reply::Unreadable(_) | Reply::NotSent(_) | Reply::Broken(_)) | Err(_) => {
                "and its server could not be told so"
            }
        };
        let outcome = self.unknown(code, &format!("{why}, {heard}"));
        // If it is wanted all the same, it is not this task that is gone on with.
        self.checkpoint.lose(self.run).await;
        outcome
    }

    fn canceled_by_server(&self, task: &ServerTask) -> TaskEnd {
        let words = task.words.as_deref().map(|words| format!(": {words}")).unwrap_or_default();
        let text = format!("the MCP server has canceled its task of `{}`{words}", self.attempt.target.tool);
        TaskEnd::Over(Outcome::Failed(Fault::new("canceled-by-server", text)))
    }

    fn failed_without_error(&self, task: &ServerTask) -> TaskEnd {
        let words = task.words.clone().unwrap_or_else(|| "its task has failed, and it does not say why".to_owned());
        TaskEnd::Error(RpcError { code: 0, message: words, data: None })
    }

    /// While this lives, a node that stops does not wait for the run: where the server outlives us, the next one finds its task.
    fn works_elsewhere(&self) -> Option<WorksElsewhere> {
        match self.attempt.shared.config.server {
            ServerAddress::Url(_) => Some(self.run.works_elsewhere()),
            ServerAddress::Command(_) => None,
        }
    }

    /// 2026-07-28: everything is said of the task by the server's answer to how it stands.
    async fn follow_extension(&mut self, route: &CallRoute) -> Leg {
        loop {
            let elsewhere = self.works_elsewhere();
            tokio::select! {
                biased;
                () = self.run.canceled() => return Leg::End(TaskEnd::Over(self.cancel(route, "canceled", "it was canceled").await)),
                () = time_is_up(self.run) => return Leg::End(TaskEnd::Over(self.cancel(route, "timed-out", "its time was up").await)),
                () = sleep(self.poll) => {}
            }
            drop(elsewhere);
            let task = match self.get(route).await {
                Ok(Some(task)) => task,
                Ok(None) => continue,
                Err(leg) => return leg,
            };
            match task.status {
                TaskStatus::Working => self.withdraw_old().await,
                TaskStatus::InputRequired(ref asked) => {
                    if let Some(leg) = self.tell(route, asked).await {
                        return leg;
                    }
                }
                TaskStatus::Completed(Some(result)) => return Leg::End(TaskEnd::Result(route.session.clone(), result)),
                TaskStatus::Completed(None) => {
                    let outcome = unreadable(self.attempt.target, self.run.call().effect, "its task has no result");
                    return Leg::End(TaskEnd::Over(outcome));
                }
                TaskStatus::Failed(Some(error)) => return Leg::End(TaskEnd::Error(error)),
                TaskStatus::Failed(None) => return Leg::End(self.failed_without_error(&task)),
                TaskStatus::Canceled => return Leg::End(self.canceled_by_server(&task)),
            }
        }
    }

    /// Tells the server what it asks for, as far as it was not told yet, when our caller has said it.
    async fn tell(&mut self, route: &CallRoute, asked: &JsonObject) -> Option<Leg> {
        let is_new = |key: &str| !self.checkpoint.told.iter().any(|told| told == key);
        let fresh = asked.iter().filter(|(key, _)| is_new(key)).collect::<Vec<_>>();
        // It has been told, and does not show it yet.
        let names = fresh.iter().map(|(key, _)| (*key).to_owned()).collect::<Vec<_>>();
        if names.is_empty() {
            return None;
        }
        let target = self.attempt.target;
        let questions = match Questions::read(fresh.into_iter(), &route.session.config) {
            Ok(questions) => questions,
            Err(what) => {
                let _ = self.cancel(route, "unsupported-question", "it asks for what it was not offered").await;
                return Some(Leg::End(TaskEnd::Over(not_offered(target, &what))));
            }
        };
        let (run, answered) = (self.run, self.checkpoint.answered);
        let round = u32::try_from(self.checkpoint.told.len()).unwrap_or(u32::MAX).saturating_add(1);
        let answer = {
            let asking = questions.answer(run, &route.session.config, target, round, answered);
            tokio::pin!(asking);
            tokio::select! {
                biased;
                answer = &mut asking => Some(answer),
                () = self.until_moved_on(route, &names) => None,
            }
        };
        self.heard = Instant::now();
        let answers = match answer {
            // What was asked nobody wants to know any more.
            None => {
                let _ = self.run.withdraw_question().await;
                return None;
            }
            Some(Ok(answers)) => answers,
            Some(Err(_)) if self.is_canceled().await => {
                return Some(Leg::End(TaskEnd::Over(self.cancel(route, "canceled", "it was canceled").await)));
            }
            // Its task waits at the server, and whoever answers goes on with it.
            Some(Err(outcome)) => return Some(Leg::End(TaskEnd::Over(outcome))),
        };
        self.has_old_question = false;
        let mut params = self.params();
        params.set("inputResponses", answers.to_json());
        match timeout(GET_WAIT, route.client.request("tasks/update", params.to_json())).await {
            Ok(Reply::Result(_)) => {}
            Ok(Reply::NotSent(_) | Reply::Broken(_)) => return Some(Leg::Lost),
            // What it has not understood, it will ask again; how it stands is what counts.
            Ok(Reply::Error(_) | Reply::Unreadable(_)) | Err(_) => self.garbage += 1,
        }
        self.checkpoint.told(self.run, names.into_iter()).await;
        None
    }

    async fn is_canceled(&self) -> bool {
        timeout(Duration::ZERO, self.run.canceled()).await.is_ok()
    }

    /// Returns when the server waits for none of this any more.
    async fn until_moved_on(&self, route: &CallRoute, names: &[String]) {
        loop {
            sleep(self.poll.max(ASKING_POLL)).await;
            let reply = timeout(GET_WAIT, route.client.request("tasks/get", self.params().to_json())).await;
            let Ok(Reply::Result(json)) = reply else { continue };
            let Ok(task) = ServerTask::read(&json) else { continue };
            match task.status {
                TaskStatus::InputRequired(asked) if names.iter().any(|name| asked.get(name).is_some()) => {}
                TaskStatus::InputRequired(_)
                | TaskStatus::Working
                | TaskStatus::Completed(_)
                | TaskStatus::Failed(_)
                | TaskStatus::Canceled => return,
            }
        }
    }

    /// 2025-11-25: the result is asked for, which waits for the end and brings the server's questions; and how it stands meanwhile.
    async fn follow_core(&mut self, route: &CallRoute) -> Leg {
        let mut result = None;
        let mut looked = Instant::now();
        let mut look_at = looked + self.poll;
        let mut give_up_at = None;
        loop {
            if result.is_none() && self.waits {
                let options = RequestOptions {
                    call: Some(self.attempt.tool_call(route, Some(&self.id))),
                    ..RequestOptions::default()
                };
                match route.client.send("tasks/result", self.params().to_json(), options).await {
                    Ok(pending) => result = Some(pending),
                    Err(_) => return Leg::Lost,
                }
            }
            let elsewhere = self.works_elsewhere();
            let event = tokio::select! {
                biased;
                () = self.run.canceled() => return Leg::End(TaskEnd::Over(self.cancel(route, "canceled", "it was canceled").await)),
                mail = next_mail(result.as_ref()) => Some(mail),
                () = time_is_up(self.run) => return Leg::End(TaskEnd::Over(self.cancel(route, "timed-out", "its time was up").await)),
                () = sleep_until(look_at) => None,
            };
            drop(elsewhere);
            let looks = match event {
                None => true,
                Some(mail) => match self.take(route, result.as_ref(), mail).await {
                    Taken::GoOn => false,
                    Taken::Look => {
                        look_at = look_at.min(looked + LOOK_PAUSE);
                        false
                    }
                    Taken::Refused(error) => {
                        result = None;
                        if let Some(leg) = self.look_after(route, error).await {
                            return leg;
                        }
                        true
                    }
                    Taken::Leg(leg) => return leg,
                },
            };
            if !looks {
                continue;
            }
            match self.get(route).await {
                Err(leg) => return leg,
                Ok(None) => {}
                Ok(Some(task)) => match task.status {
                    TaskStatus::Working => {
                        // Whoever is asked now is asked through the result, and is not left alone by this.
                        self.withdraw_old().await;
                    }
                    TaskStatus::InputRequired(_) | TaskStatus::Completed(_) => self.waits = true,
                    TaskStatus::Canceled => return Leg::End(self.canceled_by_server(&task)),
                    TaskStatus::Failed(_) => {
                        self.waits = true;
                        let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + RESULT_WAIT);
                        if give_up_at <= Instant::now() {
                            return Leg::End(self.failed_without_error(&task));
                        }
                    }
                },
            }
            looked = Instant::now();
            look_at = looked + self.poll.max(LOOK_PAUSE);
        }
    }

    /// The server will not give the result: either that is the result, or it is too early to ask for it.
    async fn look_after(&mut self, route: &CallRoute, error: RpcError) -> Option<Leg> {
        match self.get(route).await {
            Err(leg) => Some(leg),
            Ok(Some(ServerTask { status: TaskStatus::Completed(_) | TaskStatus::Failed(_), .. })) => {
                Some(Leg::End(TaskEnd::Error(error)))
            }
            Ok(Some(task @ ServerTask { status: TaskStatus::Canceled, .. })) => {
                Some(Leg::End(self.canceled_by_server(&task)))
            }
            Ok(Some(ServerTask { status: TaskStatus::Working | TaskStatus::InputRequired(_), .. }) | None) => {
                self.waits = false;
                None
            }
        }
    }

    /// One thing that came while the result is waited for.
    async fn take(&mut self, route: &CallRoute, result: Option<&PendingRequest>, mail: Mail) -> Taken {
        let Some(pending) = result else { return Taken::GoOn };
        let target = self.attempt.target;
        self.heard = Instant::now();
        let config = &route.session.config;
        match mail {
            Mail::Progress(progress) => {
                CallListener::new(config, self.run, target, 1, pending).report(&progress);
                Taken::GoOn
            }
            // Something has changed, and nobody says what.
            Mail::Alive => Taken::Look,
            Mail::Question(asked) => {
                self.has_old_question = false;
                let mut listener =
                    CallListener::new(config, self.run, target, 1, pending).of_task(self.checkpoint.answered);
                match listener.answer(asked).await {
                    None => {
                        self.checkpoint.told(self.run, std::iter::empty()).await;
                        Taken::GoOn
                    }
                    Some(AnswerEnd::Reply(reply @ Reply::Result(_))) => self.take_reply(route, reply),
                    Some(AnswerEnd::Reply(reply)) => {
                        // It may be asked again, over another connection.
                        let _ = self.run.withdraw_question().await;
                        self.take_reply(route, reply)
                    }
                    Some(AnswerEnd::Over(_)) if self.is_canceled().await => {
                        Taken::Leg(Leg::End(TaskEnd::Over(self.cancel(route, "canceled", "it was canceled").await)))
                    }
                    Some(AnswerEnd::Over(outcome)) => Taken::Leg(Leg::End(TaskEnd::Over(outcome))),
                }
            }
            Mail::Reply(reply) => self.take_reply(route, reply),
        }
    }

    fn take_reply(&self, route: &CallRoute, reply: Reply) -> Taken {
        match reply {
            Reply::Result(json) => Taken::Leg(Leg::End(TaskEnd::Result(route.session.clone(), json))),
            Reply::Error(error) => Taken::Refused(error),
            Reply::Unreadable(why) => {
                let outcome = unreadable(self.attempt.target, self.run.call().effect, &why);
                Taken::Leg(Leg::End(TaskEnd::Over(outcome)))
            }
            Reply::NotSent(_) | Reply::Broken(_) => Taken::Leg(Leg::Lost),
        }
    }
}

/// What comes of one thing that the server said.
enum Taken {
    GoOn,
    /// It is to be looked how the task stands.
    Look,
    Refused(RpcError),
    Leg(Leg),
}

async fn next_mail(result: Option<&PendingRequest>) -> Mail {
    match result {
        Some(pending) => pending.mailbox.next().await,
        None => std::future::pending().await,
    }
}
