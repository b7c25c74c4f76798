//! Webhooks, which are resources here: `tasks/{id}/pushNotificationConfigs/{id}`.

use bobbinet_core::{
    PushConfig, PushPage, PushView,
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};
use bobbinet_wire::{Error, v0_3::VERSION};

use super::{
    name::{self, CONFIGS, TASKS},
    pb,
};
use crate::{
    faults::{At, Author, Faults},
    push::{self, AuthenticationFields, PushFields},
    rules,
};

/// The webhook that is asked for.
///
/// # Errors
/// With all that is wrong with it.
pub fn create(request: pb::CreateTaskPushNotificationConfigRequest) -> Result<CreatePushParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let outer = At::ROOT.field("config");
    let at = outer.field("push_notification_config");
    let task = parent(&request.parent, &mut faults);
    let given = request.config.and_then(|config| config.push_notification_config);
    let config = match given {
        Some(given) => {
            // The request's own word counts, where it says one.
            let id = rules::given(request.config_id).unwrap_or(given.id);
            config(pb::PushNotificationConfig { id, ..given }, at, &mut faults)
        }
        None => {
            faults.wrong(at, "is required");
            None
        }
    };
    faults.finish(task.zip(config).map(|(task, config)| CreatePushParams { task, config, tenant: None }))
}

/// Which webhook to show.
///
/// # Errors
/// If it is not the name of one.
pub fn get(request: &pb::GetTaskPushNotificationConfigRequest) -> Result<GetPushParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let named = name::webhook(&request.name, &mut faults);
    faults.finish(named.map(|(task, id)| GetPushParams { task, id: Some(id), tenant: None }))
}

/// Whose webhooks to show.
///
/// # Errors
/// With all that is wrong with it.
pub fn list(request: pb::ListTaskPushNotificationConfigRequest) -> Result<ListPushParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let task = parent(&request.parent, &mut faults);
    let page_size = push::page_size(request.page_size, At::ROOT.field("page_size"), &mut faults);
    let page_token = rules::given(request.page_token);
    faults.finish(task.map(|task| ListPushParams { task, page_size, page_token, tenant: None }))
}

/// Which webhook to remove.
///
/// # Errors
/// If it is not the name of one.
pub fn delete(request: &pb::DeleteTaskPushNotificationConfigRequest) -> Result<DeletePushParams, Error> {
    let mut faults = Faults::new(Author::Client);
    let named = name::webhook(&request.name, &mut faults);
    faults.finish(named.map(|(task, id)| DeletePushParams { task, id, tenant: None }))
}

/// The task whose webhooks are meant. The proto file of 0.3 shows it both with and without the collection's name.
fn parent(parent: &str, faults: &mut Faults) -> Option<String> {
    name::task(parent.strip_suffix(CONFIGS).unwrap_or(parent), At::ROOT.field("parent"), faults)
}

/// A webhook. The first of the schemes that its receiver takes is used, if it names any.
pub(super) fn config(given: pb::PushNotificationConfig, at: At<'_>, faults: &mut Faults) -> Option<PushConfig> {
    let authentication = given.authentication.and_then(|pb::AuthenticationInfo { schemes, credentials }| {
        let scheme = schemes.into_iter().next()?;
        Some(AuthenticationFields { scheme, credentials, scheme_name: "schemes" })
    });
    let fields = PushFields { id: given.id, url: given.url, token: given.token, authentication };
    push::config(fields, VERSION, at, faults)
}

/// A webhook, without what is secret.
pub fn write(view: &PushView) -> pb::TaskPushNotificationConfig {
    let authentication = view.scheme.as_ref();
    pb::TaskPushNotificationConfig {
        name: format!("{TASKS}{}{CONFIGS}/{}", view.task, view.id),
        push_notification_config: Some(pb::PushNotificationConfig {
            id: view.id.clone(),
            url: view.url.clone(),
            token: String::new(),
            authentication: authentication
                .map(|scheme| pb::AuthenticationInfo { schemes: vec![scheme.clone()], credentials: String::new() }),
        }),
    }
}

/// Some of a task's webhooks.
pub fn write_page(page: &PushPage) -> pb::ListTaskPushNotificationConfigResponse {
    pb::ListTaskPushNotificationConfigResponse {
        configs: page.configs.iter().map(write).collect(),
        next_page_token: page.next_page_token.clone().unwrap_or_default(),
    }
}
