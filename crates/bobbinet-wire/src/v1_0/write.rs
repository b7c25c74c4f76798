//! Writing messages and parts.

use bobbinet_core::{Content, Message, Part, Role, State};

use super::{names::state_name, version::V1_0};
use crate::{
    proto_enum::role_name,
    task_ids::TaskAndContext,
    task_write::{TaskWords, message_fields, reference_tasks},
    write::{Sink, object},
};

impl TaskWords for V1_0 {
    const PARTS: &'static str = "parts";

    fn state_name(state: State) -> &'static str {
        state_name(state)
    }

    fn role_name(role: Role) -> &'static str {
        role_name(role)
    }

    fn message<S: Sink>(out: &mut S, message: &Message, ids: TaskAndContext<'_>) {
        object(out, |fields| {
            message_fields::<Self, S>(fields, message, ids);
            reference_tasks(fields, message);
        });
    }

    fn part<S: Sink>(out: &mut S, part: &Part) {
        object(out, |fields| {
            match &part.content {
                Content::Text(text) => fields.field("text").shared_text(text),
                Content::Raw(base64) => fields.field("raw").shared_text(base64.shared()),
                Content::Url(url) => fields.field("url").shared_text(url),
                Content::Data(json) => fields.field("data").shared_raw(json),
            }
            fields.text_if_some("mediaType", part.media_type.as_deref());
            fields.text_if_some("filename", part.filename.as_deref());
            fields.raw_if_some("metadata", part.metadata.as_ref());
        });
    }
}
