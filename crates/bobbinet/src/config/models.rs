//! Language models as agents: `writer: { model: { url, name, key, budget } }` of a `bobbinet.yaml`.

use bobbinet_outbound::Origin;
use reqwest::Url;

use super::{
    reader::{MapSettings, Reader},
    tree::Node,
};

const AGENT_KEYS: [&str; 4] = ["model", "title", "description", "slots"];
const MODEL_KEYS: [&str; 6] = ["url", "name", "key", "system", "max_tokens", "budget"];

/// Requests to one model at a time, if nothing is said.
const SLOTS: usize = 8;

/// A model that becomes an agent.
#[derive(Clone, Debug)]
pub(crate) struct ModelSettings {
    pub(crate) url: Url,
    pub(crate) origin: Origin,
    pub(crate) model: String,
    pub(crate) key: Option<bobbinet_model::ModelKey>,
    pub(crate) system: Option<String>,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) budget: u64,
    pub(crate) slots: usize,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
}

/// Whether an agent's settings are those of a model.
pub(crate) fn is_one(node: &Node) -> bool {
    node.get("model").is_some()
}

/// Reads one.
pub(crate) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<ModelSettings> {
    let what = format!("agent {name}");
    let fields = reader.fields(node, &what, &AGENT_KEYS);
    let slots = number(reader, &fields, "slots");
    let title = fields.get("title").and_then(|node| reader.text(node, "title"));
    let description = fields.get("description").and_then(|node| reader.text(node, "description"));
    let settings = endpoint(reader, fields.get("model")?, &what)?;
    let slots = slots.and_then(|slots| usize::try_from(slots).ok()).unwrap_or(SLOTS);
    Some(ModelSettings { slots, title, description, ..settings })
}

/// Reads where it is, and how it is called there.
pub(crate) fn endpoint(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<ModelSettings> {
    let model = reader.fields(node, "model", &MODEL_KEYS);
    let example =
        "for example: model: { url: https://api.openai.com/v1, name: gpt-5-mini, key: \"${env:OPENAI_API_KEY}\" }";
    let (Some(url), Some(model_name)) = (model.get("url"), model.get("name")) else {
        reader.fault_with_hint(model.at, format!("the model of {what} has no url or no name"), example);
        return None;
    };
    let text = reader.text(url, "url")?;
    let parsed = Url::parse(&text).ok().and_then(|url| Some((Origin::of(&url).ok()?, url)));
    let Some((origin, url)) = parsed else {
        reader.fault_with_hint(url.at, format!("{text:?} is no URL of a model's endpoint"), example);
        return None;
    };
    Some(ModelSettings {
        url,
        origin,
        model: reader.text(model_name, "name")?,
        key: model.get("key").and_then(|node| reader.text(node, "key")).map(bobbinet_model::ModelKey),
        system: model.get("system").and_then(|node| reader.text(node, "system")),
        max_tokens: number(reader, &model, "max_tokens"),
        budget: number(reader, &model, "budget").unwrap_or(bobbinet_model::BUDGET),
        slots: SLOTS,
        title: None,
        description: None,
    })
}

fn number(reader: &mut Reader<'_>, fields: &MapSettings<'_>, name: &str) -> Option<u64> {
    let node = fields.get(name)?;
    reader.parsed(node, name, |text| text.parse().ok().filter(|number| *number > 0))
}
