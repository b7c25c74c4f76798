//! What is in flight on one connection: whose reply, whose progress, whose question a message is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bobbinet_core::Json;
use rmcp::model::RequestId;
use serde::Deserialize;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    config::McpLimits,
    lane::Lane,
    mailbox::{Asked, Broken, Mailbox, Progress, Reply},
    message,
};

/// Our request on its way to the transport: travels with it, and never on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) serial: u64,
    /// Its parameters, without `_meta`: a JSON object.
    pub(crate) params: Json,
}

/// See the module. Shared by the transport, the handler of the server's requests, and the calls.
#[derive(Debug)]
pub(crate) struct Tap {
    limits: McpLimits,
    lane: Arc<Lane>,
    inner: Mutex<Inner>,
    tools_changed: Notify,
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct Inner {
    serial: u64,
    calls: BTreeMap<u64, Entry>,
    /// The newest id that a request of ours went out under. They only grow.
    newest: Option<i64>,
    /// Requests of the protocol library's own: startup and probe.
    library: Vec<RequestId>,
    /// Calls given up without a reply, which may still ask, and until when we think so.
    ghosts: Vec<Ghost>,
    /// Requests of the server that wait for our answer.
    serving: Vec<RequestId>,
    /// Answers on their way to the transport, as they came.
    answers: Vec<(RequestId, Json)>,
    junk_lines: u64,
    junk_bytes: u64,
    broken: Option<Broken>,
}

/// A call given up without a reply.
#[derive(Debug)]
struct Ghost {
    id: i64,
    tool: String,
    until: Instant,
}

#[derive(Debug)]
struct Entry {
    mailbox: Arc<Mailbox>,
    /// The tool, if it is a call of one.
    tool: Option<String>,
    id: Option<i64>,
    token: Option<i64>,
    /// A question that may have been this call's was declined, because nobody could tell.
    was_passed_over: bool,
}

/// Whose a reply is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A call of ours, which has it now. The library is told only that it is over.
    Call(i64),
    /// The library's own request.
    Library,
    /// A request's of ours that nobody waits for any more: abandoned, or answered before.
    Late,
    /// Nobody's: made up.
    Nobody,
}

impl Tap {
    pub(crate) fn new(limits: McpLimits, lane: Arc<Lane>) -> Self {
        Self { limits, lane, inner: Mutex::default(), tools_changed: Notify::new(), ended: CancellationToken::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while looking through what is in flight")
    }

    /// A new request. It must be taken out with [`Tap::leave`].
    pub(crate) fn enter(&self, tool: Option<&str>) -> Result<(u64, Arc<Mailbox>), Broken> {
        let mut inner = self.inner();
        if let Some(broken) = &inner.broken {
            return Err(broken.clone());
        }
        inner.serial += 1;
        let serial = inner.serial;
        let mailbox = Arc::new(Mailbox::default());
        let tool = tool.map(str::to_owned);
        let entry = Entry { mailbox: mailbox.clone(), tool, id: None, token: None, was_passed_over: false };
        inner.calls.insert(serial, entry);
        Ok((serial, mailbox))
    }

    /// The request goes out under this id and progress token.
    pub(crate) fn sent(&self, serial: u64, id: i64, token: Option<i64>) {
        let mut inner = self.inner();
        inner.newest = inner.newest.max(Some(id));
        if let Some(entry) = inner.calls.get_mut(&serial) {
            entry.id = Some(id);
            entry.token = token;
        }
    }

    /// A request of the library's own goes out.
    pub(crate) fn sent_by_library(&self, id: RequestId) {
        self.inner().library.push(id);
    }

    /// The request is over for us. Returns its id if the server has it and has not replied: then it should be told.
    pub(crate) fn leave(&self, serial: u64) -> Option<i64> {
        let mut inner = self.inner();
        let entry = inner.calls.remove(&serial)?;
        let id = entry.id.filter(|_| inner.broken.is_none())?;
        if let Some(tool) = entry.tool {
            let until = Instant::now() + Duration::from_millis(self.limits.ghost_ms);
            inner.ghosts.push(Ghost { id, tool, until });
        }
        Some(id)
    }

    /// The id of a request that the server has, and has not replied to.
    pub(crate) fn id_of(&self, serial: u64) -> Option<i64> {
        self.inner().calls.get(&serial)?.id
    }

    /// Whether a question that may have been this call's was declined.
    pub(crate) fn was_passed_over(&self, serial: u64) -> bool {
        self.inner().calls.get(&serial).is_some_and(|entry| entry.was_passed_over)
    }

    /// A reply has come. `None` as id: the server could not read it in our request.
    pub(crate) fn reply(&self, id: Option<&RequestId>, reply: Reply) -> Owner {
        let mut inner = self.inner();
        if let Some(id) = id
            && take(&mut inner.library, id)
        {
            return Owner::Library;
        }
        let number = match id {
            Some(id) => number(id),
            None => inner.only_one(),
        };
        let Some(number) = number else { return Owner::Nobody };
        if id.is_some_and(|id| matches!(id, RequestId::String(_)))
            && take(&mut inner.library, &RequestId::Number(number))
        {
            return Owner::Library;
        }
        inner.ghosts.retain(|ghost| ghost.id != number);
        let was_sent = inner.newest.is_some_and(|newest| (0..=newest).contains(&number));
        let Some(entry) = inner.calls.values_mut().find(|entry| entry.id == Some(number)) else {
            return if was_sent { Owner::Late } else { Owner::Nobody };
        };
        // Only the first reply counts.
        entry.id = None;
        entry.token = None;
        let is_too_deep =
            matches!(&reply, Reply::Result(result) if message::is_deeper_than(result.as_str(), self.limits.depth_max));
        let reply = if is_too_deep {
            Reply::Unreadable(format!("its result is nested deeper than {}", self.limits.depth_max))
        } else {
            reply
        };
        entry.mailbox.reply(reply);
        Owner::Call(number)
    }

    /// A line was too long to be read: the reply to this request, or else, if one call is in flight, to that.
    pub(crate) fn too_long(&self, id: Option<&RequestId>) -> Owner {
        let text = format!("it wrote a line longer than {} bytes", self.limits.line_bytes_max);
        self.reply(id, Reply::Unreadable(text))
    }

    /// Progress of some call, in wire order.
    pub(crate) fn progress(&self, params: Option<&Json>) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Params {
            progress_token: RequestId,
            progress: f64,
            #[serde(default)]
            total: Option<f64>,
            #[serde(default)]
            message: Option<String>,
        }
        let Some(params) = params.and_then(|params| params.read::<Params>().ok()) else { return };
        let token = number(&params.progress_token);
        let inner = self.inner();
        let entry = inner.calls.values().find(|entry| entry.token.is_some() && entry.token == token);
        if let Some(entry) = entry {
            let Params { progress: value, total, message, .. } = params;
            entry.mailbox.progress(Progress { value, total, message });
        }
    }

    /// Hands a question to the call that it can only belong to. `Err` if there is no such call: then it is declined,
    /// and every tool in flight runs alone from now on.
    pub(crate) fn question(&self, asked: Asked) -> Result<(), Asked> {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.ghosts.retain(|ghost| ghost.until > now);
        let ghosts_that_ask = inner.ghosts.iter().filter(|ghost| self.lane.is_interactive(&ghost.tool)).count();
        let is_haunted = !inner.ghosts.is_empty();
        let mut tools = inner.calls.values_mut().filter(|entry| entry.tool.is_some() && entry.id.is_some());
        let Some(first) = tools.next() else { return Err(asked) };
        let mut suspects = Vec::new();
        for other in tools {
            other.was_passed_over = true;
            suspects.extend(other.tool.clone());
        }
        // A tool that is known to ask, and runs alone, is asked for; an abandoned call of one that never asked is not.
        let is_known_to_ask = first.tool.as_deref().is_some_and(|tool| self.lane.is_interactive(tool));
        let is_surely_first = !is_haunted || (is_known_to_ask && ghosts_that_ask == 0);
        if suspects.is_empty() && is_surely_first {
            first.mailbox.question(asked);
            return Ok(());
        }
        first.was_passed_over = true;
        suspects.extend(first.tool.clone());
        self.lane.learn(suspects);
        Err(asked)
    }

    /// A request of the server: `false` if it has this one already, or too many.
    pub(crate) fn serve(&self, id: &RequestId) -> bool {
        let mut inner = self.inner();
        let is_fresh = inner.serving.len() < self.limits.server_requests_max && !inner.serving.contains(id);
        if is_fresh {
            inner.serving.push(id.clone());
        }
        is_fresh
    }

    /// A request of the server has its answer, or needs none any more.
    pub(crate) fn served(&self, id: &RequestId) {
        let mut inner = self.inner();
        take(&mut inner.serving, id);
        inner.answers.retain(|(known, _)| known != id);
    }

    /// Keeps the answer to a request of the server, so that it can be written as it came.
    pub(crate) fn answer(&self, id: &RequestId, answer: Json) {
        let mut inner = self.inner();
        if inner.serving.contains(id) {
            inner.answers.push((id.clone(), answer));
        }
    }

    /// The answer to a request of the server, if one was kept.
    pub(crate) fn answer_to(&self, id: &RequestId) -> Option<Json> {
        self.inner().answers.iter().find(|(known, _)| known == id).map(|(_, answer)| answer.clone())
    }

    /// A line that could be read, and was somebody's.
    pub(crate) fn good(&self) {
        let mut inner = self.inner();
        inner.junk_lines = 0;
        inner.junk_bytes = 0;
    }

    /// A line that could not. Returns why it was one too many, if it was.
    pub(crate) fn junk(&self, bytes: usize) -> Option<Broken> {
        let mut inner = self.inner();
        inner.junk_lines += 1;
        inner.junk_bytes += bytes as u64;
        let is_flood = inner.junk_lines > self.limits.junk_lines_max || inner.junk_bytes > self.limits.junk_bytes_max;
        is_flood.then(|| {
            let (lines, bytes) = (inner.junk_lines, inner.junk_bytes);
            Broken::Garbage(format!("it wrote {lines} lines ({bytes} bytes) that are no message of ours to read"))
        })
    }

    /// The tool list has changed, the server says.
    pub(crate) fn change_tools(&self) {
        self.tools_changed.notify_one();
    }

    /// Returns when the server has said that its tools changed. Many times are one time.
    pub(crate) async fn tools_changed(&self) {
        self.tools_changed.notified().await;
    }

    /// The connection is over: everybody is told. Only the first reason counts.
    pub(crate) fn close(&self, broken: Broken) {
        let mut inner = self.inner();
        if inner.broken.is_some() {
            return;
        }
        inner.broken = Some(broken.clone());
        for entry in inner.calls.values() {
            entry.mailbox.reply(match entry.id {
                Some(_) => Reply::Broken(broken.clone()),
                None => Reply::NotSent(broken.clone()),
            });
        }
        self.ended.cancel();
    }

    /// Why the connection is over, if it is.
    pub(crate) fn broken(&self) -> Option<Broken> {
        self.inner().broken.clone()
    }

    /// Returns when the connection is over.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Inner {
    /// The id of the one request of ours that is in flight, if it is exactly one.
    fn only_one(&self) -> Option<i64> {
        let mut ids = self.calls.values().filter_map(|entry| entry.id);
        let only = ids.next().filter(|_| ids.next().is_none())?;
        (self.library.is_empty() && self.ghosts.is_empty()).then_some(only)
    }
}

/// Takes an id out of a list, if it is there.
fn take(ids: &mut Vec<RequestId>, id: &RequestId) -> bool {
    let place = ids.iter().position(|known| known == id);
    place.map(|place| ids.swap_remove(place)).is_some()
}

/// An id or token as a number: ours are, and some servers send them back as text.
fn number(id: &RequestId) -> Option<i64> {
    match id {
        RequestId::Number(number) => Some(*number),
        RequestId::String(text) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::mailbox::Mail;

    fn tap() -> Tap {
        Tap::new(McpLimits::default(), Arc::new(Lane::new([])))
    }

    fn asked() -> (Asked, oneshot::Receiver<Json>) {
        let (answer, answered) = oneshot::channel();
        (Asked { params: Json::of(&()), answer }, answered)
    }

    /// A call of a tool that the server has.
    fn call(tap: &Tap, tool: &str, id: i64) -> (u64, Arc<Mailbox>) {
        let (serial, mailbox) = tap.enter(Some(tool)).unwrap();
        tap.sent(serial, id, Some(id));
        (serial, mailbox)
    }

    #[tokio::test]
    async fn a_question_goes_to_the_only_call_it_can_belong_to() {
        let tap = tap();
        assert!(tap.question(asked().0).is_err(), "nothing is in flight");
        let (serial, mailbox) = call(&tap, "a", 1);
        tap.question(asked().0).unwrap();
        assert!(matches!(mailbox.next().await, Mail::Question(_)));
        assert!(!tap.was_passed_over(serial));
    }

    #[tokio::test]
    async fn a_question_that_could_be_anybodys_is_nobodys() {
        let tap = tap();
        let (first, _) = call(&tap, "a", 1);
        let (second, _) = call(&tap, "b", 2);
        assert!(tap.question(asked().0).is_err());
        assert!(tap.was_passed_over(first) && tap.was_passed_over(second));
        // Both run alone from now on: while one does, the other waits.
        let place = tap.lane.enter("a").await;
        let mut waiting = std::pin::pin!(tap.lane.enter("b"));
        assert!(futures_now(waiting.as_mut()).is_none());
        drop(place);
        waiting.await;
    }

    /// The result of a future that is ready at once.
    fn futures_now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_given_up_may_still_ask_and_then_nobody_else_is() {
        let tap = tap();
        let (given_up, _) = call(&tap, "a", 1);
        assert_eq!(tap.leave(given_up), Some(1));
        let (serial, _) = call(&tap, "b", 2);
        assert!(tap.question(asked().0).is_err());
        assert!(tap.was_passed_over(serial));
        tokio::time::advance(Duration::from_secs(61)).await;
        tap.question(asked().0).unwrap();
    }

    #[tokio::test]
    async fn a_late_reply_ends_the_haunting() {
        let tap = tap();
        let (given_up, _) = call(&tap, "a", 1);
        tap.leave(given_up);
        call(&tap, "b", 2);
        assert_eq!(tap.reply(Some(&RequestId::Number(1)), Reply::Result(Json::of(&1))), Owner::Late);
        tap.question(asked().0).unwrap();
    }

    #[tokio::test]
    async fn replies_find_their_call_once() {
        let tap = tap();
        tap.sent_by_library(RequestId::Number(0));
        let (serial, mailbox) = call(&tap, "a", 1);
        let reply = |id: RequestId| tap.reply(Some(&id), Reply::Result(Json::of(&1)));
        assert_eq!(reply(RequestId::Number(0)), Owner::Library);
        assert_eq!(reply(RequestId::Number(0)), Owner::Late);
        assert_eq!(reply(RequestId::Number(7)), Owner::Nobody);
        assert_eq!(reply(RequestId::String("1".into())), Owner::Call(1));
        assert_eq!(reply(RequestId::Number(1)), Owner::Late);
        assert!(matches!(mailbox.replied().await, Reply::Result(_)));
        assert_eq!(tap.leave(serial), None);
    }

    #[tokio::test]
    async fn what_the_server_never_saw_is_told_from_what_it_may_have_done() {
        let tap = tap();
        let (_, sent) = call(&tap, "a", 1);
        let (_, unsent) = tap.enter(Some("b")).unwrap();
        tap.close(Broken::Died("gone".to_owned()));
        assert!(matches!(sent.replied().await, Reply::Broken(_)));
        assert!(matches!(unsent.replied().await, Reply::NotSent(_)));
        assert!(tap.enter(None).is_err());
    }

    #[tokio::test]
    async fn a_flood_of_junk_is_one_line_too_many() {
        let limits = McpLimits { junk_lines_max: 3, junk_bytes_max: 100, ..McpLimits::default() };
        let tap = Tap::new(limits, Arc::new(Lane::new([])));
        assert!([1, 1, 1].iter().all(|bytes| tap.junk(*bytes).is_none()));
        assert!(tap.junk(1).is_some());
        tap.good();
        assert!(tap.junk(100).is_none());
        assert!(tap.junk(1).is_some());
    }
}
