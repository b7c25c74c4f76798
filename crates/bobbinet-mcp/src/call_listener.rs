//! Listening to one request of a call: progress, the server's questions, and its reply, or the end of somebody's patience.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Effect, Fault, Json, Message, MessageId, Outcome, Part, Question, SkillId};
use bobbinet_engine::{CANCEL_GRACE, EngineError, Run, Unanswered};
use tokio::time::Instant;

use crate::{
    caller_client::CallerClient,
    config::McpConfig,
    elicitation::{Elicitation, is_same, with_note},
    input_requests::{self, InputRequest, InputRequests},
    json_object::JsonObject,
    mailbox::{Asks, ConnectionError, ElicitationRequest, Mail, Progress, Reply, RpcError},
    result::{self, CallResult},
    roots, sampling,
    server_feature::ServerFeature,
    session::PendingRequest,
};

/// What a run calls.
pub(crate) struct Target {
    /// What that is at the server.
    pub(crate) feature: ServerFeature,
    pub(crate) tool: SkillId,
    pub(crate) arguments: Json,
}

/// How one request of a call has ended.
pub(crate) enum RequestOutcome {
    Result(Json),
    Error(RpcError),
    /// The call is over without a reply that counts.
    Over(Outcome),
    /// The server never saw the request.
    NotSent(ConnectionError),
}

/// Listens to one request of a call: carries what comes of a request to the run, and the caller's answers to the server.
pub(crate) struct CallListener<'a> {
    config: &'a McpConfig,
    run: &'a Run,
    target: &'a Target,
    round: u32,
    pending: &'a PendingRequest,
    idle: Duration,
    /// How long a question is held open once others wait for it.
    hold: Duration,
    asked: u32,
    /// Answers of our caller that are to other questions, if the request is about a task of the server's.
    of_task: Option<usize>,
}

/// How a question of the server has ended that was not answered.
pub(crate) enum AnswerEnd {
    /// The server has stopped waiting, with this.
    Reply(Reply),
    Over(Outcome),
}

impl<'a> CallListener<'a> {
    pub(crate) fn new(
        config: &'a McpConfig,
        run: &'a Run,
        target: &'a Target,
        round: u32,
        pending: &'a PendingRequest,
    ) -> Self {
        let hold = Duration::from_millis(config.limits.hold_for_others_ms);
        let idle = config.idle(target.tool.as_str());
        Self { config, run, target, round, pending, idle, hold, asked: 0, of_task: None }
    }

    /// The request is about a task of the server's, which goes on without it: a question waits for as long as our caller takes, and nobody
    /// is told here that it is canceled. Of its answers, so many are to other questions.
    pub(crate) fn of_task(self, answered: usize) -> Self {
        Self { of_task: Some(answered), ..self }
    }

    pub(crate) async fn listen(mut self) -> RequestOutcome {
        let mut last_sign = Instant::now();
        loop {
            let event = tokio::select! {
                biased;
                () = self.run.canceled() => CallEvent::Canceled,
                mail = self.pending.mailbox.next() => CallEvent::Mail(mail),
                () = tokio::time::sleep_until(last_sign + self.idle) => CallEvent::Idle,
                () = time_is_up(self.run) => CallEvent::TimeUp,
            };
            match event {
                CallEvent::Mail(Mail::Progress(progress)) => self.report(&progress),
                CallEvent::Mail(Mail::Alive) => {}
                CallEvent::Mail(Mail::Question(asked)) => match self.answer(asked).await {
                    None => {}
                    Some(AnswerEnd::Reply(reply)) => return self.outcome_of(reply),
                    Some(AnswerEnd::Over(outcome)) => return RequestOutcome::Over(outcome),
                },
                CallEvent::Mail(Mail::Reply(reply)) => return self.outcome_of(reply),
                CallEvent::Canceled => return RequestOutcome::Over(self.cancel_and_wait().await),
                CallEvent::Idle => {
                    let why = format!("there was no sign of life for {:?}", self.idle);
                    return RequestOutcome::Over(unknown("timed-out", self.target, &why, false));
                }
                CallEvent::TimeUp => {
                    return RequestOutcome::Over(unknown("timed-out", self.target, "its time was up", false));
                }
            }
            last_sign = Instant::now();
        }
    }

    fn outcome_of(&self, reply: Reply) -> RequestOutcome {
        match reply {
            Reply::Result(json) => RequestOutcome::Result(json),
            Reply::Error(error) => RequestOutcome::Error(error),
            Reply::Unreadable(why) => RequestOutcome::Over(unreadable(self.target, self.run.call().effect, &why)),
            Reply::NotSent(broken) => RequestOutcome::NotSent(broken),
            Reply::Broken(ConnectionError::Died(why)) => {
                RequestOutcome::Over(unknown("server-died", self.target, &why, true))
            }
            Reply::Broken(expired @ ConnectionError::Expired) => {
                RequestOutcome::Over(unknown("session-ended", self.target, &expired.to_string(), true))
            }
            Reply::Broken(ConnectionError::Garbage(why)) => {
                RequestOutcome::Over(unknown("bad-reply", self.target, &why, false))
            }
        }
    }

    pub(crate) fn report(&self, progress: &Progress) {
        let mut numbers = JsonObject::default();
        numbers.set("value", Json::of(&progress.value));
        if let Some(total) = progress.total {
            numbers.set("total", Json::of(&total));
        }
        let mut metadata = JsonObject::default();
        metadata.set("progress", numbers.to_json());
        let message = progress
            .message
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(|text| Arc::new(Message::from_agent(self.run.message_id("progress"), vec![Part::text(text)])));
        self.run.progress(message, Some(metadata.to_json()));
    }

    /// Puts a question of the server to the caller. Returns how the request has ended if that comes first.
    pub(crate) async fn answer(&mut self, asked: ElicitationRequest) -> Option<AnswerEnd> {
        self.asked += 1;
        let put = match asked.asks {
            Asks::Model if self.config.sampling.is_some() => return self.sample(asked).await,
            Asks::Model => self.lent(sampling::METHOD, &asked.params).await,
            Asks::Roots => self.lent(roots::METHOD, &asked.params).await,
            Asks::User => match Elicitation::read(&asked.params) {
                Some(elicitation) => Ok(Put::User(elicitation)),
                None => {
                    let _ = asked.answer.send(action("cancel"));
                    return None;
                }
            },
        };
        let put = match put {
            Ok(put) => put,
            Err(why) => {
                tracing::debug!(task = %self.run.task().id, why, "a server's request was not put to its caller's client");
                let _ = asked.answer.send(sampling::no(&why));
                return None;
            }
        };
        let question = Arc::new(put.ask(self.run.message_id(&format!("q{}", self.asked))));
        let said = {
            let asking = self.ask(question);
            tokio::pin!(asking);
            tokio::select! {
                biased;
                answer = &mut asking => ElicitationEnd::Answer(answer),
                // The server has stopped waiting. What else it asks meanwhile is asked after this.
                reply = self.pending.mailbox.replied_meanwhile() => return Some(AnswerEnd::Reply(reply)),
                () = asked.open.hold_over() => ElicitationEnd::TimedOut,
            }
        };
        let answer = match said {
            ElicitationEnd::Answer(answer) => answer,
            ElicitationEnd::TimedOut => return Some(AnswerEnd::Over(self.let_go(asked, &put).await)),
        };
        match answer {
            Ok(answer) => {
                asked.open.resume().await;
                let _ = asked.answer.send(put.read(answer));
                None
            }
            Err(Unanswered::Expired) => {
                self.decline(asked, &put).await;
                Some(AnswerEnd::Over(Outcome::Declined))
            }
            Err(Unanswered::Over) if self.of_task.is_some() => {
                Some(AnswerEnd::Over(unknown("canceled", self.target, "it was canceled", false)))
            }
            Err(Unanswered::Over) => {
                let _ = asked.answer.send(put.refused("cancel"));
                Some(AnswerEnd::Over(self.cancel_and_wait().await))
            }
            Err(Unanswered::NotAsked(error)) => {
                let _ = asked.answer.send(put.refused("cancel"));
                self.pending.cancel();
                // What it comes to now was not decided by anybody.
                let _ = tokio::time::timeout(CANCEL_GRACE, self.pending.mailbox.replied()).await;
                Some(AnswerEnd::Over(not_asked(self.target, &error)))
            }
        }
    }

    /// A request that our caller's client answers, if it does. `Err`: why not, for the server.
    async fn lent(&self, method: &str, params: &Json) -> Result<Put, String> {
        let client = CallerClient::of(self.run.task(), self.config);
        if !client.answers(method, self.config) {
            return Err("the client of whoever has made the call has not declared that it answers this".to_owned());
        }
        let request = lent_request(self.run, self.config, method, params, 1).await?;
        let round = format!("{}.{}", self.round, self.asked);
        Ok(Put::Client { requests: InputRequests::one(LENT, request), round })
    }

    /// Has a language model say what the server wants to hear.
    async fn sample(&mut self, asked: ElicitationRequest) -> Option<AnswerEnd> {
        let what = format!("{}.{}", self.round, self.asked);
        let said = tokio::select! {
            biased;
            () = self.run.canceled() => return None,
            reply = self.pending.mailbox.replied_meanwhile() => return Some(AnswerEnd::Reply(reply)),
            said = sampling::sample(self.run, self.config, &what, &asked.params) => said,
        };
        let said = said.unwrap_or_else(|why| {
            tracing::warn!(task = %self.run.task().id, why, "a server was told nothing by a model");
            sampling::no(&why)
        });
        let _ = asked.answer.send(said);
        None
    }

    /// Asks our caller; for a task of the server's, for as long as he takes.
    async fn ask(&self, question: Arc<Question>) -> Result<Json, Unanswered> {
        loop {
            match ask_caller(self.run, question.clone(), self.of_task.unwrap_or_default()).await {
                Err(Unanswered::Expired) if self.of_task.is_some() => {}
                said => return said,
            }
        }
    }

    /// Others have waited for the answer long enough: the call is brought to its end, and the question says so.
    async fn let_go(&self, asked: ElicitationRequest, put: &Put) -> Outcome {
        self.decline(asked, put).await;
        let then = if self.run.call().effect.may_run_again() {
            "An answer makes the call again and goes to it"
        } else {
            "An answer cannot reach the call any more: whether it has acted is not known, and you will be asked what to do"
        };
        let note = format!(
            "Calls of others had to wait for this answer, so after {:?} the MCP server was told `decline`, and the call is over. {then}.",
            self.hold
        );
        let again = put.ask(self.run.message_id(&format!("q{}-again", self.asked)));
        Outcome::LetGo { question: Arc::new(with_note(&again, &note)) }
    }

    /// Declines a question, and gives the call a while to end: what it comes to was not decided by anybody.
    async fn decline(&self, asked: ElicitationRequest, put: &Put) {
        let ElicitationRequest { answer, open, .. } = asked;
        let _ = answer.send(put.refused("decline"));
        let _ = tokio::time::timeout(CANCEL_GRACE, self.pending.mailbox.replied()).await;
        drop(open);
    }

    /// The task was canceled: the server is told, and has a while to say what became of it.
    async fn cancel_and_wait(&self) -> Outcome {
        self.pending.cancel();
        match tokio::time::timeout(CANCEL_GRACE, self.pending.mailbox.replied()).await {
            Ok(reply) => match self.outcome_of(reply) {
                RequestOutcome::Result(json) => match CallResult::read(self.target.feature, &json) {
                    Ok(result) => result.outcome(None, self.run.message_id("refused"), JsonObject::default()),
                    Err(why) => unreadable(self.target, self.run.call().effect, &why),
                },
                RequestOutcome::Error(error) => {
                    result::failed(&self.target.feature.error(error), self.run.message_id("refused"))
                }
                RequestOutcome::Over(outcome) => outcome,
                RequestOutcome::NotSent(_) => canceled(self.target, self.round),
            },
            Err(_) => unknown("canceled", self.target, "it was canceled", false),
        }
    }
}

/// The name of a request that its server has none for.
const LENT: &str = "request";

/// What is put to our caller.
enum Put {
    User(Elicitation),
    /// What his client answers by itself.
    Client {
        requests: InputRequests,
        round: String,
    },
}

impl Put {
    fn ask(&self, id: MessageId) -> Question {
        match self {
            Self::User(elicitation) => elicitation.ask(id),
            Self::Client { requests, round } => requests.ask(id, round),
        }
    }

    /// What the server is told, by the answer that is in the log.
    fn read(&self, answer: Json) -> Json {
        match self {
            Self::User(_) => answer,
            Self::Client { .. } => {
                let result = JsonObject::read(&answer).and_then(|mut results| results.take(LENT));
                let result = result.unwrap_or_else(|| sampling::no("it was not answered"));
                match input_requests::refused(&result) {
                    Some(why) => sampling::no(&why),
                    None => result,
                }
            }
        }
    }

    fn refused(&self, word: &str) -> Json {
        match self {
            Self::User(_) => action(word),
            Self::Client { .. } => sampling::no("the call is over, or nobody has answered in time"),
        }
    }
}

/// What a caller's client is asked, within the bounds of one call: `count` requests of this method with it. `Err`: why it is not asked.
pub(crate) async fn lent_request(
    run: &Run,
    config: &McpConfig,
    method: &str,
    params: &Json,
    count: usize,
) -> Result<InputRequest, String> {
    if method != sampling::METHOD {
        return Ok(InputRequest::new(method, JsonObject::default().to_json()));
    }
    let params = sampling::lent(config, params)?;
    let max = config.limits.samples_max;
    let own = run.current().await.map_err(|_| "the call is over")?;
    match input_requests::asked_before(&own, method) + count > max {
        true => Err(format!("one call has {max} of them at the most (samples_max)")),
        false => Ok(InputRequest::new(method, params)),
    }
}

/// How the wait for a caller's answer ends.
enum ElicitationEnd {
    Answer(Result<Json, Unanswered>),
    /// There was no more time for one.
    TimedOut,
}

fn action(word: &str) -> Json {
    Json::from(&serde_json::json!({ "action": word }))
}

enum CallEvent {
    Mail(Mail),
    Canceled,
    Idle,
    TimeUp,
}

/// Returns when the run's time is up. While a question waits, the time stands still, and this with it.
pub(crate) async fn time_is_up(run: &Run) {
    loop {
        let deadline = run.deadline();
        if deadline <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(deadline).await;
    }
}

pub(crate) fn unknown(code: &'static str, target: &Target, why: &str, again: bool) -> Outcome {
    let text = format!("the MCP server gave no result for `{}`: {why}", target.tool);
    Outcome::Unknown { fault: Fault::new(code, text), again }
}

/// What a call comes to that was answered, with something that nobody can read. It is over, so nobody is asked.
pub(crate) fn unreadable(target: &Target, effect: Effect, why: &str) -> Outcome {
    let may_have_acted = match effect {
        Effect::ReadOnly => "",
        Effect::Idempotent | Effect::Keyed | Effect::AtMostOnce => {
            ". It may have acted all the same: look before you call it again"
        }
    };
    let text =
        format!("the MCP server answered `{}`, but its answer cannot be read: {why}{may_have_acted}", target.tool);
    Outcome::Unreadable(Fault::new("bad-reply", text))
}

/// What a call comes to that was canceled while no request of it was at the server, `round` times after one had been.
/// A task that is still at work never hears of it: it has ended, or is another run's.
pub(crate) fn canceled(target: &Target, round: u32) -> Outcome {
    match round {
        0 => canceled_before(),
        _ => unknown("canceled", target, "it was canceled when it had asked for more", false),
    }
}

fn canceled_before() -> Outcome {
    Outcome::Failed(Fault::new("canceled", "canceled before anything was called"))
}

/// What a call comes to whose question its task has no room for.
pub(crate) fn not_asked(target: &Target, error: &EngineError) -> Outcome {
    unknown("not-asked", target, &format!("its question could not be asked: {error}"), false)
}

/// Asks the caller, unless he has answered the same question in an earlier attempt of this call, after so many other answers.
pub(crate) async fn ask_caller(run: &Run, question: Arc<Question>, answered: usize) -> Result<Json, Unanswered> {
    let task = run.task();
    let before = task.answers.iter().skip(answered).rev().find(|(asked, _)| is_same(asked, &question));
    if let Some((_, answer)) = before {
        return Ok(answer.clone());
    }
    if task.question.as_ref().is_some_and(|open| !is_same(open, &question)) {
        // It was asked by an earlier run, and nobody wants to know it any more. It may be gone already.
        let _ = run.withdraw_question().await;
    }
    run.ask(question).await
}
