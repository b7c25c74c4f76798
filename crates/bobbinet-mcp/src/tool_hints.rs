//! What a host is told of a tool beside its schemas: its server's hints, the operator's word over them, and the server's `_meta`.

use bobbinet_core::{Effect, Json};
use bobbinet_text::visible;

use crate::{
    json_object::JsonObject,
    listing::{RawTool, ToolHints},
};

/// What there is to tell of a tool: `annotations` and `_meta`, as MCP has them. No hint that neither its server nor the operator has given.
pub(crate) fn shown(tool: &RawTool, operator: Option<Effect>) -> Option<Json> {
    let none = ToolHints::default();
    let ToolHints { title, read_only_hint, idempotent_hint, destructive_hint, open_world_hint } =
        tool.annotations.as_ref().unwrap_or(&none);
    let (reads, repeats, destroys) = match operator {
        None => (*read_only_hint, *idempotent_hint, *destructive_hint),
        // What reads destroys nothing, whatever its server says.
        Some(Effect::ReadOnly) => (Some(true), Some(true), destructive_hint.map(|_| false)),
        Some(Effect::Idempotent) => (Some(false), Some(true), *destructive_hint),
        // A repeat is dropped only if it carries the key of the first.
        Some(Effect::Keyed | Effect::AtMostOnce) => (Some(false), Some(false), *destructive_hint),
    };
    let mut hints = JsonObject::default();
    if let Some(title) = title {
        hints.set("title", Json::of(visible(title).as_ref()));
    }
    for (name, hint) in [
        ("readOnlyHint", reads),
        ("destructiveHint", destroys),
        ("idempotentHint", repeats),
        ("openWorldHint", *open_world_hint),
    ] {
        if let Some(hint) = hint {
            hints.set(name, Json::of(&hint));
        }
    }
    let mut shown = JsonObject::default();
    if !hints.is_empty() {
        shown.set("annotations", hints.to_json());
    }
    if let Some(meta) = &tool.meta {
        shown.set("_meta", meta.clone());
    }
    (!shown.is_empty()).then(|| shown.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_the_servers_and_the_operators_word_is_over_them() {
        let check = |tool: &str, operator: Option<Effect>, expected: &str| {
            let tool: RawTool = serde_json::from_str(tool).unwrap();
            assert_eq!(shown(&tool, operator).as_ref().map_or("", Json::as_str), expected);
        };
        let says = r#"{"name":"t","annotations":{"title":"T","readOnlyHint":true,"destructiveHint":false,"openWorldHint":true}}"#;
        check(
            says,
            None,
            r#"{"annotations":{"title":"T","readOnlyHint":true,"destructiveHint":false,"openWorldHint":true}}"#,
        );
        check(
            says,
            Some(Effect::AtMostOnce),
            r#"{"annotations":{"title":"T","readOnlyHint":false,"destructiveHint":false,"idempotentHint":false,"openWorldHint":true}}"#,
        );
        let destroys = r#"{"name":"t","annotations":{"destructiveHint":true}}"#;
        check(
            destroys,
            Some(Effect::ReadOnly),
            r#"{"annotations":{"readOnlyHint":true,"destructiveHint":false,"idempotentHint":true}}"#,
        );
        let silent = r#"{"name":"t"}"#;
        check(silent, None, "");
        check(silent, Some(Effect::Idempotent), r#"{"annotations":{"readOnlyHint":false,"idempotentHint":true}}"#);
        check(r#"{"name":"t","_meta":{"ui":{"a":1.0}}}"#, None, r#"{"_meta":{"ui":{"a":1.0}}}"#);
    }
}
