//! What holds for all requests: nothing makes the decoder panic, and what is encoded is decoded to the same.

use std::sync::Arc;

use bobbinet_core::{
    Base64, Content, ContextId, Json, Message, MessageId, Part, PushAuthentication, PushConfig, Role, Secret, State,
    Timestamp,
    json::line,
    operation::{
        CancelParams, Configuration, GetParams, ListParams, Operation, Selection, SendParams, SubscribeParams,
    },
};
use bobbinet_wire::{
    ErrorKind, envelope,
    error::VIOLATIONS_MAX,
    v1_0::{self, CardView, Method, client, request, response},
};
use proptest::prelude::*;
use serde_json::value::RawValue;

use crate::fixture::{STUBBORN, small_task, submitted, task};

/// What Python's `str.splitlines` takes for the end of a line.
const LINE_ENDS: [char; 10] =
    ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];

/// A text with line ends of all kinds in it.
fn lines() -> impl Strategy<Value = String> {
    let piece = prop_oneof![any::<String>(), prop::sample::select(LINE_ENDS.to_vec()).prop_map(String::from)];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

/// JSON as text, with the names that the decoder knows and the values that it may stumble over.
pub(crate) fn json_text() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "message",
        "messageId",
        "message_id",
        "contextId",
        "taskId",
        "role",
        "parts",
        "text",
        "raw",
        "url",
        "data",
        "metadata",
        "mediaType",
        "filename",
        "extensions",
        "referenceTaskIds",
        "configuration",
        "historyLength",
        "history_length",
        "returnImmediately",
        "acceptedOutputModes",
        "taskPushNotificationConfig",
        "tenant",
        "id",
        "status",
        "pageSize",
        "pageToken",
        "statusTimestampAfter",
        "includeArtifacts",
        "task",
        "statusUpdate",
        "artifactUpdate",
        "artifact",
        "state",
        "timestamp",
        "history",
        "artifacts",
        "artifactId",
        "name",
        "tasks",
        "totalSize",
        "",
        "_",
        "__a_",
        "\\u0074itle",
        "ä",
    ]);
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("\"\"".to_owned()),
        Just("\"ROLE_USER\"".to_owned()),
        Just("\"TASK_STATE_WORKING\"".to_owned()),
        Just("\"2026-11-21T11:00:00Z\"".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just("-0.0".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has finite numbers", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        lines().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    scalar.prop_recursive(6, 64, 8, move |inner| {
        let fields = prop::collection::btree_map(names.clone(), inner.clone(), 0..8).prop_map(|fields| {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", fields.join(","))
        });
        prop_oneof![
            3 => fields,
            1 => prop::collection::vec(inner, 0..4).prop_map(|items| format!("[ {} ]", items.join(" ,"))),
        ]
    })
}

/// As it comes back: on one line.
fn json() -> impl Strategy<Value = Json> {
    prop_oneof![Just(STUBBORN.to_owned()), json_text()].prop_map(|text| Json::parse(&line::of(&text)).unwrap())
}

fn object() -> impl Strategy<Value = Json> {
    json_text().prop_map(|text| Json::parse(&line::of(&format!("{{\"k\": {text}}}"))).unwrap())
}

fn word() -> impl Strategy<Value = String> {
    "[!-~]{1,20}"
}

fn shared() -> impl Strategy<Value = Arc<str>> {
    word().prop_map(Arc::from)
}

pub(crate) fn part() -> impl Strategy<Value = Part> {
    let content = prop_oneof![
        lines().prop_map(|text| Content::Text(Arc::from(text))),
        shared().prop_map(Content::Url),
        "([A-Za-z0-9+/]{4}){0,5}".prop_map(|text| Content::Raw(Base64::from_checked(&text))),
        json().prop_map(Content::Data),
    ];
    (content, prop::option::of(shared()), prop::option::of(shared()), prop::option::of(object()))
        .prop_map(|(content, media_type, filename, metadata)| Part { content, media_type, filename, metadata })
}

/// What a client says: it is the user, or is taken for it.
pub(crate) fn said() -> impl Strategy<Value = Message> {
    message().prop_map(|message| Message { role: Role::User, ..message })
}

fn message() -> impl Strategy<Value = Message> {
    (
        word(),
        prop::sample::select(vec![Role::User, Role::Agent]),
        prop::collection::vec(part(), 1..4),
        prop::option::of(object()),
        prop::collection::vec(shared(), 0..3),
        prop::collection::vec(shared(), 0..3),
    )
        .prop_map(|(id, role, parts, metadata, extensions, reference_tasks)| Message {
            id: MessageId::parse(&id).unwrap(),
            role,
            parts,
            metadata,
            extensions,
            reference_tasks,
        })
}

fn history_length() -> impl Strategy<Value = Option<u32>> {
    prop::option::of(0..=u32::try_from(i32::MAX).unwrap())
}

fn context() -> impl Strategy<Value = Option<ContextId>> {
    prop::option::of(word().prop_map(|id| ContextId::parse(&id).unwrap()))
}

fn push_config() -> impl Strategy<Value = PushConfig> {
    let secret = || prop::option::of("[ -~]{1,20}".prop_map(Secret::new));
    let authentication =
        ("[A-Za-z]{1,9}", secret()).prop_map(|(scheme, credentials)| PushAuthentication { scheme, credentials });
    (prop::option::of(word()), "https://[a-z]{1,9}/[!-~]{0,9}", secret(), prop::option::of(authentication)).prop_map(
        |(id, url, token, authentication)| PushConfig { id, url, token, authentication, dialect: v1_0::VERSION.into() },
    )
}

fn send() -> impl Strategy<Value = SendParams> {
    let push = prop::option::of(push_config().prop_map(Box::new));
    let configuration = (prop::collection::vec(word(), 0..3), history_length(), any::<bool>(), push).prop_map(
        |(accepted_output_modes, history_length, return_immediately, push_config)| Configuration {
            accepted_output_modes,
            history_length,
            return_immediately,
            push_config,
        },
    );
    (said(), context(), prop::option::of(word()), configuration, prop::option::of(object()), prop::option::of(word()))
        .prop_map(|(message, context, task, configuration, metadata, tenant)| SendParams {
            message,
            context,
            task,
            configuration,
            metadata,
            tenant,
        })
}

fn list() -> impl Strategy<Value = ListParams> {
    (
        (
            context(),
            prop::option::of(prop::sample::select(State::ALL.to_vec())),
            prop::option::of(0..4_000_000_000_000_u64),
        ),
        (1..=100_u32, prop::option::of(word()), history_length(), any::<bool>(), prop::option::of(word())),
    )
        .prop_map(
            |((context, state, after), (page_size, page_token, history_length, include_artifacts, tenant))| {
                ListParams {
                    context,
                    state,
                    status_timestamp_after: after.map(Timestamp::from_millis),
                    page_size,
                    page_token,
                    history_length,
                    include_artifacts,
                    tenant,
                }
            },
        )
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        send().prop_map(|send| Operation::Send(Box::new(send))),
        send().prop_map(|send| Operation::SendStreaming(Box::new(send))),
        (word(), history_length(), prop::option::of(word()))
            .prop_map(|(id, history_length, tenant)| Operation::Get(GetParams { id, history_length, tenant })),
        list().prop_map(Operation::List),
        (word(), prop::option::of(object()), prop::option::of(word()))
            .prop_map(|(id, metadata, tenant)| Operation::Cancel(CancelParams { id, metadata, tenant })),
        (word(), prop::option::of(word()))
            .prop_map(|(id, tenant)| Operation::Subscribe(SubscribeParams { id, tenant })),
    ]
}

fn decode(body: &[u8]) -> Result<Operation, bobbinet_wire::Error> {
    let request = envelope::parse(body).map_err(|refusal| refusal.error)?;
    request::decode(Method::from_name(&request.method).unwrap(), request.params)
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = envelope::parse(&bytes);
        let _ = client::read_reply(&bytes);
        let _ = CardView::parse(&bytes);
    }

    #[test]
    fn no_text_of_json_bytes_makes_it_panic(text in r#"[\[\]{}:,"\\ud8c-fn0-9eE.+ -]{0,60}"#) {
        let _ = envelope::parse(text.as_bytes());
    }

    #[test]
    fn any_parameters_are_taken_or_refused_by_name(params in json_text()) {
        let raw: &RawValue = serde_json::from_str(&params).unwrap();
        for method in Method::ALL {
            if let Err(error) = request::decode(method, Some(raw)) {
                prop_assert_eq!(error.kind(), ErrorKind::InvalidParams);
                prop_assert!((1..=VIOLATIONS_MAX).contains(&error.violations().len()));
            }
        }
        let _ = client::read_event(raw);
        let _ = client::read_page(raw);
        let _ = CardView::parse(params.as_bytes());
    }

    #[test]
    fn what_a_client_writes_a_server_reads(operation in operation()) {
        let mut body = Vec::new();
        client::write_request(&mut body, 1, &operation);
        prop_assert_eq!(decode(&body), Ok(operation));
    }

    #[test]
    fn what_is_written_is_one_line_for_every_reader(mut message in message(), json in json_text()) {
        message.parts.push(Part::data(Json::parse(&format!(" [\n{json},\r\n{json}]")).unwrap()));
        let task = task(&[submitted(message)]);
        let mut out = Vec::new();
        response::write_task(&mut out, &task, Selection::ALL);
        let text = String::from_utf8(out).unwrap();
        prop_assert!(!text.contains(LINE_ENDS), "{:?}", text);
    }

    #[test]
    fn what_a_server_writes_a_client_reads(first in message()) {
        let task = task(&[submitted(first)]);
        let mut out = Vec::new();
        response::write_task(&mut out, &task, Selection::ALL);
        let view = client::read_task(serde_json::from_slice(&out).unwrap()).unwrap();
        prop_assert_eq!(&view.history[0], &*task.history[0]);
        prop_assert_eq!(view.status.at, Some(task.status_at));
    }

    #[test]
    fn a_history_is_cut_from_its_beginning(length in 0..4_u32) {
        let task = small_task();
        let mut out = Vec::new();
        response::write_task(&mut out, &task, Selection::history(Some(length)));
        let view = client::read_task(serde_json::from_slice(&out).unwrap()).unwrap();
        let kept = usize::try_from(length).unwrap().min(task.history.len());
        prop_assert!(view.history.iter().eq(task.history[task.history.len() - kept..].iter().map(|message| &**message)));
    }
}
