//! All that a server offers, as it lists it: its tools, its resources and what they are made by, its prompts.

use std::{sync::Arc, time::Duration};

use bobbinet_core::Json;
use rmcp::model::ServerCapabilities;
use serde::{Deserialize, Serialize};

use crate::{
    config::McpLimits,
    json_object::JsonObject,
    mailbox::ConnectionError,
    paged_list::{self, Declared, ListEntry, PagedList},
    prompts::RawPrompt,
    resources::{RawResource, RawTemplate},
    session::Client,
    tool_meta,
};

/// How long a server may take for a page of what is no tool: its tools are not kept waiting for it any longer.
const OTHERS_PATIENCE: Duration = Duration::from_secs(10);

/// What a server offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offers {
    pub(crate) tools: Vec<RawTool>,
    pub(crate) resources: Vec<RawResource>,
    pub(crate) templates: Vec<RawTemplate>,
    pub(crate) prompts: Vec<RawPrompt>,
}

#[cfg(test)]
impl From<Vec<RawTool>> for Offers {
    fn from(tools: Vec<RawTool>) -> Self {
        Self { tools, ..Self::default() }
    }
}

/// What came of asking a server for all that it offers.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    tools: PagedList<RawTool>,
    resources: PagedList<RawResource>,
    templates: PagedList<RawTemplate>,
    prompts: PagedList<RawPrompt>,
}

impl Listing {
    /// What is offered, where of a list that was cut off what was `known` before counts: it is better than a part of what there is.
    pub(crate) fn offers(self, known: Option<&Offers>) -> Offers {
        fn newest<T: Clone>(list: PagedList<T>, known: Option<&Vec<T>>) -> Vec<T> {
            match known.filter(|_| list.is_cut_off) {
                Some(known) => known.clone(),
                None => list.entries,
            }
        }
        Offers {
            tools: newest(self.tools, known.map(|known| &known.tools)),
            resources: newest(self.resources, known.map(|known| &known.resources)),
            templates: newest(self.templates, known.map(|known| &known.templates)),
            prompts: newest(self.prompts, known.map(|known| &known.prompts)),
        }
    }

    /// What was left out, and why.
    pub(crate) fn notes(&self) -> Vec<String> {
        let Self { tools, resources, templates, prompts } = self;
        [&tools.notes, &resources.notes, &templates.notes, &prompts.notes].into_iter().flatten().cloned().collect()
    }

    /// For how long all of it is good, where the server says so and does not say when a list changes. Never shorter than `least`.
    pub(crate) fn fresh_for(&self, declared: &ServerCapabilities, least: Duration) -> Option<Duration> {
        let Self { tools, resources, templates, prompts } = self;
        let told = [
            (tools.ttl_ms, declared.tools.as_ref().and_then(|tools| tools.list_changed)),
            (resources.ttl_ms, declared.resources.as_ref().and_then(|resources| resources.list_changed)),
            (templates.ttl_ms, declared.resources.as_ref().and_then(|resources| resources.list_changed)),
            (prompts.ttl_ms, declared.prompts.as_ref().and_then(|prompts| prompts.list_changed)),
        ];
        let shortest =
            told.into_iter().filter(|(_, is_told)| *is_told != Some(true)).filter_map(|(ttl_ms, _)| ttl_ms).min();
        shortest.map(|ttl_ms| Duration::from_millis(ttl_ms).max(least))
    }

    /// Whether the server failed over any of its lists: it may say more when it is asked again.
    pub(crate) fn is_cut_off(&self) -> bool {
        let Self { tools, resources, templates, prompts } = self;
        tools.is_cut_off || resources.is_cut_off || templates.is_cut_off || prompts.is_cut_off
    }
}

/// Reads all lists that the server has declared. `Err`: the connection is over, or what was asked over it broke off.
pub(crate) async fn read(client: &Arc<Client>, limits: &McpLimits) -> Result<Listing, ConnectionError> {
    let declared = client.capabilities();
    let (has_resources, has_prompts) = (declared.resources.is_some(), declared.prompts.is_some());
    // Some have tools and declare nothing. One that declares other things only may not answer at all.
    let (tools_patience, tools_declared) = match declared.tools.is_none() && (has_resources || has_prompts) {
        true => (limits.start_patience().min(OTHERS_PATIENCE), Declared::No),
        false => (limits.start_patience(), Declared::Yes),
    };
    let (tools, resources, templates, prompts) = tokio::try_join!(
        paged_list::read(client, limits, tools_patience, tools_declared),
        read_if(has_resources, client, limits),
        read_if(has_resources, client, limits),
        read_if(has_prompts, client, limits),
    )?;
    Ok(Listing { tools, resources, templates, prompts })
}

async fn read_if<T: ListEntry>(
    is_declared: bool,
    client: &Arc<Client>,
    limits: &McpLimits,
) -> Result<PagedList<T>, ConnectionError> {
    match is_declared {
        true => paged_list::read(client, limits, limits.start_patience().min(OTHERS_PATIENCE), Declared::Yes).await,
        false => Ok(PagedList::default()),
    }
}

/// One tool as its server describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawTool {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) input_schema: Option<Json>,
    #[serde(default)]
    pub(crate) output_schema: Option<Json>,
    #[serde(default)]
    pub(crate) annotations: Option<ToolHints>,
    #[serde(default)]
    pub(crate) execution: Option<ToolExecution>,
    /// What others are shown of its `_meta`.
    #[serde(default, rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub(crate) meta: Option<Json>,
}

/// What the server says of a tool's nature. They count only where the operator says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ToolHints {
    pub(crate) title: Option<String>,
    pub(crate) read_only_hint: Option<bool>,
    pub(crate) idempotent_hint: Option<bool>,
    // What these say changes nothing here, but hosts are told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) destructive_hint: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) open_world_hint: Option<bool>,
}

/// How a tool can be called (2025-11-25).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ToolExecution {
    pub(crate) task_support: Option<String>,
}

impl ListEntry for RawTool {
    const METHOD: &'static str = "tools/list";
    const FIELD: &'static str = "tools";
    const NOUN: &'static str = "tool";

    fn read(json: &Json, odd: &mut Vec<String>) -> Option<Self> {
        let fields = JsonObject::read(json)?;
        let name = fields.text("name")?;
        let mut field = |fields: &JsonObject, key: &str, is_good: &dyn Fn(&Json) -> bool| {
            let value = fields.get(key).filter(|value| value.as_str() != "null")?;
            if is_good(value) {
                return Some(value.clone());
            }
            odd.push(format!("{key} of {name}"));
            None
        };
        let is_text = |json: &Json| json.as_str().starts_with('"');
        let is_flag = |json: &Json| matches!(json.as_str(), "true" | "false");
        // A schema may be `true` or `false`, by its own rules.
        let is_schema = |json: &Json| json.is_object() || is_flag(json);
        let text = |json: Option<Json>| json.and_then(|json| json.read::<String>().ok());
        let flag = |json: Option<Json>| json.and_then(|json| json.read::<bool>().ok());
        let title = text(field(&fields, "title", &is_text));
        let description = text(field(&fields, "description", &is_text));
        let input_schema = field(&fields, "inputSchema", &is_schema);
        let output_schema = field(&fields, "outputSchema", &is_schema);
        let hints = field(&fields, "annotations", &Json::is_object).as_ref().and_then(JsonObject::read);
        let annotations = hints.map(|hints| ToolHints {
            title: text(field(&hints, "title", &is_text)),
            read_only_hint: flag(field(&hints, "readOnlyHint", &is_flag)),
            idempotent_hint: flag(field(&hints, "idempotentHint", &is_flag)),
            destructive_hint: flag(field(&hints, "destructiveHint", &is_flag)),
            open_world_hint: flag(field(&hints, "openWorldHint", &is_flag)),
        });
        let execution = field(&fields, "execution", &Json::is_object).as_ref().and_then(JsonObject::read);
        let execution = execution.map(|it| ToolExecution { task_support: text(field(&it, "taskSupport", &is_text)) });
        let meta = field(&fields, "_meta", &Json::is_object).as_ref().and_then(tool_meta::meta);
        Some(Self { name, title, description, input_schema, output_schema, annotations, execution, meta })
    }

    fn key(&self) -> &str {
        &self.name
    }

    fn count_max(limits: &McpLimits) -> usize {
        limits.list_tools_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_fields_of_an_odd_tool_are_kept() {
        let mut odd = Vec::new();
        let text = r#"{"name":"a","description":"d","inputSchema":true,"annotations":{"readOnlyHint":true,"idempotentHint":1},"execution":7}"#;
        let tool = RawTool::read(&Json::parse(text).unwrap(), &mut odd).unwrap();
        assert_eq!((tool.description.as_deref(), tool.input_schema.is_some()), (Some("d"), true));
        let hints = tool.annotations.unwrap();
        assert_eq!((hints.read_only_hint, hints.idempotent_hint), (Some(true), None));
        assert_eq!(odd, ["idempotentHint of a", "execution of a"]);
    }
}
