//! Webhooks in both dialects: what is asked, what is wrong with it, and that nothing secret is ever written.

use bobbinet_core::{Operation, PushConfig, PushOperation, PushPage, PushView, Secret};
use bobbinet_wire::{Error, v0_3, v1_0};
use expect_test::{Expect, expect};
use serde_json::value::RawValue;

fn raw(text: &str) -> &RawValue {
    serde_json::from_str(text).unwrap()
}

fn of_1_0(method: &str, params: &str) -> Result<Operation, Error> {
    v1_0::request::decode(v1_0::Method::from_name(method).unwrap(), Some(raw(params)))
}

fn of_0_3(method: &str, params: &str) -> Result<Operation, Error> {
    v0_3::request::decode(v0_3::Method::from_name(method).unwrap(), Some(raw(params)))
}

/// All of a webhook, secrets too.
fn told(config: &PushConfig) -> String {
    let PushConfig { id, url, token, authentication, dialect } = config;
    let secret = |secret: Option<&Secret>| secret.map_or("-", Secret::reveal).to_owned();
    let authentication = authentication.as_ref().map_or("-".to_owned(), |authentication| {
        format!("{} {}", authentication.scheme, secret(authentication.credentials.as_ref()))
    });
    format!("{} {url} {} {authentication} in {dialect}", id.as_deref().unwrap_or("-"), secret(token.as_ref()))
}

fn asked(operation: Result<Operation, Error>) -> String {
    match operation {
        Ok(Operation::PushConfig(PushOperation::Create(create))) => {
            format!("create {} {} {:?}", create.task, told(&create.config), create.tenant)
        }
        Ok(Operation::Send(send)) => send.configuration.push_config.as_deref().map_or("none".to_owned(), told),
        Ok(Operation::PushConfig(other)) => format!("{other:?}"),
        Ok(other) => panic!("{other:?}"),
        Err(error) => error.violations().iter().map(|fault| format!("{fault}; ")).collect(),
    }
}

fn check(operation: Result<Operation, Error>, expected: &Expect) {
    expected.assert_eq(&asked(operation));
}

#[test]
fn a_webhook_is_asked_for_in_both_dialects() {
    let flat = r#"{"taskId":"t","id":"h","url":"https://a.example/x?y=1","token":"tok","authentication":
        {"scheme":"Bearer","credentials":"cred"},"tenant":"acme","unknown":{"a":[1]}}"#;
    check(
        of_1_0("CreateTaskPushNotificationConfig", flat),
        &expect![[r#"create t h https://a.example/x?y=1 tok Bearer cred in 1.0 Some("acme")"#]],
    );
    let nested = r#"{"taskId":"t","pushNotificationConfig":{"id":"h","url":"https://a.example/x?y=1","token":"tok",
        "authentication":{"schemes":["Basic","Bearer"],"credentials":"cred"}}}"#;
    check(
        of_0_3("tasks/pushNotificationConfig/set", nested),
        &expect!["create t h https://a.example/x?y=1 tok Basic cred in 0.3 None"],
    );
    let message = r#""message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"a"}]}"#;
    let send = |config: &str| {
        let params = format!(r#"{{{message},"configuration":{{"task_push_notification_config":{config}}}}}"#);
        of_1_0("SendMessage", &params)
    };
    check(send(r#"{"url":"https://a.example"}"#), &expect!["- https://a.example - - in 1.0"]);
    check(send("null"), &expect!["none"]);
    check(send("{}"), &expect!["configuration.taskPushNotificationConfig.url is required; "]);
    let old = r#"{"message":{"kind":"message","messageId":"m","role":"user","parts":[{"kind":"text","text":"a"}]},
        "configuration":{"pushNotificationConfig":{"url":"https://a.example","authentication":{"schemes":[]}}}}"#;
    check(of_0_3("message/send", old), &expect!["- https://a.example - - in 0.3"]);
}

#[test]
fn what_is_asked_of_a_webhook_that_is_there() {
    let of_task = r#"{"taskId":"t","id":"h","pageSize":2,"pageToken":"p"}"#;
    check(
        of_1_0("GetTaskPushNotificationConfig", of_task),
        &expect![[r#"Get(GetPushParams { task: "t", id: Some("h"), tenant: None })"#]],
    );
    check(
        of_1_0("ListTaskPushNotificationConfigs", of_task),
        &expect![[r#"List(ListPushParams { task: "t", page_size: Some(2), page_token: Some("p"), tenant: None })"#]],
    );
    check(
        of_1_0("DeleteTaskPushNotificationConfig", of_task),
        &expect![[r#"Delete(DeletePushParams { task: "t", id: "h", tenant: None })"#]],
    );
    check(of_1_0("GetTaskPushNotificationConfig", "{}"), &expect!["taskId is required; "]);
    check(of_1_0("DeleteTaskPushNotificationConfig", r#"{"taskId":"t"}"#), &expect!["id is required; "]);
    check(
        of_1_0("ListTaskPushNotificationConfigs", r#"{"taskId":"t","pageSize":-1}"#),
        &expect!["pageSize is wrong: it may not be negative; "],
    );
    let of_task = r#"{"id":"t","pushNotificationConfigId":"h"}"#;
    check(
        of_0_3("tasks/pushNotificationConfig/get", of_task),
        &expect![[r#"Get(GetPushParams { task: "t", id: Some("h"), tenant: None })"#]],
    );
    check(
        of_0_3("tasks/pushNotificationConfig/get", r#"{"id":"t"}"#),
        &expect![[r#"Get(GetPushParams { task: "t", id: None, tenant: None })"#]],
    );
    check(
        of_0_3("tasks/pushNotificationConfig/list", r#"{"id":"t"}"#),
        &expect![[r#"List(ListPushParams { task: "t", page_size: None, page_token: None, tenant: None })"#]],
    );
    check(
        of_0_3("tasks/pushNotificationConfig/delete", r#"{"id":"t"}"#),
        &expect!["pushNotificationConfigId is required; "],
    );
}

#[test]
fn what_could_end_a_header_or_is_too_long_is_refused() {
    let create = |rest: &str| {
        of_1_0("CreateTaskPushNotificationConfig", &format!(r#"{{"taskId":"t","url":"https://a.example"{rest}}}"#))
    };
    check(create(r#","token":"a\r\nX: y""#), &expect!["token is wrong: it may have printable ASCII characters only; "]);
    check(
        create(r#","authentication":{"scheme":"Be arer","credentials":"ü"}"#),
        &expect![
            "authentication.credentials is wrong: it may have printable ASCII characters only; authentication.scheme must be a scheme of HTTP, such as Bearer; "
        ],
    );
    check(create(r#","authentication":{"credentials":"c"}"#), &expect!["authentication.scheme is required; "]);
    check(create(&format!(r#","id":"{}""#, "i".repeat(129))), &expect!["id is wrong: it may have 128 characters; "]);
    check(create(r#","id":"a\u0000""#), &expect!["id is wrong: it may not have control characters; "]);
    let url = format!(r#"{{"taskId":"t","url":"https://a.example/{}"}}"#, "u".repeat(2048));
    check(of_1_0("CreateTaskPushNotificationConfig", &url), &expect!["url is wrong: it may have 2048 bytes; "]);
    check(
        of_1_0("CreateTaskPushNotificationConfig", r#"{"taskId":"t","url":"https://a.example/ x"}"#),
        &expect!["url is wrong: it may have visible ASCII characters only; "],
    );
}

#[test]
fn answers_show_no_secret() {
    let view = PushView {
        task: "t".to_owned(),
        id: "h".to_owned(),
        url: "https://a.example".to_owned(),
        scheme: Some("Bearer".to_owned()),
    };
    let plain = PushView { scheme: None, id: "i".to_owned(), ..view.clone() };
    let page = PushPage { configs: vec![view, plain], next_page_token: Some("2".to_owned()) };
    let mut out = Vec::new();
    v1_0::push::write_configs(&mut out, &page);
    out.push(b'\n');
    v1_0::push::write_deleted(&mut out);
    out.push(b'\n');
    v0_3::push::write_configs(&mut out, &page.configs);
    out.push(b'\n');
    v0_3::push::write_deleted(&mut out);
    expect![[r#"
        {"configs":[{"id":"h","taskId":"t","url":"https://a.example","authentication":{"scheme":"Bearer"}},{"id":"i","taskId":"t","url":"https://a.example"}],"nextPageToken":"2"}
        {}
        [{"taskId":"t","pushNotificationConfig":{"id":"h","url":"https://a.example","authentication":{"schemes":["Bearer"]}}},{"taskId":"t","pushNotificationConfig":{"id":"i","url":"https://a.example"}}]
        null"#]]
    .assert_eq(&String::from_utf8(out).unwrap());
    let secret = of_1_0("CreateTaskPushNotificationConfig", r#"{"taskId":"t","url":"u","token":"hush"}"#).unwrap();
    assert!(!format!("{secret:?}").contains("hush"), "what is logged shows no secret");
}
