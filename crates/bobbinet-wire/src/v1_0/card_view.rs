//! Reading an Agent Card, as a client of the agent needs it: as leniently as ProtoJSON, in which null is as good as nothing.

use std::collections::BTreeMap;

use bobbinet_core::{
    Json,
    agent::EXTENSION_URI,
    json::strict::{self, StrictFault},
};
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess},
};

use super::version::{At, BINDING, V1_0};
use crate::{
    error::FieldViolation,
    faults::{self, Author},
    from_proto::{self, Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    protocol::{Protocol, Version},
    scalar::{NonEmpty, Struct},
};

/// A card that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the agent card is not one of A2A")]
pub struct CardError(#[source] CardFault);

/// Why it cannot.
#[derive(Debug, thiserror::Error)]
enum CardFault {
    #[error("it is not UTF-8")]
    Encoding,
    #[error(transparent)]
    Strict(#[from] StrictFault),
    #[error("{}", faults::tell(.0, "it"))]
    ObjectBuilder(Vec<FieldViolation>),
}

/// A card, as far as a client needs it. What a card should have but has not, is empty here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Where it is reached in a version of A2A before 1.0, as cards said it then: first the preferred way.
    pub older_interfaces: Vec<Interface>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The URL that takes requests.
    pub url: String,
    /// In which binding: `JSONRPC`, `GRPC`, `HTTP+JSON` or a URI.
    pub protocol_binding: String,
    /// In which version of A2A.
    pub protocol_version: String,
    /// What to say as `tenant` in each request, if anything.
    pub tenant: Option<String>,
}

/// What of the protocol an agent can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// The URI that names it.
    pub uri: String,
    /// What it says here.
    pub params: Option<Json>,
}

/// One thing that an agent can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkillView {
    /// What a message calls it.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// What it does, for people and models.
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
    /// Reads a card. One that two readers could take for two different ones is refused: whoever checks it, and whoever pins or
    /// shows it, must see the same.
    ///
    /// # Errors
    /// If it is no JSON object, or a field of it cannot be read; the source names all such fields.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardError> {
        let read = || {
            let text = std::str::from_utf8(bytes).map_err(|_| CardFault::Encoding)?;
            strict::check(bytes)?;
            from_proto::read::<V1_0, _>(text, Author::Agent).map_err(CardFault::ObjectBuilder)
        };
        read().map_err(CardError)
    }

    /// All ways to reach the agent, in the order of the card; those that it says as cards did before 1.0 come last, and once.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        let is_new = |older: &&Interface| {
            let version = Version::of(&older.protocol_version);
            let is_same = |known: &Interface| {
                known.url == older.url
                    && known.protocol_binding == older.protocol_binding
                    && Version::of(&known.protocol_version) == version
            };
            !self.supported_interfaces.iter().any(is_same)
        };
        self.supported_interfaces.iter().chain(self.older_interfaces.iter().filter(is_new))
    }

    /// Those that are spoken here.
    pub fn spoken(&self) -> impl Iterator<Item = (&Interface, Protocol)> {
        self.interfaces().filter_map(|interface| {
            Protocol::of(&interface.protocol_version, &interface.protocol_binding).map(|protocol| (interface, protocol))
        })
    }

    /// Where the agent looks for an API key, if it takes one.
    pub fn api_key(&self) -> Option<ApiKeyScheme> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Scheme {
            api_key_security_scheme: Option<ApiKeyScheme>,
            /// Of 0.3.
            r#type: Option<String>,
            r#in: Option<String>,
            name: Option<String>,
        }
        let schemes = self.security_schemes.as_ref()?.read::<BTreeMap<String, Json>>().ok()?;
        schemes.values().find_map(|scheme| {
            let scheme = scheme.read::<Scheme>().ok()?;
            let older = || match (scheme.r#type.as_deref(), scheme.r#in, scheme.name) {
                (Some("apiKey"), Some(location), Some(name)) => Some(ApiKeyScheme { location, name }),
                (_, _, _) => None,
            };
            scheme.api_key_security_scheme.or_else(older)
        })
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

impl<'de> FromProto<'de, V1_0> for CardView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<CardFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct CardFields<'de> {
    name: Field<NonEmpty<'de>>,
    description: Field<NonEmpty<'de>>,
    version: Field<NonEmpty<'de>>,
    supported_interfaces: Field<Vec<Interface>>,
    capabilities: Field<Capabilities>,
    skills: Field<Vec<SkillView>>,
    security_schemes: Field<Struct>,
    /// As cards had it before 1.0.
    url: Field<NonEmpty<'de>>,
    protocol_version: Field<NonEmpty<'de>>,
    preferred_transport: Field<NonEmpty<'de>>,
    additional_interfaces: Field<Vec<AdditionalInterface>>,
    extended_card: Field<bool>,
}

impl<'de> ObjectBuilder<'de, V1_0> for CardFields<'de> {
    type Output = CardView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "name" => read_field(&mut self.name, map, at, "name")?,
            "description" => read_field(&mut self.description, map, at, "description")?,
            "version" => read_field(&mut self.version, map, at, "version")?,
            "supportedInterfaces" => read_field(&mut self.supported_interfaces, map, at, "supportedInterfaces")?,
            "capabilities" => read_field(&mut self.capabilities, map, at, "capabilities")?,
            "skills" => read_field(&mut self.skills, map, at, "skills")?,
            "securitySchemes" => read_field(&mut self.security_schemes, map, at, "securitySchemes")?,
            "url" => read_field(&mut self.url, map, at, "url")?,
            "protocolVersion" => read_field(&mut self.protocol_version, map, at, "protocolVersion")?,
            "preferredTransport" => read_field(&mut self.preferred_transport, map, at, "preferredTransport")?,
            "additionalInterfaces" => read_field(&mut self.additional_interfaces, map, at, "additionalInterfaces")?,
            "supportsAuthenticatedExtendedCard" => {
                read_field(&mut self.extended_card, map, at, "supportsAuthenticatedExtendedCard")?;
            }
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_>) -> Option<CardView> {
        let supported_interfaces = self.supported_interfaces.optional().unwrap_or_default();
        let version = match (self.protocol_version.optional(), supported_interfaces.is_empty()) {
            (Some(version), _) => version.into_owned(),
            // Cards before 0.2.5 do not say.
            (None, true) => "0.2".to_owned(),
            (None, false) => "0.3".to_owned(),
        };
        let older = |url: String, binding: Option<String>| Interface {
            url,
            protocol_binding: binding.unwrap_or_else(|| BINDING.to_owned()),
            protocol_version: version.clone(),
            tenant: None,
        };
        let transport = self.preferred_transport.optional().map(NonEmpty::into_owned);
        let preferred = self.url.optional().map(|url| older(url.into_owned(), transport));
        let additional = self.additional_interfaces.optional().unwrap_or_default();
        let additional = additional.into_iter().map(|also| older(also.url, Some(also.transport)));
        let mut older_interfaces: Vec<Interface> = Vec::new();
        for interface in preferred.into_iter().chain(additional) {
            if !older_interfaces.contains(&interface) {
                older_interfaces.push(interface);
            }
        }
        let mut capabilities = self.capabilities.optional().unwrap_or_default();
        capabilities.extended_agent_card = capabilities.extended_agent_card.or(self.extended_card.optional());
        Some(CardView {
            name: text(self.name),
            description: text(self.description),
            version: text(self.version),
            supported_interfaces,
            older_interfaces,
            capabilities,
            skills: self.skills.optional().unwrap_or_default(),
            security_schemes: self.security_schemes.optional().map(|object| object.0),
        })
    }
}

fn text(slot: Field<NonEmpty<'_>>) -> String {
    slot.optional().map(NonEmpty::into_owned).unwrap_or_default()
}

fn texts(slot: Field<Vec<NonEmpty<'_>>>) -> Option<Vec<String>> {
    slot.optional().map(|words| words.into_iter().map(NonEmpty::into_owned).collect())
}

impl<'de> FromProto<'de, V1_0> for Interface {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<InterfaceFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct InterfaceFields<'de> {
    url: Field<NonEmpty<'de>>,
    protocol_binding: Field<NonEmpty<'de>>,
    protocol_version: Field<NonEmpty<'de>>,
    tenant: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for InterfaceFields<'de> {
    type Output = Interface;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "url" => read_field(&mut self.url, map, at, "url")?,
            "protocolBinding" => read_field(&mut self.protocol_binding, map, at, "protocolBinding")?,
            "protocolVersion" => read_field(&mut self.protocol_version, map, at, "protocolVersion")?,
            "tenant" => read_field(&mut self.tenant, map, at, "tenant")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_>) -> Option<Interface> {
        Some(Interface {
            url: text(self.url),
            protocol_binding: text(self.protocol_binding),
            protocol_version: text(self.protocol_version),
            tenant: self.tenant.optional().map(NonEmpty::into_owned),
        })
    }
}

/// One more way to reach an agent, as a card before 1.0 says it.
#[derive(Default)]
struct AdditionalInterface {
    url: String,
    transport: String,
}

impl<'de> FromProto<'de, V1_0> for AdditionalInterface {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<AdditionalFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct AdditionalFields<'de> {
    url: Field<NonEmpty<'de>>,
    transport: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for AdditionalFields<'de> {
    type Output = AdditionalInterface;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "url" => read_field(&mut self.url, map, at, "url")?,
            "transport" => read_field(&mut self.transport, map, at, "transport")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_>) -> Option<AdditionalInterface> {
        Some(AdditionalInterface { url: text(self.url), transport: text(self.transport) })
    }
}

impl<'de> FromProto<'de, V1_0> for Capabilities {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<CapabilitiesFields, _, _>(from, at)
    }
}

#[derive(Default)]
struct CapabilitiesFields {
    streaming: Field<bool>,
    push_notifications: Field<bool>,
    extended_agent_card: Field<bool>,
    extensions: Field<Vec<Extension>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for CapabilitiesFields {
    type Output = Capabilities;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "streaming" => read_field(&mut self.streaming, map, at, "streaming")?,
            "pushNotifications" => read_field(&mut self.push_notifications, map, at, "pushNotifications")?,
            "extendedAgentCard" => read_field(&mut self.extended_agent_card, map, at, "extendedAgentCard")?,
            "extensions" => read_field(&mut self.extensions, map, at, "extensions")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_>) -> Option<Capabilities> {
        Some(Capabilities {
            streaming: self.streaming.optional(),
            push_notifications: self.push_notifications.optional(),
            extended_agent_card: self.extended_agent_card.optional(),
            extensions: self.extensions.optional(),
        })
    }
}

impl<'de> FromProto<'de, V1_0> for Extension {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ExtensionFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ExtensionFields<'de> {
    uri: Field<NonEmpty<'de>>,
    params: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V1_0> for ExtensionFields<'de> {
    type Output = Extension;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "uri" => read_field(&mut self.uri, map, at, "uri")?,
            "params" => read_field(&mut self.params, map, at, "params")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_>) -> Option<Extension> {
        Some(Extension { uri: text(self.uri), params: self.params.optional().map(|object| object.0) })
    }
}

impl<'de> FromProto<'de, V1_0> for SkillView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<SkillFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct SkillFields<'de> {
    id: Field<NonEmpty<'de>>,
    name: Field<NonEmpty<'de>>,
    description: Field<NonEmpty<'de>>,
    tags: Field<Vec<NonEmpty<'de>>>,
    examples: Field<Vec<NonEmpty<'de>>>,
    input_modes: Field<Vec<NonEmpty<'de>>>,
    output_modes: Field<Vec<NonEmpty<'de>>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for SkillFields<'de> {
    type Output = SkillView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => read_field(&mut self.id, map, at, "id")?,
            "name" => read_field(&mut self.name, map, at, "name")?,
            "description" => read_field(&mut self.description, map, at, "description")?,
            "tags" => read_field(&mut self.tags, map, at, "tags")?,
            "examples" => read_field(&mut self.examples, map, at, "examples")?,
            "inputModes" => read_field(&mut self.input_modes, map, at, "inputModes")?,
            "outputModes" => read_field(&mut self.output_modes, map, at, "outputModes")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_>) -> Option<SkillView> {
        Some(SkillView {
            id: text(self.id),
            name: text(self.name),
            description: text(self.description),
            tags: texts(self.tags),
            examples: texts(self.examples),
            input_modes: texts(self.input_modes),
            output_modes: texts(self.output_modes),
        })
    }
}
