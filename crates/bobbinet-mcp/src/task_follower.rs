//! A call that has become a task of the server's own: it is followed to its end, by whichever run and over whichever connection, and is
//! not called again.

mod extension;
mod of_core;

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Fault, Json, Message, Outcome, Part};
use bobbinet_engine::{Run, WorksElsewhere};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    call_attempt::{CallAttempt, CallRoute, NotAdmitted, Place},
    call_checkpoint::CallCheckpoint,
    call_listener::{time_is_up, unknown},
    config::ServerAddress,
    json_object::JsonObject,
    mailbox::{Reply, RpcError},
    server_task::{ServerTask, TaskDialect, dialect},
    supervised_session::SupervisedSession,
};

/// JSON-RPC's code for wrong parameters: that of a task that the server does not know.
const INVALID_PARAMS: i64 = -32602;

/// How long a server may take to say how a task stands.
const GET_WAIT: Duration = Duration::from_secs(30);

/// Answers in a row that cannot be read, after which nothing more is expected.
const GARBAGE_MAX: u32 = 5;

/// How soon a server that was lost is looked for again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// How long a server may take to hear that its task is canceled: shorter than the engine waits for us.
const CANCEL_WAIT: Duration = Duration::from_secs(4);

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

/// What our caller has said, and the server's task has not taken.
#[derive(Debug, Default)]
struct Untaken {
    answers: JsonObject,
    times: u32,
}

impl Untaken {
    /// What was said under these names, if all of it was.
    fn of(&self, names: &[String]) -> Option<JsonObject> {
        names.iter().map(|name| Some((name.clone(), self.answers.get(name)?.clone()))).collect()
    }
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
    untaken: Untaken,
    /// What was said of it last.
    words: Option<String>,
    /// Whether our caller may be asked what nobody wants to know any more.
    has_old_question: bool,
    poll: Duration,
    /// What its progress is told under, over the connection on which it was begun.
    token: Option<i64>,
    /// Whether its result is waited for while it works. Not from a server that will not have that.
    waits: bool,
}

impl<'a> TaskFollower<'a> {
    /// Follows the task that a run has kept, this one or an earlier.
    pub(crate) fn new(
        attempt: &'a CallAttempt<'a>,
        checkpoint: CallCheckpoint,
        created: Option<(&ServerTask, Option<i64>)>,
    ) -> Self {
        let run = attempt.run;
        let (created, token) = (created.map(|(task, _)| task), created.and_then(|(_, token)| token));
        let mut follower = Self {
            attempt,
            run,
            id: checkpoint.task.clone().unwrap_or_default(),
            checkpoint,
            heard: Instant::now(),
            garbage: 0,
            untaken: Untaken::default(),
            words: None,
            has_old_question: run.task().question.is_some(),
            poll: created.map_or(Duration::ZERO, |task| task.poll),
            token,
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
            self.token = None;
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
        TaskEnd::Error(RpcError::own(words))
    }

    /// While this lives, a node that stops does not wait for the run: where the server outlives us, the next one finds its task.
    fn works_elsewhere(&self) -> Option<WorksElsewhere> {
        match self.attempt.shared.config.server {
            ServerAddress::Url(_) => Some(self.run.works_elsewhere()),
            ServerAddress::Command(_) => None,
        }
    }

    async fn is_canceled(&self) -> bool {
        timeout(Duration::ZERO, self.run.canceled()).await.is_ok()
    }
}
