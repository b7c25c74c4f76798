//! Reading an Agent Card, as a client of the agent needs it.

use std::{collections::BTreeMap, fmt};

use bobbinet_core::{Json, agent::EXTENSION_URI};
use serde::Deserialize;

use super::{BINDING, is_version};

/// A card that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the agent card is not one of A2A")]
pub struct CardError(#[source] serde_json::Error);

/// A card, as far as a client needs it. What a card should have but has not, is empty here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CardView {
    /// The agent's name for people.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The version of its skills.
    pub version: String,
    /// Where it is reached, the preferred way first.
    pub supported_interfaces: Vec<Interface>,
    /// What of the protocol it can do.
    pub capabilities: Capabilities,
    /// What it can do.
    pub skills: Vec<SkillView>,
    /// How it wants to be shown who calls, by the schemes' names.
    pub security_schemes: Option<Json>,
    /// Where it is reached in a version of A2A before 1.0, if the card says so as cards did then.
    #[serde(skip)]
    pub older: Option<OlderInterface>,
}

/// Where and how an agent is reached, as a card before A2A 1.0 says it. It is told to people only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OlderInterface {
    /// Where.
    pub url: String,
    /// In which version; cards before 0.2.5 do not say.
    #[serde(default)]
    pub protocol_version: Option<String>,
    /// In which binding; without a word it is JSON-RPC.
    #[serde(default)]
    pub preferred_transport: Option<String>,
}

impl fmt::Display for OlderInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.protocol_version.as_deref().unwrap_or("0.2");
        write!(f, "A2A {version} over {}", self.preferred_transport.as_deref().unwrap_or(BINDING))
    }
}

/// Where an agent looks for an API key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ApiKeyScheme {
    /// `header`, `query` or `cookie`.
    pub location: String,
    /// The name of the header, of the query's parameter or of the cookie.
    pub name: String,
}

/// One way to reach an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Interface {
    /// Where.
    pub url: String,
    /// In which binding: `JSONRPC`, `GRPC`, `HTTP+JSON` or a URI.
    pub protocol_binding: String,
    /// In which version of A2A.
    pub protocol_version: String,
    /// What to say as `tenant` in each request, if anything.
    pub tenant: Option<String>,
}

/// What of the protocol an agent can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Capabilities {
    /// Whether it streams.
    pub streaming: Option<bool>,
    /// Whether it calls webhooks.
    pub push_notifications: Option<bool>,
    /// Whether known callers get another card.
    pub extended_agent_card: Option<bool>,
    /// What it adds to the protocol.
    pub extensions: Option<Vec<Extension>>,
}

/// Something an agent adds to the protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Extension {
    /// Its name.
    pub uri: String,
    /// What it says here.
    pub params: Option<Json>,
}

/// One thing that an agent can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SkillView {
    /// Its id.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Words to find it by.
    pub tags: Option<Vec<String>>,
    /// Messages that it answers.
    pub examples: Option<Vec<String>>,
    /// Media types that it reads.
    pub input_modes: Option<Vec<String>>,
    /// Media types that it writes.
    pub output_modes: Option<Vec<String>>,
}

/// What our extension says of a skill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExtensionSkill {
    /// JSON Schema of its arguments, if the card has it inline.
    pub input: Option<Json>,
    /// JSON Schema of its result, if the card has it inline.
    pub output: Option<Json>,
    /// The hash of both: [`schema_hash`](super::card::schema_hash).
    pub schema_hash: Option<String>,
    /// What running it twice means.
    pub effects: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ExtensionParams {
    idempotency_keys: bool,
    skills: BTreeMap<String, ExtensionSkill>,
}

impl CardView {
    /// Reads a card.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardError> {
        let card: Self = serde_json::from_slice(bytes).map_err(CardError)?;
        let older = card.supported_interfaces.is_empty().then(|| serde_json::from_slice(bytes).ok()).flatten();
        Ok(Self { older, ..card })
    }

    /// The first interface that this module can speak to, in the order of the card.
    pub fn endpoint(&self) -> Option<&Interface> {
        self.supported_interfaces
            .iter()
            .find(|interface| interface.protocol_binding == BINDING && is_version(&interface.protocol_version))
    }

    /// Where the agent looks for an API key, if it takes one.
    pub fn api_key(&self) -> Option<ApiKeyScheme> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Scheme {
            api_key_security_scheme: Option<ApiKeyScheme>,
        }
        let schemes = self.security_schemes.as_ref()?.read::<BTreeMap<String, Json>>().ok()?;
        schemes.values().find_map(|scheme| scheme.read::<Scheme>().ok()?.api_key_security_scheme)
    }

    /// What our extension says of each skill; nothing if the agent is not one of ours.
    pub fn extension_skills(&self) -> BTreeMap<String, ExtensionSkill> {
        self.extension().skills
    }

    /// Whether a message that is sent again under the same `Idempotency-Key` is done only once. A2A 1.0 knows no such key, so an agent
    /// that does not say so in our extension is taken to do it again.
    pub fn honours_idempotency_keys(&self) -> bool {
        self.extension().idempotency_keys
    }

    fn extension(&self) -> ExtensionParams {
        let extensions = self.capabilities.extensions.iter().flatten();
        extensions
            .filter(|extension| extension.uri == EXTENSION_URI)
            .find_map(|extension| extension.params.as_ref()?.read::<ExtensionParams>().ok())
            .unwrap_or_default()
    }
}
