//! The card of an agent.

use std::collections::BTreeMap;

use bobbinet_core::{Description, Json, agent::EXTENSION_URI};
use bobbinet_wire::{
    interface::CardInterface,
    v1_0::card::{CardContext, MODES, MODES_STRUCTURED, SecurityScheme},
};
use serde_json::{Map, Value};

use super::pb;
use crate::json;

/// The card that a known caller is told.
pub fn write(description: &Description, context: CardContext<'_>) -> pb::AgentCard {
    let modes = |modes: [&str; 2]| modes.map(str::to_owned).to_vec();
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
    let named = SecurityScheme::named(context.security);
    let requirement = |name: &String| pb::SecurityRequirement {
        schemes: BTreeMap::from([(name.clone(), pb::StringList::default())]),
    };
    let declared = description.capabilities.extensions.iter().map(|declared| pb::AgentExtension {
        uri: declared.uri.clone(),
        description: declared.description.clone(),
        required: declared.required,
        params: declared.params.as_ref().map(json::object),
    });
    pb::AgentCard {
        name: description.name.clone(),
        description: description.description.clone(),
        supported_interfaces: context.interfaces.iter().map(interface).collect(),
        provider: description
            .provider
            .as_ref()
            .map(|(organization, url)| pb::AgentProvider { url: url.clone(), organization: organization.clone() }),
        version: description.version.clone(),
        documentation_url: description.documentation_url.clone(),
        capabilities: Some(pb::AgentCapabilities {
            streaming: Some(context.streaming),
            push_notifications: Some(context.push),
            extensions: [extension(description)].into_iter().chain(declared).collect(),
            extended_agent_card: Some(context.extended),
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

fn interface(interface: &CardInterface) -> pb::AgentInterface {
    pb::AgentInterface {
        url: interface.url.clone(),
        protocol_binding: interface.transport.name().to_owned(),
        tenant: interface.tenant.clone().unwrap_or_default(),
        protocol_version: interface.version.name().to_owned(),
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
