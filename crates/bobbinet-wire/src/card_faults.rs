//! What is wrong with an Agent Card, each fault with its place: for whoever writes one. A client makes do with much less.

use std::fmt::Display;

use bobbinet_core::json::strict;
use serde_json::{Map, Value};

use crate::error::FieldViolation;

/// What stands in a scheme of 1.0 instead of its kind, and what each has to have.
const SCHEMES: [(&str, &[&str]); 5] = [
    ("apiKeySecurityScheme", &["location", "name"]),
    ("httpAuthSecurityScheme", &["scheme"]),
    ("oauth2SecurityScheme", &["flows"]),
    ("openIdConnectSecurityScheme", &["openIdConnectUrl"]),
    ("mtlsSecurityScheme", &[]),
];

/// The kinds of schemes of 0.3, and what each has to have.
const OLDER_SCHEMES: [(&str, &[&str]); 5] = [
    ("apiKey", &["in", "name"]),
    ("http", &["scheme"]),
    ("oauth2", &["flows"]),
    ("openIdConnect", &["openIdConnectUrl"]),
    ("mutualTLS", &[]),
];

/// All that is wrong with a card, in the order of its fields; the place is a path such as `skills[1].tags`. A card that has the shape of
/// 1.0 is held to it, one that has 0.3's to that, and one that has both to both.
pub fn faults(bytes: &[u8]) -> Vec<FieldViolation> {
    let mut found = Found::default();
    if let Err(fault) = strict::check(bytes) {
        found.add("", fault);
    }
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(card)) => card_of(&card, &mut found),
        Ok(_) => found.add("", "must be a JSON object"),
        Err(error) => found.add("", format_args!("is not JSON: {error}")),
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<FieldViolation>);

impl Found {
    fn add(&mut self, field: &str, description: impl Display) {
        self.0.push(FieldViolation { field: field.to_owned(), description: description.to_string() });
    }

    /// A text that has to be there.
    fn text<'v>(&mut self, object: &'v Map<String, Value>, at: &str, name: &str) -> Option<&'v str> {
        let place = below(at, name);
        match object.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => return Some(text),
            Some(Value::String(_)) => self.add(&place, "is empty"),
            Some(Value::Null) | None => self.add(&place, "is required"),
            Some(_) => self.add(&place, "must be a string"),
        }
        None
    }

    /// A URL that has to be there.
    fn url(&mut self, object: &Map<String, Value>, at: &str, name: &str) {
        let Some(text) = self.text(object, at, name) else { return };
        let host = text.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
        if host.is_none_or(str::is_empty) || text.contains(char::is_whitespace) {
            self.add(&below(at, name), "must be an absolute URL, such as https://agents.example.com/a");
        }
    }

    /// A list, each of whose items is looked at.
    fn list(
        &mut self,
        object: &Map<String, Value>,
        at: &str,
        name: &str,
        is_required: bool,
        mut item: impl FnMut(&mut Self, &str, &Value),
    ) {
        let place = below(at, name);
        match object.get(name) {
            Some(Value::Array(items)) => {
                for (index, value) in items.iter().enumerate() {
                    item(self, &format!("{place}[{index}]"), value);
                }
            }
            Some(Value::Null) | None if is_required => self.add(&place, "is required"),
            Some(Value::Null) | None => {}
            Some(_) => self.add(&place, "must be an array"),
        }
    }

    fn texts(&mut self, object: &Map<String, Value>, at: &str, name: &str, is_required: bool) {
        self.list(object, at, name, is_required, |found, place, item| {
            if item.as_str().is_none_or(|text| text.trim().is_empty()) {
                found.add(place, "must be a string that is not empty");
            }
        });
    }

    fn flag(&mut self, object: &Map<String, Value>, at: &str, name: &str) {
        if object.get(name).is_some_and(|value| !value.is_boolean() && !value.is_null()) {
            self.add(&below(at, name), "must be true or false");
        }
    }

    fn object<'v>(&mut self, at: &str, value: &'v Value) -> Option<&'v Map<String, Value>> {
        if !value.is_object() {
            self.add(at, "must be an object");
        }
        value.as_object()
    }
}

fn below(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn card_of(card: &Map<String, Value>, found: &mut Found) {
    let is_of_1_0 = card.contains_key("supportedInterfaces");
    let is_older = card.contains_key("url");
    for name in ["name", "description", "version"] {
        found.text(card, "", name);
    }
    if !is_of_1_0 && !is_older {
        found.add("supportedInterfaces", "is required: where the agent is reached");
    }
    if is_of_1_0 {
        interfaces(card, found);
    }
    if is_older {
        older_interfaces(card, found);
    }
    match card.get("capabilities") {
        Some(Value::Object(capabilities)) => capabilities_of(capabilities, found),
        Some(Value::Null) | None => found.add("capabilities", "is required, if only as {}"),
        Some(_) => found.add("capabilities", "must be an object"),
    }
    found.texts(card, "", "defaultInputModes", true);
    found.texts(card, "", "defaultOutputModes", true);
    skills(card, found);
    schemes(card, found, is_of_1_0);
    let names: Vec<&str> = card
        .get("securitySchemes")
        .and_then(Value::as_object)
        .map(|schemes| schemes.keys().map(String::as_str).collect())
        .unwrap_or_default();
    requirements(card, "", &names, found);
    if let Some(provider) = card.get("provider").filter(|provider| !provider.is_null())
        && let Some(provider) = found.object("provider", provider)
    {
        found.text(provider, "provider", "organization");
        found.url(provider, "provider", "url");
    }
    found.list(card, "", "signatures", false, |found, at, signature| {
        if let Some(signature) = found.object(at, signature) {
            found.text(signature, at, "protected");
            found.text(signature, at, "signature");
        }
    });
}

fn interfaces(card: &Map<String, Value>, found: &mut Found) {
    let mut is_any = false;
    found.list(card, "", "supportedInterfaces", true, |found, at, interface| {
        is_any = true;
        let Some(interface) = found.object(at, interface) else { return };
        let binding = found.text(interface, at, "protocolBinding");
        // That of gRPC is often a host and a port alone.
        match binding {
            Some("GRPC") => drop(found.text(interface, at, "url")),
            Some(_) | None => found.url(interface, at, "url"),
        }
        if let Some(binding) = binding
            && !matches!(binding, "JSONRPC" | "GRPC" | "HTTP+JSON")
            && !binding.contains("://")
        {
            found.add(&below(at, "protocolBinding"), "must be JSONRPC, GRPC, HTTP+JSON or the URI of another binding");
        }
        if let Some(version) = found.text(interface, at, "protocolVersion")
            && !is_version(version, 2)
        {
            found.add(&below(at, "protocolVersion"), "must be two numbers, such as 1.0");
        }
    });
    if !is_any && card.get("supportedInterfaces").is_some_and(Value::is_array) {
        found.add("supportedInterfaces", "is empty: nobody can reach the agent");
    }
}

fn older_interfaces(card: &Map<String, Value>, found: &mut Found) {
    found.url(card, "", "url");
    if let Some(version) = found.text(card, "", "protocolVersion")
        && !is_version(version, 2)
        && !is_version(version, 3)
    {
        found.add("protocolVersion", "must be numbers, such as 0.3.0");
    }
    found.list(card, "", "additionalInterfaces", false, |found, at, interface| {
        if let Some(interface) = found.object(at, interface) {
            found.text(interface, at, "transport");
            found.text(interface, at, "url");
        }
    });
    found.flag(card, "", "supportsAuthenticatedExtendedCard");
}

fn is_version(text: &str, numbers: usize) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').count() == numbers && text.split('.').all(is_number)
}

fn capabilities_of(capabilities: &Map<String, Value>, found: &mut Found) {
    for name in ["streaming", "pushNotifications", "extendedAgentCard", "stateTransitionHistory"] {
        found.flag(capabilities, "capabilities", name);
    }
    found.list(capabilities, "capabilities", "extensions", false, |found, at, extension| {
        if let Some(extension) = found.object(at, extension) {
            found.text(extension, at, "uri");
            found.flag(extension, at, "required");
        }
    });
}

fn skills(card: &Map<String, Value>, found: &mut Found) {
    let mut ids: Vec<String> = Vec::new();
    found.list(card, "", "skills", true, |found, at, skill| {
        let Some(skill) = found.object(at, skill) else { return };
        if let Some(id) = found.text(skill, at, "id") {
            if ids.iter().any(|known| known == id) {
                found.add(&below(at, "id"), format_args!("is the id of another skill too: {id}"));
            }
            ids.push(id.to_owned());
        }
        found.text(skill, at, "name");
        found.text(skill, at, "description");
        found.texts(skill, at, "tags", true);
        for name in ["examples", "inputModes", "outputModes"] {
            found.texts(skill, at, name, false);
        }
    });
}

fn schemes(card: &Map<String, Value>, found: &mut Found, is_of_1_0: bool) {
    let Some(schemes) = card.get("securitySchemes").filter(|schemes| !schemes.is_null()) else { return };
    let Some(schemes) = found.object("securitySchemes", schemes) else { return };
    for (name, scheme) in schemes {
        let at = format!("securitySchemes.{name}");
        let Some(scheme) = found.object(&at, scheme) else { continue };
        let kinds: Vec<_> = SCHEMES.iter().filter(|(kind, _)| scheme.contains_key(*kind)).collect();
        if let [(kind, needs)] = kinds[..] {
            let place = below(&at, kind);
            if let Some(inner) = found.object(&place, &scheme[*kind]) {
                needs.iter().for_each(|need| needed(inner, &place, need, found));
            }
            continue;
        }
        let older = scheme.get("type").and_then(Value::as_str);
        match OLDER_SCHEMES.iter().find(|(kind, _)| older == Some(*kind)) {
            Some((_, needs)) if !is_of_1_0 || kinds.is_empty() => {
                needs.iter().for_each(|need| needed(scheme, &at, need, found));
            }
            Some(_) | None => found.add(&at, "must be a security scheme of exactly one kind"),
        }
    }
}

fn needed(object: &Map<String, Value>, at: &str, name: &str, found: &mut Found) {
    if object.get(name).is_none_or(Value::is_null) {
        found.add(&below(at, name), "is required");
    }
}

/// What a caller has to show names schemes that there are.
fn requirements(card: &Map<String, Value>, at: &str, names: &[&str], found: &mut Found) {
    let check = |found: &mut Found, place: &str, named: &Map<String, Value>| {
        for name in named.keys().filter(|name| !names.contains(&name.as_str())) {
            found.add(place, format_args!("asks for the scheme {name}, and securitySchemes has none of that name"));
        }
    };
    found.list(card, at, "securityRequirements", false, |found, place, requirement| {
        let Some(requirement) = found.object(place, requirement) else { return };
        if let Some(schemes) = requirement.get("schemes").and_then(Value::as_object) {
            check(found, place, schemes);
        }
    });
    found.list(card, at, "security", false, |found, place, requirement| {
        if let Some(requirement) = found.object(place, requirement) {
            check(found, place, requirement);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(card: &str, expected: &[&str]) {
        let told: Vec<String> = faults(card.as_bytes()).iter().map(ToString::to_string).collect();
        assert_eq!(told, expected, "{card}");
    }

    const REST: &str = r#""name":"a","description":"b","version":"1","capabilities":{},"defaultInputModes":["text/plain"],
        "defaultOutputModes":["text/plain"],"skills":[]"#;

    #[test]
    fn each_fault_is_told_with_its_place() {
        let interface = r#"{"url":"https://a.example/","protocolBinding":"JSONRPC","protocolVersion":"1.0"}"#;
        check(&format!(r#"{{{REST},"supportedInterfaces":[{interface}]}}"#), &[]);
        check(&format!(r#"{{{REST},"url":"https://a.example/","protocolVersion":"0.3.0"}}"#), &[]);
        check(&format!(r"{{{REST}}}"), &["supportedInterfaces is required: where the agent is reached"]);
        check(
            &format!(
                r#"{{{REST},"supportedInterfaces":[{interface},{{"url":"/a","protocolBinding":"SOAP","protocolVersion":"1"}},7],
                "securitySchemes":{{"b":{{}},"k":{{"apiKeySecurityScheme":{{"name":"x"}}}}}},
                "securityRequirements":[{{"schemes":{{"z":{{}}}}}}]}}"#
            ),
            &[
                "supportedInterfaces[1].url must be an absolute URL, such as https://agents.example.com/a",
                "supportedInterfaces[1].protocolBinding must be JSONRPC, GRPC, HTTP+JSON or the URI of another binding",
                "supportedInterfaces[1].protocolVersion must be two numbers, such as 1.0",
                "supportedInterfaces[2] must be an object",
                "securitySchemes.b must be a security scheme of exactly one kind",
                "securitySchemes.k.apiKeySecurityScheme.location is required",
                "securityRequirements[0] asks for the scheme z, and securitySchemes has none of that name",
            ],
        );
        let skills = r#"[{"id":"s","name":"s","description":"d","tags":[""]},{"id":"s","description":"d"}]"#;
        let card = format!(r#"{{{REST},"supportedInterfaces":[{interface}]}}"#)
            .replace(r#""skills":[]"#, &format!(r#""skills":{skills}"#));
        check(
            &card,
            &[
                "skills[0].tags[0] must be a string that is not empty",
                "skills[1].id is the id of another skill too: s",
                "skills[1].name is required",
                "skills[1].tags is required",
            ],
        );
        assert_eq!(faults(b"[]")[0].description, "must be a JSON object");
        assert!(faults(b"{\"name\":").iter().any(|fault| fault.description.contains("is not JSON")));
    }
}
