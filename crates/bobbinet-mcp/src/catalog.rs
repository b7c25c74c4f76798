//! What an agent can do, from its server's newest tool list: skills for the card, schemas for the checks.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{Description, Effect, Json, Skill, SkillId};
use bobbinet_text::visible;
use rmcp::model::ServerPeerInfo;
use sha2::{Digest, Sha256};

use crate::{
    completion_skill,
    config::{McpConfig, ServerAddress, SkillNotes},
    hidden_words::warn_of_hidden,
    listing::{Offers, RawTool, ToolHints},
    parameter_headers::ParameterHeaders,
    pinned_tools::WithheldFor,
    resources, rpc_message,
    schema::Schema,
    server_feature::ServerFeature,
    server_task::TaskSupport,
    tool_question,
};

/// Bytes of a server's instructions that become its description.
const DESCRIPTION_MAX: usize = 2_000;

/// A tool that can be called, or what is called like one: a prompt, or the resources.
#[derive(Debug)]
pub(crate) struct Tool {
    /// What it is at the server.
    pub(crate) feature: ServerFeature,
    pub(crate) id: SkillId,
    pub(crate) description: String,
    pub(crate) effect: Effect,
    /// Whether it only reads by its server's word, and nobody else has said what it does.
    pub(crate) is_said_to_read: bool,
    pub(crate) input: Arc<Schema>,
    pub(crate) output: Option<Arc<Schema>>,
    /// Arguments that its calls say again in headers. None but over HTTP.
    pub(crate) headers: ParameterHeaders,
    pub(crate) task_support: TaskSupport,
}

/// What a server offers, as skills of its agent. A new listing is a new catalog.
#[derive(Debug)]
pub(crate) struct Catalog {
    tools: BTreeMap<String, Tool>,
    /// What is listed and cannot be called, because it is not what it was.
    withheld: BTreeMap<String, WithheldFor>,
    pub(crate) description: Arc<Description>,
}

impl Catalog {
    /// The catalog of a listing. Schemas that did not change are not compiled again.
    pub(crate) fn new(
        config: &McpConfig,
        info: Option<&ServerPeerInfo>,
        offers: &Offers,
        previous: Option<&Self>,
    ) -> Self {
        let mut tools = BTreeMap::new();
        let mut skills = Vec::new();
        for raw in &offers.tools {
            let id = match SkillId::parse(&raw.name) {
                Ok(_) if !task_support(raw).is_callable(info) => {
                    tracing::warn!(
                        agent = config.name,
                        tool = raw.name,
                        "a tool is left out: it runs only as an MCP task, and its server has declared none"
                    );
                    continue;
                }
                Ok(_) if tools.contains_key(&raw.name) => {
                    tracing::warn!(
                        agent = config.name,
                        tool = raw.name,
                        "a tool is left out: there is one of this name"
                    );
                    continue;
                }
                Ok(_) if raw.name == tool_question::ANSWER => {
                    tracing::warn!(agent = config.name, tool = raw.name, "a tool is left out: the name is not free");
                    continue;
                }
                Ok(id) => id,
                Err(error) => {
                    tracing::warn!(agent = config.name, %error, "a tool is left out");
                    continue;
                }
            };
            let headers = match headers(config, info, raw) {
                Ok(headers) => headers,
                Err(why) => {
                    tracing::warn!(agent = config.name, tool = raw.name, why, "a tool is left out");
                    continue;
                }
            };
            let before = previous.and_then(|catalog| catalog.tools.get(&raw.name));
            let tool = Tool { headers, ..tool(config, &id, raw, before) };
            let title = raw.title.clone().or_else(|| raw.annotations.as_ref().and_then(|hints| hints.title.clone()));
            let about = About {
                title: title.filter(|title| !title.trim().is_empty()).unwrap_or_else(|| raw.name.clone()),
                description: raw.description.clone().unwrap_or_default(),
                otherwise: format!("The tool `{}`.", raw.name),
                examples: Vec::new(),
            };
            look_at_words(config, &about.title, &tool, before);
            skills.push(skill(config, &tool, about));
            tools.insert(raw.name.clone(), tool);
        }
        for (reading, about) in reads(config, info, offers) {
            let name = reading.id.as_str().to_owned();
            if tools.contains_key(&name) {
                tracing::warn!(
                    agent = config.name,
                    skill = name,
                    "a prompt or the resources are left out: there is a tool of this name"
                );
                continue;
            }
            let before = previous.and_then(|catalog| catalog.tools.get(&name));
            let input = compiled(config, &reading.id, &reading.input, before.map(|tool| &tool.input));
            let effect = config.effects.get(&name).copied().unwrap_or(Effect::ReadOnly);
            let tool = Tool {
                feature: reading.feature,
                description: about.description.clone(),
                effect,
                // They have an effect of their own.
                is_said_to_read: false,
                input,
                output: None,
                headers: ParameterHeaders::default(),
                task_support: TaskSupport::Forbidden,
                id: reading.id,
            };
            look_at_words(config, &about.title, &tool, before);
            skills.push(skill(config, &tool, about));
            tools.insert(name, tool);
        }
        let description = Arc::new(describe(config, info, skills));
        Self { tools, withheld: BTreeMap::new(), description }
    }

    /// The same with what was left out of the listing, and why.
    pub(crate) fn without(self, withheld: BTreeMap<String, WithheldFor>) -> Self {
        Self { withheld, ..self }
    }

    /// Why this is not to be called, if that is so.
    pub(crate) fn withheld(&self, name: &str) -> Option<WithheldFor> {
        self.withheld.get(name).copied()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name)
    }

    /// All names that mean something here, those of what is withheld among them: who says one means that.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().chain(self.withheld.keys()).map(String::as_str)
    }

    /// Whether this is one of them.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.tools.contains_key(name) || self.withheld.contains_key(name)
    }

    /// The skills that are neither a tool nor what reads resources.
    pub(crate) fn beside(&self) -> impl Iterator<Item = &SkillId> {
        let is_beside = |tool: &&Tool| tool.feature != ServerFeature::Tool && tool.feature != ServerFeature::Resource;
        self.tools.values().filter(is_beside).map(|tool| &tool.id)
    }

    /// The only tool, if there is only one; of a server without tools, the only skill.
    pub(crate) fn only(&self) -> Option<&Tool> {
        if !self.withheld.is_empty() {
            return None;
        }
        let is_tool = |tool: &&Tool| tool.feature == ServerFeature::Tool;
        let has_tools = self.tools.values().any(|tool| is_tool(&tool));
        let mut candidates = self.tools.values().filter(|tool| match tool.feature {
            ServerFeature::Tool => true,
            ServerFeature::Resource | ServerFeature::Prompt => !has_tools,
            // Whoever wants these says so.
            ServerFeature::ResourceList | ServerFeature::Completion => false,
        });
        candidates.next().filter(|_| candidates.next().is_none())
    }

    /// All that can be called, in the order of the names.
    pub(crate) fn tools(&self) -> impl Iterator<Item = &Tool> {
        self.tools.values()
    }

    /// Tools whose names look like this one, nearest first.
    pub(crate) fn near(&self, name: &str) -> Vec<&str> {
        const NEAR_MAX: usize = 3;
        const NAME_COMPARED_MAX: usize = 256;
        // Nothing so long is meant for a name: comparing takes time by the product of the lengths.
        if name.len() > NAME_COMPARED_MAX {
            return Vec::new();
        }
        let wanted = name.to_lowercase();
        let mut near = self
            .tools
            .keys()
            .filter_map(|known| {
                let candidate = known.to_lowercase();
                let distance = strsim::osa_distance(&wanted, &candidate);
                let is_part = is_part(&wanted, &candidate) || is_part(&candidate, &wanted);
                let is_near = is_part || distance * 3 <= wanted.chars().count().min(candidate.chars().count());
                is_near.then_some((distance, known.as_str()))
            })
            .collect::<Vec<_>>();
        near.sort_unstable();
        near.into_iter().take(NEAR_MAX).map(|(_, name)| name).collect()
    }
}

/// Whether a name is some of the words of another: `read` of `read_file`, and not of `bread`; a letter or two of it is
/// in too many.
fn is_part(part: &str, whole: &str) -> bool {
    const PART_MIN: usize = 3;
    let is_between = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    part.chars().count() >= PART_MIN
        && whole.match_indices(part).any(|(at, _)| {
            is_between(whole[..at].chars().next_back()) && is_between(whole[at + part.len()..].chars().next())
        })
}

/// What is said of an agent before its server has said anything.
pub(crate) fn describe(config: &McpConfig, info: Option<&ServerPeerInfo>, skills: Vec<Skill>) -> Description {
    let server = info.and_then(|info| info.server_info.as_ref());
    let name = config.title.clone().or_else(|| server.map(|it| it.title.clone().unwrap_or_else(|| it.name.clone())));
    let description = config
        .description
        .clone()
        .or_else(|| info.and_then(|info| info.instructions.as_deref()).map(shorten))
        .or_else(|| server.and_then(|it| it.description.as_deref()).map(shorten))
        .unwrap_or_else(|| format!("The tools of the MCP server `{}`.", config.name));
    let version = config.version.clone().or_else(|| server.map(|it| it.version.clone()));
    let hash = Sha256::digest(Json::of(&skills).as_str());
    let hash = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>();
    Description {
        name: name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| config.name.clone()),
        description,
        version: format!("{}+{hash}", version.as_deref().unwrap_or("0")),
        documentation_url: config.documentation_url.clone(),
        provider: config.provider.clone(),
        skills,
        ..Description::default()
    }
}

fn tool(config: &McpConfig, id: &SkillId, raw: &RawTool, before: Option<&Tool>) -> Tool {
    let anything = Json::from(&serde_json::json!({"type": "object"}));
    let input = raw.input_schema.as_ref().unwrap_or(&anything);
    let output = raw.output_schema.as_ref();
    Tool {
        feature: ServerFeature::Tool,
        id: id.clone(),
        description: raw.description.clone().unwrap_or_default(),
        effect: effect(config, &raw.name, raw.annotations.as_ref()),
        is_said_to_read: !config.effects.contains_key(&raw.name)
            && raw.annotations.as_ref().and_then(|hints| hints.read_only_hint) == Some(true),
        input: compiled(config, id, input, before.map(|tool| &tool.input)),
        headers: ParameterHeaders::default(),
        task_support: task_support(raw),
        output: output.map(|json| compiled(config, id, json, before.and_then(|tool| tool.output.as_ref()))),
    }
}

fn task_support(raw: &RawTool) -> TaskSupport {
    TaskSupport::read(raw.execution.as_ref().and_then(|it| it.task_support.as_deref()))
}

/// A schema, or the one that there was before it, if it is the same.
fn compiled(config: &McpConfig, id: &SkillId, json: &Json, before: Option<&Arc<Schema>>) -> Arc<Schema> {
    match before.filter(|schema| schema.json == *json) {
        Some(schema) => schema.clone(),
        None => {
            let schema = Schema::new(json.clone(), config.limits.schema_bytes_max);
            if let Some(why) = &schema.unchecked {
                tracing::warn!(agent = config.name, tool = %id, why, "a schema of this tool is not checked");
            }
            Arc::new(schema)
        }
    }
}

/// A skill that only reads what a server offers beside its tools.
struct Reading {
    feature: ServerFeature,
    id: SkillId,
    input: Json,
}

/// The skill that reads resources, if there are any, and one for each prompt.
fn reads(config: &McpConfig, info: Option<&ServerPeerInfo>, offers: &Offers) -> Vec<(Reading, About)> {
    let mut reads = Vec::new();
    let has_resources = !offers.resources.is_empty() || !offers.templates.is_empty();
    if has_resources {
        let id = SkillId::parse(resources::READ).expect("words are a skill's id");
        let declared = info.and_then(|info| info.capabilities.resources.as_ref());
        let subscribes = declared.and_then(|resources| resources.subscribe) == Some(true);
        let about = About {
            title: "Read a resource".to_owned(),
            description: resources::description(&offers.resources, &offers.templates),
            otherwise: String::new(),
            examples: resources::examples(&offers.resources),
        };
        reads.push((
            Reading { feature: ServerFeature::Resource, id, input: resources::input_schema(subscribes) },
            about,
        ));
        let about = About {
            title: "List the resources".to_owned(),
            description: "Lists the resources of the server, page by page.".to_owned(),
            otherwise: String::new(),
            examples: vec![resources::LIST.to_owned()],
        };
        let id = SkillId::parse(resources::LIST).expect("words are a skill's id");
        reads.push((Reading { feature: ServerFeature::ResourceList, id, input: resources::list_schema() }, about));
    }
    if info.is_some_and(|info| info.capabilities.completions.is_some()) {
        let about = About {
            title: "Complete an argument".to_owned(),
            description: "Says what an argument of a prompt, or a name in the URI template of a resource, may be."
                .to_owned(),
            otherwise: String::new(),
            examples: Vec::new(),
        };
        let id = SkillId::parse(completion_skill::SKILL).expect("words are a skill's id");
        reads
            .push((Reading { feature: ServerFeature::Completion, id, input: completion_skill::input_schema() }, about));
    }
    for prompt in &offers.prompts {
        let id = match SkillId::parse(&prompt.skill()) {
            Ok(id) => id,
            Err(error) => {
                tracing::warn!(agent = config.name, %error, "a prompt is left out");
                continue;
            }
        };
        let about = About {
            title: prompt.title.clone().filter(|it| !it.trim().is_empty()).unwrap_or_else(|| prompt.name.clone()),
            description: prompt.description.clone().unwrap_or_default(),
            otherwise: format!("The prompt `{}`.", prompt.name),
            examples: Vec::new(),
        };
        reads.push((Reading { feature: ServerFeature::Prompt, id, input: prompt.input_schema() }, about));
    }
    reads
}

/// Where calls have headers, and the era knows of such: those that the tool asks for (2026-07-28, transports).
fn headers(config: &McpConfig, info: Option<&ServerPeerInfo>, raw: &RawTool) -> Result<ParameterHeaders, String> {
    let is_modern = info.is_some_and(|info| !info.protocol_version.has_initialize());
    match (&config.server, &raw.input_schema) {
        (ServerAddress::Url(_), Some(schema)) if is_modern => ParameterHeaders::of(&schema.to_value()),
        (ServerAddress::Url(_) | ServerAddress::Command(_), _) => Ok(ParameterHeaders::default()),
    }
}

/// The operator's word; else, where trusted, the server's; else the careful one.
fn effect(config: &McpConfig, name: &str, hints: Option<&ToolHints>) -> Effect {
    if let Some(effect) = config.effects.get(name) {
        return *effect;
    }
    match hints.filter(|_| config.trust_hints) {
        Some(ToolHints { read_only_hint: Some(true), .. }) => Effect::ReadOnly,
        Some(ToolHints { idempotent_hint: Some(true), .. }) => Effect::Idempotent,
        Some(_) | None => Effect::AtMostOnce,
    }
}

/// What a server says of a skill.
struct About {
    title: String,
    description: String,
    /// The description, if there is none.
    otherwise: String,
    examples: Vec<String>,
}

/// Looks for what is hidden in the words of a tool, each time that they are other words.
fn look_at_words(config: &McpConfig, title: &str, tool: &Tool, before: Option<&Tool>) {
    let is_same = |before: &Tool| before.description == tool.description && before.input.json == tool.input.json;
    if !before.is_some_and(is_same) {
        let schemas = std::iter::once(&tool.input).chain(&tool.output).map(|schema| &schema.json);
        warn_of_hidden(&config.name, tool.id.as_str(), [title, &tool.description], schemas);
    }
}

fn skill(config: &McpConfig, tool: &Tool, about: About) -> Skill {
    let none = SkillNotes::default();
    let notes = config.skills.get(tool.id.as_str()).unwrap_or(&none);
    let name = notes.name.clone().filter(|name| !name.trim().is_empty());
    let description = notes.description.clone().unwrap_or(about.description);
    let mut tags = vec!["mcp".to_owned(), tool.effect.as_str().to_owned()];
    match tool.feature {
        ServerFeature::Tool => {}
        ServerFeature::Resource | ServerFeature::ResourceList => tags.push("resource".to_owned()),
        ServerFeature::Completion => tags.push("completion".to_owned()),
        ServerFeature::Prompt => tags.push("prompt".to_owned()),
    }
    tags.extend(notes.tags.iter().cloned());
    Skill {
        id: tool.id.clone(),
        name: visible(&name.unwrap_or(about.title)).into_owned(),
        description: if description.is_empty() { about.otherwise } else { visible(&description).into_owned() },
        tags,
        examples: if notes.examples.is_empty() { about.examples } else { notes.examples.clone() },
        input: Some(tool.input.json.clone()),
        output: tool.output.as_ref().map(|schema| schema.json.clone()),
        effect: tool.effect,
    }
}

fn shorten(text: &str) -> String {
    rpc_message::shorten(text, DESCRIPTION_MAX).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> RawTool {
        serde_json::from_str(text).unwrap()
    }

    fn catalog(config: &McpConfig, tools: &[&str], previous: Option<&Catalog>) -> Catalog {
        let listing = tools.iter().map(|text| raw(text)).collect::<Vec<_>>();
        Catalog::new(config, None, &listing.into(), previous)
    }

    #[test]
    fn effects_are_the_operators_word_before_the_servers() {
        let read = r#"{"name":"r","annotations":{"readOnlyHint":true}}"#;
        let same = r#"{"name":"i","annotations":{"idempotentHint":true,"readOnlyHint":false}}"#;
        let mut config = McpConfig::new("a", "x", &[]);
        config.effects.insert("i".to_owned(), Effect::Keyed);
        let check = |config: &McpConfig, expected: [Effect; 2]| {
            let catalog = catalog(config, &[read, same], None);
            assert_eq!(["r", "i"].map(|name| catalog.get(name).unwrap().effect), expected);
        };
        check(&config, [Effect::AtMostOnce, Effect::Keyed]);
        config.trust_hints = true;
        check(&config, [Effect::ReadOnly, Effect::Keyed]);
        config.effects.clear();
        check(&config, [Effect::ReadOnly, Effect::Idempotent]);
    }

    #[test]
    fn the_version_changes_with_the_tools_and_schemas_are_kept() {
        let config = McpConfig::new("a", "x", &[]);
        let one = r#"{"name":"t","inputSchema":{"type":"object","required":["a"]}}"#;
        let first = catalog(&config, &[one], None);
        let same = catalog(&config, &[one], Some(&first));
        let more = catalog(&config, &[one, r#"{"name":"u"}"#], Some(&same));
        assert_eq!(first.description.version, same.description.version);
        assert_ne!(first.description.version, more.description.version);
        assert!(Arc::ptr_eq(&first.get("t").unwrap().input, &more.get("t").unwrap().input));
        assert_eq!(more.description.skills.iter().map(|skill| skill.id.as_str()).collect::<Vec<_>>(), ["t", "u"]);
    }

    #[test]
    fn what_cannot_be_a_skill_is_left_out() {
        let config = McpConfig::new("a", "x", &[]);
        let tools = [
            r#"{"name":"a\nb"}"#,
            r#"{"name":"t"}"#,
            r#"{"name":"t"}"#,
            r#"{"name":"k","execution":{"taskSupport":"required"}}"#,
        ];
        let catalog = catalog(&config, &tools, None);
        assert_eq!(catalog.tools().map(|tool| tool.id.as_str()).collect::<Vec<_>>(), ["t"]);
    }

    #[test]
    fn near_names_are_found() {
        let config = McpConfig::new("a", "x", &[]);
        let tools = ["read_file", "read_text_file", "write_file", "list"].map(|name| format!(r#"{{"name":"{name}"}}"#));
        let catalog = catalog(&config, &tools.each_ref().map(String::as_str), None);
        assert_eq!(catalog.near("raed_file"), ["read_file"]);
        assert_eq!(catalog.near("LIST"), ["list"]);
        assert_eq!(catalog.near("read"), ["read_file", "read_text_file"]);
        // What is too long to be a name is compared with none.
        assert_eq!(catalog.near(&format!("read_file {}", "x".repeat(300))), [""; 0]);
        assert_eq!(catalog.near("read the list"), ["list"]);
        // What has only some letters in common was not meant.
        for far in ["zzz", "", "e", "ea", "at", "bread", "enlist", "lost_it", "what", "d_f"] {
            assert_eq!(catalog.near(far), [""; 0], "{far}");
        }
    }
}
