//! The JSON-RPC messages of a session, between the protocol library and a transport: in order, and nothing silently lost.
//!
//! The library sees only its own requests and the server's. Replies to our calls, progress and questions go straight to
//! whom they belong ([`InFlight`]), with all values as they came. Knows no transport: what carries the bytes is a
//! [`MessageSource`] and a [`MessageSink`].

use std::{collections::VecDeque, io, sync::Arc};

use bobbinet_core::Json;
use rmcp::{
    RoleClient,
    model::{
        CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, CustomRequest, EmptyResult, ErrorData,
        GetExtensions, GetMeta, JsonRpcMessage, PingRequest, RequestId, RequestMetaObject, ServerJsonRpcMessage,
        ServerNotification, ServerRequest, ServerResult,
    },
    service::TxJsonRpcMessage,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    in_flight::{InFlight, OutgoingRequest, ReplyOwner},
    json_object::JsonObject,
    mailbox::{ConnectionError, Reply},
    rpc_message::{self, RpcMessage},
    salvage,
    server_log::ServerLog,
    transport::{MessageSink, MessageSource, OutgoingMessage, Received},
};

/// The parameters of a server's request, as they came. Travels inside of us, beside the request.
#[derive(Clone, Debug)]
pub(crate) struct RawParams(pub(crate) Option<Json>);

/// What a message was worth: too many in a row that are junk end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MessageQuality {
    /// Nothing that could be read was anybody's.
    Junk,
    /// A reply to a call that nobody waits for any more. The server is right to send it.
    Late,
    Good,
}

/// The protocol library's connection: it reads and writes typed messages here, and never sees what passes it by.
#[derive(Debug)]
pub(crate) struct RpcChannel {
    source: Box<dyn MessageSource>,
    sink: Arc<dyn MessageSink>,
    in_flight: Arc<InFlight>,
    log: ServerLog,
    /// In the answer to which request what is looked at has come, if the transport knows.
    within: Option<RequestId>,
    /// Messages for the library that came together.
    ready: VecDeque<ServerJsonRpcMessage>,
}

impl RpcChannel {
    pub(crate) fn new(
        source: Box<dyn MessageSource>,
        sink: Arc<dyn MessageSink>,
        in_flight: Arc<InFlight>,
        log: ServerLog,
    ) -> Self {
        Self { source, sink, in_flight, log, within: None, ready: VecDeque::new() }
    }

    /// What it passes by the library.
    pub(crate) fn in_flight(&self) -> &Arc<InFlight> {
        &self.in_flight
    }

    /// Gives back messages that were received, to be received again before all others.
    pub(crate) fn put_back(&mut self, messages: Vec<ServerJsonRpcMessage>) {
        for message in messages.into_iter().rev() {
            self.ready.push_front(message);
        }
    }

    /// Sends a message that is not the library's.
    pub(crate) async fn send_raw(&mut self, message: &serde_json::Value) -> io::Result<()> {
        self.sink.send(serde_json::to_vec(message)?.into()).await
    }

    /// Gives what came to whom it belongs, each message by itself.
    fn dispatch(&mut self, bytes: Vec<u8>) -> MessageQuality {
        let worth = rpc_message::read(&bytes, |messages| {
            // Of several, none is dropped for another's sake, and the best counts for all.
            let worths =
                messages.into_iter().map(|message| message.map_or(MessageQuality::Junk, |it| self.dispatch_one(it)));
            worths.fold(MessageQuality::Junk, MessageQuality::max)
        });
        self.source.recycle(bytes);
        worth
    }

    fn dispatch_one(&mut self, message: RpcMessage<'_>) -> MessageQuality {
        match message {
            RpcMessage::Request { id, method, params } => {
                if !self.in_flight.serve(&id) {
                    return MessageQuality::Junk;
                }
                self.ready.push_back(request(id, method, params));
                MessageQuality::Good
            }
            RpcMessage::Notification { method, params } => {
                self.notified(&method, params.as_ref());
                MessageQuality::Good
            }
            RpcMessage::Reply { id, reply, text } => {
                let owner = self.in_flight.reply(id.as_ref(), reply);
                self.replied(owner, id, text)
            }
        }
    }

    /// Tells the library of a reply, in whatever way it needs to know.
    fn replied(&mut self, owner: ReplyOwner, id: Option<RequestId>, text: &str) -> MessageQuality {
        match owner {
            ReplyOwner::Call(id) => self.ready.push_back(stand_in(id)),
            ReplyOwner::Library => self.ready.push_back(typed(id, text)),
            ReplyOwner::Late => return MessageQuality::Late,
            ReplyOwner::Nobody => return MessageQuality::Junk,
        }
        MessageQuality::Good
    }

    /// A message was too long to be read: it ends the calls whose reply it was.
    fn dispatch_too_long(&mut self, ids: Vec<RequestId>) -> MessageQuality {
        let ids = if ids.is_empty() { vec![None] } else { ids.into_iter().map(Some).collect() };
        let mut worth = MessageQuality::Junk;
        for id in ids {
            let owner = self.in_flight.too_long(id.as_ref());
            worth = worth.max(self.replied(owner, id, ""));
        }
        worth
    }

    fn notified(&mut self, method: &str, params: Option<&Json>) {
        match method {
            "notifications/progress" => self.in_flight.progress(params),
            "notifications/tools/list_changed"
            | "notifications/resources/list_changed"
            | "notifications/prompts/list_changed" => self.in_flight.change_lists(),
            "notifications/resources/updated" => self.in_flight.resource_updated(params),
            "notifications/tasks/status" => self.in_flight.task_changed(params),
            "notifications/message" => {
                if self.log.is_listened() {
                    self.log.tell(&self.in_flight.log_calls(self.within.as_ref()), params);
                }
                self.log.write(params, Instant::now());
            }
            "notifications/cancelled" => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Canceled {
                    request_id: RequestId,
                }
                let Some(params) = params.and_then(|params| params.read::<Canceled>().ok()) else { return };
                self.in_flight.served(&params.request_id);
                let params = CancelledNotificationParam::new(Some(params.request_id), None);
                let notification = ServerNotification::CancelledNotification(CancelledNotification::new(params));
                self.ready.push_back(JsonRpcMessage::notification(notification));
            }
            _ => {}
        }
    }
}

/// A request for the library to hand to our handler. Only the ping is typed: what others carry must arrive as it came.
fn request(id: RequestId, method: String, params: Option<Json>) -> ServerJsonRpcMessage {
    let request = if method == "ping" {
        ServerRequest::PingRequest(PingRequest { method: Default::default(), extensions: Default::default() })
    } else {
        let mut custom = CustomRequest::new(method, None);
        custom.extensions.insert(RawParams(params));
        ServerRequest::CustomRequest(custom)
    };
    JsonRpcMessage::request(request, id)
}

/// What the library gets in place of a reply that is not for it, so that it forgets the request.
fn stand_in(id: i64) -> ServerJsonRpcMessage {
    JsonRpcMessage::response(ServerResult::EmptyResult(EmptyResult {}), RequestId::Number(id))
}

/// A reply to a request of the library's own.
fn typed(id: Option<RequestId>, text: &str) -> ServerJsonRpcMessage {
    serde_json::from_str(text).unwrap_or_else(|error| {
        let error =
            ErrorData::internal_error(format!("the server's reply is not as the protocol has it: {error}"), None);
        JsonRpcMessage::error(error, id)
    })
}

impl rmcp::transport::Transport<RoleClient> for RpcChannel {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        // Written down before it is written out: the reply cannot be faster.
        let text = encode(&message, &self.in_flight);
        let (asked, answered) = match &message {
            JsonRpcMessage::Request(request) => (Some(request.id.clone()), None),
            JsonRpcMessage::Response(response) => (None, Some(response.id.clone())),
            JsonRpcMessage::Error(error) => (None, error.id.clone()),
            JsonRpcMessage::Notification(_) => (None, None),
        };
        let (sink, in_flight) = (self.sink.clone(), self.in_flight.clone());
        async move {
            let written = sink.send(text?).await;
            if let Some(id) = answered {
                in_flight.served(&id);
            }
            if written.is_err() {
                let broken = ConnectionError::Died("it takes no more input".to_owned());
                // What could not be written to its end is nothing that a server can have done: it may be sent to the next.
                if let Some(id) = asked {
                    let _owner = in_flight.reply(Some(&id), Reply::NotSent(broken.clone()));
                }
                in_flight.close(broken);
            }
            written
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            if self.in_flight.broken().is_some() {
                return None;
            }
            let (worth, bytes) = match self.source.next().await {
                Received::Message(message) => {
                    let bytes = message.len();
                    (self.dispatch(message), bytes)
                }
                Received::InAnswer { id, message } => {
                    let bytes = message.len();
                    self.within = Some(id);
                    let worth = self.dispatch(message);
                    self.within = None;
                    (worth, bytes)
                }
                Received::TooLong { ids, bytes } => (self.dispatch_too_long(ids), bytes),
                Received::StillTooLong { bytes } => (MessageQuality::Junk, bytes),
                Received::Reply { id, reply } => {
                    let owner = self.in_flight.reply(Some(&id), reply);
                    (self.replied(owner, Some(id), ""), 0)
                }
                Received::Lost { ids, broken } => {
                    // In one step: nobody is to send one of them again over this connection.
                    for id in ids {
                        let _owner = self.in_flight.reply(Some(&id), Reply::NotSent(broken.clone()));
                    }
                    self.in_flight.close(broken);
                    return None;
                }
                Received::End(why) => {
                    self.in_flight.close(ConnectionError::Died(why));
                    return None;
                }
            };
            match worth {
                MessageQuality::Good => self.in_flight.good(),
                MessageQuality::Late => {}
                MessageQuality::Junk => {
                    if let Some(broken) = self.in_flight.junk(bytes) {
                        self.in_flight.close(broken);
                    }
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.sink.close().await;
        Ok(())
    }
}

impl Drop for RpcChannel {
    fn drop(&mut self) {
        self.in_flight.close(ConnectionError::Died("its connection was closed".to_owned()));
    }
}

/// The message to send. Our own requests keep their arguments as they came.
fn encode(message: &ClientJsonRpcMessage, in_flight: &InFlight) -> io::Result<OutgoingMessage> {
    #[derive(Serialize)]
    struct Request<'a> {
        jsonrpc: &'static str,
        id: &'a RequestId,
        method: &'a str,
        params: Json,
    }
    #[derive(Serialize)]
    struct Response<'a> {
        jsonrpc: &'static str,
        id: &'a RequestId,
        result: Json,
    }
    let mut headers = Vec::new();
    let mut text = match message {
        JsonRpcMessage::Request(request) => match request.request.extensions().get::<OutgoingRequest>() {
            Some(outgoing) => {
                let meta = request.request.get_meta();
                let token = meta.get_progress_token().and_then(|token| match token.0 {
                    RequestId::Number(number) => Some(number),
                    RequestId::String(_) => None,
                });
                if let RequestId::Number(id) = request.id {
                    in_flight.sent(outgoing.serial, id, token);
                }
                headers.clone_from(&outgoing.headers);
                let params = with_meta(&outgoing.params, meta);
                let method = request.request.method();
                serde_json::to_vec(&Request { jsonrpc: "2.0", id: &request.id, method, params })?
            }
            None => {
                in_flight.sent_by_library(request.id.clone());
                serde_json::to_vec(message)?
            }
        },
        JsonRpcMessage::Response(response) => match in_flight.answer_to(&response.id) {
            Some(result) => serde_json::to_vec(&Response { jsonrpc: "2.0", id: &response.id, result })?,
            None => serde_json::to_vec(message)?,
        },
        JsonRpcMessage::Notification(_) | JsonRpcMessage::Error(_) => serde_json::to_vec(message)?,
    };
    // Half of a surrogate pair can come in a text that a caller writes JSON in, and many a reader breaks on it.
    if let Ok(written) = std::str::from_utf8(&text)
        && salvage::has_surrogate(written)
    {
        text = salvage::mend(written).into_bytes();
    }
    Ok(OutgoingMessage { text, headers })
}

fn with_meta(params: &Json, meta: &RequestMetaObject) -> Json {
    let mut fields = JsonObject::read(params).unwrap_or_default();
    fields.set("_meta", Json::of(meta));
    fields.to_json()
}

#[cfg(test)]
mod tests {
    use rmcp::model::ClientRequest;

    use super::*;
    use crate::{
        config::{McpConfig, McpLimits},
        exclusive_tools::ExclusiveTools,
    };

    #[test]
    fn what_is_sent_is_json_that_every_reader_reads() {
        let in_flight =
            InFlight::new(McpLimits::default(), Arc::new(ExclusiveTools::of(&McpConfig::new("a", "x", &[]))));
        let mut request = CustomRequest::new("tools/call", None);
        let params = Json::parse("{\"a\":\n\"x\\ud800\u{2028}\",\"b\":\"\\ud83d\\ude00\"}").unwrap();
        request.extensions_mut().insert(OutgoingRequest { serial: 1, params, headers: Vec::new() });
        let message = JsonRpcMessage::request(ClientRequest::CustomRequest(request), RequestId::Number(7));
        let text = String::from_utf8(encode(&message, &in_flight).unwrap().text).unwrap();
        let expected =
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"a":"x\ufffd ","b":"\ud83d\ude00","_meta":{}}}"#;
        assert_eq!(text, expected);
    }
}
