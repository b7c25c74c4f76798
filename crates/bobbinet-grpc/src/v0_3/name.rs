//! The names that tasks and webhooks have in 0.3.

use crate::faults::{At, Faults};

/// How the name of a task begins.
pub(super) const TASKS: &str = "tasks/";

/// What stands between the name of a task and the id of its webhook.
pub(super) const CONFIGS: &str = "/pushNotificationConfigs";

/// The id in `tasks/{id}`.
pub(super) fn task(name: &str, at: At<'_>, faults: &mut Faults) -> Option<String> {
    let id = name.strip_prefix(TASKS).filter(|id| !id.is_empty() && !id.contains('/'));
    if id.is_none() {
        faults.wrong(at, "must be the name of a task: tasks/{id}");
    }
    id.map(str::to_owned)
}

/// The ids in `tasks/{id}/pushNotificationConfigs/{id}`.
pub(super) fn webhook(name: &str, faults: &mut Faults) -> Option<(String, String)> {
    let split = name.strip_prefix(TASKS).and_then(|rest| rest.split_once(CONFIGS));
    let ids = split.and_then(|(task, id)| Some((task, id.strip_prefix('/')?)));
    let ids = ids.filter(|(task, id)| !task.is_empty() && !task.contains('/') && !id.is_empty());
    if ids.is_none() {
        faults.wrong(At::ROOT.field("name"), format!("must be the name of a webhook: {TASKS}{{id}}{CONFIGS}/{{id}}"));
    }
    ids.map(|(task, id)| (task.to_owned(), id.to_owned()))
}
