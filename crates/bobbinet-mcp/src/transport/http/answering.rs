//! Our answers to what the server asks, each of which somebody has given, and a call waits for.

use std::sync::Arc;

use reqwest::StatusCode;

use super::{
    exchange::{CONNECT_PAUSE, ExchangeEnd, drain, send, tell},
    link::Link,
    outgoing::Outgoing,
};
use crate::{
    mailbox::{ConnectionError, Reply},
    transport::Received,
};

/// How often an answer of ours is sent that does not arrive: a caller has given it, and its call waits for it over there.
const ANSWERS_MAX: u32 = 3;

/// Why an answer does not arrive.
enum Undelivered {
    /// The server does not know the session any more.
    Expired,
    /// It does not want it.
    Refused(String),
    /// It cannot be brought to it.
    Lost(String),
}

/// Sends the answer to a request of the server. One that it does not get ends the call that it is for, which would wait for ever.
pub(super) async fn answer(link: Arc<Link>, outgoing: Outgoing) {
    let undelivered = tokio::select! {
        biased;
        () = link.closed() => return,
        delivered = deliver(&link, &outgoing) => match delivered {
            Ok(()) => return,
            Err(undelivered) => undelivered,
        },
    };
    let asked_by = outgoing.id.as_ref().and_then(|asked| link.asked_by(asked));
    let died =
        |why: String| ConnectionError::Died(format!("an answer to its question could not be brought to it: {why}"));
    match (undelivered, asked_by) {
        (Undelivered::Expired, _) => link.lose(None, ConnectionError::Expired).await,
        (Undelivered::Refused(why) | Undelivered::Lost(why), Some((id, end))) => {
            end.cancel();
            let reply = Reply::Broken(died(why));
            link.say(Received::Reply { id: id.clone(), reply }).await;
            if let Ok(cancellation) = Outgoing::cancellation(&id) {
                tell(&link, &cancellation).await;
            }
        }
        // The call may be over, and nobody wait for it any more.
        (Undelivered::Refused(why), None) => tracing::warn!(peer = link.peer(), why, "an answer was refused"),
        (Undelivered::Lost(why), None) => link.lose(None, died(why)).await,
    }
}

async fn deliver(link: &Link, outgoing: &Outgoing) -> Result<(), Undelivered> {
    let mut pause = CONNECT_PAUSE;
    let mut why = String::new();
    for _ in 0..ANSWERS_MAX {
        match send(link, outgoing).await {
            Ok(response) if response.status() == StatusCode::NOT_FOUND && link.has_session() => {
                return Err(Undelivered::Expired);
            }
            Ok(response) if response.status().is_success() => {
                drain(link, response).await;
                return Ok(());
            }
            Ok(response) => {
                why = format!("{} answers {}", link.peer(), response.status());
                if !is_busy(response.status()) {
                    return Err(Undelivered::Refused(why));
                }
            }
            Err(ExchangeEnd::Unreachable(text)) => why = text,
            Err(_) => why = format!("{} broke off", link.peer()),
        }
        tokio::time::sleep(pause).await;
        pause *= 4;
    }
    Err(Undelivered::Lost(why))
}

/// Whether what was refused so may be taken later.
fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}
