//! What an agent says of itself, before it is written as an Agent Card.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Effect, Json, SkillId};

/// The name of our extension of A2A: it tells callers the schemas of skills, and its key in a message's metadata names the skill that
/// is meant (DESIGN section 7). A breaking change is another name.
pub const EXTENSION_URI: &str = "urn:bobbinet:skills:v1";

/// Stands in the metadata of a result that another agent than the one that was asked has made: that one's name.
pub const VIA_KEY: &str = "urn:bobbinet:via:v1";

/// The skill that the metadata of a message, or of its request, names under our extension: as `{"skill": NAME}`, or by its name alone. As it
/// was written: what is no name of a skill was named all the same, and is not there.
pub fn skill_named_in(metadata: &Json) -> Option<String> {
    // Most say nothing of ours, and to read them takes longer.
    let metadata = Some(metadata).filter(|metadata| metadata.as_str().contains(EXTENSION_URI))?;
    let ours = metadata.read::<BTreeMap<String, Json>>().ok()?.remove(EXTENSION_URI)?;
    let skill = match ours.read::<BTreeMap<String, Json>>() {
        Ok(mut fields) => fields.remove("skill")?,
        Err(_) => ours,
    };
    Some(skill.read().unwrap_or_else(|_| skill.as_str().to_owned()))
}

/// An agent's description: the part of an Agent Card that does not depend on where it is served (A2A specification 4.4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The agent's name for people.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The version of its skills: changes whenever they do.
    pub version: String,
    /// Where to read more.
    pub documentation_url: Option<String>,
    /// Who provides it, and their site.
    pub provider: Option<(String, String)>,
    /// In order of the card.
    pub skills: Vec<Skill>,
    /// What of A2A it takes part in, and what it wants of its callers.
    pub capabilities: Capabilities,
}

/// What of A2A an agent takes part in, as far as that is its own to say: a node that has no webhooks has none for this agent either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether its tasks can be followed by streams. If not, both streaming methods are refused.
    pub streaming: bool,
    /// Whether its tasks can be followed by webhooks. If not, all four methods for them are refused.
    pub push_notifications: bool,
    /// The extensions that it declares, beside ours.
    pub extensions: Vec<Extension>,
    /// What its card says to known callers only. `None`: they see the public one.
    pub extended: Option<Arc<Extended>>,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { streaming: true, push_notifications: true, extensions: Vec::new(), extended: None }
    }
}

impl Capabilities {
    /// The extensions that a request must name.
    pub fn required(&self) -> impl Iterator<Item = &Extension> {
        self.extensions.iter().filter(|extension| extension.required)
    }
}

/// An extension of A2A that an agent speaks (specification 4.4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// What it is known by.
    pub uri: String,
    /// What the agent does with it.
    pub description: String,
    /// Whether a caller must speak it: a request that does not name it is refused.
    pub required: bool,
    /// What else the extension wants declared: a JSON object.
    pub params: Option<Json>,
}

/// What the extended card has beside the public one (specification 3.1.11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    /// What the agent is for, in other words than the public ones.
    pub description: Option<String>,
    /// Skills that the public card does not name, after those that it does.
    pub skills: Vec<Skill>,
}

/// One thing that an agent can do: for a wrapped MCP server, one tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skill {
    /// The tool's name, letter for letter.
    pub id: SkillId,
    /// A name for people.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Messages that it answers.
    pub examples: Vec<String>,
    /// JSON Schema of its arguments.
    pub input: Option<Json>,
    /// JSON Schema of its structured result.
    pub output: Option<Json>,
    /// What running it twice means.
    pub effect: Effect,
}
