//! Webhooks, which are resources here: `tasks/{id}/pushNotificationConfigs/{id}`.

use bobbinet_core::{PushPage, PushView};

use crate::{
    v0_3::push::write_shown,
    write::{Sink, object},
};

/// Writes a `TaskPushNotificationConfig`, without what is secret.
pub fn write_config(out: &mut impl Sink, config: &PushView) {
    object(out, |fields| {
        fields.text("name", &format!("tasks/{}/pushNotificationConfigs/{}", config.task, config.id));
        write_shown(fields, config);
    });
}

/// Writes a `ListTaskPushNotificationConfigResponse`.
pub fn write_configs(out: &mut impl Sink, page: &PushPage) {
    object(out, |fields| {
        fields.list("configs", &page.configs, |out, config| write_config(out, config));
        fields.text_if_some("nextPageToken", page.next_page_token.as_deref());
    });
}

/// Writes that a webhook is gone.
pub fn write_deleted(out: &mut impl Sink) {
    out.bytes().extend_from_slice(b"{}");
}
