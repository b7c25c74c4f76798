//! What a client makes of answers.

use bobbinet_core::State;
use bobbinet_wire::{
    Error, ErrorKind, Id, envelope,
    v1_0::{
        client::{self, ReplyError},
        response::{self, Selection},
    },
    view::{Sent, StreamEvent},
};
use expect_test::expect;

use crate::fixture::{full_task, task_id};

fn malformed(result: &str) -> String {
    match client::read_event(serde_json::from_str(result).unwrap()).unwrap_err() {
        ReplyError::Malformed(why) => why,
        ReplyError::Remote(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_sent_message_comes_to_a_task() {
    let mut body = Vec::new();
    let task = full_task();
    envelope::write_result(&mut body, &Id::from(1), |out| response::write_task_wrapped(out, &task, Selection::ALL));
    let Sent::Task(view) = client::read_sent(client::read_reply(&body).unwrap()).unwrap() else { panic!() };
    assert_eq!(view.id, task_id().to_string());
    assert_eq!(view.context_id.as_deref(), Some(task.context.as_str()));
    assert_eq!((view.status.state, view.status.at), (task.state, Some(task.status_at)));
    assert_eq!(view.status.message.as_ref(), task.status_message.as_deref());
    assert!(view.history.iter().eq(task.history.iter().map(|message| &**message)));
    assert!(view.artifacts.iter().eq(task.artifacts.iter().map(|artifact| &**artifact)));
    assert_eq!(view.metadata, task.status_metadata);
}

#[test]
fn an_error_is_read_with_its_details() {
    let mut body = Vec::new();
    let error = Error::invalid_field("id", "is required").with_hint("Say which.");
    envelope::write_error(&mut body, &Id::NULL, &error);
    let ReplyError::Remote(remote) = client::read_reply(&body).unwrap_err() else { panic!() };
    assert_eq!(remote.kind(), Some(ErrorKind::InvalidParams));
    assert_eq!(remote.reason.as_deref(), Some("INVALID_PARAMS"));
    assert_eq!(remote.message, error.message());
    assert_eq!(remote.hint.as_deref(), Some("Say which."));
    assert_eq!(remote.violations, error.violations());
}

#[test]
fn errors_of_others_are_read_as_far_as_they_go() {
    let remote = |error: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":null,"error":{error}}}"#);
        match client::read_reply(body.as_bytes()).unwrap_err() {
            ReplyError::Remote(remote) => remote,
            ReplyError::Malformed(why) => panic!("{why}"),
        }
    };
    assert_eq!(
        remote(r#"{"code":-32001,"message":"gone","data":{"any":"thing"}}"#).kind(),
        Some(ErrorKind::TaskNotFound)
    );
    assert_eq!(
        remote(r#"{"code":-32001,"message":"gone","data":[7,{"reason":5},{"reason":"R"}]}"#).reason.as_deref(),
        Some("R")
    );
    assert_eq!(remote(r#"{"code":-1}"#).kind(), None);
}

#[test]
fn what_other_agents_leave_out_is_forgiven() {
    let event = |text: &str| client::read_event(serde_json::from_str(text).unwrap()).unwrap();
    let update = event(
        r#"{"statusUpdate":{"taskId":"t","contextId":"c","final":false,"status":{"state":2,"message":{"messageId":"m","role":"ROLE_AGENT"}}}}"#,
    );
    assert_eq!((update.state(), update.task_id()), (Some(State::Working), Some("t")));
    let StreamEvent::Message(message) =
        event(r#"{"message":{"messageId":"m","contextId":"c","role":2,"parts":[{"text":"hi"}]}}"#)
    else {
        panic!()
    };
    assert_eq!(
        (message.message.text().as_str(), message.context_id.as_deref(), message.task_id),
        ("hi", Some("c"), None)
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    expect!["the result must have exactly one of task, message, statusUpdate and artifactUpdate"]
        .assert_eq(&malformed("{}"));
    expect!["task.status.state must be a task state such as TASK_STATE_WORKING"]
        .assert_eq(&malformed(r#"{"task":{"id":"t","status":{"state":"DONE"}}}"#));
    expect!["artifactUpdate.artifact.parts[0] must have one of text, raw, url and data; artifactUpdate.artifact.artifactId is required; artifactUpdate.taskId is required"].assert_eq(&malformed(r#"{"artifactUpdate":{"artifact":{"parts":[{}]}}}"#));
    let page =
        client::read_sent(serde_json::from_str(r#"{"statusUpdate":{"taskId":"t","status":{"state":1}}}"#).unwrap());
    expect!["the agent's answer could not be read: the result must have one of task and message"]
        .assert_eq(&page.unwrap_err().to_string());
    for body in ["", "[]", "{}", "<html>", r#"{"result":1,"error":"x"}"#] {
        assert!(matches!(client::read_reply(body.as_bytes()), Err(ReplyError::Malformed(_))), "{body}");
    }
}

#[test]
fn a_page_is_read() {
    let page = |text: &str| client::read_page(serde_json::from_str(text).unwrap()).unwrap();
    let full = page(
        r#"{"tasks":[{"id":"t","status":{"state":"TASK_STATE_FAILED"}}],"nextPageToken":"p","pageSize":1,"totalSize":"2"}"#,
    );
    assert_eq!((full.tasks.len(), full.next_page_token.as_deref(), full.total_size), (1, Some("p"), 2));
    let empty = page(r#"{"tasks":[],"nextPageToken":"","pageSize":50,"totalSize":0}"#);
    assert_eq!((empty.tasks.len(), empty.next_page_token, empty.total_size), (0, None, 0));
}
