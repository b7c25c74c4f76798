//! What a card of 0.3 has where one of 1.0 has something else (its specification, section 5.5).

use crate::{
    interface::CardInterface,
    protocol::Version,
    write::{Object, array, object},
};

/// The version that cards name: with the patch number, as they did then.
const PROTOCOL_VERSION: &str = "0.3.0";

/// Writes where the agent is reached: the first of these that speaks 0.3 is the preferred one, and all are listed again.
pub(crate) fn write_interfaces(card: &mut Object<'_>, interfaces: &[CardInterface]) {
    let ours = || interfaces.iter().filter(|interface| interface.version == Version::V0_3);
    card.text("protocolVersion", PROTOCOL_VERSION);
    if let Some(preferred) = ours().next() {
        card.text("url", &preferred.url);
        card.text("preferredTransport", preferred.transport.name());
    }
    array(card.field("additionalInterfaces"), ours(), |out, interface| {
        object(out, |fields| {
            fields.text("url", &interface.url);
            fields.text("transport", interface.transport.name());
        });
    });
}

/// Writes what a caller can show, by the schemes' names: any one of them.
pub(crate) fn write_requirements<'n>(card: &mut Object<'_>, names: impl IntoIterator<Item = &'n str>) {
    array(card.field("security"), names, |out, name| {
        object(out, |schemes| array(schemes.key(name), [""; 0], |_, _| {}));
    });
}

/// Writes the scheme of a bearer token that is a JWT.
pub(crate) fn write_bearer_jwt(scheme: &mut Object<'_>) {
    scheme.text("type", "http");
    scheme.text("scheme", "Bearer");
    scheme.text("bearerFormat", "JWT");
}

/// Writes the scheme of an API key in a header.
pub(crate) fn write_api_key(scheme: &mut Object<'_>, header: &str, description: &str) {
    scheme.text("type", "apiKey");
    scheme.text("description", description);
    scheme.text("in", "header");
    scheme.text("name", header);
}

/// Writes the scheme of a token of the OpenID provider whose configuration is at this URL.
pub(crate) fn write_open_id(scheme: &mut Object<'_>, url: &str) {
    scheme.text("type", "openIdConnect");
    scheme.text("openIdConnectUrl", url);
}

/// Writes the scheme of a certificate of the caller's.
pub(crate) fn write_mutual_tls(scheme: &mut Object<'_>) {
    scheme.text("type", "mutualTLS");
}
