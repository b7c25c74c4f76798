//! Writing messages and parts.

use bobbinet_core::{Content, Message, Part, State};

use super::{names::state_name, version::V1_0};
use crate::{
    proto_enum::role_name,
    task_ids::TaskAndContext,
    task_write::TaskWords,
    write::{Sink, object},
};

impl TaskWords for V1_0 {
    fn state_name(state: State) -> &'static str {
        state_name(state)
    }

    fn message<S: Sink>(out: &mut S, message: &Message, ids: TaskAndContext<'_>) {
        object(out, |fields| {
            fields.text("messageId", message.id.as_str());
            fields.text_if_some("contextId", ids.context);
            fields.text_if_some("taskId", ids.task);
            fields.text("role", role_name(message.role));
            fields.list("parts", &message.parts, Self::part);
            fields.raw_if_some("metadata", message.metadata.as_ref());
            if !message.extensions.is_empty() {
                fields.texts("extensions", &message.extensions);
            }
            if !message.reference_tasks.is_empty() {
                fields.texts("referenceTaskIds", &message.reference_tasks);
            }
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
