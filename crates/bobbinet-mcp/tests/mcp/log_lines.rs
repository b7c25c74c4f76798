//! What a server says for a log while a call is at work: heard by who listens to that call, where it can be of no other caller's.

use bobbinet_core::{MessageId, State};
use bobbinet_engine::{Agent, CallLine, CallLines, CallName, Severity};
use bobbinet_mcp::McpConfig;

use crate::lab::{Lab, command, limits, say, view};

fn server(config: &mut McpConfig) {
    command(config).args[0] = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/offers_server.py").to_owned();
}

fn listen(lab: &Lab, mode: &str) -> CallLines {
    let log = lab.agents[mode].call_log().unwrap();
    // The id of every message here.
    log.listen(CallName::of_message(MessageId::parse("m").unwrap()), Severity::Debug)
}

#[tokio::test]
async fn lines_of_a_session_that_one_caller_has_for_himself_are_his_and_of_one_that_several_had_nobodys() {
    let lab = Lab::with(&["logs", "modern-logs"], limits(), server).await.ready().await;
    for mode in ["logs", "modern-logs"] {
        let lines = listen(&lab, mode);
        let task = lab.send(mode, say(r#"data:{"skill":"log","arguments":{"count":2}}"#)).await;
        assert_eq!(task.state, State::Completed, "{mode}: {}", view(&task));
        for number in 0..2 {
            let Some(CallLine::Said(line)) = lines.take() else { panic!("{mode}: {number}") };
            let line = line.to_value();
            assert_eq!(
                (&line["level"], &line["logger"], &line["data"]["number"]),
                (&"warning".into(), &"db".into(), &number.into())
            );
        }
        // What somebody wants to hear the server is asked to say: once for the session, or with each request.
        match mode {
            "logs" => assert_eq!(std::fs::read_to_string(lab.notes(mode).join("level")).unwrap(), "debug\n"),
            _ => assert!(view(&task).contains(r#""debug""#), "{}", view(&task)),
        }
        drop(lines);
        let unheard = listen(&lab, mode);
        lab.send_as("bob", mode, say("do")).await;
        assert_eq!(lab.send(mode, say("log")).await.state, State::Completed);
        assert_eq!(unheard.take(), None, "{mode}: it might be about what bob has done");
    }
    lab.close().await;
}
