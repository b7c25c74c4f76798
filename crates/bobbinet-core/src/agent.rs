//! What an agent says of itself, before it is written as an Agent Card.

use serde::{Deserialize, Serialize};

use crate::{Effect, Json, SkillId};

/// The name of our extension of A2A: it tells callers the schemas of skills, and its key in a message's metadata names the skill that
/// is meant (DESIGN section 7). A breaking change is another name.
pub const EXTENSION_URI: &str = "urn:bobbinet:skills:v1";

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
