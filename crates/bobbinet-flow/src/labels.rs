//! What is written on a step in a picture.

use crate::{
    document::{CallTarget, Kind, Task, Uri},
    template::Template,
};

/// What a step does, in a word or two.
pub(crate) fn what(task: &Task) -> String {
    match &task.kind {
        Kind::Call(call) => match &call.target {
            CallTarget::Skill { agent, skill } => format!("{agent}.{skill}"),
            CallTarget::Function(name, _) => name.clone(),
            CallTarget::A2a { method, .. } => format!("A2A {method}"),
            CallTarget::Mcp { method, .. } => format!("MCP {method}"),
            CallTarget::Http { method, endpoint, .. } => match &endpoint.uri {
                Uri::Template(uri) => format!("{method} {uri}"),
                Uri::Computed(_) => method.clone(),
            },
            CallTarget::Workflow { name, .. } => format!("flow {name}"),
        },
        Kind::Do(_) => "do".to_owned(),
        Kind::Set(_) => "set".to_owned(),
        Kind::Switch(_) => "switch".to_owned(),
        Kind::For(_) => "for".to_owned(),
        Kind::Fork { compete: true, .. } => "race".to_owned(),
        Kind::Fork { compete: false, .. } => "fork".to_owned(),
        Kind::Raise(_) => "raise".to_owned(),
        Kind::Try { .. } => "try".to_owned(),
        Kind::Wait(_) => "wait".to_owned(),
        Kind::Emit(_) => "emit".to_owned(),
        Kind::Listen(_) => "listen".to_owned(),
    }
}

/// The same with what there is room for in a picture of our own.
pub(crate) fn more(task: &Task) -> String {
    match &task.kind {
        Kind::For(looped) => {
            let items = match &looped.items {
                Template::Program(program) => program.text().trim().to_owned(),
                Template::Fixed(list) => format!("{} items", list.as_array().map_or(0, Vec::len)),
                Template::List(items) => format!("{} items", items.len()),
                Template::Map(_) => "a map".to_owned(),
            };
            let condition = looped.condition.as_ref().map(|condition| format!(", while {}", condition.text().trim()));
            format!("for each {} in {items}{}", looped.each, condition.unwrap_or_default())
        }
        Kind::Fork { compete: true, .. } => "fork: the first of".to_owned(),
        Kind::Fork { compete: false, .. } => "fork: all of".to_owned(),
        Kind::Try { catch, .. } if catch.retry.is_some() => "try, and try again".to_owned(),
        Kind::Wait(crate::document::Span::Fixed(length)) => format!("wait {length:?}"),
        Kind::Emit(Template::Map(attributes)) => {
            let kind = attributes.iter().find(|(name, _)| name == "type").and_then(|(_, kind)| kind.known()?.as_str());
            kind.map_or_else(|| what(task), |kind| format!("emit {kind}"))
        }
        Kind::Emit(Template::Fixed(attributes)) => {
            let kind = attributes.get("type").and_then(serde_json::Value::as_str);
            kind.map_or_else(|| what(task), |kind| format!("emit {kind}"))
        }
        Kind::Call(call) => match &call.target {
            CallTarget::Function(name, _) => format!("function {name}"),
            CallTarget::Skill { .. }
            | CallTarget::A2a { .. }
            | CallTarget::Mcp { .. }
            | CallTarget::Http { .. }
            | CallTarget::Workflow { .. } => what(task),
        },
        Kind::Do(_)
        | Kind::Set(_)
        | Kind::Switch(_)
        | Kind::Raise(_)
        | Kind::Try { .. }
        | Kind::Wait(_)
        | Kind::Emit(_)
        | Kind::Listen(_) => what(task),
    }
}
