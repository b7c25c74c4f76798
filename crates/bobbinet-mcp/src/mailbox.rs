//! What the server has to say to one call of ours: put in by the transport in wire order, taken out by the call.
//!
//! Bounded by construction: only the newest progress is kept, a few questions, one reply.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard},
};

use bobbinet_core::Json;
use tokio::sync::{Notify, oneshot};

use crate::{exclusive_tools::OpenQuestion, json_object::JsonObject, last_words::headline, salvage};

/// Questions of one call that wait to be asked. A server that needs more at once is not talking to people.
const QUESTIONS_MAX: usize = 8;

/// How far a call is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Progress {
    pub(crate) value: f64,
    pub(crate) total: Option<f64>,
    pub(crate) message: Option<String>,
}

/// Whom a server asks in the middle of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Our caller.
    User,
    /// A language model. Without an answer it is told why not.
    Model,
    /// Our caller's client, for its roots. Without an answer it is told why not.
    Roots,
}

/// A question of the server in the middle of a call. Dropping it answers `cancel`.
#[derive(Debug)]
pub(crate) struct ElicitationRequest {
    /// Who is to answer it.
    pub(crate) asks: Asks,
    /// The parameters of `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub(crate) params: Json,
    /// Where the answer goes: `{"action": …, "content"?: …}`.
    pub(crate) answer: oneshot::Sender<Json>,
    /// While this lives, the call waits for the answer.
    pub(crate) open: OpenQuestion,
}

/// A JSON-RPC error of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RpcError {
    /// 0, which stands for nothing, if it gave none that is a number.
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Json>,
    /// Whether it stands for a login that somebody has to do: the transport's own word, which no server can say.
    pub(crate) wants_login: bool,
}

impl RpcError {
    /// An error of the transport's own, which has no number.
    pub(crate) fn own(message: String) -> Self {
        Self { code: 0, message, data: None, wants_login: false }
    }

    /// Reads an error in whatever form it comes: it is the server's no all the same.
    pub(crate) fn read(json: &Json) -> Self {
        let words = |json: &Json| json.read::<String>().unwrap_or_else(|_| json.as_str().to_owned());
        let Some(fields) = JsonObject::read(json) else { return Self::own(words(json)) };
        let mut message = fields.get("message").map(words).unwrap_or_default();
        let code = match fields.get("code").map(words) {
            None => 0,
            Some(text) => salvage::number(text.trim()).unwrap_or_else(|| {
                message = format!("{text}: {message}");
                0
            }),
        };
        Self { code, message, data: fields.get("data").cloned(), wants_login: false }
    }
}

/// Why there will be no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionError {
    /// The server, or its end of the pipe, is gone.
    Died(String),
    /// The server wrote what cannot be read.
    Garbage(String),
    /// The server has ended the session, and takes another.
    Expired,
}

impl ConnectionError {
    /// The same without what the server said at last, which may be of anybody's call.
    pub(crate) fn without_last_words(&self) -> Self {
        match self {
            Self::Died(text) => Self::Died(headline(text).to_owned()),
            Self::Garbage(_) | Self::Expired => self.clone(),
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Died(text) | Self::Garbage(text) => f.write_str(text),
            Self::Expired => f.write_str("the server has ended the session"),
        }
    }
}

/// How an exchange with the server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Result(Json),
    Error(RpcError),
    /// The server has answered, with what nobody can read: for this reason.
    Unreadable(String),
    /// The connection broke before the request was handed to it: the server has never seen it.
    NotSent(ConnectionError),
    Broken(ConnectionError),
}

/// One thing that the server said.
#[derive(Debug)]
pub(crate) enum Mail {
    Progress(Progress),
    /// Progress that says nothing new: a sign of life all the same.
    Alive,
    Question(ElicitationRequest),
    Reply(Reply),
}

/// What waits to be taken by one call. Any number may put something in; one takes it out.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<MailboxState>,
    bell: Notify,
}

/// What is in a mailbox.
#[derive(Debug, Default)]
struct MailboxState {
    is_alive: bool,
    progress: Option<Progress>,
    last: Option<(f64, Option<String>)>,
    questions: VecDeque<ElicitationRequest>,
    reply: Option<Reply>,
}

impl Mailbox {
    fn state(&self) -> MutexGuard<'_, MailboxState> {
        self.state.lock().expect("nobody panics while putting or taking mail")
    }

    /// A sign of life, of which nobody says more.
    pub(crate) fn alive(&self) {
        self.state().is_alive = true;
        self.bell.notify_one();
    }

    /// Progress, unless it goes back or comes after the reply.
    pub(crate) fn progress(&self, progress: Progress) {
        {
            let mut state = self.state();
            if state.reply.is_some() {
                return;
            }
            state.is_alive = true;
            let is_new = state.last.as_ref().is_none_or(|(value, message)| {
                progress.value > *value || (progress.value == *value && progress.message != *message)
            });
            if is_new {
                state.last = Some((progress.value, progress.message.clone()));
                state.progress = Some(progress);
            }
        }
        self.bell.notify_one();
    }

    /// A question; it is cancelled if too many wait or the call has its reply.
    pub(crate) fn question(&self, asked: ElicitationRequest) {
        {
            let mut state = self.state();
            if state.reply.is_some() || state.questions.len() >= QUESTIONS_MAX {
                let _ = asked.answer.send(Json::from(&serde_json::json!({ "action": "cancel" })));
                return;
            }
            state.questions.push_back(asked);
        }
        self.bell.notify_one();
    }

    /// The reply. Only the first one counts.
    pub(crate) fn reply(&self, reply: Reply) {
        {
            let mut state = self.state();
            state.questions.clear();
            state.reply.get_or_insert(reply);
        }
        self.bell.notify_one();
    }

    fn take(&self, with_questions: bool) -> Option<Mail> {
        let mut state = self.state();
        if let Some(progress) = state.progress.take() {
            state.is_alive = false;
            return Some(Mail::Progress(progress));
        }
        if let Some(asked) = with_questions.then(|| state.questions.pop_front()).flatten() {
            return Some(Mail::Question(asked));
        }
        if let Some(reply) = &state.reply {
            return Some(Mail::Reply(reply.clone()));
        }
        std::mem::take(&mut state.is_alive).then_some(Mail::Alive)
    }

    /// The next mail: progress before questions, both before the reply, which stays. Nothing is lost by a drop.
    pub(crate) async fn next(&self) -> Mail {
        loop {
            if let Some(mail) = self.take(true) {
                return mail;
            }
            self.bell.notified().await;
        }
    }

    /// The reply, when there is one; questions are kept for later.
    pub(crate) async fn replied_meanwhile(&self) -> Reply {
        loop {
            match self.take(false) {
                Some(Mail::Reply(reply)) => return reply,
                Some(Mail::Progress(_) | Mail::Alive | Mail::Question(_)) => {}
                None => self.bell.notified().await,
            }
        }
    }

    /// The reply, when there is one.
    pub(crate) async fn replied(&self) -> Reply {
        loop {
            match self.next().await {
                Mail::Reply(reply) => return reply,
                Mail::Progress(_) | Mail::Alive | Mail::Question(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        config::McpConfig,
        exclusive_tools::{CallOwner, CallProfile, ConcurrencyClass, ExclusiveTools},
    };

    fn progress(value: f64) -> Progress {
        Progress { value, total: None, message: None }
    }

    #[tokio::test]
    async fn progress_only_grows_and_ends_with_the_reply() {
        let mailbox = Mailbox::default();
        mailbox.progress(progress(1.0));
        mailbox.progress(progress(3.0));
        mailbox.progress(progress(2.0));
        assert!(matches!(mailbox.next().await, Mail::Progress(newest) if newest == progress(3.0)));
        mailbox.progress(progress(2.5));
        assert!(matches!(mailbox.next().await, Mail::Alive));
        mailbox.reply(Reply::Result(Json::of(&1)));
        mailbox.reply(Reply::Result(Json::of(&2)));
        mailbox.progress(progress(4.0));
        assert!(matches!(mailbox.next().await, Mail::Reply(Reply::Result(first)) if first == Json::of(&1)));
    }

    #[tokio::test]
    async fn questions_beyond_the_bound_are_cancelled() {
        let exclusive_tools = Arc::new(ExclusiveTools::of(&McpConfig::new("a", "x", &[])));
        let profile =
            CallProfile { owner: CallOwner::named("ann"), tool: "t".to_owned(), class: ConcurrencyClass::Unknown };
        let permit = exclusive_tools.try_acquire(&profile).unwrap();
        let mailbox = Mailbox::default();
        let mut answers = Vec::new();
        for _ in 0..=QUESTIONS_MAX {
            let (answer, answered) = oneshot::channel();
            let open = exclusive_tools.attribute(&[permit.ticket]).unwrap();
            mailbox.question(ElicitationRequest { asks: Asks::User, params: Json::of(&()), answer, open });
            answers.push(answered);
        }
        let mut last = answers.pop().unwrap();
        assert_eq!(last.try_recv().unwrap().as_str(), r#"{"action":"cancel"}"#);
        let mut first = answers.remove(0);
        assert_eq!(first.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }
}
