//! Whether the node lives and can take work, for those who look after it.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::StatusCode;
use serde::Serialize;

use super::{Mount, Server, answer};

/// Where probes ask. They are heard when nobody else is.
pub(super) const PATHS: [&str; 2] = ["/livez", "/readyz"];

/// One thing that was looked at.
#[derive(Serialize)]
struct Check {
    name: String,
    ok: bool,
    /// Whether the node is not ready without it.
    required: bool,
    /// Whether it is on its way for the first time: whoever waits for it does not wait in vain yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    starting: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Report {
    ready: bool,
    checks: Vec<Check>,
}

/// The process answers; never about anything else.
pub(super) async fn livez() -> Response {
    answer::text(StatusCode::OK, "alive\n")
}

/// 200 if new work is taken, else 503; with `?verbose` also why.
pub(super) async fn readyz(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    let checks = checks(&server);
    let ready = checks.iter().all(|check| check.ok || !check.required);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let is_verbose = query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("verbose")));
    if is_verbose {
        let report = Report { ready, checks };
        return answer::json(status, serde_json::to_vec(&report).expect("a report is plain data"));
    }
    let mut text = if ready { "ready\n".to_owned() } else { String::new() };
    for check in checks.iter().filter(|check| check.required && !check.ok) {
        let reason = check.reason.as_deref().unwrap_or("failed");
        writeln!(text, "{}: {reason}", check.name).expect("a String takes all that is written to it");
    }
    answer::text(status, text)
}

fn checks(server: &Server) -> Vec<Check> {
    let check = |name: String, required: bool, result: Result<(), String>| Check {
        name,
        ok: result.is_ok(),
        required,
        starting: false,
        reason: result.err(),
    };
    let is_stopping = server.stop.is_cancelled() || server.is_retired();
    let listening = if is_stopping { Err("the node is about to stop".to_owned()) } else { Ok(()) };
    let mut checks =
        vec![check("listener".to_owned(), true, listening), check("store".to_owned(), true, server.gateway.health())];
    // An agent whose server is down keeps its tasks and starts it again: a node is not taken out for that. One whose
    // server was never up is waited for, for a moment: nobody knows yet what it can do. And a node whose only server never
    // started is of no use yet, and may be set up wrongly.
    let is_alone = matches!(server.mount, Mount::Root(_));
    for mounted in server.agents.values() {
        if let Some(agent) = server.gateway.agent(&mounted.name) {
            let starting = agent.is_starting();
            let is_required = (starting && server.is_young()) || (is_alone && !agent.has_started());
            checks.push(Check { starting, ..check(format!("agent/{}", mounted.name), is_required, agent.ready()) });
        }
    }
    checks
}
