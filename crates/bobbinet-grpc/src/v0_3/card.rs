//! The card of an agent.

use std::collections::BTreeMap;

use bobbinet_core::{Description, agent::EXTENSION_URI};
use bobbinet_wire::v1_0::card::{MODES, MODES_STRUCTURED, SecurityScheme};

use super::pb;
use crate::Places;

/// The version that a card of 0.3 says.
const VERSION: &str = "0.3.0";

/// The card of an agent.
pub fn write(description: &Description, security: &[SecurityScheme], places: Places<'_>) -> pb::AgentCard {
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
    let named = SecurityScheme::named(security);
    let requirement =
        |name: &String| pb::Security { schemes: BTreeMap::from([(name.clone(), pb::StringList::default())]) };
    pb::AgentCard {
        protocol_version: VERSION.to_owned(),
        name: description.name.clone(),
        description: description.description.clone(),
        url: places.url.to_owned(),
        preferred_transport: "JSONRPC".to_owned(),
        additional_interfaces: [
            Some(interface(places.url, "JSONRPC")),
            // No message of 0.3 says which agent is meant.
            places.grpc.filter(|_| places.tenant.is_none()).map(|address| interface(address, "GRPC")),
        ]
        .into_iter()
        .flatten()
        .collect(),
        provider: description
            .provider
            .as_ref()
            .map(|(organization, url)| pb::AgentProvider { url: url.clone(), organization: organization.clone() }),
        version: description.version.clone(),
        documentation_url: description.documentation_url.clone().unwrap_or_default(),
        capabilities: Some(pb::AgentCapabilities {
            streaming: description.capabilities.streaming,
            push_notifications: false,
            extensions: vec![pb::AgentExtension { uri: EXTENSION_URI.to_owned(), ..pb::AgentExtension::default() }],
        }),
        security: named.iter().map(|(name, _)| requirement(name)).collect(),
        security_schemes: named.into_iter().map(|(name, scheme)| (name, scheme_of(scheme))).collect(),
        default_input_modes: modes(),
        default_output_modes: modes(),
        skills: skills.collect(),
        ..pb::AgentCard::default()
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
