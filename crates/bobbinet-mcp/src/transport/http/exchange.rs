//! One request, from its POST to its reply, however that comes.

use std::{sync::Arc, time::Duration};

use bobbinet_outbound::{Refused, oauth::BearerChallenge, sse::SseParser};
use reqwest::{Response, StatusCode, Url, header::CONTENT_TYPE};
use rmcp::model::RequestId;
use tokio_util::sync::CancellationToken;

use super::{
    answers::{RESUME_PAUSE_MAX, RESUME_PAUSE_MIN, causes, is_message, is_of, is_stream, resume_pause},
    link::Link,
    listening,
    login_point::LoginAdvice,
    outgoing::Outgoing,
    sending::{self, SendFault},
};
use crate::{
    authorization::Refusal,
    config::HttpTransportKind,
    last_words::with_last_words,
    mailbox::{ConnectionError, Reply, RpcError},
    rpc_message::{self, RpcMessage, shorten},
    transport::Received,
};

/// How often a connection is tried that cannot be made: then the server has seen nothing.
const CONNECTS_MAX: u32 = 3;

/// The first pause between two such tries; each further one takes four times as long.
pub(super) const CONNECT_PAUSE: Duration = Duration::from_millis(250);

/// How often in a row a stream that broke off is asked for again in vain.
const RESUMES_MAX: u32 = 5;

/// Bytes of an answer that is no MCP, to say what it was.
const FOREIGN_BYTES_MAX: usize = 64 << 10;

/// Characters of it that are told.
const FOREIGN_TEXT_MAX: usize = 300;

/// How long an answer that nobody needs may take to end.
const DRAIN_WAIT: Duration = Duration::from_secs(10);

/// How a request has ended.
pub(super) enum ExchangeEnd {
    /// Its reply was handed on, or will come by the stream of the session.
    Replied,
    /// What there is to say of it in place of a reply.
    Told(Reply),
    /// It is larger than what is read.
    TooLong,
    /// The server does not know the session any more, and has done nothing.
    Expired,
    /// There is nobody to send it to.
    Unreachable(String),
}

/// Sends a request, and hands on what comes of it.
pub(super) async fn run(link: Arc<Link>, id: RequestId, end: CancellationToken, outgoing: Outgoing) {
    let ended = tokio::select! {
        biased;
        () = end.cancelled() => None,
        ended = carry(&link, &id, &outgoing) => Some(ended),
    };
    link.end(&id);
    match ended {
        None | Some(ExchangeEnd::Replied) => {}
        Some(ExchangeEnd::Told(reply)) => {
            link.say(Received::Reply { id, reply }).await;
        }
        Some(ExchangeEnd::TooLong) => {
            link.say(Received::TooLong { ids: vec![id], bytes: link.limits.line_bytes_max }).await;
        }
        Some(ExchangeEnd::Expired) => link.lose(Some(id), ConnectionError::Expired).await,
        // A name that is not found for a moment, or a port, says nothing of the connections that there are.
        Some(ExchangeEnd::Unreachable(why)) if link.is_at_work() => {
            let reply = Reply::NotSent(ConnectionError::Died(why));
            link.say(Received::Reply { id, reply }).await;
        }
        Some(ExchangeEnd::Unreachable(why)) => link.lose(Some(id), ConnectionError::Died(why)).await,
    }
}

/// Sends what has no reply. Whether it arrives is not known to anybody, as with a notification over a pipe.
pub(super) async fn tell(link: &Link, outgoing: &Outgoing) {
    let told = async {
        match send(link, outgoing).await {
            Ok(response) => drain(link, response).await,
            Err(_) => tracing::debug!(peer = link.peer(), "a message could not be sent"),
        }
    };
    tokio::select! {
        biased;
        () = link.closed() => {}
        () = told => {}
    }
}

/// Nobody waits for a request any more. In the era without sessions the end of its stream says so; before, a message does, and the reply
/// may still come.
pub(super) async fn cancel(link: Arc<Link>, outgoing: Outgoing) {
    // There the reply comes by the stream of the session, and nothing is under way any more.
    if link.has_post_url() {
        return tell(&link, &outgoing).await;
    }
    let under_way = outgoing.cancels.as_ref().and_then(|id| link.under_way(id));
    let Some((end, is_modern)) = under_way else { return };
    if !is_modern {
        tell(&link, &outgoing).await;
        let late = Duration::from_millis(link.limits.ghost_ms);
        tokio::select! {
            biased;
            () = end.cancelled() => return,
            () = tokio::time::sleep(late) => {}
        }
    }
    end.cancel();
}

/// Lets an answer that says nothing come to its end, so that its connection can be used again.
pub(super) async fn drain(link: &Link, mut response: Response) {
    link.reached(response.status());
    let mut rest = FOREIGN_BYTES_MAX;
    let draining = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            rest = rest.saturating_sub(chunk.len());
            if rest == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_WAIT, draining).await;
}

async fn carry(link: &Arc<Link>, id: &RequestId, outgoing: &Outgoing) -> ExchangeEnd {
    if link.is_over() {
        return ExchangeEnd::Expired;
    }
    let is_handshake = outgoing.method.as_deref() == Some("initialize");
    if is_handshake && link.server.transport == HttpTransportKind::Sse && !link.has_post_url() {
        // Some files say `sse` of any server that has a URL.
        if let Err(why) = listening::open_older(link).await {
            tracing::debug!(peer = link.peer(), why, "no server of 2024-11-05; it is tried as a newer one");
        }
    }
    post(link, id, outgoing, is_handshake).await
}

async fn post(link: &Arc<Link>, id: &RequestId, outgoing: &Outgoing, is_handshake: bool) -> ExchangeEnd {
    let response = match send(link, outgoing).await {
        Ok(response) => response,
        Err(end) => return end,
    };
    let status = response.status();
    link.reached(status);
    if status.is_success() {
        link.login_point().was_let_in();
        if is_handshake && let Err(why) = link.begin_session(&response) {
            return ExchangeEnd::Told(Reply::Unreadable(why));
        }
        return take(link, id, outgoing, response).await;
    }
    // What a server of 2024-11-05 says to a POST at the address of its stream (2025-03-26, backwards compatibility).
    let may_be_older = is_handshake
        && link.server.transport == HttpTransportKind::Auto
        && !link.has_post_url()
        && matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
    let refused = refusal(link, id, outgoing, response).await;
    if may_be_older && matches!(&refused, ExchangeEnd::Told(_)) && listening::open_older(link).await.is_ok() {
        return match send(link, outgoing).await {
            Ok(response) if response.status().is_success() => take(link, id, outgoing, response).await,
            Ok(response) => refusal(link, id, outgoing, response).await,
            Err(end) => end,
        };
    }
    refused
}

/// Sends it, again if there was no connection: then nobody has seen it.
pub(super) async fn send(link: &Link, outgoing: &Outgoing) -> Result<Response, ExchangeEnd> {
    let request = outgoing.id.as_ref().filter(|_| outgoing.method.is_some());
    let mut pause = CONNECT_PAUSE;
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match sending::send(link, || link.post(outgoing)).await {
            Ok(response) => return Ok(response),
            Err(SendFault::Refused(refused)) => return Err(ExchangeEnd::Unreachable(refused.to_string())),
            Err(SendFault::Unauthorized(fault)) => {
                let message = format!("{} wants a token, and there is none: {}", link.peer(), fault.in_full());
                return Err(ExchangeEnd::Told(Reply::Error(RpcError::own(message))));
            }
            Err(SendFault::Http(error)) => error.without_url(),
        };
        if let Some(refused) = Refused::among(&error) {
            return Err(ExchangeEnd::Unreachable(refused.to_string()));
        }
        let why = format!("{}: {}", link.peer(), causes(&error));
        if !error.is_connect() {
            return Err(ExchangeEnd::Told(Reply::Broken(ConnectionError::Died(why))));
        }
        if tries == CONNECTS_MAX {
            return Err(ExchangeEnd::Unreachable(format!("it cannot be reached: {why}")));
        }
        request.into_iter().for_each(|id| link.is_unseen(id));
        tokio::time::sleep(pause).await;
        if request.is_some_and(|id| !link.tries_again(id)) {
            return Err(ExchangeEnd::Unreachable(why));
        }
        pause *= 4;
    }
}

/// An answer that is none to our liking: what it says, and what that means for the request.
async fn refusal(link: &Link, id: &RequestId, outgoing: &Outgoing, mut response: Response) -> ExchangeEnd {
    let status = response.status();
    let challenge = BearerChallenge::of_headers(response.headers());
    let refused = Refusal::of(&response);
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() >= FOREIGN_BYTES_MAX {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_WAIT, reading).await;
    if let Some(refusal) = refused {
        let told = |error| ExchangeEnd::Told(Reply::Error(error));
        match link.login_point().refused(&refusal).await {
            LoginAdvice::LogIn(message) => return told(RpcError { wants_login: true, ..RpcError::own(message) }),
            LoginAdvice::Failed(message) => return told(RpcError::own(message)),
            LoginAdvice::None => {}
        }
    }
    let error = rpc_error(&body);
    // Servers made with the TypeScript SDK that were started again answer 400, and name the session in words; with the Python SDK they
    // answer 404, and as the request's id they name one of their own. What has the request's comes from somebody who has read it, and is its reply.
    let is_reply = matches!(&error, Some((Some(named), _)) if named == id);
    let is_forgotten = match (status, &error) {
        (StatusCode::NOT_FOUND, _) => !is_reply,
        (StatusCode::BAD_REQUEST, Some((_, error))) => {
            !is_reply && error.message.to_ascii_lowercase().contains("session")
        }
        _ => false,
    };
    if is_forgotten && link.has_session() && !outgoing.is_modern() && !link.has_post_url() {
        return ExchangeEnd::Expired;
    }
    if let Some((_, error)) = error {
        return ExchangeEnd::Told(Reply::Error(error));
    }
    let said = String::from_utf8_lossy(&body);
    // What it says is for its owner: a first line is for everybody.
    let said = shorten(said.trim(), FOREIGN_TEXT_MAX);
    let answers = |status: StatusCode| with_last_words(&format!("{} answers {status}", link.peer()), &said);
    let reply = |message: String| Reply::Error(RpcError::own(message));
    ExchangeEnd::Told(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let by_name = if status == StatusCode::FORBIDDEN { or_by_name(&link.server.url) } else { "" };
            let wanted = wanted(challenge.as_ref());
            reply(format!("{} wants other credentials{by_name}: {status}{wanted}", link.peer()))
        }
        // What stands in between, or the server after it has begun: nobody knows how far it came.
        status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
            Reply::Broken(ConnectionError::Died(answers(status)))
        }
        // See what came of it, over there: so something has come of it.
        StatusCode::FOUND | StatusCode::SEE_OTHER => {
            Reply::Broken(ConnectionError::Died(format!("{} leads elsewhere ({status})", link.peer())))
        }
        status if status.is_redirection() => {
            reply(format!("{} leads elsewhere ({status}): write down the address that it leads to", link.peer()))
        }
        status => reply(answers(status)),
    })
}

/// Servers of this machine that fear DNS rebinding know it by its name alone, and say nothing else of it than 403.
fn or_by_name(url: &Url) -> &'static str {
    let host = url.host_str().unwrap_or_default();
    if host.starts_with("127.") || host == "[::1]" { ", or to be called by its name, `localhost`" } else { "" }
}

/// What a server says that it wants. Its own words are not told: what it was shown may stand in them.
fn wanted(challenge: Option<&BearerChallenge>) -> String {
    let Some(challenge) = challenge else { return String::new() };
    let error = challenge.error.as_deref().map(|error| format!(" ({error})")).unwrap_or_default();
    let scope = match challenge.scopes.is_empty() {
        true => String::new(),
        false => format!(", and the scope {:?}", shorten(&challenge.scopes.join(" "), FOREIGN_TEXT_MAX)),
    };
    format!("{error}{scope}")
}

/// The JSON-RPC error that a body holds, and whose it says it is.
fn rpc_error(body: &[u8]) -> Option<(Option<RequestId>, RpcError)> {
    rpc_message::read(body, |messages| {
        messages.into_iter().flatten().find_map(|message| match message {
            RpcMessage::Reply { id, reply: Reply::Error(error), .. } => Some((id, error)),
            RpcMessage::Reply { .. } | RpcMessage::Request { .. } | RpcMessage::Notification { .. } => None,
        })
    })
}

/// Takes an answer that was promised to be one.
async fn take(link: &Arc<Link>, id: &RequestId, outgoing: &Outgoing, response: Response) -> ExchangeEnd {
    if link.has_post_url() {
        drain(link, response).await;
        return ExchangeEnd::Replied;
    }
    if is_stream(&response) {
        return follow(link, id, outgoing, response).await;
    }
    if is_of(&response, "application/json") {
        return take_json(link, id, outgoing, response).await;
    }
    let kind =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("nothing").to_owned();
    let why =
        format!("its answer is {} ({}), which is neither JSON nor a stream", shorten(&kind, 80), response.status());
    ExchangeEnd::Told(Reply::Unreadable(why))
}

async fn take_json(link: &Link, id: &RequestId, outgoing: &Outgoing, mut response: Response) -> ExchangeEnd {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > link.limits.line_bytes_max => return ExchangeEnd::TooLong,
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return ExchangeEnd::Told(broken_off(link, &error)),
        }
    }
    match reply_in(&body, id) {
        ReplyIn::Ours => hand_on(link, outgoing, body).await,
        ReplyIn::Nameless(reply) => ExchangeEnd::Told(reply),
        ReplyIn::None(_) => ExchangeEnd::Told(Reply::Unreadable("its answer holds no reply to the request".to_owned())),
    }
}

fn broken_off(link: &Link, error: &reqwest::Error) -> Reply {
    let error = causes(error);
    Reply::Broken(ConnectionError::Died(format!("the answer of {} broke off: {error}", link.peer())))
}

/// Hands on what holds the reply.
async fn hand_on(link: &Link, outgoing: &Outgoing, message: Vec<u8>) -> ExchangeEnd {
    if outgoing.method.as_deref() == Some("initialize") {
        link.agree(&message);
    }
    link.say(Received::Message(message)).await;
    ExchangeEnd::Replied
}

/// What of a message is a request's reply.
enum ReplyIn {
    Ours,
    /// An error that does not say whose it is. Over HTTP that is seen by where it stands.
    Nameless(Reply),
    /// And what the server wants to know in it.
    None(Vec<RequestId>),
}

fn reply_in(message: &[u8], id: &RequestId) -> ReplyIn {
    rpc_message::read(message, |messages| {
        let mut asked = Vec::new();
        let mut nameless = None;
        for message in messages.into_iter().flatten() {
            match message {
                RpcMessage::Reply { id: Some(of), .. } if of.to_string() == id.to_string() => return ReplyIn::Ours,
                RpcMessage::Reply { id: None, reply, .. } => nameless = Some(reply),
                RpcMessage::Request { id, .. } => asked.push(id),
                RpcMessage::Reply { .. } | RpcMessage::Notification { .. } => {}
            }
        }
        nameless.map_or(ReplyIn::None(asked), ReplyIn::Nameless)
    })
}

/// Follows a stream to the reply. One that breaks off is asked for again from where it was, where the server has said where that is.
async fn follow(link: &Arc<Link>, id: &RequestId, outgoing: &Outgoing, mut response: Response) -> ExchangeEnd {
    let mut parser = SseParser::with_limit(link.limits.line_bytes_max);
    let mut pause = RESUME_PAUSE_MIN;
    loop {
        let mut has_told = false;
        let why = loop {
            let events = match response.chunk().await {
                Ok(Some(chunk)) => parser.feed(&chunk),
                Ok(None) => break "it ended without the reply".to_owned(),
                Err(error) => break causes(&error),
            };
            let Ok(events) = events else { return ExchangeEnd::TooLong };
            for event in events.into_iter().filter(is_message) {
                has_told = true;
                let message = event.data.into_bytes();
                match reply_in(&message, id) {
                    ReplyIn::Ours => return hand_on(link, outgoing, message).await,
                    ReplyIn::Nameless(reply) => return ExchangeEnd::Told(reply),
                    ReplyIn::None(asked) => {
                        link.asks(id, asked);
                        link.say(Received::InAnswer { id: id.clone(), message }).await;
                    }
                }
            }
        };
        let last = parser.last_id().filter(|_| !outgoing.is_modern()).map(str::to_owned);
        let lost = |why: String| {
            let text = format!("the stream of {} broke off: {why}", link.peer());
            ExchangeEnd::Told(Reply::Broken(ConnectionError::Died(text)))
        };
        let Some(last) = last else { return lost(why) };
        // A stream that brings nothing is asked for ever more rarely.
        pause = if has_told { RESUME_PAUSE_MIN } else { (pause * 2).min(RESUME_PAUSE_MAX) };
        response = match resume(link, &last, resume_pause(parser.retry(), pause)).await {
            Ok(response) => response,
            Err(Resumed::Expired) => return lost("and the server has forgotten the session".to_owned()),
            Err(Resumed::Failed) => return lost(why),
        };
        // A piece of an event that the old connection had begun is no part of the new one.
        parser.begin_again();
    }
}

/// Why a stream could not be asked for again.
enum Resumed {
    Expired,
    Failed,
}

async fn resume(link: &Link, last: &str, pause: Duration) -> Result<Response, Resumed> {
    for _ in 0..RESUMES_MAX {
        tokio::time::sleep(pause).await;
        match sending::send(link, || link.get(Some(last))).await {
            Ok(response) if response.status().is_success() && is_stream(&response) => return Ok(response),
            Ok(response) if response.status() == StatusCode::NOT_FOUND => return Err(Resumed::Expired),
            Ok(response) if response.status().is_client_error() => return Err(Resumed::Failed),
            Err(SendFault::Refused(_)) => return Err(Resumed::Failed),
            Ok(_) | Err(SendFault::Http(_) | SendFault::Unauthorized(_)) => {}
        }
    }
    Err(Resumed::Failed)
}
