//! Writing messages and parts.

use bobbinet_core::{Content, Message, Part, Role, State};

use super::{V0_3Proto, names::state_name};
use crate::{
    proto_enum::role_name,
    task_ids::TaskAndContext,
    task_write::{TaskWords, message_fields},
    v0_3,
    write::{Object, Sink, object},
};

impl TaskWords for V0_3Proto {
    const PARTS: &'static str = "content";

    fn state_name(state: State) -> &'static str {
        state_name(state)
    }

    fn role_name(role: Role) -> &'static str {
        role_name(role)
    }

    fn message<S: Sink>(out: &mut S, message: &Message, ids: TaskAndContext<'_>) {
        object(out, |fields| message_fields::<Self, S>(fields, message, ids));
    }

    fn part<S: Sink>(out: &mut S, part: &Part) {
        let metadata = part.metadata.as_ref();
        object(out, |fields| match &part.content {
            Content::Text(text) => {
                fields.field("text").shared_text(text);
                fields.raw_if_some("metadata", metadata);
            }
            Content::Data(data) if data.is_object() => {
                fields.object("data", |inner| inner.field("data").shared_raw(data));
                fields.raw_if_some("metadata", metadata);
            }
            Content::Data(data) => {
                fields.object("data", |inner| inner.object("data", |value| v0_3::write_value(value, data)));
                v0_3::write_value_mark(fields, metadata);
            }
            Content::Raw(base64) => file(fields, part, |file| file.field("fileWithBytes").shared_text(base64.shared())),
            Content::Url(url) => file(fields, part, |file| file.field("fileWithUri").shared_text(url)),
        });
    }
}

fn file<S: Sink>(fields: &mut Object<'_, S>, part: &Part, content: impl FnOnce(&mut Object<'_, S>)) {
    fields.object("file", |file| {
        content(file);
        file.text_if_some("mimeType", part.media_type.as_deref());
        file.text_if_some("name", part.filename.as_deref());
    });
    fields.raw_if_some("metadata", part.metadata.as_ref());
}
