//! The `_meta` of a tool, as far as it is for others.

use bobbinet_core::Json;

use crate::json_object::JsonObject;

/// What begins the names of `_meta` that say something between two ends of one connection, or that are this node's own.
const RESERVED: [&str; 2] = ["io.modelcontextprotocol/", "bobbinet/"];

/// The `_meta` of a tool that its server lists so, without what is not for others.
pub(crate) fn meta(listed: &Json) -> Option<Json> {
    let is_ours = |name: &str| RESERVED.iter().any(|prefix| name.starts_with(prefix));
    let fields = JsonObject::read(listed)?;
    let kept = fields.iter().filter(|(name, _)| !is_ours(name));
    let kept: JsonObject = kept.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    (!kept.is_empty()).then(|| kept.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_two_ends_or_ours_is_no_ones_meta() {
        let check = |listed: &str, expected: Option<&str>| {
            let kept = meta(&Json::parse(listed).unwrap());
            assert_eq!(kept.as_ref().map(Json::as_str), expected);
        };
        check(r#"{"ui":{"resourceUri":"ui://a"},"bobbinet/agent":"x"}"#, Some(r#"{"ui":{"resourceUri":"ui://a"}}"#));
        check(r#"{"io.modelcontextprotocol/related-task":{}}"#, None);
        check("{}", None);
    }
}
