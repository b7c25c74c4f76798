//! Which calls run one at a time: what each keeps for itself while it runs.

use std::fmt::Write as _;

use bobbinet_core::{Call, Effect};
use bobbinet_engine::Lane;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{catalog::Catalog, config::McpConfig, sharing::WriteSharing};

/// Bytes of a value that are its lane's name. Of a longer one, the name is a hash.
const NAME_MAX: usize = 64;

/// The lane of a call, if it needs one.
pub(crate) fn lane_of(config: &McpConfig, catalog: Option<&Catalog>, call: &Call) -> Option<Lane> {
    if call.effect == Effect::ReadOnly {
        return None;
    }
    let pointer = match config.share.effective_writes(config.stateless) {
        WriteSharing::Concurrent => return None,
        WriteSharing::OneAtATime => None,
        WriteSharing::By(pointer) => Some(pointer),
    };
    if let (Some(skill), Some(catalog)) = (&call.skill, catalog)
        && catalog.get(skill.as_str()).is_some_and(|tool| tool.is_said_to_read)
    {
        return None;
    }
    let value = pointer.zip(call.arguments.as_ref()).and_then(|(pointer, arguments)| {
        let value = arguments.to_value();
        value.pointer(pointer).filter(|value| !value.is_null()).map(name)
    });
    Some(value.map_or(Lane::Whole, |name| Lane::Part(name.into())))
}

fn name(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= NAME_MAX {
        return text;
    }
    Sha256::digest(text).iter().fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

#[cfg(test)]
mod tests {
    use bobbinet_core::{Json, SkillId};

    use super::*;
    use crate::listing::RawTool;

    fn call(skill: &str, arguments: &str, effect: Effect) -> Call {
        let skill = Some(SkillId::parse(skill).unwrap());
        Call { skill, arguments: Some(Json::parse(arguments).unwrap()), ..Call::of_message(effect) }
    }

    #[test]
    fn what_may_change_something_has_a_lane_and_what_reads_by_anybodys_word_has_none() {
        let tools = [r#"{"name":"look","annotations":{"readOnlyHint":true}}"#, r#"{"name":"put"}"#]
            .map(|text| serde_json::from_str::<RawTool>(text).unwrap());
        let offers = tools.to_vec().into();
        let mut config = McpConfig::new("a", "x", &[]);
        let of = |config: &McpConfig, skill: &str, effect| {
            let catalog = Catalog::new(config, None, &offers, None);
            lane_of(config, Some(&catalog), &call(skill, "{}", effect))
        };
        for effect in [Effect::AtMostOnce, Effect::Idempotent, Effect::Keyed] {
            assert_eq!(of(&config, "put", effect), Some(Lane::Whole), "{effect:?}");
        }
        assert_eq!(of(&config, "put", Effect::ReadOnly), None);
        assert_eq!(of(&config, "look", Effect::AtMostOnce), None, "its server says that it reads");
        config.effects.insert("look".to_owned(), Effect::Idempotent);
        assert_eq!(of(&config, "look", Effect::Idempotent), Some(Lane::Whole), "the operator knows better");
        config.stateless = true;
        assert_eq!(of(&config, "put", Effect::AtMostOnce), None, "there is nothing to lose");
        config.share.writes = Some(WriteSharing::OneAtATime);
        assert_eq!(of(&config, "put", Effect::AtMostOnce), Some(Lane::Whole));
        config.share.writes = Some(WriteSharing::Concurrent);
        assert_eq!(of(&config, "put", Effect::AtMostOnce), None);
    }

    #[test]
    fn a_lane_goes_by_the_value_at_the_pointer_and_the_whole_is_for_calls_without_one() {
        let mut config = McpConfig::new("a", "x", &[]);
        config.share.writes = Some(WriteSharing::By("/entities/0/name".to_owned()));
        let of = |arguments: &str| lane_of(&config, None, &call("put", arguments, Effect::AtMostOnce));
        let part = |name: &str| Some(Lane::Part(name.into()));
        assert_eq!(of(r#"{"entities":[{"name":"x"}]}"#), part(r#""x""#));
        assert_eq!(of(r#"{"entities":[{"name":1}]}"#), part("1"), "a number is no text");
        for without in [r#"{"entities":[]}"#, r#"{"entities":[{"name":null}]}"#, "{}"] {
            assert_eq!(of(without), Some(Lane::Whole), "{without}");
        }
        let long = |last: &str| of(&format!(r#"{{"entities":[{{"name":"{}{last}"}}]}}"#, "x".repeat(1000)));
        assert!(long("a") != long("b") && long("a") == long("a"));
        assert!(matches!(long("a"), Some(Lane::Part(name)) if name.len() == 64));
    }
}
