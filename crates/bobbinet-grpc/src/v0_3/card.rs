//! The card of an agent.

use std::collections::BTreeMap;

use bobbinet_core::{Description, agent::EXTENSION_URI};
use bobbinet_wire::v1_0::card::{MODES, MODES_STRUCTURED};

use super::pb;

/// The version that a card of 0.3 says.
const VERSION: &str = "0.3.0";

/// The name of the one security scheme.
const BEARER: &str = "bearer";

/// The card of an agent that is called over JSON-RPC at `url`, and over gRPC on the same port.
pub fn write(description: &Description, url: &str) -> pb::AgentCard {
    let modes = || MODES.map(str::to_owned).to_vec();
    let interface =
        |url: &str, transport: &str| pb::AgentInterface { url: url.to_owned(), transport: transport.to_owned() };
    let skills = description.skills.iter().map(|skill| pb::AgentSkill {
        id: skill.id.as_str().to_owned(),
        name: skill.name.clone(),
        description: skill.description.clone(),
        tags: skill.tags.clone(),
        examples: skill.examples.clone(),
        input_modes: modes(),
        output_modes: if skill.output.is_some() { MODES_STRUCTURED.map(str::to_owned).to_vec() } else { modes() },
        security: Vec::new(),
    });
    let bearer = pb::SecurityScheme {
        scheme: Some(pb::security_scheme::Scheme::HttpAuthSecurityScheme(pb::HttpAuthSecurityScheme {
            description: String::new(),
            scheme: "Bearer".to_owned(),
            bearer_format: "JWT".to_owned(),
        })),
    };
    pb::AgentCard {
        protocol_version: VERSION.to_owned(),
        name: description.name.clone(),
        description: description.description.clone(),
        url: url.to_owned(),
        preferred_transport: "JSONRPC".to_owned(),
        additional_interfaces: vec![interface(url, "JSONRPC"), interface(authority(url), "GRPC")],
        provider: description
            .provider
            .as_ref()
            .map(|(organization, url)| pb::AgentProvider { url: url.clone(), organization: organization.clone() }),
        version: description.version.clone(),
        documentation_url: description.documentation_url.clone().unwrap_or_default(),
        capabilities: Some(pb::AgentCapabilities {
            streaming: true,
            push_notifications: false,
            extensions: vec![pb::AgentExtension { uri: EXTENSION_URI.to_owned(), ..pb::AgentExtension::default() }],
        }),
        security_schemes: BTreeMap::from([(BEARER.to_owned(), bearer)]),
        security: vec![pb::Security { schemes: BTreeMap::from([(BEARER.to_owned(), pb::StringList::default())]) }],
        default_input_modes: modes(),
        default_output_modes: modes(),
        skills: skills.collect(),
        ..pb::AgentCard::default()
    }
}

/// The host and the port of a URL, as an address of gRPC is written.
fn authority(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    after_scheme.split('/').next().unwrap_or_default()
}
