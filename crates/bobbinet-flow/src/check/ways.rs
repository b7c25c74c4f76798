//! Which steps lead where.

use std::collections::{BTreeMap, BTreeSet};

use super::Told;
use crate::{
    document::{Definition, Kind, ListId, Task, TaskId, Then},
    finding::Severity,
    template::Template,
};

pub(super) fn check(definition: &Definition, findings: &mut Told<'_>) {
    let branches: BTreeSet<ListId> = definition
        .tasks
        .iter()
        .filter_map(|task| if let Kind::Fork { branches, .. } = &task.kind { Some(*branches) } else { None })
        .collect();
    for id in branches.iter().flat_map(|list| definition.list(*list)) {
        let task = definition.task(*id);
        if let Then::Go { name, at, pointer, .. } = &task.then {
            let message = format!("a branch leads to no other step, and here is {name:?}");
            let hint = "put both steps into one branch, under do".to_owned();
            findings.add(Severity::Error, *at, pointer, message, hint);
        }
    }
    for at in 0..definition.lists.len() {
        // The branches of a fork all run, and lead nowhere.
        if !branches.contains(&ListId(at)) {
            list(definition, ListId(at), findings);
        }
    }
    for task in &definition.tasks {
        if let Kind::Switch(cases) = &task.kind
            && let Some(always) = cases.iter().position(|case| case.when.is_none())
            && let Some(case) = cases.get(always + 1)
        {
            let message =
                format!("the case {:?} is never taken: {:?} before it always is", case.name, cases[always].name);
            let pointer = format!("{}/switch/{}/{}", task.pointer, always + 1, case.name);
            findings.add(Severity::Warning, case.at, &pointer, message, "put the case without when last".to_owned());
        }
        if let Kind::Try { body, catch } = &task.kind {
            if catch.when.as_ref().is_some_and(|when| matches!(when.text().trim(), "false" | "null")) {
                let hint = "take catch.when out, or write when to catch".to_owned();
                findings.add(
                    Severity::Warning,
                    task.at,
                    &task.pointer,
                    "this catches nothing: its when never holds".into(),
                    hint,
                );
            } else if !can_fail(definition, *body) {
                let message = "nothing in this try can fail, so it catches nothing".to_owned();
                let hint = "take the try away, and keep its steps".to_owned();
                findings.add(Severity::Warning, task.at, &task.pointer, message, hint);
            }
        }
    }
}

/// Where a step of a list may lead: to steps of it, and out of it.
fn leads(definition: &Definition, id: TaskId) -> (BTreeSet<TaskId>, bool) {
    let task = definition.task(id);
    let mut steps = BTreeSet::new();
    let mut is_out = false;
    let mut go = |then: &Then| match then {
        Then::Continue => match definition.next(id) {
            Some(next) => {
                steps.insert(next);
            }
            None => is_out = true,
        },
        Then::Exit | Then::End => is_out = true,
        Then::Go { to, .. } => steps.extend(to),
    };
    match &task.kind {
        Kind::Switch(cases) => {
            for case in cases {
                go(&case.then);
            }
            if !cases.iter().any(|case| case.when.is_none()) {
                go(&task.then);
            }
        }
        Kind::Try { catch, .. } => {
            go(&task.then);
            catch.then.iter().for_each(&mut go);
        }
        Kind::Raise(_) => go(&Then::Exit),
        Kind::Do(_)
        | Kind::Set(_)
        | Kind::For(_)
        | Kind::Fork { .. }
        | Kind::Wait(_)
        | Kind::Emit(_)
        | Kind::Listen(_)
        | Kind::Call(_) => go(&task.then),
    }
    // One that is skipped goes on to the next, whatever its then says.
    if task.condition.is_some() {
        go(&Then::Continue);
    }
    // An `end` or a failure deeper down leads out of every list around it.
    (steps, is_out || inner_lists(task).into_iter().any(|list| ends(definition, list)))
}

fn inner_lists(task: &Task) -> Vec<ListId> {
    match &task.kind {
        Kind::Do(list) => vec![*list],
        Kind::For(looped) => vec![looped.body],
        Kind::Fork { branches, .. } => vec![*branches],
        Kind::Try { body, catch } => std::iter::once(*body).chain(catch.body).collect(),
        Kind::Listen(listen) => listen.each.iter().filter_map(|each| each.body).collect(),
        Kind::Set(_) | Kind::Switch(_) | Kind::Raise(_) | Kind::Wait(_) | Kind::Emit(_) | Kind::Call(_) => Vec::new(),
    }
}

/// Whether some step in here says `end`.
fn ends(definition: &Definition, list: ListId) -> bool {
    definition.list(list).iter().any(|id| {
        let task = definition.task(*id);
        let says = |then: &Then| *then == Then::End;
        let own = match &task.kind {
            Kind::Switch(cases) => cases.iter().any(|case| says(&case.then)),
            Kind::Try { catch, .. } => catch.then.as_ref().is_some_and(says),
            Kind::Do(_)
            | Kind::Set(_)
            | Kind::For(_)
            | Kind::Fork { .. }
            | Kind::Raise(_)
            | Kind::Wait(_)
            | Kind::Emit(_)
            | Kind::Listen(_)
            | Kind::Call(_) => false,
        };
        own || says(&task.then) || inner_lists(task).into_iter().any(|inner| ends(definition, inner))
    })
}

fn list(definition: &Definition, list: ListId, findings: &mut Told<'_>) {
    let tasks = definition.list(list);
    let Some(first) = tasks.first() else { return };
    let all_leads: BTreeMap<TaskId, (BTreeSet<TaskId>, bool)> =
        tasks.iter().map(|id| (*id, leads(definition, *id))).collect();
    let reached = closure([*first], |id| all_leads[&id].0.iter().copied());
    for id in tasks.iter().filter(|id| !reached.contains(id)) {
        let task = definition.task(*id);
        let message = format!("the step {:?} is never reached", task.name);
        let hint = "lead to it by a then, or take it out".to_owned();
        findings.add(Severity::Warning, task.at, &task.pointer, message, hint);
    }
    // Whoever can leave the list, and whoever leads to one who can.
    let mut back: BTreeMap<TaskId, Vec<TaskId>> = BTreeMap::new();
    for (from, (steps, _)) in &all_leads {
        for to in steps {
            back.entry(*to).or_default().push(*from);
        }
    }
    let ways_out = all_leads.iter().filter(|(_, (_, is_out))| *is_out).map(|(id, _)| *id);
    let leaving = closure(ways_out, |id| back.get(&id).into_iter().flatten().copied());
    if let Some(id) = tasks.iter().find(|id| reached.contains(id) && !leaving.contains(id)) {
        let task = definition.task(*id);
        let message = format!("from {:?} on this goes round for ever", task.name);
        let hint = "add a switch with a case that leads out: then: exit".to_owned();
        findings.add(Severity::Error, task.at, &task.pointer, message, hint);
    }
}

/// These steps, and all that they lead to.
fn closure<I: Iterator<Item = TaskId>>(
    from: impl IntoIterator<Item = TaskId>,
    leads: impl Fn(TaskId) -> I,
) -> BTreeSet<TaskId> {
    let mut open: Vec<TaskId> = from.into_iter().collect();
    let mut all: BTreeSet<TaskId> = open.iter().copied().collect();
    while let Some(id) = open.pop() {
        for next in leads(id) {
            if all.insert(next) {
                open.push(next);
            }
        }
    }
    all
}

/// Whether a step of this list can fail. What only gives fixed values cannot.
fn can_fail(definition: &Definition, list: ListId) -> bool {
    definition.list(list).iter().any(|id| {
        let task = definition.task(*id);
        let has_schema = task.input.schema.is_some() || task.output.schema.is_some() || task.export.schema.is_some();
        let has_program = task.condition.is_some()
            || [&task.input.from, &task.output.filter, &task.export.filter]
                .into_iter()
                .flatten()
                .any(|filter| filter.known().is_none());
        let is_able = match &task.kind {
            Kind::Set(Template::Fixed(_)) | Kind::Wait(crate::document::Span::Fixed(_)) => false,
            Kind::Do(inner) => can_fail(definition, *inner),
            Kind::Fork { branches, .. } => can_fail(definition, *branches),
            Kind::Set(_)
            | Kind::Switch(_)
            | Kind::For(_)
            | Kind::Raise(_)
            | Kind::Try { .. }
            | Kind::Wait(_)
            | Kind::Emit(_)
            | Kind::Listen(_)
            | Kind::Call(_) => true,
        };
        is_able || has_schema || has_program || task.timeout.is_some()
    })
}
