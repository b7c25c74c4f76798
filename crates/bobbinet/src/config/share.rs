//! What callers share of a server, as a configuration says it.

use bobbinet_mcp::{LostSession, SessionScope, Sharing, WriteSharing};
use bobbinet_text::nearest;

use super::{reader::Reader, tree::Node};

const SESSIONS: [SessionScope; 4] =
    [SessionScope::Shared, SessionScope::PerContext, SessionScope::PerCaller, SessionScope::PerTask];

const ONE_AT_A_TIME: &str = "one-at-a-time";
const CONCURRENT: &str = "concurrent";

const FAIL: &str = "fail";
const NEW: &str = "new";

/// How a map of `writes` looks.
const BY_EXAMPLE: &str = "writes: { by: /path } names an argument of the tools, as a JSON pointer";

/// The settings below `share`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Sharing {
    let fields = reader.fields(node, "share", &["session", "writes", "on_lost"]);
    let session = fields.get("session").and_then(|node| session(reader, node)).unwrap_or_default();
    let on_lost = fields.get("on_lost").and_then(|node| on_lost(reader, node, session));
    Sharing {
        session,
        writes: fields.get("writes").and_then(|node| writes(reader, node)),
        on_lost: on_lost.unwrap_or_default(),
    }
}

fn session(reader: &mut Reader<'_>, node: &Node) -> Option<SessionScope> {
    let text = reader.text(node, "session")?;
    let known = SESSIONS.into_iter().find(|scope| scope.as_str() == text);
    if known.is_none() {
        unknown_word(reader, node, "session", &text, &SESSIONS.map(SessionScope::as_str));
    }
    known
}

fn on_lost(reader: &mut Reader<'_>, node: &Node, session: SessionScope) -> Option<LostSession> {
    let text = reader.text(node, "on_lost")?;
    let known = match text.as_str() {
        FAIL => LostSession::Fail,
        NEW => LostSession::New,
        _ => {
            unknown_word(reader, node, "on_lost", &text, &[FAIL, NEW]);
            return None;
        }
    };
    if session != SessionScope::PerContext {
        let hint = "it says what becomes of a context whose session is lost: say session: per-context, or take it out";
        reader.fault_with_hint(node.at, format!("on_lost is not for session: {}", session.as_str()), hint);
    }
    Some(known)
}

fn writes(reader: &mut Reader<'_>, node: &Node) -> Option<WriteSharing> {
    if node.is_map() {
        let fields = reader.fields(node, "writes", &["by"]);
        let Some(by) = fields.get("by") else {
            reader.fault_with_hint(node.at, "writes does not say by what", BY_EXAMPLE);
            return None;
        };
        let pointer = reader.text(by, "by")?;
        if !pointer.starts_with('/') {
            reader.fault_with_hint(by.at, format!("{pointer:?} is no JSON pointer: it begins with /"), BY_EXAMPLE);
            return None;
        }
        return Some(WriteSharing::By(pointer));
    }
    let text = reader.text(node, "writes")?;
    match text.as_str() {
        ONE_AT_A_TIME => Some(WriteSharing::OneAtATime),
        CONCURRENT => Some(WriteSharing::Concurrent),
        _ => {
            unknown_word(reader, node, "writes", &text, &[ONE_AT_A_TIME, CONCURRENT]);
            None
        }
    }
}

fn unknown_word(reader: &mut Reader<'_>, node: &Node, what: &str, text: &str, known: &[&str]) {
    let hint = match nearest(text, known) {
        Some(word) => format!("did you mean {word}?"),
        None if what == "writes" => format!("there is {}; or {BY_EXAMPLE}", known.join(", ")),
        None => format!("there is {}", known.join(", ")),
    };
    reader.fault_with_hint(node.at, format!("{what} cannot be {text:?}"), hint);
}
