//! What holds of what callers share of an agent's server, and what is in the way of it.

use std::time::Duration;

use bobbinet_mcp::{McpLimits, SessionScope, StartPolicy, WriteSharing};

use super::{
    agent::{AgentConfig, ServerConfig},
    reader::Reader,
    tree::Node,
};

/// What is in the way of several replicas, if anything is: who is sent to which must be clear.
pub(super) fn check_replicas(reader: &mut Reader<'_>, node: &Node, config: &AgentConfig) {
    if config.replica_count() == 1 || config.keeps_nothing() {
        return;
    }
    match (&config.server, config.share.session) {
        (_, SessionScope::Shared) => reader.fault_with_hint(
            node.at,
            "several replicas of a server that keeps something between calls would each keep something else",
            "say stateless: true if it keeps nothing, or share: { session: per-context } if nothing is shared beyond that",
        ),
        (ServerConfig::Command(_), SessionScope::PerContext | SessionScope::PerCaller | SessionScope::PerTask) => {
            reader.fault_with_hint(
                node.at,
                "replicas are for calls that any of them can take, and here each session has a process of its own",
                "take replicas out; sessions_max below limits says how many sessions there may be",
            );
        }
        (ServerConfig::Url(_), SessionScope::PerContext | SessionScope::PerCaller | SessionScope::PerTask) => {}
    }
}

/// What holds for an agent, for people.
pub(crate) fn words(config: &AgentConfig) -> String {
    let writes = match config.write_sharing() {
        WriteSharing::OneAtATime => "writes one at a time".to_owned(),
        WriteSharing::By(pointer) => format!("writes one at a time by {pointer}"),
        WriteSharing::Concurrent => "writes concurrent".to_owned(),
    };
    let time = |millis: u64| humantime::format_duration(Duration::from_millis(millis));
    let McpLimits { session_idle_ms, session_life_ms, .. } = config.limits;
    let mut of_session = Vec::new();
    if config.share.tells_loss(config.keeps_nothing()) {
        of_session.push("fails when lost".to_owned());
    }
    match (config.share.session, config.start) {
        (SessionScope::Shared, StartPolicy::WithNode) => {}
        (SessionScope::Shared, StartPolicy::OnDemand) => {
            of_session.push(format!("started by a call, ends after {} idle", time(session_idle_ms)));
        }
        (SessionScope::PerCaller | SessionScope::PerContext | SessionScope::PerTask, _) => {
            of_session.push(format!("ends after {} idle or {}", time(session_idle_ms), time(session_life_ms)));
        }
    }
    let of_session = if of_session.is_empty() { String::new() } else { format!(" ({})", of_session.join("; ")) };
    let mut words = format!("session {}{of_session}, {writes}", config.share.session.as_str());
    let replicas = config.replica_count();
    if replicas > 1 {
        words.push_str(&format!(", {replicas} replicas"));
    }
    for (tool, pointer) in &config.idempotency {
        words.push_str(&format!(", {tool} once by {pointer}"));
    }
    if let Some(fallback) = &config.fallback {
        words.push_str(&format!(", fallback {}", fallback.agent));
    }
    if config.limits.tries_max != McpLimits::default().tries_max {
        words.push_str(&format!(", at most {} tries", config.limits.tries_max));
    }
    words
}

#[cfg(test)]
mod tests {
    use bobbinet_mcp::Sharing;

    use super::*;
    use crate::config::{Strictness, read};

    /// What is made of an agent with these settings, and what is found wrong with them.
    fn of(server: &str, settings: &str) -> Result<(String, AgentConfig), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bobbinet.yaml");
        std::fs::write(&path, format!("agents: {{ a: {{ mcp: {{ {server} }}{settings} }} }}\n")).unwrap();
        let read = read(&path, Strictness::Strict);
        match read.findings.into_iter().find(|finding| finding.is_error()) {
            Some(finding) => Err(format!("{} ({})", finding.message, finding.hint.unwrap_or_default())),
            None => {
                let config = read.config.agents.into_values().next().unwrap();
                Ok((words(&config), config))
            }
        }
    }

    #[test]
    fn what_is_shared_is_what_somebody_said_and_else_the_careful_thing() {
        let check = |server: &str, settings: &str, expected: &str| {
            assert_eq!(of(server, settings).map(|(words, _)| words).as_deref(), Ok(expected), "{settings}");
        };
        let it = "command: [ls]";
        check(it, "", "session shared, writes one at a time");
        check(it, ", share: {}", "session shared, writes one at a time");
        check(it, ", stateless: true", "session shared, writes concurrent");
        check(it, ", share: { writes: concurrent }", "session shared, writes concurrent");
        check(
            it,
            ", share: { session: per-context, writes: { by: /a/0/b } }",
            "session per-context (fails when lost; ends after 15m idle or 8h), writes one at a time by /a/0/b",
        );
        let ends = "session per-context (ends after 15m idle or 8h), writes";
        check(it, ", share: { session: per-context, on_lost: new }", &format!("{ends} one at a time"));
        check(it, ", share: { session: per-context }, stateless: true", &format!("{ends} concurrent"));
        let on_demand = "session shared (started by a call, ends after 15m idle), writes one at a time";
        check(it, ", start: on-demand", on_demand);
        check(
            it,
            ", idempotency: { pay: /order/id }, limits: { tries_max: 2 }",
            "session shared, writes one at a time, pay once by /order/id, at most 2 tries",
        );
        check("command: [ls], replicas: 3", ", stateless: true", "session shared, writes concurrent, 3 replicas");
        let urls = "urls: [\"http://127.0.0.1:1/mcp\", \"http://127.0.0.1:2/mcp\"]";
        check(
            urls,
            ", share: { session: per-caller }",
            "session per-caller (ends after 15m idle or 8h), writes one at a time, 2 replicas",
        );
        let mcp = of(urls, ", stateless: true").unwrap().1.into_mcp("a");
        assert_eq!((mcp.replicas.len(), mcp.share), (1, Sharing::default()));
    }

    #[test]
    fn a_word_that_is_not_known_is_told_with_what_was_meant() {
        let check = |server: &str, settings: &str, expected: &str| {
            let told = of(server, settings).map(|(words, _)| words).unwrap_err();
            assert!(told.contains(expected), "{settings}: {told}");
        };
        let it = "command: [ls]";
        check(it, ", share: { sesion: shared }", "share has no setting \"sesion\" (did you mean \"session\"?)");
        check(it, ", share: { session: per-contex }", "session cannot be \"per-contex\" (did you mean per-context?)");
        check(it, ", share: { session: x }", "(there is shared, per-context, per-caller, per-task)");
        check(it, ", share: { writes: one-at-time }", "did you mean one-at-a-time?");
        check(it, ", share: { writes: { by: path } }", "\"path\" is no JSON pointer");
        check(it, ", share: { writes: {} }", "writes does not say by what");
        check("command: [ls], replicas: 0", ", stateless: true", "replicas cannot be \"0\"");
        check("command: [ls], replicas: 2", "", "would each keep something else (say stateless: true");
        check("command: [ls], replicas: 2", ", share: { session: per-task }", "each session has a process of its own");
        check("url: \"http://127.0.0.1:1\", replicas: 2", "", "replicas");
        check("urls: []", "", "urls has no address");
        check(it, ", share: { session: per-context, on_lost: nwe }", "did you mean new?");
        check(it, ", share: { session: per-caller, on_lost: fail }", "on_lost is not for session: per-caller");
        check(it, ", idempotency: { pay: orderId }", "\"orderId\" is no JSON pointer");
        check(it, ", idempotency: /orderId", "idempotency");
    }
}
