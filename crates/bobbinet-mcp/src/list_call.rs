//! Asking a server for one of its lists, for whoever wants it as it is.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Fault, Json, Outcome};
use bobbinet_engine::Run;

use crate::{
    call_listener::time_is_up,
    mailbox::Reply,
    pool::{SessionKey, SessionPool},
    result,
};

/// What a server is asked for.
pub(crate) struct Asking<'a> {
    pub(crate) method: &'a str,
    pub(crate) params: Json,
}

/// Asks for it, and gives what comes.
pub(crate) async fn ask(sessions: &Arc<SessionPool>, run: &Run, asking: Asking<'_>) -> Outcome {
    let Asking { method, params } = asking;
    let failed = |code, why: String| Outcome::Failed(Fault::new(code, format!("`{method}` gave no result: {why}")));
    let session = sessions.session(SessionKey::Shared);
    let idle = Duration::from_millis(session.config.limits.idle_ms);
    let asked = async {
        match session.client(|| run.deadline()).await {
            Ok(client) => {
                client.in_flight.mix_owners();
                Ok(client.request(method, params).await)
            }
            Err(fault) => Err(fault),
        }
    };
    let reply = tokio::select! {
        biased;
        () = run.canceled() => return failed("canceled", "it was canceled".to_owned()),
        () = time_is_up(run) => return failed("timed-out", "its time was up".to_owned()),
        () = tokio::time::sleep(idle) => return failed("timed-out", format!("there was no sign of life for {idle:?}")),
        reply = asked => reply,
    };
    match reply {
        Ok(Reply::Result(json)) => result::whole(&json),
        Ok(Reply::Error(error)) => result::failed(&error, run.message_id("refused")),
        Ok(Reply::Unreadable(why)) => failed("bad-reply", why),
        Ok(Reply::NotSent(broken) | Reply::Broken(broken)) => failed("server-unavailable", broken.to_string()),
        Err(fault) => Outcome::Failed(fault),
    }
}
