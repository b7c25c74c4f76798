//! Webhooks: one flat message in requests and answers.

use bobbinet_core::{
    PushConfig, PushPage, PushView,
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};
use bobbinet_wire::{Error, v1_0::VERSION};

use super::pb;
use crate::{
    faults::{At, Author, Faults},
    push::{self, AuthenticationFields, PushFields},
    rules,
};

/// The webhook that is asked for.
///
/// # Errors
/// With all that is wrong with it.
pub fn create(request: pb::TaskPushNotificationConfig) -> Result<CreatePushParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let task = rules::required(request.task_id.clone(), At::ROOT.field("task_id"), &mut faults);
    let tenant = rules::given(request.tenant.clone());
    let config = config(request, At::ROOT, &mut faults);
    faults.finish(task.zip(config).map(|(task, config)| CreatePushParams { task, config, tenant }))
}

/// Which webhook to show.
///
/// # Errors
/// With all that is wrong with it.
pub fn get(request: pb::GetTaskPushNotificationConfigRequest) -> Result<GetPushParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let named = named(request.task_id, request.id, &mut faults);
    let tenant = rules::given(request.tenant);
    faults.finish(named.map(|(task, id)| GetPushParams { task, id: Some(id), tenant }))
}

/// Whose webhooks to show.
///
/// # Errors
/// With all that is wrong with it.
pub fn list(request: pb::ListTaskPushNotificationConfigsRequest) -> Result<ListPushParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let task = rules::required(request.task_id, At::ROOT.field("task_id"), &mut faults);
    let page_size = push::page_size(request.page_size, At::ROOT.field("page_size"), &mut faults);
    let (page_token, tenant) = (rules::given(request.page_token), rules::given(request.tenant));
    faults.finish(task.map(|task| ListPushParams { task, page_size, page_token, tenant }))
}

/// Which webhook to remove.
///
/// # Errors
/// With all that is wrong with it.
pub fn delete(request: pb::DeleteTaskPushNotificationConfigRequest) -> Result<DeletePushParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let named = named(request.task_id, request.id, &mut faults);
    let tenant = rules::given(request.tenant);
    faults.finish(named.map(|(task, id)| DeletePushParams { task, id, tenant }))
}

fn named(task: String, id: String, faults: &mut Faults) -> Option<(String, String)> {
    let task = rules::required(task, At::ROOT.field("task_id"), faults);
    task.zip(rules::required(id, At::ROOT.field("id"), faults))
}

/// A webhook. In a message the task is the message's, whatever the webhook says.
pub(super) fn config(given: pb::TaskPushNotificationConfig, at: At<'_>, faults: &mut Faults) -> Option<PushConfig> {
    let authentication = given.authentication.map(|pb::AuthenticationInfo { scheme, credentials }| {
        AuthenticationFields { scheme, credentials, scheme_name: "scheme" }
    });
    let fields = PushFields { id: given.id, url: given.url, token: given.token, authentication };
    push::config(fields, VERSION, at, faults)
}

/// A webhook, without what is secret.
pub fn write(view: &PushView) -> pb::TaskPushNotificationConfig {
    let authentication = view.scheme.as_ref();
    pb::TaskPushNotificationConfig {
        id: view.id.clone(),
        task_id: view.task.clone(),
        url: view.url.clone(),
        authentication: authentication
            .map(|scheme| pb::AuthenticationInfo { scheme: scheme.clone(), credentials: String::new() }),
        ..pb::TaskPushNotificationConfig::default()
    }
}

/// Some of a task's webhooks.
pub fn write_page(page: &PushPage) -> pb::ListTaskPushNotificationConfigsResponse {
    pb::ListTaskPushNotificationConfigsResponse {
        configs: page.configs.iter().map(write).collect(),
        next_page_token: page.next_page_token.clone().unwrap_or_default(),
    }
}
