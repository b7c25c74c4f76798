//! The card of an agent.

use std::collections::BTreeMap;

use bobbinet_core::{Description, Json, agent::EXTENSION_URI};
use bobbinet_wire::v1_0::card::{MODES, MODES_STRUCTURED, SecurityScheme};
use serde_json::{Map, Value};

use super::pb;
use crate::{Places, json};

/// The version that an interface of 1.0 says.
const VERSION: &str = "1.0";

/// The card that a known caller is told.
pub fn write(description: &Description, security: &[SecurityScheme], places: Places<'_>) -> pb::AgentCard {
    let modes = |modes: [&str; 2]| modes.map(str::to_owned).to_vec();
    let interface = |url: &str, binding: &str, tenant: Option<&str>| pb::AgentInterface {
        url: url.to_owned(),
        protocol_binding: binding.to_owned(),
        tenant: tenant.unwrap_or_default().to_owned(),
        protocol_version: VERSION.to_owned(),
    };
    let rpc = interface(places.url, "JSONRPC", None);
    let grpc = places.grpc.map(|address| interface(address, "GRPC", places.tenant));
    let skills = description.skills.iter().map(|skill| pb::AgentSkill {
        id: skill.id.as_str().to_owned(),
        name: skill.name.clone(),
        description: skill.description.clone(),
        tags: skill.tags.clone(),
        examples: skill.examples.clone(),
        input_modes: modes(MODES),
        output_modes: modes(if skill.output.is_some() { MODES_STRUCTURED } else { MODES }),
        security_requirements: Vec::new(),
    });
    let named = SecurityScheme::named(security);
    let requirement = |name: &String| pb::SecurityRequirement {
        schemes: BTreeMap::from([(name.clone(), pb::StringList::default())]),
    };
    pb::AgentCard {
        name: description.name.clone(),
        description: description.description.clone(),
        supported_interfaces: [rpc].into_iter().chain(grpc).collect(),
        provider: description
            .provider
            .as_ref()
            .map(|(organization, url)| pb::AgentProvider { url: url.clone(), organization: organization.clone() }),
        version: description.version.clone(),
        documentation_url: description.documentation_url.clone(),
        capabilities: Some(pb::AgentCapabilities {
            streaming: Some(description.capabilities.streaming),
            push_notifications: Some(false),
            extensions: vec![extension(description)],
            extended_agent_card: Some(true),
        }),
        security_requirements: named.iter().map(|(name, _)| requirement(name)).collect(),
        security_schemes: named.into_iter().map(|(name, scheme)| (name, scheme_of(scheme))).collect(),
        default_input_modes: modes(MODES),
        default_output_modes: modes(MODES),
        skills: skills.collect(),
        signatures: Vec::new(),
        icon_url: None,
    }
}

/// Ours, with the schemas of the skills.
fn extension(description: &Description) -> pb::AgentExtension {
    let mut skills = Map::new();
    for skill in &description.skills {
        let mut said = Map::new();
        for (name, schema) in [("input", &skill.input), ("output", &skill.output)] {
            if let Some(schema) = schema {
                said.insert(name.to_owned(), schema.to_value());
            }
        }
        said.insert("effects".to_owned(), skill.effect.as_str().into());
        skills.insert(skill.id.as_str().to_owned(), said.into());
    }
    let mut params = Map::new();
    params.insert("idempotencyKeys".to_owned(), true.into());
    params.insert("skills".to_owned(), skills.into());
    pb::AgentExtension {
        uri: EXTENSION_URI.to_owned(),
        params: Some(json::object(&Json::from(&Value::Object(params)))),
        ..pb::AgentExtension::default()
    }
}

fn scheme_of(scheme: &SecurityScheme) -> pb::SecurityScheme {
    use pb::security_scheme::Scheme;
    let scheme = match scheme {
        SecurityScheme::BearerJwt => Scheme::HttpAuthSecurityScheme(pb::HttpAuthSecurityScheme {
            description: String::new(),
            scheme: "Bearer".to_owned(),
            bearer_format: "JWT".to_owned(),
        }),
        SecurityScheme::ApiKey { header } => Scheme::ApiKeySecurityScheme(pb::ApiKeySecurityScheme {
            description: String::new(),
            location: "header".to_owned(),
            name: (*header).to_owned(),
        }),
        SecurityScheme::OpenIdConnect { url } => Scheme::OpenIdConnectSecurityScheme(pb::OpenIdConnectSecurityScheme {
            description: String::new(),
            open_id_connect_url: url.clone(),
        }),
        SecurityScheme::MutualTls => Scheme::MtlsSecurityScheme(pb::MutualTlsSecurityScheme::default()),
    };
    pb::SecurityScheme { scheme: Some(scheme) }
}
