//! A second dialect beside 1.0, in tests only: messages as A2A 0.3 has them, as far as it takes to show that a dialect is read and written
//! by code of its own, through the same reader and writer, without a line of 1.0's.

use std::sync::Arc;

use bobbinet_core::{Content, Json, Message, MessageId, Part, Role, operation::Operation};
use expect_test::{Expect, expect};
use serde::de::{Deserializer, MapAccess};
use serde_json::value::RawValue;

use crate::{
    ErrorKind, RequestId,
    dialect::Dialect,
    envelope,
    error::{Error, FieldViolation},
    faults::{self, Author},
    from_proto::{self, Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    rules,
    scalar::{NonEmpty, Struct, Text},
    v1_0,
    write::{Sink, object},
};

/// A2A 0.3: an object says in `kind` what it is, and its keys are nothing but the names of its fields.
#[derive(Clone, Copy, Debug)]
struct V0_3;

impl Dialect for V0_3 {}

type At<'p> = faults::At<'p, V0_3>;

impl<'de> FromProto<'de, V0_3> for Role {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(match Text::read(from, at)? {
            Field::Given(Text(name)) => match &*name {
                "user" => Field::Given(Self::User),
                "agent" => Field::Given(Self::Agent),
                _ => {
                    at.wrong("must be user or agent");
                    Field::Wrong
                }
            },
            Field::Absent => Field::Absent,
            Field::Wrong => Field::Wrong,
        })
    }
}

impl<'de> FromProto<'de, V0_3> for Message {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<MessageFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct MessageFields<'de> {
    id: Field<NonEmpty<'de>>,
    role: Field<Role>,
    parts: Field<Vec<Part>>,
    metadata: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3> for MessageFields<'de> {
    type Output = Message;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "messageId" => read_field(&mut self.id, map, at, "messageId")?,
            "role" => read_field(&mut self.role, map, at, "role")?,
            "parts" => read_field(&mut self.parts, map, at, "parts")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Message> {
        let id = rules::own_id(self.id, at, "messageId", MessageId::parse);
        let role = rules::role(self.role, at);
        let parts = rules::parts(self.parts, at);
        Some(Message {
            id: id?,
            role: role?,
            parts: parts?,
            metadata: self.metadata.optional().map(|object| object.0),
            extensions: Vec::new(),
            reference_tasks: Vec::new(),
        })
    }
}

impl<'de> FromProto<'de, V0_3> for Part {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<PartFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct PartFields<'de> {
    kind: Field<NonEmpty<'de>>,
    text: Field<Text<'de>>,
    data: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3> for PartFields<'de> {
    type Output = Part;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "kind" => read_field(&mut self.kind, map, at, "kind")?,
            "text" => read_field(&mut self.text, map, at, "text")?,
            "data" => read_field(&mut self.data, map, at, "data")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Part> {
        let content = match &*self.kind.required(at, "kind")?.0 {
            "text" => Content::Text(Arc::from(self.text.required(at, "text")?.0)),
            "data" => Content::Data(self.data.required(at, "data")?.0),
            _ => {
                at.field("kind").wrong("must be text or data");
                return None;
            }
        };
        Some(Part { content, media_type: None, filename: None, metadata: None })
    }
}

fn write_message(out: &mut impl Sink, message: &Message) {
    object(out, |fields| {
        fields.text("kind", "message");
        fields.text("messageId", message.id.as_str());
        fields.text(
            "role",
            match message.role {
                Role::User => "user",
                Role::Agent => "agent",
            },
        );
        fields.list("parts", &message.parts, write_part);
        fields.raw_if_some("metadata", message.metadata.as_ref());
    });
}

fn write_part(out: &mut impl Sink, part: &Part) {
    object(out, |fields| match &part.content {
        Content::Text(text) => {
            fields.text("kind", "text");
            fields.field("text").shared_text(text);
        }
        Content::Data(json) => {
            fields.text("kind", "data");
            fields.field("data").shared_raw(json);
        }
        Content::Raw(_) | Content::Url(_) => unreachable!("no test has files"),
    });
}

const OF_0_3: &str = r#"{"kind":"message","messageId":"m-1","role":"user","parts":[{"kind":"text","text":"hi"},{"kind":"data","data":{"a":1}}],"metadata":{"b":2}}"#;
const OF_1_0: &str =
    r#"{"messageId":"m-1","role":"ROLE_USER","parts":[{"text":"hi"},{"data":{"a":1}}],"metadata":{"b":2}}"#;

fn read_0_3(text: &str) -> Result<Message, Vec<FieldViolation>> {
    from_proto::read::<V0_3, _>(text, Author::Client)
}

fn read_1_0(message: &str) -> Result<Message, Error> {
    let params: Box<RawValue> = serde_json::from_str(&format!(r#"{{"message":{message}}}"#)).unwrap();
    let operation = v1_0::request::decode(v1_0::Method::SendMessage, Some(&params))?;
    let Operation::Send(send) = operation else { panic!("{operation:?}") };
    Ok(send.message)
}

#[test]
fn each_dialect_has_its_own_json_for_the_same_message() {
    let message = read_0_3(OF_0_3).unwrap();
    assert_eq!(message, read_1_0(OF_1_0).unwrap());
    assert_eq!(message.parts[1].content, Content::Data(Json::parse(r#"{"a":1}"#).unwrap()));

    let mut written = Vec::new();
    write_message(&mut written, &message);
    assert_eq!(String::from_utf8(written).unwrap(), OF_0_3);
    // Neither takes the other's.
    assert_eq!(read_1_0(OF_0_3).unwrap_err().violations()[0].field, "message.role");
    assert_eq!(read_0_3(OF_1_0).unwrap_err()[0].field, "role");
}

fn check_faults(text: &str, expected: &Expect) {
    let faults: String = read_0_3(text).unwrap_err().iter().map(|fault| format!("{fault}\n")).collect();
    expected.assert_eq(&faults);
}

#[test]
fn all_faults_are_named_by_their_paths_in_one_pass() {
    check_faults(
        r#"{"role":"ROLE_USER","parts":[{"text":"a"},{"kind":"text","text":1},7,{"kind":"file"}],"metadata":[]}"#,
        &expect![[r#"
            role must be user or agent
            parts[0].kind is required
            parts[1].text must be a string, not a number
            parts[2] must be an object, not a number
            parts[3].kind must be text or data
            metadata must be an object, not an array
            messageId is required
        "#]],
    );
    // Names of the proto file are 1.0's alone.
    check_faults(
        r#"{"message_id":"m","role":"user","parts":[{"kind":"text","text":"a"}]}"#,
        &expect![[r#"
        messageId is required
    "#]],
    );
    read_1_0(r#"{"message_id":"m","role":"ROLE_USER","parts":[{"text":"a"}]}"#).unwrap();
}

#[test]
fn what_agents_may_leave_out_is_the_same() {
    let message: Message = from_proto::read::<V0_3, _>(r#"{"kind":"message"}"#, Author::Agent).unwrap();
    assert_eq!((message.id.as_str(), message.role, message.parts.len()), ("unnamed", Role::Agent, 0));
}

#[test]
fn each_dialect_writes_its_own_errors() {
    let error = Error::new(ErrorKind::TaskNotFound);
    let mut of_0_3 = Vec::new();
    envelope::write_error(&mut of_0_3, &RequestId::from(1), |out| {
        object(out, |fields| {
            fields.number("code", -32001);
            fields.text("message", error.message());
        });
    });
    expect![[r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"Task not found"}}"#]]
        .assert_eq(&String::from_utf8(of_0_3).unwrap());
    let mut of_1_0 = Vec::new();
    envelope::write_error(&mut of_1_0, &RequestId::from(1), |out| v1_0::error::write(out, &error));
    assert!(String::from_utf8(of_1_0).unwrap().contains(r#""hint":"Check the task's id; ListTasks"#));
}
