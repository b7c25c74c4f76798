//! Writing messages and parts.

use bobbinet_core::{Content, Json, Message, Part, Role, State};

use super::{
    names::{role_name, state_name},
    version::{IS_VALUE, V0_3, VALUE},
};
use crate::{
    task_ids::TaskAndContext,
    task_write::{TaskWords, message_fields, reference_tasks},
    write::{Object, Sink, object},
};

impl TaskWords for V0_3 {
    const PARTS: &'static str = "parts";

    fn state_name(state: State) -> &'static str {
        state_name(state)
    }

    fn role_name(role: Role) -> &'static str {
        role_name(role)
    }

    fn message<S: Sink>(out: &mut S, message: &Message, ids: TaskAndContext<'_>) {
        object(out, |fields| {
            fields.text("kind", "message");
            message_fields::<Self, S>(fields, message, ids);
            reference_tasks(fields, message);
        });
    }

    fn part<S: Sink>(out: &mut S, part: &Part) {
        let metadata = part.metadata.as_ref();
        object(out, |fields| match &part.content {
            Content::Text(text) => {
                fields.text("kind", "text");
                fields.field("text").shared_text(text);
                fields.raw_if_some("metadata", metadata);
            }
            Content::Data(data) if data.is_object() => {
                fields.text("kind", "data");
                fields.field("data").shared_raw(data);
                fields.raw_if_some("metadata", metadata);
            }
            Content::Data(data) => {
                fields.text("kind", "data");
                fields.object("data", |inner| write_value(inner, data));
                write_value_mark(fields, metadata);
            }
            Content::Raw(base64) => file(fields, part, |file| file.field("bytes").shared_text(base64.shared())),
            Content::Url(url) => file(fields, part, |file| file.field("uri").shared_text(url)),
        });
    }
}

fn file<S: Sink>(fields: &mut Object<'_, S>, part: &Part, content: impl FnOnce(&mut Object<'_, S>)) {
    fields.text("kind", "file");
    fields.object("file", |file| {
        file.text_if_some("name", part.filename.as_deref());
        file.text_if_some("mimeType", part.media_type.as_deref());
        content(file);
    });
    fields.raw_if_some("metadata", part.metadata.as_ref());
}

/// Data that is no object, in an object.
pub(crate) fn write_value<S: Sink>(inner: &mut Object<'_, S>, data: &Json) {
    inner.field(VALUE).shared_raw(data);
}

/// Metadata that says besides that the data is the value in its object.
pub(crate) fn write_value_mark<S: Sink>(fields: &mut Object<'_, S>, metadata: Option<&Json>) {
    let others: std::collections::BTreeMap<String, Json> =
        metadata.and_then(|json| json.read().ok()).unwrap_or_default();
    fields.object("metadata", |said| {
        for (name, value) in others.iter().filter(|(name, _)| *name != IS_VALUE) {
            said.key(name).shared_raw(value);
        }
        said.flag(IS_VALUE, true);
    });
}
