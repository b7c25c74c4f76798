//! What a caller has uploaded, as the argument that it is for. While a call is planned its URL stands in the argument's place, in the log
//! and before policy; its content takes that place when the call is made.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bobbinet_core::{Content, Fault, Json, Message, Outcome, Part, Role};
use bobbinet_engine::{BlobError, Run};
use serde_json::Value;

use crate::{
    arguments::{self, ParsedText},
    call_listener::Target,
    catalog::{Catalog, Tool},
    json_object::JsonObject,
    schema::Schema,
    skill_request::{SkillInput, SkillRequest},
};

/// The word in a file's metadata that names the argument it is for.
const ARGUMENT: &str = "argument";

/// Gives each uploaded file of a message to an argument: the one whose value is its URL, or that its metadata names, or the only text that is
/// needed and not given. Any other file of a message is nothing to a tool, as before.
pub(crate) fn attach(skill_request: &mut SkillRequest, message: &Message, catalog: &Catalog) -> Result<(), Fault> {
    let Some(tool) = skill_request.skill.as_deref().and_then(|name| catalog.get(name)) else { return Ok(()) };
    if files(message).next().is_none() {
        return Ok(());
    }
    let mut fields = match &skill_request.input {
        SkillInput::Data(data) => JsonObject::read(data),
        SkillInput::Text(text) => match arguments::read(text, &tool.input) {
            ParsedText::Arguments(fields) => Some(fields),
            ParsedText::NotArguments(_) => None,
        },
    };
    // What cannot be read is told to be so by whoever checks it.
    let Some(fields) = &mut fields else { return Ok(()) };
    attach_to(tool, fields, message)?;
    skill_request.input = SkillInput::Data(fields.to_json());
    Ok(())
}

/// The same for arguments of which some are known. Returns whether there was anything for them.
pub(crate) fn attach_to(tool: &Tool, fields: &mut JsonObject, message: &Message) -> Result<bool, Fault> {
    let mut has_files = false;
    for (part, url) in files(message) {
        has_files = true;
        if fields.to_json().as_str().contains(url) {
            continue;
        }
        let argument = argument_for(tool, fields, part).ok_or_else(|| unplaced(tool, url))?;
        fields.set(&argument, Json::of(url));
    }
    Ok(has_files)
}

fn argument_for(tool: &Tool, fields: &JsonObject, part: &Part) -> Option<String> {
    let named = part.metadata.as_ref().and_then(JsonObject::read).and_then(|metadata| metadata.text(ARGUMENT));
    if let Some(named) = named {
        return tool.input.has_property(&named).then_some(named);
    }
    let is_open = |name: &&str| {
        let types = tool.input.types(name);
        fields.get(name).is_none() && (types.is_empty() || types.contains("string"))
    };
    let required = tool.input.required();
    let mut open = required.into_iter().filter(is_open);
    match (open.next(), open.next()) {
        (Some(only), None) => Some(only.to_owned()),
        (_, _) => None,
    }
}

fn unplaced(tool: &Tool, url: &str) -> Fault {
    let text = format!(
        "it is not clear which argument of `{}` the file at {url} is: write its URL as the value of that argument, or its name as \
         `{ARGUMENT}` in the metadata of the file's part",
        tool.id
    );
    Fault::new("bad-arguments", text)
}

/// The call with what was uploaded for it in the place of its URLs.
pub(crate) async fn load(
    run: &Run,
    schema: Option<&Schema>,
    bytes_max: u64,
    target: Target,
) -> Result<Target, Outcome> {
    let said = run.task().history.iter().filter(|message| message.role == Role::User);
    let urls: BTreeSet<&str> = said.flat_map(|message| files(message)).map(|(_, url)| url).collect();
    if urls.is_empty() || !urls.iter().any(|url| target.arguments.as_str().contains(url)) {
        return Ok(target);
    }
    let mut arguments = target.arguments.to_value();
    let mut places = Vec::new();
    find(&arguments, &urls, None, &mut places);
    let mut loaded = Vec::with_capacity(places.len());
    for (url, name) in places {
        let is_base64 = name.as_deref().zip(schema).is_some_and(|(name, schema)| wants_base64(schema, name));
        loaded.push(content(run, &url, is_base64, bytes_max).await?);
    }
    put(&mut arguments, &urls, &mut loaded.into_iter());
    Ok(Target { arguments: Json::from(&arguments), ..target })
}

async fn content(run: &Run, url: &str, is_base64: bool, bytes_max: u64) -> Result<String, Outcome> {
    let rejected = |code, text| Err(Outcome::Rejected(Fault::new(code, text)));
    if !run.is_blob(url) {
        let text = format!("{url} is not of this node, and nothing is fetched from elsewhere: upload it here first");
        return rejected("foreign-url", text);
    }
    let (bytes, _) = match run.read_blob(url, bytes_max).await {
        Ok(read) => read,
        Err(BlobError::NotFound) => {
            let text = format!("there is nothing of yours at {url}, or not any more: upload it again");
            return rejected("upload-not-found", text);
        }
        Err(BlobError::Large { max }) => {
            let text = format!("what is at {url} is larger than the {max} bytes that an argument may have");
            return rejected("upload-too-large", text);
        }
        Err(BlobError::Corrupt(why)) => {
            let text = format!("what is at {url} is damaged ({why}): upload it again. Nothing was called");
            return Err(Outcome::Failed(Fault::new("corrupt", text)));
        }
        Err(error @ (BlobError::Full { .. } | BlobError::Unavailable(_))) => {
            let text = format!("what is at {url} could not be read: {error}. Nothing was called");
            return Err(Outcome::Failed(Fault::new("upload-unavailable", text)));
        }
    };
    if is_base64 {
        return Ok(STANDARD.encode(bytes));
    }
    String::from_utf8(bytes).or_else(|_| {
        let text =
            format!("what is at {url} is no text in UTF-8, and the tool's schema does not say that it takes base64");
        rejected("upload-not-text", text)
    })
}

/// Whether an argument is bytes: as JSON Schema says it, as OpenAPI does, or in words.
fn wants_base64(schema: &Schema, name: &str) -> bool {
    let says = |property: &Value, key: &str, words: &[&str]| {
        let word = property.get(key).and_then(Value::as_str);
        word.is_some_and(|word| words.iter().any(|known| word.eq_ignore_ascii_case(known)))
    };
    let Some(property) = schema.property(name) else { return false };
    let in_words = || {
        let words = [Some(name), schema.description(name)];
        words.into_iter().flatten().any(|words| words.to_ascii_lowercase().contains("base64"))
    };
    says(property, "contentEncoding", &["base64"])
        || says(property, "format", &["byte", "binary", "base64"])
        || in_words()
}

/// The files of a message that are at URLs of the form that uploads and blobs have. Whether this node has them is known to its run.
fn files(message: &Message) -> impl Iterator<Item = (&Part, &str)> {
    message.parts.iter().filter_map(|part| match &part.content {
        Content::Url(url) if is_like_ours(url) => Some((part, &**url)),
        Content::Url(_) | Content::Text(_) | Content::Raw(_) | Content::Data(_) => None,
    })
}

fn is_like_ours(url: &str) -> bool {
    let Some((before, name)) = url.rsplit_once('/') else { return false };
    let is_name = matches!(name.len(), 36 | 64) && name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_name && before.ends_with("/blobs") && url.starts_with("http")
}

/// Where these URLs stand, in the order in which [`put`] comes to them, each with the argument that it stands in.
fn find(value: &Value, urls: &BTreeSet<&str>, name: Option<&str>, found: &mut Vec<(String, Option<String>)>) {
    match value {
        Value::String(text) if urls.contains(text.as_str()) => found.push((text.clone(), name.map(str::to_owned))),
        Value::Array(items) => items.iter().for_each(|item| find(item, urls, name, found)),
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| find(value, urls, name.or(Some(key.as_str())), found));
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn put(value: &mut Value, urls: &BTreeSet<&str>, contents: &mut impl Iterator<Item = String>) {
    match value {
        Value::String(text) if urls.contains(text.as_str()) => {
            *text = contents.next().expect("one for each place that was found");
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put(item, urls, contents)),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, value)| put(value, urls, contents)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::MessageId;
    use serde_json::json;

    use super::*;
    use crate::{config::McpConfig, listing::RawTool};

    const URL: &str = "http://127.0.0.1:7420/agents/files/blobs/01939f3c-7d2e-7000-8000-000000000001";

    fn check(input: &Value, part: Part, expected: &str) {
        let tool = json!({"name": "write", "inputSchema": {"type": "object", "required": ["path", "content"],
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}, "mode": {"type": "string"}}}});
        let tools = vec![serde_json::from_value::<RawTool>(tool).unwrap()];
        let catalog = Catalog::new(&McpConfig::new("a", "x", &[]), None, &tools.into(), None);
        let message = Message { role: Role::User, ..Message::from_agent(MessageId::parse("m").unwrap(), vec![part]) };
        let mut request = SkillRequest {
            skill: Some("write".to_owned()),
            is_named: true,
            input: match input.as_str() {
                Some(text) => SkillInput::Text(text.to_owned()),
                None => SkillInput::Data(Json::from(input)),
            },
            asks: false,
        };
        let found = match attach(&mut request, &message, &catalog) {
            Ok(()) => match request.input {
                SkillInput::Data(data) => data.as_str().to_owned(),
                SkillInput::Text(text) => text,
            },
            Err(fault) => fault.code.to_string(),
        };
        assert_eq!(found.replace(URL, "URL"), expected, "{input}");
    }

    #[test]
    fn a_file_is_the_argument_that_it_is_meant_for() {
        check(&json!({"path": "a"}), Part::url(URL), r#"{"path":"a","content":"URL"}"#);
        check(&json!({"path": "a", "content": URL}), Part::url(URL), r#"{"content":"URL","path":"a"}"#);
        check(&json!("path=a"), Part::url(URL), r#"{"path":"a","content":"URL"}"#);
        check(&json!({}), Part::url(URL), "bad-arguments");
        check(&json!({"path": "a", "content": "b"}), Part::url(URL), "bad-arguments");
        let named = |name: &str| Part { metadata: Some(Json::from(&json!({"argument": name}))), ..Part::url(URL) };
        check(&json!({}), named("content"), r#"{"content":"URL"}"#);
        check(&json!({"path": "a"}), named("mode"), r#"{"path":"a","mode":"URL"}"#);
        check(&json!({"path": "a"}), named("none"), "bad-arguments");
        check(&json!({"path": "a"}), Part::url("https://elsewhere.example/a.txt"), r#"{"path":"a"}"#);
    }

    #[test]
    fn contents_take_the_places_of_their_urls() {
        let urls = BTreeSet::from(["u1", "u2"]);
        let mut arguments = json!({"a": "u1", "b": ["x", "u2", {"c": "u1"}], "d": "u3"});
        let mut places = Vec::new();
        find(&arguments, &urls, None, &mut places);
        let named = |url: &str, name: &str| (url.to_owned(), Some(name.to_owned()));
        assert_eq!(places, [named("u1", "a"), named("u2", "b"), named("u1", "b")]);
        put(&mut arguments, &urls, &mut ["1", "2", "3"].map(str::to_owned).into_iter());
        assert_eq!(arguments, json!({"a": "1", "b": ["x", "2", {"c": "3"}], "d": "u3"}));
    }

    #[test]
    fn a_schema_says_whether_it_wants_bytes() {
        let schema = Schema::new(
            Json::from(&json!({"properties": {"a": {"type": "string"}, "b": {"contentEncoding": "base64"},
                "c": {"format": "byte"}, "d": {"description": "The image, Base64-encoded"}, "e_base64": {}}})),
            1 << 20,
        );
        let bytes: Vec<&str> =
            ["a", "b", "c", "d", "e_base64", "f"].into_iter().filter(|name| wants_base64(&schema, name)).collect();
        assert_eq!(bytes, ["b", "c", "d", "e_base64"]);
    }
}
