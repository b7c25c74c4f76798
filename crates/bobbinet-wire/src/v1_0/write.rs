//! Writing messages, artifacts and parts.

use bobbinet_core::{Artifact, Content, Message, Part};

use super::names::role_name;
use crate::{
    task_ids::TaskAndContext,
    write::{Sink, object},
};

pub(super) fn message(out: &mut impl Sink, message: &Message, ids: TaskAndContext<'_>) {
    object(out, |fields| {
        fields.text("messageId", message.id.as_str());
        fields.text_if_some("contextId", ids.context);
        fields.text_if_some("taskId", ids.task);
        fields.text("role", role_name(message.role));
        fields.list("parts", &message.parts, part);
        fields.raw_if_some("metadata", message.metadata.as_ref());
        if !message.extensions.is_empty() {
            fields.texts("extensions", &message.extensions);
        }
        if !message.reference_tasks.is_empty() {
            fields.texts("referenceTaskIds", &message.reference_tasks);
        }
    });
}

pub(super) fn artifact(out: &mut impl Sink, artifact: &Artifact) {
    object(out, |fields| {
        fields.text("artifactId", artifact.id.as_str());
        fields.text_if_some("name", artifact.name.as_deref());
        fields.text_if_some("description", artifact.description.as_deref());
        fields.list("parts", &artifact.parts, part);
        fields.raw_if_some("metadata", artifact.metadata.as_ref());
        if !artifact.extensions.is_empty() {
            fields.texts("extensions", &artifact.extensions);
        }
    });
}

fn part(out: &mut impl Sink, part: &Part) {
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
