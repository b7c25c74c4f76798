//! What a message wants, before it is known whether that can be done: which skill, with what.

use bobbinet_core::{Json, Message};

use crate::{arguments, catalog::Catalog, json_object::JsonObject};

/// The names by which others call a skill in a data part.
const SKILL_WORDS: [&str; 4] = ["skill", "skillId", "tool", "name"];

/// The names by which others call its arguments.
const ARGUMENT_WORDS: [&str; 5] = ["arguments", "args", "params", "parameters", "input"];

/// A skill that is asked for, and what came for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SkillRequest {
    /// The skill's name, perhaps of none that there is.
    pub(crate) skill: Option<String>,
    /// Whether the message itself said so, and not only the circumstances.
    pub(crate) is_named: bool,
    /// What it is asked to do.
    pub(crate) input: SkillInput,
    /// Whether what is missing shall be asked for. A program that sends data wants to be told that it is wrong.
    pub(crate) asks: bool,
}

/// What came for the skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SkillInput {
    /// Its arguments, or what should be.
    Data(Json),
    /// Words of a person.
    Text(String),
}

/// Reads a message in the order of DESIGN section 7: the extension, a data part that names its skill, the URL, text.
pub(crate) fn read(message: &Message, url: Option<&str>, extension: &str, catalog: &Catalog) -> SkillRequest {
    let note = note(message, extension);
    let text = message.text();
    let data = message.data().cloned();
    let is_program = data.is_some();
    let data = data.or_else(|| arguments::object(&text).map(|fields| fields.to_json()));
    let asks = match note.as_ref().and_then(|note| note.text("onIncomplete")).as_deref() {
        Some("ask") => true,
        Some("reject") => false,
        Some(_) | None => !is_program,
    };
    let by_note = note.and_then(|note| note.text("skill"));
    let form = data.as_ref().and_then(|data| form(data, catalog));
    let named = by_note.as_deref().or(url);
    let (skill, is_named, input) = match (named, form, data) {
        (Some(named), Some((skill, arguments)), _) if skill == named => {
            (Some(skill), true, SkillInput::Data(arguments))
        }
        (Some(named), _, Some(data)) => (Some(named.to_owned()), by_note.is_some(), SkillInput::Data(data)),
        (Some(named), _, None) => {
            let rest = without_name(&text, named).unwrap_or(&text);
            (Some(named.to_owned()), by_note.is_some(), SkillInput::Text(rest.to_owned()))
        }
        (None, Some((skill, arguments)), _) => (Some(skill), true, SkillInput::Data(arguments)),
        (None, None, Some(data)) => (only(catalog), false, SkillInput::Data(data)),
        (None, None, None) => match spoken(&text, catalog) {
            Some((skill, rest)) => (Some(skill), true, SkillInput::Text(rest)),
            None => (only(catalog), false, SkillInput::Text(text)),
        },
    };
    SkillRequest { skill, is_named, input, asks }
}

/// What the message says under the extension's URI: an object, or the skill's name alone.
fn note(message: &Message, extension: &str) -> Option<JsonObject> {
    let metadata = JsonObject::read(message.metadata.as_ref()?)?;
    let note = metadata.get(extension)?;
    JsonObject::read(note).or_else(|| {
        let mut fields = JsonObject::default();
        fields.set("skill", Json::of(&note.read::<String>().ok()?));
        Some(fields)
    })
}

fn only(catalog: &Catalog) -> Option<String> {
    catalog.only().map(|tool| tool.id.as_str().to_owned())
}

/// A data part that names its skill, in any of the usual spellings, and the arguments in it: those under a name of
/// their own, else all that is left.
fn form(data: &Json, catalog: &Catalog) -> Option<(String, Json)> {
    let mut fields = JsonObject::read(data)?;
    let arguments_word = ARGUMENT_WORDS
        .into_iter()
        .find(|word| fields.get(word).is_some_and(|value| value.is_object() || is_nothing(value)));
    for word in SKILL_WORDS {
        let Some(skill) = fields.text(word) else { continue };
        let is_known = catalog.is_named(&skill);
        // With one skill only, the object may as well be its arguments, and one of them be called that.
        let is_plainly_meant = catalog.only().is_none() && (word != "name" || arguments_word.is_some());
        let is_shaped_so = word != "name" && arguments_word.is_some();
        if !(is_known || is_plainly_meant || is_shaped_so) {
            continue;
        }
        fields.take(word);
        let arguments = match arguments_word.and_then(|word| fields.take(word)) {
            Some(arguments) if arguments.is_object() => arguments,
            Some(_) => JsonObject::default().to_json(),
            None => fields.to_json(),
        };
        return Some((skill, arguments));
    }
    None
}

/// Whether a value stands for no arguments: some languages write an empty object as an empty list.
pub(crate) fn is_nothing(value: &Json) -> bool {
    value.as_str() == "null" || value.read::<Vec<Json>>().is_ok_and(|list| list.is_empty())
}

/// `read_file path=a.txt` or `/read_file {"path": "a.txt"}`: the skill, and the rest.
fn spoken(text: &str, catalog: &Catalog) -> Option<(String, String)> {
    let text = text.trim();
    let text = text.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(text);
    if let Some((name, rest)) = text.strip_prefix('"').and_then(|text| text.split_once('"'))
        && catalog.is_named(name)
    {
        return Some((name.to_owned(), rest.trim().to_owned()));
    }
    // A name may have spaces in it, and begin as another does: the longest is meant.
    let names = catalog.names().filter(|name| without_name(text, name).is_some());
    let name = names.max_by_key(|name| name.len())?;
    Some((name.to_owned(), without_name(text, name)?.to_owned()))
}

fn without_name<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.trim().strip_prefix(name)?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some(rest.trim())
}

#[cfg(test)]
mod tests {
    use bobbinet_core::{MessageId, Part, Role};

    use super::*;
    use crate::{config::McpConfig, listing::RawTool};

    const EXTENSION: &str = "https://example.com/skills";

    fn catalog(names: &[&str]) -> Catalog {
        let tools = names.iter().map(|name| serde_json::from_value(serde_json::json!({"name": name})).unwrap());
        Catalog::new(&McpConfig::new("a", "x", &[]), None, &tools.collect::<Vec<RawTool>>().into(), None)
    }

    fn check(skills: &[&str], metadata: Option<&str>, url: Option<&str>, part: &str, expected: &str) {
        let parts = match part.strip_prefix("data:") {
            Some(data) => vec![Part::data(Json::parse(data).unwrap())],
            None => vec![Part::text(part)],
        };
        let metadata = metadata.map(|note| Json::parse(&format!(r#"{{"{EXTENSION}":{note}}}"#)).unwrap());
        let message =
            Message { role: Role::User, metadata, ..Message::from_agent(MessageId::parse("m").unwrap(), parts) };
        let skill_request = read(&message, url, EXTENSION, &catalog(skills));
        let input = match skill_request.input {
            SkillInput::Data(data) => format!("data {}", data.as_str()),
            SkillInput::Text(text) => format!("text {text:?}"),
        };
        let how = if skill_request.asks { "asks" } else { "rejects" };
        assert_eq!(format!("{} {input} {how}", skill_request.skill.as_deref().unwrap_or("-")), expected, "{part}");
    }

    #[test]
    fn a_message_is_read_in_the_order_of_the_design() {
        let two = ["read", "sum"];
        check(&two, Some(r#"{"skill":"sum"}"#), Some("read"), r#"data:{"a":1.0}"#, r#"sum data {"a":1.0} rejects"#);
        check(&two, Some(r#""sum""#), None, "a=1", r#"sum text "a=1" asks"#);
        check(&two, Some(r#"{"skill":"sum","onIncomplete":"ask"}"#), None, "data:{}", "sum data {} asks");
        for word in SKILL_WORDS {
            for arguments in ARGUMENT_WORDS {
                let part = format!(r#"data:{{"{word}":"sum","{arguments}":{{"a":1}}}}"#);
                check(&two, None, None, &part, r#"sum data {"a":1} rejects"#);
            }
        }
        check(&two, None, None, r#"data:{"skill":"sum","a":1}"#, r#"sum data {"a":1} rejects"#);
        check(&two, None, None, r#"data:{"skill":"gone","args":{}}"#, "gone data {} rejects");
        check(&two, None, None, r#"data:{"name":"gone","arguments":{}}"#, "gone data {} rejects");
        check(&two, None, None, r#"data:{"name":"gone"}"#, r#"- data {"name":"gone"} rejects"#);
        check(&two, None, Some("sum"), r#"data:{"a":1}"#, r#"sum data {"a":1} rejects"#);
        check(&two, None, Some("sum"), r#"data:{"skill":"sum","args":{"a":1}}"#, r#"sum data {"a":1} rejects"#);
        check(&two, None, Some("sum"), "a=1 b=2", r#"sum text "a=1 b=2" asks"#);
        check(&two, None, Some("sum"), "sum a=1", r#"sum text "a=1" asks"#);
        check(&two, None, None, r#"{"skill":"sum","args":{"a":1}}"#, r#"sum data {"a":1} asks"#);
        check(&two, None, None, "read path=a.txt", r#"read text "path=a.txt" asks"#);
        check(&two, None, None, "/sum {\"a\":1}", r#"sum text "{\"a\":1}" asks"#);
        let spaced = ["read file", "read", "read file twice"];
        check(&spaced, None, None, "read file path=a.txt", r#"read file text "path=a.txt" asks"#);
        check(&spaced, None, None, "read  path=a.txt", r#"read text "path=a.txt" asks"#);
        check(&spaced, None, None, "/read file twice", r#"read file twice text "" asks"#);
        check(&spaced, None, None, "\"read file\" twice", r#"read file text "twice" asks"#);
        check(&two, None, None, r#"data:{"skill":"sum","arguments":[]}"#, "sum data {} rejects");
        check(&two, None, None, r#"data:{"name":"sum","args":[ ]}"#, "sum data {} rejects");
        check(&two, None, None, "what can you do?", r#"- text "what can you do?" asks"#);
        check(&two, None, None, r#"data:{"a":1}"#, r#"- data {"a":1} rejects"#);
    }

    #[test]
    fn with_one_skill_everything_is_for_it() {
        let one = ["hello"];
        check(&one, None, None, "world", r#"hello text "world" asks"#);
        check(&one, None, None, "hello world", r#"hello text "world" asks"#);
        check(&one, None, None, r#"data:{"name":"Ann"}"#, r#"hello data {"name":"Ann"} rejects"#);
        check(&one, None, None, r#"data:{"name":"hello"}"#, "hello data {} rejects");
        check(&one, None, None, r#"data:{"tool":"hammer"}"#, r#"hello data {"tool":"hammer"} rejects"#);
        check(&one, None, None, r#"data:{"skill":"other","args":{}}"#, "other data {} rejects");
    }
}
