//! Golden files: what goes over the wire, byte for byte. `UPDATE_EXPECT=1` writes them anew; look at the difference.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{
    CallId, Event, Part, Question, QuestionKind, Role, State,
    operation::{Configuration, GetParams, ListParams, Operation, Selection, SendParams},
    task::CallOutcome,
};
use bobbinet_wire::{
    Error, ErrorKind, FieldViolation, RequestId, envelope,
    page::{TaskPage, WrittenTasks},
    update::Update,
    v1_0::{client, error, response},
};
use expect_test::{ExpectFile, expect_file};

use crate::fixture::{
    added, at, context_id, ended, full_message, full_task, json, message, small_task, started, submitted, task,
    task_id, user_message,
};

/// Compares, and looks for what ProtoJSON never writes: names in snake_case, and null outside of data.
fn check(bytes: &[u8], expected: ExpectFile) {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(!text.contains('\n'), "one line, so that an event stream can carry it");
    assert_no_snake_case(&serde_json::from_str(text).unwrap());
    expected.assert_eq(&format!("{text}\n"));
}

pub(crate) fn assert_no_snake_case(value: &serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                assert!(!name.contains('_'), "{name} is not camelCase");
                assert_no_snake_case(value);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(assert_no_snake_case),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

#[test]
fn tasks() {
    let result = |task: &bobbinet_core::Task, selection| {
        written(|out| {
            envelope::write_result(out, &RequestId::from(7), |out| response::write_task(out, task, selection))
        })
    };
    check(&result(&small_task(), Selection::ALL), expect_file!["../../golden/task_small.json"]);
    check(&result(&full_task(), Selection::ALL), expect_file!["../../golden/task_full.json"]);
    check(&result(&full_task(), Selection::history(Some(1))), expect_file!["../../golden/task_history_1.json"]);
    check(
        &result(&full_task(), Selection { history_length: Some(0), artifacts: false }),
        expect_file!["../../golden/task_bare.json"],
    );
    check(
        &written(|out| response::write_task_wrapped(out, &small_task(), Selection::ALL)),
        expect_file!["../../golden/task_wrapped.json"],
    );
}

#[test]
fn pages() {
    let page = |tasks: &[Arc<bobbinet_core::Task>], next_page_token, total_size| {
        let mut listed = WrittenTasks::default();
        for task in tasks {
            let length = listed.len();
            listed.push(|out| response::write_task(out, task, Selection::ALL));
            listed.truncate(length);
            let bare = Selection { history_length: Some(0), artifacts: false };
            listed.push(|out| response::write_task(out, task, bare));
        }
        let page = TaskPage { tasks: &listed, next_page_token, page_size: 50, total_size };
        written(|out| response::write_page(out, page))
    };
    check(&page(&[], "", 0), expect_file!["../../golden/page_empty.json"]);
    let tasks = [Arc::new(small_task()), Arc::new(full_task())];
    check(&page(&tasks, "b64", 1234), expect_file!["../../golden/page.json"]);
}

#[test]
fn updates() {
    let words = || Some(Arc::new(message("m-3", Role::Agent, vec![Part::text("half way")])));
    let question = |kind| {
        let message = Arc::new(message("q-1", Role::Agent, vec![Part::text("which one?")]));
        Event::Asked { question: Arc::new(Question { kind, message, schema: None }) }
    };
    let reply = |resumed| Event::Replied { message: Arc::new(user_message()), answer: None, resumed, key: None };
    let cases = [
        (started(), expect_file!["../../golden/update_started.json"]),
        (
            Event::Progressed { message: words(), metadata: Some(json(r#"{"progress":1,"total":2.0}"#)) },
            expect_file!["../../golden/update_progressed.json"],
        ),
        (added(), expect_file!["../../golden/update_added.json"]),
        (question(QuestionKind::Input), expect_file!["../../golden/update_asked.json"]),
        (question(QuestionKind::Authorization), expect_file!["../../golden/update_authorization.json"]),
        (reply(true), expect_file!["../../golden/update_resumed.json"]),
        (reply(false), expect_file!["../../golden/update_replied.json"]),
        (Event::Withdrawn, expect_file!["../../golden/update_withdrawn.json"]),
        (Event::Requeued, expect_file!["../../golden/update_released.json"]),
        (ended(State::Failed), expect_file!["../../golden/update_ended.json"]),
    ];
    for (event, expected) in cases {
        assert!(Update::of(&event).is_some());
        let mut out = Vec::new();
        assert!(response::write_update(&mut out, &task_id(), &context_id(), at(5), &event));
        check(&out, expected);
    }
}

/// What an update says is what the task says after it.
#[test]
fn an_update_and_the_task_after_it_agree() {
    let question = Arc::new(Question {
        kind: QuestionKind::Authorization,
        message: Arc::new(message("q-1", Role::Agent, vec![Part::text("sign in")])),
        schema: None,
    });
    let events = [
        submitted(user_message()),
        started(),
        Event::Progressed { message: None, metadata: Some(json(r#"{"progress":1}"#)) },
        added(),
        Event::Asked { question },
        Event::Replied { message: Arc::new(full_message()), answer: None, resumed: false, key: None },
        started(),
        Event::Requeued,
        started(),
        ended(State::Failed),
    ];
    for length in 2..=events.len() {
        let view = |task: &bobbinet_core::Task| {
            let bytes =
                written(|out| response::write_task(out, task, Selection { history_length: Some(0), artifacts: true }));
            client::read_task(serde_json::from_slice(&bytes).unwrap()).unwrap()
        };
        let mut followed = view(&task(&events[..length - 1]));
        let time = at(u64::try_from(length).unwrap() - 1);
        let update = written(|out| {
            assert!(response::write_update(out, &task_id(), &context_id(), time, &events[length - 1]));
        });
        followed.apply(client::read_event(serde_json::from_slice(&update).unwrap()).unwrap().unwrap());
        let mut expected = view(&task(&events[..length]));
        if let Event::ArtifactAdded { .. } = events[length - 1] {
            // An artifact does not touch the status, nor what came with it.
            expected.metadata.clone_from(&followed.metadata);
        }
        assert_eq!(followed, expected, "after {:?}", events[length - 1]);
    }
}

#[test]
fn what_is_no_update_is_not_written() {
    let silent = [
        submitted(user_message()),
        Event::Intended { call_id: CallId(1), attempt: 1 },
        Event::Settled { call_id: CallId(1), outcome: CallOutcome::Done },
    ];
    for event in silent {
        let mut out = Vec::new();
        assert_eq!(Update::of(&event), None);
        assert!(!response::write_update(&mut out, &task_id(), &context_id(), at(0), &event));
        assert!(out.is_empty());
    }
}

#[test]
fn raw_json_goes_out_on_one_line() {
    let spread = message("m-1", Role::User, vec![Part::data(json("{\r\n  \"a\": [1.0,\n2]\n}"))]);
    let bytes = written(|out| response::write_task(out, &task(&[submitted(spread)]), Selection::ALL));
    assert!(String::from_utf8(bytes).unwrap().contains(r#"{"data":{  "a": [1.0,2]}"#));
}

#[test]
fn errors() {
    let answer =
        |error: &Error| written(|out| envelope::write_error(out, &RequestId::NULL, |out| error::write(out, error)));
    let violations = ["message.messageId", "message.parts[0]"]
        .map(|field| FieldViolation { field: field.to_owned(), description: "is required".to_owned() });
    check(&answer(&Error::invalid_params(violations.to_vec())), expect_file!["../../golden/error_params.json"]);
    let busy = Error::new(ErrorKind::Unavailable).with_retry_after(Duration::from_millis(1_500));
    check(&answer(&busy), expect_file!["../../golden/error_unavailable.json"]);
    let missing = Error::new(ErrorKind::TaskNotFound).with_metadata("taskId", "t-\"1\"");
    check(&answer(&missing), expect_file!["../../golden/error_task.json"]);
    let mut table = String::new();
    for kind in ErrorKind::ALL {
        assert_eq!(error::kind_of(i64::from(error::code(kind))), Some(kind), "each code is one kind's");
        let line = String::from_utf8(written(|out| error::write(out, &Error::new(kind)))).unwrap();
        table += &format!("{} {line}\n", error::http_status(kind));
    }
    expect_file!["../../golden/error_table.txt"].assert_eq(&table);
}

#[test]
fn requests() {
    let request = |operation: &Operation| written(|out| client::write_request(out, 1, operation));
    let send = SendParams {
        message: full_message(),
        context: Some(context_id()),
        task: Some(task_id().to_string()),
        configuration: Configuration {
            accepted_output_modes: vec!["text/plain".to_owned()],
            history_length: Some(3),
            return_immediately: true,
            push_config: None,
        },
        metadata: Some(json(r#"{"k":1.0}"#)),
        tenant: Some("acme".to_owned()),
    };
    check(&request(&Operation::SendStreaming(Box::new(send))), expect_file!["../../golden/request_send.json"]);
    let get = GetParams { id: task_id().to_string(), history_length: Some(0), tenant: None };
    check(&request(&Operation::Get(get)), expect_file!["../../golden/request_get.json"]);
    let list = ListParams {
        context: Some(context_id()),
        state: Some(State::InputRequired),
        status_timestamp_after: Some(at(0)),
        include_artifacts: true,
        page_token: Some("b64".to_owned()),
        ..ListParams::default()
    };
    check(&request(&Operation::List(list)), expect_file!["../../golden/request_list.json"]);
}

mod older {
    //! The same in words of 0.3, straight from the core.

    use bobbinet_wire::v0_3::{self, task as words};

    use super::*;

    /// 0.3 has one name in snake_case, which its SDKs have given it.
    fn check(bytes: &[u8], expected: ExpectFile) {
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(!text.contains('\n'), "one line, so that an event stream can carry it");
        expected.assert_eq(&format!("{text}\n"));
    }

    #[test]
    fn tasks() {
        let result = |task: &bobbinet_core::Task, selection| {
            written(|out| {
                envelope::write_result(out, &RequestId::from(7), |out| words::write_task(out, task, selection));
            })
        };
        check(&result(&small_task(), Selection::ALL), expect_file!["../../golden/v0_3_task_small.json"]);
        check(&result(&full_task(), Selection::ALL), expect_file!["../../golden/v0_3_task_full.json"]);
        let bare = Selection { history_length: Some(0), artifacts: false };
        check(&result(&full_task(), bare), expect_file!["../../golden/v0_3_task_no_history.json"]);
    }

    #[test]
    fn updates() {
        let message = Arc::new(message("q-1", Role::Agent, vec![Part::text("which one?")]));
        let question = Arc::new(Question { kind: QuestionKind::Input, message, schema: None });
        let cases = [
            (started(), false, expect_file!["../../golden/v0_3_update_started.json"]),
            (added(), false, expect_file!["../../golden/v0_3_update_added.json"]),
            (Event::Asked { question: question.clone() }, false, expect_file!["../../golden/v0_3_update_asked.json"]),
            (Event::Asked { question }, true, expect_file!["../../golden/v0_3_update_asked_last.json"]),
            (ended(State::Failed), false, expect_file!["../../golden/v0_3_update_ended.json"]),
        ];
        for (event, is_last, expected) in cases {
            let mut out = Vec::new();
            assert!(words::write_update(&mut out, &task_id(), &context_id(), at(5), &event, is_last));
            check(&out, expected);
        }
        let silent = Event::Intended { call_id: CallId(1), attempt: 1 };
        assert!(!words::write_update(&mut Vec::new(), &task_id(), &context_id(), at(5), &silent, true));
    }

    /// Each kind has a code, a status and advice of its own dialect.
    #[test]
    fn errors() {
        let mut all = Vec::new();
        for kind in ErrorKind::ALL {
            all.extend_from_slice(format!("{} ", v0_3::error::http_status(kind)).as_bytes());
            v0_3::error::write(&mut all, &Error::new(kind).with_metadata("rule", "owner"));
            all.push(b'\n');
        }
        v0_3::error::write(&mut all, &Error::invalid_field("message.parts", "must have at least one part"));
        all.push(b'\n');
        v0_3::error::write(&mut all, &Error::new(ErrorKind::Unavailable).with_retry_after(Duration::from_secs(3)));
        expect_file!["../../golden/v0_3_errors.txt"].assert_eq(&format!("{}\n", std::str::from_utf8(&all).unwrap()));
    }
}
