//! A server that wants somebody to log in before it takes calls: what callers are told of it, and what comes of their answers.
//!
//! Nobody logs in here. A task says where that is done, waits, and goes on when its caller says so.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard},
};

use bobbinet_core::{Fault, Json, Message, MessageId, Part, Plan, Question, QuestionKind, Role};
use bobbinet_engine::Request;
use tokio::time::{Duration, Instant};

use crate::json_object::JsonObject;

/// How long ago a server must have refused us for it to be asked again before somebody says that he has logged in.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The name in a question's data of the refusal that it is about.
const REFUSAL: &str = "refusal";

/// What somebody has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoginNeeded {
    /// In words for callers.
    pub(crate) words: String,
    /// Who lets people in, if that is known.
    pub(crate) url: Option<String>,
    /// How many logins had come back by then.
    pub(crate) logins: u64,
    /// Whether one more has.
    pub(crate) is_done: bool,
    /// Which refusal it was.
    refusal: String,
    at: Instant,
}

impl LoginNeeded {
    /// As a question of a task.
    pub(crate) fn question(&self, id: MessageId) -> Question {
        let mut data = JsonObject::default();
        data.set("type", Json::of("authorization"));
        data.set("message", Json::of(&self.words));
        if let Some(url) = &self.url {
            data.set("url", Json::of(url));
        }
        data.set(REFUSAL, Json::of(&self.refusal));
        // The whole address, so that whoever opens it knows where it leads.
        let text = self.url.as_ref().map_or_else(|| self.words.clone(), |url| format!("{}\n{url}", self.words));
        let parts = vec![Part::text(text), Part::data(data.to_json())];
        Question { kind: QuestionKind::Authorization, message: Arc::new(Message::from_agent(id, parts)), schema: None }
    }

    /// Whether the server should be asked again for somebody who wants something of it.
    pub(crate) fn is_old(&self) -> bool {
        self.is_done || self.at.elapsed() > ASK_AGAIN_AFTER
    }

    /// Why nothing was called.
    pub(crate) fn fault(&self) -> Fault {
        Fault::new("login-needed", self.words.clone())
    }
}

/// Whether a server wants somebody to log in, as far as it was heard last.
#[derive(Debug)]
pub(crate) struct LoginWatch {
    /// Tells the refusals of this life of the node from those of others.
    life: u64,
    state: Mutex<(u64, Option<LoginNeeded>)>,
}

impl Default for LoginWatch {
    fn default() -> Self {
        Self { life: RandomState::new().hash_one(std::process::id()), state: Mutex::default() }
    }
}

impl LoginWatch {
    fn state(&self) -> MutexGuard<'_, (u64, Option<LoginNeeded>)> {
        self.state.lock().expect("nobody panics while looking at a login")
    }

    /// It wants that.
    pub(crate) fn refused(&self, words: String, url: Option<String>, logins: u64) {
        let mut state = self.state();
        state.0 += 1;
        let refusal = format!("{:x}-{}", self.life, state.0);
        state.1 = Some(LoginNeeded { words, url, logins, is_done: false, refusal, at: Instant::now() });
    }

    /// It has taken something, or nobody knows any more.
    pub(crate) fn forget(&self) {
        self.state().1 = None;
    }

    /// What it wants, if it does.
    pub(crate) fn needed(&self) -> Option<LoginNeeded> {
        self.state().1.clone()
    }
}

/// What to make of a message where logging in is the point.
pub(crate) enum LoginStep<'a> {
    Plan(Plan),
    /// It answers such a question, and there is nothing in the way any more of this one, with which the task began.
    GoOn(&'a Message),
}

/// Looks at a message before it is planned. `None`: it is planned as any other.
pub(crate) fn look<'a>(request: &Request<'a>, is_known: bool, needed: Option<&LoginNeeded>) -> Option<LoginStep<'a>> {
    let ask = |needed: &LoginNeeded| LoginStep::Plan(Plan::Ask(Arc::new(needed.question(request.question_id.clone()))));
    let Some((question, task)) = request.task.and_then(|task| Some((task.question.as_deref()?, task))) else {
        return needed.filter(|needed| !is_known && !needed.is_done).map(ask);
    };
    let data = question.message.data().and_then(JsonObject::read).unwrap_or_default();
    let asked = data.text(REFUSAL).filter(|_| question.kind == QuestionKind::Authorization)?;
    // A run asks for itself, and hears the answer.
    if task.calls.last().is_some() {
        return None;
    }
    if matches!(request.message.text().trim().to_lowercase().as_str(), "decline" | "cancel") {
        let text = "the server wants somebody to log in, and that was declined. Nothing was called";
        return Some(LoginStep::Plan(Plan::Reject(Fault::new("declined", text))));
    }
    let begun = task.history.iter().find(|message| message.role == Role::User);
    Some(match (begun, needed) {
        (Some(message), _) if is_known => LoginStep::GoOn(message),
        // It was asked since, and wants the same.
        (_, Some(needed)) if needed.refusal != asked && !needed.is_done => ask(needed),
        (Some(_) | None, _) => LoginStep::Plan(Plan::Defer),
    })
}
