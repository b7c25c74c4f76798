//! What an agent offers beside what its skills say, for edges that show it as such.

use std::collections::BTreeMap;

use bobbinet_core::{Json, SkillId};

/// Resources and prompts of an agent: each is read by a skill, as a task like any other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// What there is to say of tools beside what their skills say, each a JSON object as MCP has it (`annotations`, `_meta`). Of one that is
    /// not here nobody says anything.
    pub tools: BTreeMap<SkillId, Json>,
    /// The skill that reads a resource by its `uri`, if there are any.
    pub reader: Option<SkillId>,
    /// The resources, each a JSON object as MCP has it (`uri`, `name` …).
    pub resources: Vec<Json>,
    /// What resources are made by, each a JSON object as MCP has it (`uriTemplate`, `name` …).
    pub templates: Vec<Json>,
    /// The prompts, each a JSON object as MCP has it (`name`, `arguments` …), by the skills that fill them in.
    pub prompts: Vec<(SkillId, Json)>,
    /// The skills that are there for callers who see nothing but skills: who sees all of the above needs none of them as tools.
    pub beside: Vec<SkillId>,
}
