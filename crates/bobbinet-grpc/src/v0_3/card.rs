//! The card of an agent.

use std::collections::BTreeMap;

use bobbinet_core::{Description, agent::EXTENSION_URI};
use bobbinet_wire::{
    Version,
    interface::CardInterface,
    v1_0::card::{CardContext, MODES, MODES_STRUCTURED, SecurityScheme},
};

use super::pb;
use crate::json;

/// The version that a card of 0.3 says.
const VERSION: &str = "0.3.0";

/// The card of an agent.
pub fn write(description: &Description, context: CardContext<'_>) -> pb::AgentCard {
    let modes = || MODES.map(str::to_owned).to_vec();
    let interfaces = || context.interfaces.iter().filter(|interface| interface.version == Version::V0_3);
    let preferred = interfaces().next();
    let interface = |interface: &CardInterface| pb::AgentInterface {
        url: interface.url.clone(),
        transport: interface.transport.name().to_owned(),
    };
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
    let named = SecurityScheme::named(context.security);
    let requirement =
        |name: &String| pb::Security { schemes: BTreeMap::from([(name.clone(), pb::StringList::default())]) };
    let ours = pb::AgentExtension { uri: EXTENSION_URI.to_owned(), ..pb::AgentExtension::default() };
    let declared = description.capabilities.extensions.iter().map(|declared| pb::AgentExtension {
        uri: declared.uri.clone(),
        description: declared.description.clone(),
        required: declared.required,
        params: declared.params.as_ref().map(json::object),
    });
    pb::AgentCard {
        protocol_version: VERSION.to_owned(),
        name: description.name.clone(),
        description: description.description.clone(),
        url: preferred.map(|preferred| preferred.url.clone()).unwrap_or_default(),
        preferred_transport: preferred.map(|preferred| preferred.transport.name().to_owned()).unwrap_or_default(),
        additional_interfaces: interfaces().map(interface).collect(),
        provider: description
            .provider
            .as_ref()
            .map(|(organization, url)| pb::AgentProvider { url: url.clone(), organization: organization.clone() }),
        version: description.version.clone(),
        documentation_url: description.documentation_url.clone().unwrap_or_default(),
        capabilities: Some(pb::AgentCapabilities {
            streaming: context.streaming,
            push_notifications: context.push,
            extensions: [ours].into_iter().chain(declared).collect(),
        }),
        security: named.iter().map(|(name, _)| requirement(name)).collect(),
        security_schemes: named.into_iter().map(|(name, scheme)| (name, scheme_of(scheme))).collect(),
        default_input_modes: modes(),
        default_output_modes: modes(),
        skills: skills.collect(),
        supports_authenticated_extended_card: context.extended,
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
