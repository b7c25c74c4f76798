//! A server's resources and what they are made by (templates), as it lists them, and the one skill that reads them.

use bobbinet_core::{Json, Part};
use serde::{Deserialize, Serialize};

use crate::{
    block,
    config::McpLimits,
    listed_entry,
    paged_list::{EntryFields, ListEntry},
    rpc_message,
};

/// The skill by which a resource is read.
pub(crate) const READ: &str = "resource:read";

/// The skill by which they are listed.
pub(crate) const LIST: &str = "resource:list";

/// What that takes.
pub(crate) fn list_schema() -> Json {
    let cursor =
        serde_json::json!({"type": "string", "description": "Where to go on: `nextCursor` of the page before."});
    Json::from(&serde_json::json!({
        "type": "object", "properties": {"cursor": cursor}, "additionalProperties": false,
    }))
}

/// Resources and templates that are named in the description of the skill, if there are no more.
const NAMED_MAX: usize = 10;

/// Resources that the skill has an example of.
const EXAMPLES_MAX: usize = 3;

/// Characters of a resource's name or address in a description.
const NAME_MAX: usize = 120;

/// One resource as its server describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct RawResource {
    pub(crate) uri: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// What others are shown of it.
    #[serde(default)]
    pub(crate) listed: Option<Json>,
}

/// What resources are made by: an address with names in it (RFC 6570).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawTemplate {
    pub(crate) uri_template: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// What others are shown of it.
    #[serde(default)]
    pub(crate) listed: Option<Json>,
}

impl ListEntry for RawResource {
    const METHOD: &'static str = "resources/list";
    const FIELD: &'static str = "resources";
    const NOUN: &'static str = "resource";
    const KEY: &'static str = "URI";

    fn read(json: &Json, odd: &mut Vec<String>) -> Option<Self> {
        let mut fields = EntryFields::read(json, "uri", odd)?;
        let listed = listed_entry::listed(json);
        Some(Self { uri: fields.key(), name: fields.text("name"), title: fields.text("title"), listed })
    }

    fn key(&self) -> &str {
        &self.uri
    }

    fn count_max(limits: &McpLimits) -> usize {
        limits.list_resources_max
    }
}

impl ListEntry for RawTemplate {
    const METHOD: &'static str = "resources/templates/list";
    const FIELD: &'static str = "resourceTemplates";
    const NOUN: &'static str = "resource template";
    const KEY: &'static str = "URI";

    fn read(json: &Json, odd: &mut Vec<String>) -> Option<Self> {
        let mut fields = EntryFields::read(json, "uriTemplate", odd)?;
        let listed = listed_entry::listed(json);
        Some(Self { uri_template: fields.key(), name: fields.text("name"), title: fields.text("title"), listed })
    }

    fn key(&self) -> &str {
        &self.uri_template
    }

    fn count_max(limits: &McpLimits) -> usize {
        limits.list_resources_max
    }
}

/// What the skill takes; where its server says when a resource changes, whether it is to be followed, too.
pub(crate) fn input_schema(subscribes: bool) -> Json {
    let mut properties =
        serde_json::json!({"uri": {"type": "string", "minLength": 1, "description": "The resource's URI."}});
    if subscribes {
        let about =
            "Whether the task goes on, with an artifact each time that the resource changes, until it is canceled.";
        properties[FOLLOW] = serde_json::json!({"type": "boolean", "description": about});
    }
    Json::from(&serde_json::json!({
        "type": "object", "properties": properties, "required": ["uri"], "additionalProperties": false,
    }))
}

/// The argument that asks for a resource to be followed.
pub(crate) const FOLLOW: &str = "follow";

/// What the skill does: how many resources there are, and which, if they are few.
pub(crate) fn description(resources: &[RawResource], templates: &[RawTemplate]) -> String {
    let count = |count: usize, noun: &str| match count {
        0 => None,
        1 => Some(format!("1 {noun}")),
        count => Some(format!("{count} {noun}s")),
    };
    let counts = [count(resources.len(), "resource"), count(templates.len(), "URI template")];
    let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let named = resources.iter().map(|it| (&it.uri, it.title.as_ref().or(it.name.as_ref())));
    let named = named.chain(templates.iter().map(|it| (&it.uri_template, it.title.as_ref().or(it.name.as_ref()))));
    let is_few = resources.len() + templates.len() <= NAMED_MAX;
    let named = named.filter(|(uri, _)| is_few && is_showable(uri)).map(|(uri, name)| match name {
        Some(name) if !name.is_empty() => format!("`{uri}` ({})", rpc_message::shorten(name, NAME_MAX)),
        Some(_) | None => format!("`{uri}`"),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let named = if named.is_empty() { named } else { format!(": {named}") };
    format!("Reads one resource of the server by its URI. It lists {counts}{named}.")
}

/// Messages that read a resource.
pub(crate) fn examples(resources: &[RawResource]) -> Vec<String> {
    let shown = resources.iter().filter(|resource| is_showable(&resource.uri));
    shown.take(EXAMPLES_MAX).map(|resource| format!("{READ} uri={}", resource.uri)).collect()
}

/// Whether an address is for everybody's eyes: a card is public, and what stands before a host or in a query is a secret as
/// often as not.
fn is_showable(uri: &str) -> bool {
    let has_secrets = uri.contains(['?', '@']);
    !has_secrets && uri.len() <= NAME_MAX && !uri.contains(|c: char| c.is_whitespace() || c.is_control() || c == '`')
}

/// One of the contents of a resource that was read.
pub(crate) fn part(contents: &Json) -> Part {
    block::resource(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(uri: &str, title: &str) -> RawResource {
        RawResource { uri: uri.to_owned(), name: None, title: Some(title.to_owned()), listed: None }
    }

    #[test]
    fn the_skill_says_how_many_there_are_and_which_if_they_are_few() {
        let template = RawTemplate { uri_template: "demo://{id}".to_owned(), name: None, title: None, listed: None };
        let check = |resources: &[RawResource], templates: &[RawTemplate], expected: &str| {
            assert_eq!(
                description(resources, templates),
                format!("Reads one resource of the server by its URI. It lists {expected}.")
            );
        };
        let a = resource("demo://a", "The first");
        check(std::slice::from_ref(&a), &[], "1 resource: `demo://a` (The first)");
        check(&[], std::slice::from_ref(&template), "1 URI template: `demo://{id}`");
        check(
            &[a.clone(), resource("db://me:secret@host/t", "A table")],
            std::slice::from_ref(&template),
            "2 resources and 1 URI template: `demo://a` (The first), `demo://{id}`",
        );
        let many: Vec<_> = (0..11).map(|number| resource(&format!("demo://{number}"), "")).collect();
        check(&many, &[template], "11 resources and 1 URI template");
        assert_eq!(examples(&many), ["0", "1", "2"].map(|number| format!("resource:read uri=demo://{number}")));
        assert_eq!(examples(&[resource("db://host/t?token=1", ""), resource("a b", "")]), [""; 0]);
    }
}
