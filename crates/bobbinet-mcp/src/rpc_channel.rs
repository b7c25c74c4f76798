//! The JSON-RPC messages of a session, between the protocol library and a transport: in order, and nothing silently lost.
//!
//! The library sees only the server's requests, and writes our answers and notifications. Our requests go past it, as do their replies, progress and
//! questions, straight to whom they belong ([`InFlight`]), with all values as they came. Knows no transport: what carries
//! the bytes is a [`MessageSource`] and a [`MessageSink`].

use std::{collections::VecDeque, io, sync::Arc};

use bobbinet_core::Json;
use rmcp::{
    RoleClient,
    model::{
        CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, CustomRequest, JsonRpcMessage,
        PingRequest, RequestId, ServerJsonRpcMessage, ServerNotification, ServerRequest,
    },
    service::TxJsonRpcMessage,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    in_flight::{InFlight, ReplyOwner},
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

    fn dispatch_one(&mut self, message: RpcMessage) -> MessageQuality {
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
            RpcMessage::Reply { id, reply } => worth_of(self.in_flight.reply(id.as_ref(), reply)),
        }
    }

    /// A message was too long to be read: it ends the calls whose reply it was.
    fn dispatch_too_long(&mut self, ids: Vec<RequestId>) -> MessageQuality {
        let ids = if ids.is_empty() { vec![None] } else { ids.into_iter().map(Some).collect() };
        let mut worth = MessageQuality::Junk;
        for id in ids {
            worth = worth.max(worth_of(self.in_flight.too_long(id.as_ref())));
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

/// What a reply was worth, by whose it is.
fn worth_of(owner: ReplyOwner) -> MessageQuality {
    match owner {
        ReplyOwner::Call(_) => MessageQuality::Good,
        ReplyOwner::Late => MessageQuality::Late,
        ReplyOwner::Nobody => MessageQuality::Junk,
    }
}

/// Writes a request. What could not be written to its end is nothing that a server can have done: it may be sent to the next.
pub(crate) async fn send_request(
    sink: Arc<dyn MessageSink>,
    in_flight: Arc<InFlight>,
    id: RequestId,
    message: OutgoingMessage,
) {
    if sink.send(message).await.is_err() {
        let broken = takes_nothing();
        let _owner = in_flight.reply(Some(&id), Reply::NotSent(broken.clone()));
        in_flight.close(broken);
    }
}

fn takes_nothing() -> ConnectionError {
    ConnectionError::Died("it takes no more input".to_owned())
}

impl rmcp::transport::Transport<RoleClient> for RpcChannel {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let text = encode(&message, &self.in_flight);
        let answered = match &message {
            JsonRpcMessage::Response(response) => Some(response.id.clone()),
            JsonRpcMessage::Error(error) => error.id.clone(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let (sink, in_flight) = (self.sink.clone(), self.in_flight.clone());
        async move {
            let written = sink.send(text?).await;
            if let Some(id) = answered {
                in_flight.served(&id);
            }
            if written.is_err() {
                in_flight.close(takes_nothing());
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
                Received::Reply { id, reply } => (worth_of(self.in_flight.reply(Some(&id), reply)), 0),
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

/// A request of ours, as it goes out.
pub(crate) fn request_message(
    id: i64,
    method: &str,
    params: &JsonObject,
    headers: Vec<(String, String)>,
) -> OutgoingMessage {
    #[derive(Serialize)]
    struct Request<'a> {
        jsonrpc: &'static str,
        id: i64,
        method: &'a str,
        params: &'a JsonObject,
    }
    let request = Request { jsonrpc: "2.0", id, method, params };
    let text = serde_json::to_vec(&request).expect("names and values that are JSON are written as JSON");
    OutgoingMessage { text: readable(text), headers }
}

/// A message of the library's. Answers to the server's requests keep their values as they came.
fn encode(message: &ClientJsonRpcMessage, in_flight: &InFlight) -> io::Result<OutgoingMessage> {
    #[derive(Serialize)]
    struct Response<'a> {
        jsonrpc: &'static str,
        id: &'a RequestId,
        result: Json,
    }
    let text = match message {
        JsonRpcMessage::Response(response) => match in_flight.answer_to(&response.id) {
            Some(result) => serde_json::to_vec(&Response { jsonrpc: "2.0", id: &response.id, result })?,
            None => serde_json::to_vec(message)?,
        },
        JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) | JsonRpcMessage::Error(_) => {
            serde_json::to_vec(message)?
        }
    };
    Ok(readable(text).into())
}

/// Half of a surrogate pair can come in a text that a caller writes JSON in, and many a reader breaks on it.
fn readable(text: Vec<u8>) -> Vec<u8> {
    match std::str::from_utf8(&text) {
        Ok(written) if salvage::has_surrogate(written) => salvage::mend(written).into_bytes(),
        Ok(_) | Err(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_json_that_every_reader_reads() {
        let params = Json::parse("{\"a\":\n\"x\\ud800\u{2028}\",\"b\":\"\\ud83d\\ude00\"}").unwrap();
        let params = JsonObject::read(&params).unwrap();
        let text = String::from_utf8(request_message(7, "tools/call", &params, Vec::new()).text).unwrap();
        let expected = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"a":"x\ufffd ","b":"\ud83d\ude00"}}"#;
        assert_eq!(text, expected);
    }
}
