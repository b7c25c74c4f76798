//! What is in flight on one connection: whose reply, whose progress, whose question a message is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bobbinet_core::Json;
use bobbinet_engine::CallName;
use rmcp::model::RequestId;
use serde::Deserialize;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::McpLimits,
    crash_history::CallFingerprint,
    exclusive_tools::{CallOwner, ExclusiveTools},
    json_object::JsonObject,
    mailbox::{Asks, ConnectionError, ElicitationRequest, Mailbox, Progress, Reply},
    rpc_message,
    server_changes::ServerChanges,
    watched_resources::WatchedResources,
};

/// The ids of the handshake's requests. Numbers, since some servers take no others; apart from those of all others, which count from 1;
/// within 31 bits, since some servers keep them so.
pub(crate) const HANDSHAKE_ID_FIRST: i64 = 2_000_000_000;

/// A request that is the call of a tool: by which permit it runs, whose it is, and what it does.
#[derive(Clone, Debug)]
pub(crate) struct ToolCall {
    pub(crate) ticket: u64,
    pub(crate) owner: CallOwner,
    pub(crate) fingerprint: CallFingerprint,
    /// The server's task that the request is about, if it is one.
    pub(crate) task: Option<Arc<str>>,
    /// By which it is known to those who listen to it.
    pub(crate) name: CallName,
}

/// The requests in flight on one connection, and those that were abandoned. Shared by the channel, the handler of the server's requests, and the calls.
#[derive(Debug)]
pub(crate) struct InFlight {
    limits: McpLimits,
    exclusive_tools: Arc<ExclusiveTools>,
    /// What the server has said to have changed.
    changes: Arc<ServerChanges>,
    state: Mutex<InFlightState>,
    lists_changed: Notify,
    /// The resources that somebody follows.
    pub(crate) resources: Arc<WatchedResources>,
    ended: CancellationToken,
}

/// What is in flight at one moment.
#[derive(Debug, Default)]
struct InFlightState {
    serial: u64,
    /// Whose calls there were over this connection.
    owners: SessionOwners,
    requests: BTreeMap<u64, InFlightRequest>,
    /// The newest id that a request of ours went out under. They only grow.
    newest: Option<i64>,
    /// Calls given up without a reply, which may still ask or be replied to, and until when we think so.
    abandoned: Vec<AbandonedCall>,
    /// Requests of the server that wait for our answer.
    serving: Vec<RequestId>,
    /// Answers on their way to the transport, as they came.
    answers: Vec<(RequestId, Json)>,
    junk_lines: u64,
    junk_bytes: u64,
    broken: Option<ConnectionError>,
    /// Whether it broke under a call that was known for that.
    was_foreseen: bool,
}

/// Whose calls a connection has had since it began: what its server says may be of any of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum SessionOwners {
    #[default]
    Nobody,
    One(CallOwner),
    /// Several callers', or somebody's who is not known.
    Several,
}

/// A call given up without a reply.
#[derive(Debug)]
struct AbandonedCall {
    id: i64,
    tool_call: ToolCall,
    until: Instant,
}

/// A request of ours that somebody waits for.
#[derive(Debug)]
struct InFlightRequest {
    mailbox: Arc<Mailbox>,
    /// What is known of it as the call of a tool, if it is one.
    tool_call: Option<ToolCall>,
    id: Option<i64>,
    token: Option<i64>,
    /// A question that may have been this call's was declined, because nobody could tell.
    was_passed_over: bool,
}

/// Whose a reply is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReplyOwner {
    /// A request's of ours, which has it now.
    Call(i64),
    /// A request's of ours that nobody waits for any more: abandoned, or answered before.
    Late,
    /// Nobody's: made up.
    Nobody,
}

impl InFlight {
    pub(crate) fn new(limits: McpLimits, exclusive_tools: Arc<ExclusiveTools>, changes: Arc<ServerChanges>) -> Self {
        Self {
            limits,
            exclusive_tools,
            changes,
            state: Mutex::default(),
            lists_changed: Notify::new(),
            resources: Arc::default(),
            ended: CancellationToken::new(),
        }
    }

    /// What is in flight of an agent with this configuration.
    #[cfg(test)]
    pub(crate) fn of(config: &crate::config::McpConfig) -> Self {
        Self::new(config.limits.clone(), Arc::new(ExclusiveTools::of(config)), Arc::default())
    }

    fn state(&self) -> MutexGuard<'_, InFlightState> {
        self.state.lock().expect("nobody panics while looking through what is in flight")
    }

    /// A new request. It must be taken out with [`InFlight::end`].
    pub(crate) fn begin(&self, tool_call: Option<ToolCall>) -> Result<(u64, Arc<Mailbox>), ConnectionError> {
        let mut state = self.state();
        if let Some(broken) = &state.broken {
            return Err(broken.clone());
        }
        if let Some(call) = &tool_call {
            state.owners.note(&call.owner);
        }
        state.serial += 1;
        let serial = state.serial;
        let mailbox = Arc::new(Mailbox::default());
        let request =
            InFlightRequest { mailbox: mailbox.clone(), tool_call, id: None, token: None, was_passed_over: false };
        state.requests.insert(serial, request);
        Ok((serial, mailbox))
    }

    /// The request goes out under this id and progress token.
    pub(crate) fn sent(&self, serial: u64, id: i64, token: Option<i64>) {
        let mut state = self.state();
        // The ids of the handshake are far above all others.
        state.newest = state.newest.max(Some(id).filter(|id| *id < HANDSHAKE_ID_FIRST));
        if let Some(request) = state.requests.get_mut(&serial) {
            request.id = Some(id);
            request.token = token;
        }
    }

    /// The request is over for us. Returns its id if the server has it and has not replied: then it should be told.
    pub(crate) fn end(&self, serial: u64) -> Option<i64> {
        let mut state = self.state();
        let request = state.requests.remove(&serial)?;
        let id = request.id.filter(|_| state.broken.is_none())?;
        if let Some(tool_call) = request.tool_call {
            let now = Instant::now();
            let until = now + Duration::from_millis(self.limits.ghost_ms);
            self.exclusive_tools.abandon(tool_call.ticket, until);
            state.abandoned.retain(|abandoned| abandoned.until > now);
            state.abandoned.push(AbandonedCall { id, tool_call, until });
        }
        Some(id)
    }

    /// The id of a request that the server has, and has not replied to.
    pub(crate) fn id_of(&self, serial: u64) -> Option<i64> {
        self.state().requests.get(&serial)?.id
    }

    /// Whether a question that may have been this call's was declined.
    pub(crate) fn was_passed_over(&self, serial: u64) -> bool {
        self.state().requests.get(&serial).is_some_and(|request| request.was_passed_over)
    }

    /// A reply has come. `None` as id: the server could not read it in our request.
    pub(crate) fn reply(&self, id: Option<&RequestId>, reply: Reply) -> ReplyOwner {
        let mut state = self.state();
        let number = match id {
            Some(id) => number(id),
            None => state.only_one(),
        };
        let Some(number) = number else { return ReplyOwner::Nobody };
        if let Some(index) = state.abandoned.iter().position(|abandoned| abandoned.id == number) {
            self.exclusive_tools.end_abandoned(state.abandoned.remove(index).tool_call.ticket);
        }
        let was_sent = state.newest.is_some_and(|newest| (0..=newest).contains(&number));
        let Some(request) = state.requests.values_mut().find(|request| request.id == Some(number)) else {
            return if was_sent { ReplyOwner::Late } else { ReplyOwner::Nobody };
        };
        // Only the first reply counts.
        request.id = None;
        request.token = None;
        let is_too_deep = matches!(&reply, Reply::Result(result) if rpc_message::is_deeper_than(result.as_str(), self.limits.depth_max));
        let reply = if is_too_deep {
            Reply::Unreadable(format!("its result is nested deeper than {}", self.limits.depth_max))
        } else {
            reply
        };
        request.mailbox.reply(reply);
        ReplyOwner::Call(number)
    }

    /// A line was too long to be read: the reply to this request, or else, if one call is in flight, to that.
    pub(crate) fn too_long(&self, id: Option<&RequestId>) -> ReplyOwner {
        let text = format!("it wrote a line longer than {} bytes", self.limits.line_bytes_max);
        self.reply(id, Reply::Unreadable(text))
    }

    /// Progress of some call, in wire order.
    pub(crate) fn progress(&self, params: Option<&Json>) {
        let Some(params) = params.and_then(read_progress) else { return };
        let token = number(&params.progress_token);
        let state = self.state();
        let request = state.requests.values().find(|request| request.token.is_some() && request.token == token);
        if let Some(request) = request {
            let ProgressParams { progress: value, total, message, .. } = params;
            request.mailbox.progress(Progress { value, total, message });
        }
    }

    /// Something is about to be asked for this owner that is no call of his.
    pub(crate) fn note_owner(&self, owner: &CallOwner) {
        self.state().owners.note(owner);
    }

    /// Something is about to be asked for somebody whom nobody here knows: what the server says for a log may be about that from now on.
    pub(crate) fn mix_owners(&self) {
        self.state().owners = SessionOwners::Several;
    }

    /// Whether this owner has the connection for himself, with a call that he is about to make.
    pub(crate) fn is_only(&self, owner: &CallOwner) -> bool {
        match &self.state().owners {
            SessionOwners::Nobody => true,
            SessionOwners::One(only) => only == owner,
            SessionOwners::Several => false,
        }
    }

    /// Of which calls a line is that the server says for a log: of the one in whose answer it came; else of its owner's, the newest first,
    /// if there was never anybody else's over this connection; else of none.
    pub(crate) fn log_calls(&self, within: Option<&RequestId>) -> Vec<CallName> {
        let state = self.state();
        let within = within.and_then(number);
        let is_meant = |request: &InFlightRequest| match within {
            Some(id) => request.id == Some(id),
            None => request.id.is_some() && matches!(state.owners, SessionOwners::One(_)),
        };
        let calls = state.requests.values().rev().filter(|request| is_meant(request));
        calls.filter_map(|request| Some(request.tool_call.as_ref()?.name.clone())).collect()
    }

    /// Hands a question to the call that asks it. `false` if nobody knows which that is: then it is to be declined.
    pub(crate) fn question(&self, asks: Asks, params: Json, answer: oneshot::Sender<Json>) -> bool {
        let mut state = self.state();
        if let Some(task) = related_task(&params) {
            // Whose it is it says itself: it goes there, or nowhere.
            let request = state.requests.values().find(|request| request.id.is_some() && request.is_about(&task));
            let ticket = request.and_then(InFlightRequest::ticket);
            if let (Some(request), Some(ticket)) = (request, ticket) {
                let open = self.exclusive_tools.named(ticket);
                request.mailbox.question(ElicitationRequest { asks, params, answer, open });
            }
            return ticket.is_some();
        }
        let at_server = state.requests.values().filter(|request| request.id.is_some());
        let tickets = at_server.filter_map(|request| Some(request.tool_call.as_ref()?.ticket)).collect::<Vec<_>>();
        match self.exclusive_tools.attribute(&tickets) {
            Ok(open) => {
                let request = state.requests.values().find(|request| request.ticket() == Some(open.ticket));
                if let Some(request) = request {
                    request.mailbox.question(ElicitationRequest { asks, params, answer, open });
                }
                request.is_some()
            }
            Err(passed_over) => {
                for request in state.requests.values_mut() {
                    request.was_passed_over |= request.ticket().is_some_and(|ticket| passed_over.contains(&ticket));
                }
                false
            }
        }
    }

    /// A resource has changed, the server says.
    pub(crate) fn resource_updated(&self, params: Option<&Json>) {
        // Before those who follow it are told: nobody reads anew and is given what was kept.
        self.changes.resource_changed();
        let uri = params.and_then(JsonObject::read).and_then(|fields| fields.text("uri"));
        uri.into_iter().for_each(|uri| self.resources.updated(&uri));
    }

    /// A task of the server's stands otherwise than before, it says: whoever follows it looks.
    pub(crate) fn task_changed(&self, params: Option<&Json>) {
        let Some(task) = params.and_then(JsonObject::read).and_then(|fields| fields.text("taskId")) else { return };
        let state = self.state();
        state.requests.values().filter(|request| request.is_about(&task)).for_each(|request| request.mailbox.alive());
    }

    /// A request of the server: `false` if it has this one already, or too many.
    pub(crate) fn serve(&self, id: &RequestId) -> bool {
        let mut state = self.state();
        let is_fresh = state.serving.len() < self.limits.server_requests_max && !state.serving.contains(id);
        if is_fresh {
            state.serving.push(id.clone());
        }
        is_fresh
    }

    /// A request of the server has its answer, or needs none any more.
    pub(crate) fn served(&self, id: &RequestId) {
        let mut state = self.state();
        take(&mut state.serving, id);
        state.answers.retain(|(known, _)| known != id);
    }

    /// Keeps the answer to a request of the server, so that it can be written as it came.
    pub(crate) fn answer(&self, id: &RequestId, answer: Json) {
        let mut state = self.state();
        if state.serving.contains(id) {
            state.answers.push((id.clone(), answer));
        }
    }

    /// The answer to a request of the server, if one was kept.
    pub(crate) fn answer_to(&self, id: &RequestId) -> Option<Json> {
        self.state().answers.iter().find(|(known, _)| known == id).map(|(_, answer)| answer.clone())
    }

    /// A line that could be read, and was somebody's.
    pub(crate) fn good(&self) {
        let mut state = self.state();
        state.junk_lines = 0;
        state.junk_bytes = 0;
    }

    /// A line that could not. Returns why it was one too many, if it was.
    pub(crate) fn junk(&self, bytes: usize) -> Option<ConnectionError> {
        let mut state = self.state();
        state.junk_lines += 1;
        state.junk_bytes += bytes as u64;
        let is_flood = state.junk_lines > self.limits.junk_lines_max || state.junk_bytes > self.limits.junk_bytes_max;
        is_flood.then(|| {
            let (lines, bytes) = (state.junk_lines, state.junk_bytes);
            ConnectionError::Garbage(format!(
                "it wrote {lines} lines ({bytes} bytes) that are no message of ours to read"
            ))
        })
    }

    /// One of its lists has changed, the server says.
    pub(crate) fn change_lists(&self) {
        self.changes.list_changed();
        self.lists_changed.notify_one();
    }

    /// Returns when the server has said that a list of its changed. Many times are one time.
    pub(crate) async fn lists_changed(&self) {
        self.lists_changed.notified().await;
    }

    /// Whether the server was given anybody's call.
    pub(crate) fn has_served(&self) -> bool {
        self.state().owners != SessionOwners::Nobody
    }

    /// The connection is over: everybody is told. Only the first reason counts, and what the server said at last is for those alone who
    /// shared it with nobody.
    pub(crate) fn close(&self, broken: ConnectionError) {
        let mut state = self.state();
        if state.broken.is_some() {
            return;
        }
        // Whoever comes later looks here, too.
        state.broken =
            Some(if state.owners == SessionOwners::Nobody { broken.clone() } else { broken.without_last_words() });
        let broken = if state.owners == SessionOwners::Several { broken.without_last_words() } else { broken };
        let at_server = state.requests.values().filter(|request| request.id.is_some());
        let fingerprints =
            at_server.filter_map(|request| Some(request.tool_call.as_ref()?.fingerprint)).collect::<Vec<_>>();
        state.was_foreseen =
            broken != ConnectionError::Expired && self.exclusive_tools.crashes.died(Instant::now(), &fingerprints);
        for abandoned in std::mem::take(&mut state.abandoned) {
            self.exclusive_tools.end_abandoned(abandoned.tool_call.ticket);
        }
        for request in state.requests.values() {
            request.mailbox.reply(match request.id {
                Some(_) => Reply::Broken(broken.clone()),
                None => Reply::NotSent(broken.clone()),
            });
        }
        self.ended.cancel();
    }

    /// Why the connection is over, if it is.
    pub(crate) fn broken(&self) -> Option<ConnectionError> {
        self.state().broken.clone()
    }

    /// Whether it was over because of a call that was known for that.
    pub(crate) fn was_foreseen(&self) -> bool {
        self.state().was_foreseen
    }

    /// Returns when the connection is over.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl SessionOwners {
    fn note(&mut self, owner: &CallOwner) {
        match self {
            Self::Nobody => *self = Self::One(owner.clone()),
            Self::One(only) if only == owner => {}
            Self::One(_) => *self = Self::Several,
            Self::Several => {}
        }
    }
}

impl InFlightRequest {
    fn ticket(&self) -> Option<u64> {
        self.tool_call.as_ref().map(|tool_call| tool_call.ticket)
    }

    fn is_about(&self, task: &str) -> bool {
        self.tool_call.as_ref().is_some_and(|tool_call| tool_call.task.as_deref() == Some(task))
    }
}

impl InFlightState {
    /// The id of the one request of ours that is in flight, if it is exactly one, and nobody else's was given up lately.
    fn only_one(&self) -> Option<i64> {
        let now = Instant::now();
        let mut at_server = self.requests.values().filter(|request| request.id.is_some());
        let only = at_server.next().filter(|_| at_server.next().is_none())?;
        let owner = only.tool_call.as_ref().map(|tool_call| &tool_call.owner);
        let is_ambiguous =
            self.abandoned.iter().any(|abandoned| abandoned.until > now && Some(&abandoned.tool_call.owner) != owner);
        only.id.filter(|_| !is_ambiguous)
    }
}

/// Takes an id out of a list, if it is there.
fn take(ids: &mut Vec<RequestId>, id: &RequestId) -> bool {
    let index = ids.iter().position(|known| known == id);
    index.map(|index| ids.swap_remove(index)).is_some()
}

/// The name in `_meta` of the task that a request of the server belongs to (2025-11-25).
const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// The task of the server's that a request of it belongs to, if it says so.
pub(crate) fn related_task(params: &Json) -> Option<String> {
    let meta = JsonObject::read(JsonObject::read(params)?.get("_meta")?)?;
    JsonObject::read(meta.get(RELATED_TASK)?)?.text("taskId")
}

/// The parameters of `notifications/progress`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProgressParams<N = f64, T = String> {
    progress_token: RequestId,
    progress: N,
    #[serde(default = "Option::default")]
    total: Option<N>,
    #[serde(default = "Option::default")]
    message: Option<T>,
}

/// Progress in whatever form it comes: some servers write numbers as text, and more. It is a sign of life all the same.
fn read_progress(params: &Json) -> Option<ProgressParams> {
    if let Ok(told) = params.read::<ProgressParams>() {
        return Some(told);
    }
    let odd = params.read::<ProgressParams<Json, Json>>().ok()?;
    Some(ProgressParams {
        progress_token: odd.progress_token,
        progress: read_number(&odd.progress).unwrap_or_default(),
        total: odd.total.as_ref().and_then(read_number),
        message: odd.message.and_then(|message| message.read().ok()),
    })
}

/// A number, also one that is written as a text.
fn read_number(json: &Json) -> Option<f64> {
    let number = json.read::<f64>().ok().or_else(|| json.read::<String>().ok()?.trim().parse().ok());
    number.filter(|number| number.is_finite())
}

/// An id or token as a number: ours are, and some servers send them back as text.
fn number(id: &RequestId) -> Option<i64> {
    match id {
        RequestId::Number(number) => Some(*number),
        RequestId::String(text) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
