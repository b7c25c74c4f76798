//! Parameters: what is taken leniently, and how each fault is named.

use bobbinet_core::{
    Content, ContextId, PushOperation, Role, State,
    operation::{ListParams, Operation, SendParams},
};
use bobbinet_wire::{
    ErrorKind,
    v1_0::{Method, request},
};
use expect_test::{Expect, expect};
use serde_json::value::RawValue;

fn decode(method: Method, params: &str) -> Result<Operation, bobbinet_wire::Error> {
    let params: &RawValue = serde_json::from_str(params).unwrap();
    request::decode(method, Some(params))
}

fn send(params: &str) -> SendParams {
    let Operation::Send(send) = decode(Method::SendMessage, params).unwrap() else { panic!("{params}") };
    *send
}

fn list(params: &str) -> ListParams {
    let Operation::List(list) = decode(Method::ListTasks, params).unwrap() else { panic!("{params}") };
    list
}

/// The parameters of a message with these parts.
fn with_parts(parts: &str) -> String {
    format!(r#"{{"message":{{"messageId":"m","role":"ROLE_USER","parts":{parts}}}}}"#)
}

/// Compares the faults, one to a line.
fn refused(method: Method, params: &str, expected: Expect) {
    let error = decode(method, params).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidParams);
    let faults: Vec<String> = error.violations().iter().map(ToString::to_string).collect();
    expected.assert_eq(&faults.join("\n"));
}

#[test]
fn proto_json_is_lenient_about_spelling() {
    let camel = send(
        r#"{"message":{"messageId":"m","contextId":"c","taskId":"t","role":"ROLE_USER","parts":[{"text":"a","mediaType":"text/plain"}],
            "referenceTaskIds":["r"]},"configuration":{"acceptedOutputModes":["text/plain"],"historyLength":2,"returnImmediately":true}}"#,
    );
    let snake = send(
        r#"{"message":{"message_id":"m","context_id":"c","task_id":"t","role":1,"parts":[{"text":"a","media_type":"text/plain"}],
            "reference_task_ids":["r"]},"configuration":{"accepted_output_modes":["text/plain"],"history_length":"2","return_immediately":true}}"#,
    );
    assert_eq!(camel, snake);
    assert_eq!(camel.task.as_deref(), Some("t"));
    assert_eq!(camel.configuration.history_length, Some(2));
}

#[test]
fn null_and_the_empty_text_are_absence_and_unknown_fields_are_nothing() {
    let nulls = send(
        r#"{"message":{"messageId":"m","contextId":null,"taskId":"","role":"ROLE_AGENT","kind":"message","metadata":null,"extensions":null,
            "parts":[{"kind":"text","text":"","raw":null,"url":null,"data":null,"metadata":null,"filename":null}],"x":{"y":[1e5]}},
            "configuration":{"historyLength":null,"returnImmediately":null,"taskPushNotificationConfig":null},"metadata":null,"tenant":""}"#,
    );
    let bare = send(r#"{"message":{"messageId":"m","role":2,"parts":[{"text":""}]}}"#);
    assert_eq!(nulls, bare);
}

#[test]
fn whoever_sends_is_the_user() {
    for role in [r#""ROLE_USER""#, r#""ROLE_AGENT""#, "1", "2"] {
        let message = send(&format!(r#"{{"message":{{"messageId":"m","role":{role},"parts":[{{"text":"x"}}]}}}}"#));
        assert_eq!(message.message.role, Role::User, "{role}");
    }
}

#[test]
fn a_field_under_both_of_its_names_is_refused() {
    refused(
        Method::SendMessage,
        r#"{"message":{"message_id":"a","messageId":"b","role":1,"parts":[],"parts":[{"text":"a","media_type":"a/b","mediaType":"c/d"}]}}"#,
        expect![[r#"
            message.messageId is given twice
            message.parts[0].mediaType is given twice
            message.parts is given twice"#]],
    );
}

#[test]
fn each_kind_of_part_is_read() {
    let parts = send(&with_parts(
        r#"[{"text":"t"},{"raw":"-_8"},{"url":"https://e.com"},{"data":null},{"data":{"b":1.0,"a":[ 1 ]}}]"#,
    ));
    let contents: Vec<String> = parts
        .message
        .parts
        .iter()
        .map(|part| match &part.content {
            Content::Text(text) => format!("text {text}"),
            Content::Raw(base64) => format!("raw {}", base64.as_str()),
            Content::Url(url) => format!("url {url}"),
            Content::Data(json) => format!("data {}", json.as_str()),
        })
        .collect();
    expect![[r#"text t; raw +/8=; url https://e.com; data null; data {"b":1.0,"a":[ 1 ]}"#]]
        .assert_eq(&contents.join("; "));
}

#[test]
fn base64_becomes_standard_and_padded() {
    for (given, expected) in
        [("", ""), ("QQ==", "QQ=="), ("QQ", "QQ=="), ("QR", "QQ=="), ("-_-_", "+/+/"), ("+/+/", "+/+/")]
    {
        let message = send(&with_parts(&format!(r#"[{{"raw":"{given}"}}]"#))).message;
        let Content::Raw(base64) = &message.parts[0].content else { panic!("{message:?}") };
        assert_eq!(base64.as_str(), expected);
    }
}

#[test]
fn a_list_has_its_defaults_and_its_filters() {
    assert_eq!(list("{}"), ListParams::default());
    assert_eq!(
        list(r#"{"status":"TASK_STATE_UNSPECIFIED","pageToken":"","historyLength":null}"#),
        ListParams::default()
    );
    let full = list(
        r#"{"contextId":"c","status":"TASK_STATE_WORKING","statusTimestampAfter":"2026-11-21T12:00:00.0001+01:00","pageSize":100.0,
            "pageToken":"p","historyLength":0,"includeArtifacts":true,"tenant":"t"}"#,
    );
    assert_eq!(full.state, Some(State::Working));
    assert_eq!(full.status_timestamp_after.unwrap().to_string(), "2026-11-21T11:00:00.001Z");
    assert_eq!((full.page_size, full.history_length, full.include_artifacts), (100, Some(0), true));
    assert_eq!(list(r#"{"status":8}"#).state, Some(State::AuthRequired));
    assert_eq!(
        list(r#"{"statusTimestampAfter":"1960-01-01T00:00:00Z"}"#).status_timestamp_after.unwrap().as_millis(),
        0
    );
}

#[test]
fn every_method_has_its_operation() {
    let names: Vec<String> = Method::ALL
        .into_iter()
        .map(|method| {
            assert_eq!(Method::from_name(method.name()), Some(method));
            let params =
                r#"{"id":"t","taskId":"t","url":"u","message":{"messageId":"m","role":1,"parts":[{"text":""}]}}"#;
            let operation = match decode(method, params).unwrap() {
                Operation::Send(_) => "send",
                Operation::SendStreaming(_) => "send streaming",
                Operation::Get(_) => "get",
                Operation::List(_) => "list",
                Operation::Cancel(_) => "cancel",
                Operation::Subscribe(_) => "subscribe",
                Operation::ExtendedCard(_) => "extended card",
                Operation::PushConfig(PushOperation::Create(_)) => "create push config",
                Operation::PushConfig(PushOperation::Get(_)) => "get push config",
                Operation::PushConfig(PushOperation::List(_)) => "list push configs",
                Operation::PushConfig(PushOperation::Delete(_)) => "delete push config",
            };
            let answer = if method.is_streaming() { "a stream" } else { "one answer" };
            format!("{}: {operation}, {answer}", method.name())
        })
        .collect();
    expect![[r#"
        SendMessage: send, one answer
        SendStreamingMessage: send streaming, a stream
        GetTask: get, one answer
        ListTasks: list, one answer
        CancelTask: cancel, one answer
        SubscribeToTask: subscribe, a stream
        CreateTaskPushNotificationConfig: create push config, one answer
        GetTaskPushNotificationConfig: get push config, one answer
        ListTaskPushNotificationConfigs: list push configs, one answer
        DeleteTaskPushNotificationConfig: delete push config, one answer
        GetExtendedAgentCard: extended card, one answer"#]]
    .assert_eq(&names.join("\n"));
    assert_eq!(Method::from_name("message/send"), None);
    assert_eq!(Method::from_name("sendMessage"), None);
}

#[test]
fn all_that_is_missing_is_named() {
    refused(Method::SendMessage, "{}", expect!["message is required"]);
    refused(
        Method::SendMessage,
        r#"{"message":{}}"#,
        expect![[r#"
        message.messageId is required
        message.role is required
        message.parts must have at least one part"#]],
    );
    refused(
        Method::SendMessage,
        r#"{"message":{"messageId":"","role":0,"parts":[]}}"#,
        expect![[r#"
        message.messageId is required
        message.role is required
        message.parts must have at least one part"#]],
    );
    refused(
        Method::SendMessage,
        r#"{"message":{"messageId":"m","role":"ROLE_UNSPECIFIED","parts":null}}"#,
        expect![[r#"
            message.role is required
            message.parts must have at least one part"#]],
    );
    refused(Method::GetTask, "{}", expect!["id is required"]);
    refused(Method::CancelTask, r#"{"id":null}"#, expect!["id is required"]);
    refused(Method::SubscribeToTask, r#"{"id":""}"#, expect!["id is required"]);
}

#[test]
fn all_that_is_of_the_wrong_type_is_named() {
    refused(Method::GetTask, "[]", expect!["params must be an object, not an array"]);
    refused(Method::GetTask, "1", expect!["params must be an object, not a number"]);
    refused(Method::GetTask, "\"x\"", expect!["params must be an object, not a string"]);
    refused(Method::GetTask, "true", expect!["params must be an object, not a boolean"]);
    refused(
        Method::SendMessage,
        r#"{"message":"hello","configuration":[],"metadata":[1],"tenant":{}}"#,
        expect![[r#"
            message must be an object, not a string
            configuration must be an object, not an array
            metadata must be an object, not an array
            tenant must be a string, not an object"#]],
    );
    refused(
        Method::SendMessage,
        r#"{"message":{"messageId":7,"contextId":[],"taskId":{},"role":"user","parts":{"text":"x"},"metadata":"x","extensions":"x","referenceTaskIds":[1,null,""]},
            "configuration":{"acceptedOutputModes":[7],"historyLength":"many","returnImmediately":"yes"}}"#,
        expect![[r#"
            message.messageId must be a string, not a number
            message.contextId must be a string, not an array
            message.taskId must be a string, not an object
            message.role must be ROLE_USER or ROLE_AGENT
            message.parts must be an array, not an object
            message.metadata must be an object, not a string
            message.extensions must be an array, not a string
            message.referenceTaskIds[0] must be a string, not a number
            message.referenceTaskIds[1] may be neither null nor empty
            message.referenceTaskIds[2] may be neither null nor empty
            configuration.acceptedOutputModes[0] must be a string, not a number
            configuration.historyLength must be an integer of 32 bits
            configuration.returnImmediately must be true or false, not a string"#]],
    );
    refused(
        Method::ListTasks,
        r#"{"contextId":1,"status":"WORKING","statusTimestampAfter":"yesterday","pageSize":true,"pageToken":2,"includeArtifacts":1,"historyLength":[]}"#,
        expect![[r#"
            contextId must be a string, not a number
            status must be a task state such as TASK_STATE_WORKING
            statusTimestampAfter must be a timestamp of RFC 3339, such as 2026-11-21T11:00:00Z
            pageSize must be an integer, not a boolean
            pageToken must be a string, not a number
            includeArtifacts must be true or false, not a number
            historyLength must be an integer, not an array"#]],
    );
    refused(
        Method::ListTasks,
        r#"{"status":9,"statusTimestampAfter":17,"pageSize":1.5,"historyLength":4294967296}"#,
        expect![[r#"
            status must be a task state such as TASK_STATE_WORKING
            statusTimestampAfter must be a timestamp in a string, not a number
            pageSize must be an integer of 32 bits
            historyLength must be an integer of 32 bits"#]],
    );
}

#[test]
fn a_part_has_exactly_one_content() {
    refused(
        Method::SendMessage,
        &with_parts(
            r#"[{},{"text":null},{"text":"a","url":"b"},{"text":"a","data":1},{"raw":"AA==","url":"b","data":null},{"text":5},
                {"raw":"?"},{"raw":[]},null,"x",{"metadata":{}},{"text":"a","metadata":[],"mediaType":1}]"#,
        ),
        expect![[r#"
            message.parts[0] must have one of text, raw, url and data
            message.parts[1] must have one of text, raw, url and data
            message.parts[2] must have only one of text, raw, url and data
            message.parts[3] must have only one of text, raw, url and data
            message.parts[4] must have only one of text, raw, url and data
            message.parts[5].text must be a string, not a number
            message.parts[6].raw must be base64: Invalid symbol 63, offset 0.
            message.parts[7].raw must be base64 in a string, not an array
            message.parts[8] may be neither null nor empty
            message.parts[9] must be an object, not a string
            message.parts[10] must have one of text, raw, url and data
            message.parts[11].metadata must be an object, not an array
            message.parts[11].mediaType must be a string, not a number"#]],
    );
}

#[test]
fn ids_have_their_limits() {
    let long = "\u{4e16}".repeat(513);
    refused(
        Method::SendMessage,
        &format!(r#"{{"message":{{"messageId":"{long}","contextId":"","role":1,"parts":[{{"text":""}}]}}}}"#),
        expect!["message.messageId is wrong: a message id is longer than 512 characters"],
    );
    refused(
        Method::ListTasks,
        &format!(r#"{{"contextId":"{long}"}}"#),
        expect!["contextId is wrong: a context id is longer than 512 characters"],
    );
}

/// The specification says of an id that it is a text.
#[test]
fn an_id_is_any_text() {
    let long = "\u{4e16}".repeat(512);
    for id in [" ", "Jane's trip", r"a\u0000b", r"line\nline", "https://a.example/?b=c", &long] {
        let text =
            format!(r#"{{"message":{{"messageId":"{id}","contextId":"{id}","role":1,"parts":[{{"text":""}}]}}}}"#);
        let params = send(&text);
        let expected: String = serde_json::from_str(&format!("\"{id}\"")).unwrap();
        let context = params.context.as_ref().map(ContextId::as_str);
        assert_eq!((params.message.id.as_str(), context), (expected.as_str(), Some(expected.as_str())));
    }
}

#[test]
fn numbers_have_their_limits() {
    refused(
        Method::GetTask,
        r#"{"id":"t","historyLength":-1}"#,
        expect!["historyLength is wrong: it may not be negative"],
    );
    refused(
        Method::ListTasks,
        r#"{"pageSize":0,"historyLength":-5}"#,
        expect![[r#"
        pageSize is wrong: it must be between 1 and 100
        historyLength is wrong: it may not be negative"#]],
    );
    refused(Method::ListTasks, r#"{"pageSize":101}"#, expect!["pageSize is wrong: it must be between 1 and 100"]);
    refused(Method::ListTasks, r#"{"pageSize":"-1"}"#, expect!["pageSize is wrong: it must be between 1 and 100"]);
}

#[test]
fn lists_have_their_limits() {
    let parts = vec![r#"{"text":"x"}"#; 1_001].join(",");
    refused(
        Method::SendMessage,
        &with_parts(&format!("[{parts}]")),
        expect!["message.parts must have at most 1000 elements, not 1001"],
    );
    let faults = vec!["{}"; 50_000].join(",");
    let error = decode(Method::SendMessage, &with_parts(&format!("[{faults}]"))).unwrap_err();
    assert_eq!(error.violations().len(), bobbinet_wire::error::VIOLATIONS_MAX);
}
