//! The Agent Card of 1.0 (specification section 4.4): what an agent can do, where it is reached, and how to be let in. What 0.3 has
//! instead is written beside it, or in its place, if the card is for clients of 0.3 ([`CardForm`]): the rest is the same in both.

use bobbinet_core::{Description, Extension, Json, Skill, agent::EXTENSION_URI};

use crate::{
    digest::sha256_hex,
    interface::{CardForm, CardInterface},
    protocol::Version,
    v0_3,
    write::{Object, array, object, raw},
};

/// The largest card that has the schemas of its skills inline, in bytes. A larger one has their hashes only: a card is read by whoever
/// looks for an agent, schemas by whoever calls it.
pub const CARD_INLINE_MAX: usize = 64 << 10;

/// What every agent of ours reads and writes.
pub const MODES: [&str; 2] = ["text/plain", "application/json"];

/// What a skill with a schema of its result writes, best first.
pub const MODES_STRUCTURED: [&str; 2] = ["application/json", "text/plain"];

/// What our extension is, for people who read cards.
const EXTENSION_DESCRIPTION: &str = "The schemas of each skill, how a message names the skill it means, and whether a \
    message that is sent again under the same Idempotency-Key header is done only once.";

/// What is said of API keys.
const API_KEY_DESCRIPTION: &str = "An API key of the node's; `Authorization: Bearer` takes it, too.";

/// What a card says that depends on where its agent is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardContext<'a> {
    /// Where and how it is reached, the preferred way first.
    pub interfaces: &'a [CardInterface],
    /// Whom the card is for.
    pub form: CardForm,
    /// Whether the streaming methods work.
    pub streaming: bool,
    /// Whether webhooks work.
    pub push: bool,
    /// Whether known callers get another card.
    pub extended: bool,
    /// What a caller can show to be let in: any one of these. Without any, nothing is asked for.
    pub security: &'a [SecurityScheme],
}

/// What a caller can show to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityScheme {
    /// A bearer token: a JWT.
    BearerJwt,
    /// An API key in this header.
    ApiKey {
        /// The header's name.
        header: &'static str,
    },
    /// A token of an OpenID provider, whose configuration is at this URL.
    OpenIdConnect {
        /// The URL of the configuration.
        url: String,
    },
    /// A certificate of the caller's.
    MutualTls,
}

impl SecurityScheme {
    /// What cards call each of these schemes: no two by the same name.
    pub fn named(schemes: &[Self]) -> Vec<(String, &Self)> {
        let mut providers = 0;
        let name = |scheme: &Self| match scheme {
            Self::BearerJwt => "bearer".to_owned(),
            Self::ApiKey { .. } => "apiKey".to_owned(),
            Self::OpenIdConnect { .. } => {
                providers += 1;
                if providers == 1 { "oidc".to_owned() } else { format!("oidc{providers}") }
            }
            Self::MutualTls => "mutualTls".to_owned(),
        };
        let names: Vec<String> = schemes.iter().map(name).collect();
        names.into_iter().zip(schemes).collect()
    }
}

/// Writes a card. The same description in the same place gives the same bytes, so that their hash can serve as an `ETag`.
pub fn write(description: &Description, context: CardContext<'_>) -> Vec<u8> {
    let inline = write_with(description, context, Schemas::Inline);
    if inline.len() <= CARD_INLINE_MAX { inline } else { write_with(description, context, Schemas::Hashed) }
}

/// The hash of a skill's schemas as cards name it: of the text of `input`, a line feed if there are both, and the text of `output`, each
/// as the card writes it. `None` if the skill has neither.
pub fn schema_hash(input: Option<&Json>, output: Option<&Json>) -> Option<String> {
    if input.is_none() && output.is_none() {
        return None;
    }
    let mut text = Vec::new();
    for schema in [input, output].into_iter().flatten() {
        if !text.is_empty() {
            text.push(b'\n');
        }
        raw(&mut text, schema);
    }
    Some(format!("sha256:{}", sha256_hex(&text)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schemas {
    Inline,
    Hashed,
}

fn write_with(description: &Description, context: CardContext<'_>, schemas: Schemas) -> Vec<u8> {
    let mut out = Vec::with_capacity(2_048);
    object(&mut out, |card| {
        card.text("name", &description.name);
        card.text("description", &description.description);
        if context.form.has_1_0() {
            write_interfaces(card, context);
        }
        if context.form.has_0_3() {
            v0_3::card::write_interfaces(card, context.interfaces);
        }
        if let Some((organization, url)) = &description.provider {
            card.object("provider", |provider| {
                provider.text("url", url);
                provider.text("organization", organization);
            });
        }
        card.text("version", &description.version);
        card.text_if_some("documentationUrl", description.documentation_url.as_deref());
        card.object("capabilities", |capabilities| {
            capabilities.flag("streaming", context.streaming);
            capabilities.flag("pushNotifications", context.push);
            let declared = description.capabilities.extensions.iter().map(Some);
            array(capabilities.field("extensions"), [None].into_iter().chain(declared), |out, declared| {
                object(out, |extension| match declared {
                    None => write_extension(extension, description, schemas),
                    Some(declared) => write_declared(extension, declared),
                });
            });
            if context.form.has_1_0() {
                capabilities.flag("extendedAgentCard", context.extended);
            }
        });
        if context.form.has_0_3() {
            card.flag("supportsAuthenticatedExtendedCard", context.extended);
        }
        write_security(card, context);
        card.texts("defaultInputModes", MODES);
        card.texts("defaultOutputModes", MODES);
        card.list("skills", &description.skills, |out, skill| object(out, |fields| write_skill(fields, skill)));
    });
    out
}

/// A card that is of 1.0 alone names nothing else; one for all says of each interface what it speaks.
fn write_interfaces(card: &mut Object<'_>, context: CardContext<'_>) {
    let is_named = |interface: &&CardInterface| match interface.version {
        Version::V1_0 => true,
        Version::V0_3 => context.form.has_0_3(),
    };
    array(card.field("supportedInterfaces"), context.interfaces.iter().filter(is_named), |out, interface| {
        object(out, |fields| {
            fields.text("url", &interface.url);
            fields.text("protocolBinding", interface.transport.name());
            fields.text_if_some("tenant", interface.tenant.as_deref());
            fields.text("protocolVersion", interface.version.name());
        });
    });
}

fn write_extension(extension: &mut Object<'_>, description: &Description, schemas: Schemas) {
    extension.text("uri", EXTENSION_URI);
    extension.text("description", EXTENSION_DESCRIPTION);
    extension.flag("required", false);
    extension.object("params", |params| {
        params.flag("idempotencyKeys", true);
        params.object("skills", |skills| {
            for skill in &description.skills {
                object(skills.key(skill.id.as_str()), |fields| {
                    if schemas == Schemas::Inline {
                        fields.raw_if_some("input", skill.input.as_ref());
                        fields.raw_if_some("output", skill.output.as_ref());
                    }
                    let hash = schema_hash(skill.input.as_ref(), skill.output.as_ref());
                    fields.text_if_some("schemaHash", hash.as_deref());
                    fields.text("effects", skill.effect.as_str());
                });
            }
        });
    });
}

fn write_declared(fields: &mut Object<'_>, extension: &Extension) {
    fields.text("uri", &extension.uri);
    fields.text("description", &extension.description);
    fields.flag("required", extension.required);
    fields.raw_if_some("params", extension.params.as_ref());
}

fn write_security(card: &mut Object<'_>, context: CardContext<'_>) {
    if context.security.is_empty() {
        return;
    }
    let named = SecurityScheme::named(context.security);
    card.object("securitySchemes", |schemes| {
        for (name, scheme) in &named {
            object(schemes.key(name), |fields| {
                if context.form.has_1_0() {
                    write_scheme(fields, scheme);
                }
                if context.form.has_0_3() {
                    write_old_scheme(fields, scheme);
                }
            });
        }
    });
    // One requirement each: any of them will do.
    if context.form.has_1_0() {
        array(card.field("securityRequirements"), &named, |out, (name, _)| {
            object(out, |requirement| {
                requirement.object("schemes", |schemes| {
                    object(schemes.key(name), |scopes| scopes.texts("list", [""; 0]));
                });
            });
        });
    }
    if context.form.has_0_3() {
        v0_3::card::write_requirements(card, named.iter().map(|(name, _)| name.as_str()));
    }
}

fn write_scheme(fields: &mut Object<'_>, scheme: &SecurityScheme) {
    match scheme {
        SecurityScheme::BearerJwt => fields.object("httpAuthSecurityScheme", |http| {
            http.text("scheme", "Bearer");
            http.text("bearerFormat", "JWT");
        }),
        SecurityScheme::ApiKey { header } => fields.object("apiKeySecurityScheme", |key| {
            key.text("description", API_KEY_DESCRIPTION);
            key.text("location", "header");
            key.text("name", header);
        }),
        SecurityScheme::OpenIdConnect { url } => fields.object("openIdConnectSecurityScheme", |provider| {
            provider.text("openIdConnectUrl", url);
        }),
        SecurityScheme::MutualTls => fields.object("mtlsSecurityScheme", |_| {}),
    }
}

fn write_old_scheme(fields: &mut Object<'_>, scheme: &SecurityScheme) {
    match scheme {
        SecurityScheme::BearerJwt => v0_3::card::write_bearer_jwt(fields),
        SecurityScheme::ApiKey { header } => v0_3::card::write_api_key(fields, header, API_KEY_DESCRIPTION),
        SecurityScheme::OpenIdConnect { url } => v0_3::card::write_open_id(fields, url),
        SecurityScheme::MutualTls => v0_3::card::write_mutual_tls(fields),
    }
}

fn write_skill(fields: &mut Object<'_>, skill: &Skill) {
    fields.text("id", skill.id.as_str());
    fields.text("name", &skill.name);
    fields.text("description", &skill.description);
    fields.texts("tags", &skill.tags);
    if !skill.examples.is_empty() {
        fields.texts("examples", &skill.examples);
    }
    fields.texts("inputModes", MODES);
    fields.texts("outputModes", if skill.output.is_some() { MODES_STRUCTURED } else { MODES });
}
