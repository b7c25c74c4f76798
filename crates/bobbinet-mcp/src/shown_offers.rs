//! Resources and prompts as others are shown them: what their server says of them, as far as it is as the protocol has it.

use std::collections::BTreeMap;

use bobbinet_core::{Effect, Json, SkillId};
use bobbinet_text::visible;

use crate::{
    catalog::Catalog,
    json_object::JsonObject,
    listing::Offers,
    prompts::{RawPrompt, RawPromptArgument},
    resources::{self, RawResource, RawTemplate},
    server_feature::ServerFeature,
    tool_hints,
};

/// What an agent offers, by the skills that read it; and what hosts are told of its tools, the operator's word on their effects before the
/// server's.
pub(crate) fn shown(offers: &Offers, catalog: &Catalog, effects: &BTreeMap<String, Effect>) -> bobbinet_engine::Offers {
    let skill = |name: &str, feature: ServerFeature| -> Option<SkillId> {
        let tool = catalog.get(name)?;
        (tool.feature == feature).then(|| tool.id.clone())
    };
    let reader = skill(resources::READ, ServerFeature::Resource);
    let is_read = reader.is_some();
    let prompt = |prompt: &RawPrompt| Some((skill(&prompt.skill(), ServerFeature::Prompt)?, prompt_json(prompt)));
    let mut tools = BTreeMap::new();
    for tool in &offers.tools {
        // Of a name that comes twice the first one is the tool.
        if let Some(id) = skill(&tool.name, ServerFeature::Tool).filter(|id| !tools.contains_key(id)) {
            tools.insert(id, tool_hints::shown(tool, effects.get(&tool.name).copied()));
        }
    }
    bobbinet_engine::Offers {
        tools: tools.into_iter().filter_map(|(id, shown)| Some((id, shown?))).collect(),
        reader,
        resources: offers.resources.iter().filter(|_| is_read).map(resource_json).collect(),
        templates: offers.templates.iter().filter(|_| is_read).map(template_json).collect(),
        prompts: offers.prompts.iter().filter_map(prompt).collect(),
        beside: catalog.beside().cloned().collect(),
    }
}

fn resource_json(resource: &RawResource) -> Json {
    named(resource.listed.as_ref(), "uri", &resource.uri, resource.name.as_ref())
}

fn template_json(template: &RawTemplate) -> Json {
    named(template.listed.as_ref(), "uriTemplate", &template.uri_template, template.name.as_ref())
}

/// With a name, which the protocol wants and servers forget.
fn named(listed: Option<&Json>, key: &str, uri: &str, name: Option<&String>) -> Json {
    let mut fields = listed.and_then(JsonObject::read).unwrap_or_default();
    fields.set(key, Json::of(uri));
    if fields.get("name").is_none() {
        fields.set("name", Json::of(name.map_or(uri, String::as_str)));
    }
    fields.to_json()
}

fn prompt_json(prompt: &RawPrompt) -> Json {
    let words = |fields: &mut JsonObject, title: &Option<String>, description: &Option<String>| {
        for (name, text) in [("title", title), ("description", description)] {
            if let Some(text) = text {
                fields.set(name, Json::of(visible(text).as_ref()));
            }
        }
    };
    let mut fields = JsonObject::default();
    fields.set("name", Json::of(&prompt.name));
    words(&mut fields, &prompt.title, &prompt.description);
    let argument = |argument: &RawPromptArgument| {
        let mut fields = JsonObject::default();
        fields.set("name", Json::of(&argument.name));
        words(&mut fields, &argument.title, &argument.description);
        if argument.required {
            fields.set("required", Json::of(&true));
        }
        fields.to_json()
    };
    if !prompt.arguments.is_empty() {
        fields.set("arguments", Json::of(&prompt.arguments.iter().map(argument).collect::<Vec<_>>()));
    }
    fields.to_json()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_without_a_name_is_called_by_its_address() {
        let listed = Json::parse(r#"{"uri":"u:a","size":3}"#).unwrap();
        let check = |name: Option<&str>, expected: &str| {
            let name = name.map(str::to_owned);
            assert_eq!(named(Some(&listed), "uri", "u:a", name.as_ref()).as_str(), expected);
        };
        check(None, r#"{"uri":"u:a","size":3,"name":"u:a"}"#);
        check(Some("a"), r#"{"uri":"u:a","size":3,"name":"a"}"#);
    }
}
