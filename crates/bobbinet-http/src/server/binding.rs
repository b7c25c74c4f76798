//! The bindings: in whose words an answer is written, and what stands around it. [`Call`](super::call::Call) does what is asked whatever
//! the binding, and what it answers is written here, by a branch for each; so a task, an event and an error each have one line in
//! every binding, and an operation has none.

use bobbinet_core::{PushPage, PushView, Selection, Task};
use bobbinet_engine::PublicEvent;
use bobbinet_gateway::{PlainMessage, TaskStream};
use bobbinet_wire::{
    Error, ErrorKind, Pieces, RequestId, Sink, envelope,
    interface::CardForm,
    page::{TaskPage, WrittenTasks},
    v0_3, v0_3_proto, v1_0,
};
use http::{HeaderValue, StatusCode};

/// How a request's answer is written.
#[derive(Clone, Debug)]
pub(super) enum Binding {
    /// JSON-RPC of 1.0, to the request of this id.
    Rpc1_0(RequestId),
    /// JSON-RPC of 0.3, to the request of this id.
    Rpc0_3(RequestId),
    /// REST of 1.0, in the media type that the request wants.
    Rest1_0(HeaderValue),
    /// REST of 0.3.
    Rest0_3,
}

/// The media type of every JSON-RPC answer, of REST before 1.0, and of errors over REST.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The media type of REST in 1.0.
pub(super) const A2A_JSON: HeaderValue = HeaderValue::from_static("application/a2a+json");

impl Binding {
    /// The media type of what is answered at once.
    pub(super) fn media_type(&self) -> HeaderValue {
        match self {
            Self::Rpc1_0(_) | Self::Rpc0_3(_) | Self::Rest0_3 => JSON,
            Self::Rest1_0(media_type) => media_type.clone(),
        }
    }

    /// What the URL of a webhook is called in a request for one, and in a message that brings one.
    pub(super) fn webhook_url(&self) -> [&'static str; 2] {
        match self {
            Self::Rpc1_0(_) | Self::Rest1_0(_) => ["url", "configuration.taskPushNotificationConfig.url"],
            Self::Rpc0_3(_) => ["pushNotificationConfig.url", "configuration.pushNotificationConfig.url"],
            Self::Rest0_3 => ["pushNotificationConfig.url", "configuration.pushNotification.url"],
        }
    }

    /// Writes what a message has come to, which is also how a stream tells a whole task.
    pub(super) fn write_sent(&self, out: &mut Pieces, task: &Task, selection: Selection) {
        match self {
            Self::Rpc1_0(id) => {
                envelope::write_result(out, id, |out| v1_0::response::write_task_wrapped(out, task, selection));
            }
            Self::Rpc0_3(id) => envelope::write_result(out, id, |out| v0_3::task::write_task(out, task, selection)),
            Self::Rest1_0(_) => v1_0::response::write_task_wrapped(out, task, selection),
            Self::Rest0_3 => v0_3_proto::task::write_task_wrapped(out, task, selection),
        }
    }

    /// Writes words that a message was answered with, and no task: all that there is, of a stream too.
    pub(super) fn write_said(&self, out: &mut Pieces, said: &PlainMessage) {
        let PlainMessage { message, context } = said;
        match self {
            Self::Rpc1_0(id) => {
                envelope::write_result(out, id, |out| v1_0::response::write_message_wrapped(out, message, context));
            }
            Self::Rpc0_3(id) => envelope::write_result(out, id, |out| v0_3::task::write_message(out, message, context)),
            Self::Rest1_0(_) => v1_0::response::write_message_wrapped(out, message, context),
            Self::Rest0_3 => v0_3_proto::task::write_message_wrapped(out, message, context),
        }
    }

    /// Writes a task that was asked for.
    pub(super) fn write_task(&self, out: &mut Pieces, task: &Task, selection: Selection) {
        match self {
            Self::Rpc1_0(id) => envelope::write_result(out, id, |out| v1_0::response::write_task(out, task, selection)),
            Self::Rpc0_3(id) => envelope::write_result(out, id, |out| v0_3::task::write_task(out, task, selection)),
            Self::Rest1_0(_) => v1_0::response::write_task(out, task, selection),
            Self::Rest0_3 => v0_3_proto::task::write_task(out, task, selection),
        }
    }

    /// Adds a task to a page.
    pub(super) fn add_to_page(&self, tasks: &mut WrittenTasks, task: &Task, selection: Selection) {
        tasks.push(|out| match self {
            Self::Rpc1_0(_) | Self::Rest1_0(_) => v1_0::response::write_task(out, task, selection),
            Self::Rpc0_3(_) => v0_3::task::write_task(out, task, selection),
            Self::Rest0_3 => v0_3_proto::task::write_task(out, task, selection),
        });
    }

    /// Writes a page of tasks.
    pub(super) fn write_page(&self, out: &mut Pieces, page: TaskPage<'_>) {
        match self {
            Self::Rpc1_0(id) => envelope::write_result(out, id, |out| v1_0::response::write_page(out.bytes(), page)),
            Self::Rpc0_3(id) => envelope::write_result(out, id, |out| v0_3::task::write_page(out.bytes(), page)),
            Self::Rest1_0(_) => v1_0::response::write_page(out.bytes(), page),
            Self::Rest0_3 => v0_3_proto::task::write_page(out.bytes(), page),
        }
    }

    /// Writes a webhook, without what is secret.
    pub(super) fn write_push_config(&self, out: &mut Pieces, config: &PushView) {
        match self {
            Self::Rpc1_0(id) => envelope::write_result(out, id, |out| v1_0::push::write_config(out, config)),
            Self::Rpc0_3(id) => envelope::write_result(out, id, |out| v0_3::push::write_config(out, config)),
            Self::Rest1_0(_) => v1_0::push::write_config(out, config),
            Self::Rest0_3 => v0_3_proto::push::write_config(out, config),
        }
    }

    /// Writes the webhooks of a task.
    pub(super) fn write_push_configs(&self, out: &mut Pieces, page: &PushPage) {
        match self {
            Self::Rpc1_0(id) => envelope::write_result(out, id, |out| v1_0::push::write_configs(out, page)),
            Self::Rpc0_3(id) => envelope::write_result(out, id, |out| v0_3::push::write_configs(out, &page.configs)),
            Self::Rest1_0(_) => v1_0::push::write_configs(out, page),
            Self::Rest0_3 => v0_3_proto::push::write_configs(out, page),
        }
    }

    /// Writes that a webhook is gone.
    pub(super) fn write_push_deleted(&self, out: &mut Pieces) {
        match self {
            Self::Rpc1_0(id) => envelope::write_result(out, id, v1_0::push::write_deleted),
            Self::Rpc0_3(id) => envelope::write_result(out, id, v0_3::push::write_deleted),
            Self::Rest1_0(_) => v1_0::push::write_deleted(out),
            Self::Rest0_3 => v0_3_proto::push::write_deleted(out),
        }
    }

    /// Whom a card that is asked for is for.
    pub(super) fn card_form(&self) -> CardForm {
        match self {
            Self::Rpc1_0(_) | Self::Rest1_0(_) => CardForm::V1_0,
            Self::Rpc0_3(_) => CardForm::V0_3,
            // Its SDKs differ in how they read security schemes there: some as objects with a type, some as ProtoJSON. Both stand in it.
            Self::Rest0_3 => CardForm::Hybrid,
        }
    }

    /// Writes a card of that form.
    pub(super) fn write_card(&self, out: &mut Pieces, card: &[u8]) {
        match self {
            Self::Rpc1_0(id) | Self::Rpc0_3(id) => {
                envelope::write_result(out, id, |out| out.bytes().extend_from_slice(card));
            }
            Self::Rest1_0(_) | Self::Rest0_3 => out.bytes().extend_from_slice(card),
        }
    }

    /// Writes an event that this stream has just told.
    pub(super) fn write_update(&self, out: &mut Pieces, stream: &TaskStream, told: &PublicEvent) {
        let (task, context) = (stream.task(), stream.context());
        match self {
            Self::Rpc1_0(id) => envelope::write_result(out, id, |out| {
                v1_0::response::write_update(out, task, context, told.at, &told.event)
            }),
            Self::Rpc0_3(id) => envelope::write_result(out, id, |out| {
                v0_3::task::write_update(out, task, context, told.at, &told.event, stream.is_over())
            }),
            Self::Rest1_0(_) => v1_0::response::write_update(out, task, context, told.at, &told.event),
            Self::Rest0_3 => v0_3_proto::task::write_update(out, task, context, told.at, &told.event, stream.is_over()),
        };
    }

    /// Writes an error: the whole body of an answer of this status, or an event of a stream that would else have been one.
    pub(super) fn write_error(&self, out: &mut Vec<u8>, error: &Error, status: StatusCode) {
        match self {
            Self::Rpc1_0(id) => envelope::write_error(out, id, |out| v1_0::error::write(out, error)),
            Self::Rpc0_3(id) => envelope::write_error(out, id, |out| v0_3::error::write(out, error)),
            Self::Rest1_0(_) => v1_0::error::write_status(out, error, status.as_u16()),
            Self::Rest0_3 => v0_3::error::write(out, error),
        }
    }

    /// The HTTP status that an error is answered with.
    pub(super) fn status(&self, kind: ErrorKind) -> StatusCode {
        let status = match self {
            Self::Rpc1_0(_) | Self::Rpc0_3(_) => return rpc_status(kind),
            Self::Rest1_0(_) => v1_0::error::http_status(kind),
            Self::Rest0_3 => v0_3::error::http_status(kind),
        };
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whether an operation that streams tells this error as an event: clients of 0.3 read nothing else under 200.
    pub(super) fn streams_error(&self, kind: ErrorKind) -> bool {
        match self {
            Self::Rpc0_3(_) => self.status(kind) == StatusCode::OK,
            Self::Rpc1_0(_) | Self::Rest1_0(_) | Self::Rest0_3 => false,
        }
    }
}

/// JSON-RPC answers carry their errors under 200 (A2A specification section 9.5); what concerns the connection, the caller or
/// the node, and not this request, is also for those between who read only the status.
fn rpc_status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::ResourceExhausted
        | ErrorKind::Unavailable => StatusCode::from_u16(v1_0::error::http_status(kind)).unwrap_or(StatusCode::OK),
        ErrorKind::TaskNotFound
        | ErrorKind::TaskNotCancelable
        | ErrorKind::PushNotificationNotSupported
        | ErrorKind::UnsupportedOperation
        | ErrorKind::ContentTypeNotSupported
        | ErrorKind::InvalidAgentResponse
        | ErrorKind::ExtendedAgentCardNotConfigured
        | ErrorKind::ExtensionSupportRequired
        | ErrorKind::VersionNotSupported
        | ErrorKind::Parse
        | ErrorKind::InvalidRequest
        | ErrorKind::MethodNotFound
        | ErrorKind::InvalidParams
        | ErrorKind::Internal => StatusCode::OK,
    }
}
