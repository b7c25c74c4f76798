//! What a client makes of answers.

use bobbinet_core::{Role, State, operation::Selection};
use bobbinet_wire::{
    Error, ErrorKind, ReplyError, RequestId, envelope,
    v1_0::{client, error, response},
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
    envelope::write_result(&mut body, &RequestId::from(1), |out| {
        response::write_task_wrapped(out, &task, Selection::ALL)
    });
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
    envelope::write_error(&mut body, &RequestId::NULL, |out| error::write(out, &error));
    let ReplyError::Remote(remote) = client::read_reply(&body).unwrap_err() else { panic!() };
    assert_eq!(remote.kind, Some(ErrorKind::InvalidParams));
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
        remote(r#"{"code":-32001,"message":"gone","data":{"any":"thing"}}"#).kind,
        Some(ErrorKind::TaskNotFound)
    );
    assert_eq!(
        remote(r#"{"code":-32001,"message":"gone","data":[7,{"reason":5},{"reason":"R"}]}"#).reason.as_deref(),
        Some("R")
    );
    assert_eq!(remote(r#"{"code":-1}"#).kind, None);
    let nulls = remote(
        r#"{"code":null,"message":null,"data":[{"reason":null,"metadata":null},{"fieldViolations":[{"field":null,"description":"d"}]}]}"#,
    );
    assert_eq!((nulls.code, nulls.message.as_str(), nulls.violations[0].description.as_str()), (0, "", "d"));
}

fn event(text: &str) -> StreamEvent {
    client::read_event(serde_json::from_str(text).unwrap()).unwrap().unwrap()
}

#[test]
fn null_is_nothing_and_what_is_not_known_is_passed_over() {
    let StreamEvent::Task(task) = event(
        r#"{"task":{"id":"t","contextId":null,"status":{"state":"TASK_STATE_ON_HOLD","message":null,"timestamp":"2026-11-21T11:00:00"},
            "artifacts":[{"artifactId":null,"name":null,"description":null,"parts":null,"metadata":null,"extensions":null},null,
                {"artifactId":"with a space","parts":[{},{"video":{"url":"x"}},null,{"text":"a","mediaType":null},{"filename":"f"}]}],
            "history":[{"messageId":null,"role":null,"parts":[]},{"messageId":"m","role":"ROLE_SYSTEM","extensions":["",null,"e"]},null],
            "metadata":null,"newInOneDotOne":[1]},"message":null,"statusUpdate":null}"#,
    ) else {
        panic!()
    };
    assert_eq!((task.status.state, task.status.at), (State::Working, None));
    let [unnamed, artifact] = task.artifacts.as_slice() else { panic!("{:?}", task.artifacts) };
    assert_eq!((unnamed.id.as_str(), unnamed.parts.len()), ("unnamed", 0));
    let texts: Vec<_> = artifact.parts.iter().map(|part| (part.as_text(), part.filename.as_deref())).collect();
    assert_eq!(texts, [(Some("a"), None), (Some(""), Some("f"))]);
    let [nameless, other] = task.history.as_slice() else { panic!("{:?}", task.history) };
    assert_eq!((nameless.id.as_str(), nameless.role), ("unnamed", Role::Agent));
    assert_eq!((other.role, other.extensions.len()), (Role::Agent, 1));

    for nulls in [r#"{"statusUpdate":{"taskId":null,"status":null}}"#, r#"{"statusUpdate":{"status":{"state":null}}}"#]
    {
        let update = event(nulls);
        assert_eq!((update.state(), update.task_id()), (Some(State::Working), None), "{nulls}");
    }
    let StreamEvent::ArtifactUpdate(update) =
        event(r#"{"artifactUpdate":{"taskId":"t","artifact":{"artifactId":"a"},"append":null,"lastChunk":null}}"#)
    else {
        panic!()
    };
    assert!(!update.append && !update.last_chunk && update.artifact.parts.is_empty());
    for nothing in ["{}", r#"{"task":null}"#, r#"{"taskMessageUpdate":{"x":1}}"#] {
        assert_eq!(client::read_event(serde_json::from_str(nothing).unwrap()), Ok(None), "{nothing}");
    }
    let page =
        client::read_page(serde_json::from_str(r#"{"tasks":null,"nextPageToken":null,"totalSize":null}"#).unwrap());
    assert_eq!(page.unwrap().tasks, []);
}

#[test]
fn an_id_that_cannot_be_ours_still_tells_things_apart() {
    let artifact = |id: &str| {
        let text = format!(r#"{{"artifactUpdate":{{"taskId":"t","artifact":{{"artifactId":"{id}","parts":[]}}}}}}"#);
        let StreamEvent::ArtifactUpdate(update) = event(&text) else { panic!() };
        update.artifact.id
    };
    let (long, longer) = ("x".repeat(200), "x".repeat(201));
    assert_eq!(artifact("plain").as_str(), "plain");
    assert_eq!(artifact("a b"), artifact("a b"));
    assert_ne!(artifact("a b"), artifact("a  b"));
    assert_ne!(artifact(&long), artifact(&longer));
}

#[test]
fn what_other_agents_leave_out_is_forgiven() {
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
    expect!["the result must have only one of task, message, statusUpdate and artifactUpdate"]
        .assert_eq(&malformed(r#"{"task":{"id":"t"},"message":{"messageId":"m"}}"#));
    expect!["task.status.state must be a task state such as TASK_STATE_WORKING, not an array"]
        .assert_eq(&malformed(r#"{"task":{"id":"t","status":{"state":[]}}}"#));
    expect!["task.id is required"].assert_eq(&malformed(r#"{"task":{"status":{"state":1}}}"#));
    expect!["artifactUpdate.artifact.parts[0] must have only one of text, raw, url and data; artifactUpdate.artifact.artifactId must be a string, not a number"].assert_eq(&malformed(r#"{"artifactUpdate":{"artifact":{"parts":[{"text":"a","url":"b"}],"artifactId":7}}}"#));
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
