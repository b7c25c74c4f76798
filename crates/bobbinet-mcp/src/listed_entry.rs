//! What a server says of a resource or a template, as far as it is as the protocol has it: what others may be shown.

use bobbinet_core::Json;
use bobbinet_text::visible;

use crate::json_object::JsonObject;

/// Fields of a resource or a template that are words, and those of them that people read.
const TEXTS: [&str; 6] = ["uri", "uriTemplate", "name", "title", "description", "mimeType"];
const WORDS: [&str; 3] = ["name", "title", "description"];

/// Fields that are objects.
const OBJECTS: [&str; 2] = ["annotations", "_meta"];

/// What is to be shown of a resource or a template that its server lists so.
pub(crate) fn listed(entry: &Json) -> Option<Json> {
    let fields = JsonObject::read(entry)?;
    let shown = fields.iter().filter_map(|(name, value)| {
        let is_good = match name {
            name if TEXTS.contains(&name) => value.as_str().starts_with('"'),
            name if OBJECTS.contains(&name) => value.is_object(),
            "size" => value.read::<u64>().is_ok(),
            "icons" => value.as_str().starts_with('['),
            _ => false,
        };
        let value = match value.read::<String>() {
            Ok(words) if WORDS.contains(&name) => Json::of(visible(&words).as_ref()),
            Ok(_) | Err(_) => value.clone(),
        };
        is_good.then(|| (name.to_owned(), value))
    });
    Some(shown.collect::<JsonObject>().to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_shown_as_far_as_it_is_as_it_must_be() {
        let entry = r#"{"uri":"u:a","name":"a\u200b","description":7,"size":3,"annotations":[],"icons":[],"mimeType":"text/plain","odd":1}"#;
        let listed = listed(&Json::parse(entry).unwrap()).unwrap();
        assert!(listed.as_str().starts_with(r#"{"uri":"u:a","name":"a"#), "{listed:?}");
        assert!(listed.as_str().ends_with(r#","size":3,"icons":[],"mimeType":"text/plain"}"#), "{listed:?}");
    }
}
