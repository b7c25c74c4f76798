//! What a server says unasked: by a stream of its own beside the requests, or, in 2024-11-05, by the only stream there is.

use std::{sync::Arc, time::Duration};

use bobbinet_engine::watched;
use bobbinet_outbound::sse::SseParser;
use reqwest::{Response, StatusCode};

use super::{
    answers::{RESUME_PAUSE, RESUME_PAUSE_MAX, RESUME_PAUSE_MIN, causes, is_message, is_stream, resume_pause},
    link::Link,
    sending::{self, SendFault},
};
use crate::{
    mailbox::ConnectionError,
    rpc_message::{self, RpcMessage},
    transport::Received,
};

/// How long a server of 2024-11-05 has to say where to post.
const ENDPOINT_WAIT: Duration = Duration::from_secs(15);

/// Listens beside the requests of a session (streamable HTTP, up to 2025-11-25), for as long as the server permits.
pub(super) async fn listen(link: Arc<Link>) {
    if link.has_post_url() {
        return;
    }
    tokio::select! {
        biased;
        () = link.closed() => {}
        () = keep_listening(&link) => {}
    }
}

async fn keep_listening(link: &Link) {
    let mut parser = SseParser::with_limit(link.limits.line_bytes_max);
    let mut pause = RESUME_PAUSE;
    let mut was_open = false;
    loop {
        let has_told = match sending::send(link, || link.get(parser.last_id())).await {
            Ok(response) if response.status().is_success() && is_stream(&response) => {
                was_open = true;
                match hear(link, response, &mut parser, Heard::Unasked).await {
                    Ok(has_told) => has_told,
                    // Nobody's reply is in it.
                    Err(TooLong) => link.say(Received::StillTooLong { bytes: link.limits.line_bytes_max }).await,
                }
            }
            // Many servers say so of a stream that they do not have: only of one that they had does it say something of the session.
            Ok(response) if response.status() == StatusCode::NOT_FOUND && was_open && link.has_session() => {
                link.lose(None, ConnectionError::Expired).await;
                return;
            }
            // It has no such stream (405), or one is enough for it (409).
            Ok(response) if !response.status().is_server_error() => return,
            Err(SendFault::Refused(_)) => return,
            Ok(_) | Err(SendFault::Http(_) | SendFault::Unauthorized(_)) => false,
        };
        pause = if has_told { RESUME_PAUSE } else { (pause * 2).min(RESUME_PAUSE_MAX) };
        parser.begin_again();
        let least = if has_told { RESUME_PAUSE_MIN } else { pause };
        tokio::time::sleep(resume_pause(parser.retry(), least)).await;
    }
}

/// What comes by a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Requests and notifications. A reply there is nobody's: each comes by the answer to its request.
    Unasked,
    /// All that the server says.
    All,
}

/// An event was larger than what is read.
struct TooLong;

/// Hands on what a stream says, to its end. Returns whether it said anything.
async fn hear(link: &Link, mut response: Response, parser: &mut SseParser, heard: Heard) -> Result<bool, TooLong> {
    let mut has_told = false;
    while let Ok(Some(chunk)) = response.chunk().await {
        let events = parser.feed(&chunk).map_err(|_| TooLong)?;
        for event in events.into_iter().filter(is_message) {
            has_told = true;
            if heard == Heard::All || !has_reply(event.data.as_bytes()) {
                link.say(Received::Message(event.data.into_bytes())).await;
            }
        }
    }
    Ok(has_told)
}

fn has_reply(message: &[u8]) -> bool {
    rpc_message::read(message, |messages| {
        messages.into_iter().flatten().any(|message| matches!(message, RpcMessage::Reply { .. }))
    })
}

/// Opens the stream of a server of 2024-11-05, and waits until it has said where to post.
pub(super) async fn open_older(link: &Arc<Link>) -> Result<(), String> {
    let opening = async {
        let sent = sending::send(link, || link.get(None)).await;
        let mut response = sent.map_err(|fault| match fault {
            SendFault::Refused(refused) => refused.to_string(),
            SendFault::Http(error) => causes(&error.without_url()),
            SendFault::Unauthorized(fault) => fault.in_full(),
        })?;
        link.reached(response.status());
        if !response.status().is_success() || !is_stream(&response) {
            return Err(format!("{} opens no stream: {}", link.peer(), response.status()));
        }
        let mut parser = SseParser::with_limit(link.limits.line_bytes_max);
        loop {
            let chunk = response.chunk().await.map_err(|error| causes(&error.without_url()))?;
            let Some(chunk) = chunk else { return Err("its stream ended before it said where to post".to_owned()) };
            let events = parser.feed(&chunk).map_err(|error| error.to_string())?;
            let mut events = events.into_iter();
            let endpoint = events.find(|event| event.event.as_deref() == Some("endpoint"));
            if let Some(endpoint) = endpoint {
                link.post_to(endpoint.data.trim())?;
                return Ok((response, parser, events.filter(is_message).collect::<Vec<_>>()));
            }
        }
    };
    let opened = tokio::time::timeout(ENDPOINT_WAIT, opening).await;
    let (response, mut parser, early) = opened.map_err(|_| "it does not say where to post".to_owned())??;
    let (link, tracker) = (link.clone(), link.tracker.clone());
    let hearing = async move {
        let heard = async {
            for event in early {
                link.say(Received::Message(event.data.into_bytes())).await;
            }
            match hear(&link, response, &mut parser, Heard::All).await {
                Ok(_) => "its stream ended",
                Err(TooLong) => "an event of its stream is too long",
            }
        };
        // All that it says comes this way: without it there is no session.
        tokio::select! {
            biased;
            () = link.closed() => {}
            why = heard => {
                link.say(Received::End(why.to_owned())).await;
            }
        }
    };
    tracker.spawn(watched("MCP stream", hearing));
    Ok(())
}
