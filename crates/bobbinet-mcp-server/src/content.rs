//! Parts as the content blocks that they came from: what `bobbinet-mcp` makes of a result's blocks, made blocks again; and the parts of any
//! other agent as the blocks that say the same.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{Base64, Content, Json, Part};
use serde::Deserialize;
use serde_json::Value;

use crate::{object::Object, revision::Revision};

/// The blocks of some parts, and their structured content.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    pub(crate) blocks: Vec<Json>,
    pub(crate) structured: Option<Json>,
}

/// What a part's metadata says, field by field.
struct Notes(BTreeMap<String, Json>);

impl Notes {
    fn of(part: &Part) -> Self {
        Self(part.metadata.as_ref().and_then(|metadata| metadata.read().ok()).unwrap_or_default())
    }

    fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.read().ok()
    }

    fn is(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.as_str() == "true")
    }

    /// What every kind of block may have beside its content.
    fn around(&self, block: Object) -> Object {
        // What its server said beside, which nobody knows.
        let rest = self.get("rest").and_then(|rest| rest.read::<BTreeMap<String, Json>>().ok()).unwrap_or_default();
        let block = rest.into_iter().fold(block, |block, (name, value)| block.with_owned(name, value));
        block.with_some("annotations", self.get("annotations")).with_some("_meta", self.get("_meta"))
    }
}

impl Blocks {
    /// Writes parts as this revision has them. `place` is what they are known by where a part needs a URI and has none.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a Part>, revision: Revision, place: &str) -> Self {
        let parts: Vec<&Part> = parts.into_iter().collect();
        let mut blocks = Self::default();
        let is_marked = |part: &Part| Notes::of(part).text("role").as_deref() == Some("structured");
        let marked = parts.iter().position(|part| part.as_data().is_some() && is_marked(part));
        // Of agents that mark nothing, the only data is what the result is.
        let mut data = parts.iter().enumerate().filter(|(_, part)| part.as_data().is_some() && !is_foreign(part));
        let only = match (data.next(), data.next()) {
            (Some((place, _)), None) => Some(place),
            (_, _) => None,
        };
        for (index, part) in parts.iter().enumerate() {
            let notes = Notes::of(part);
            match &part.content {
                Content::Data(json) if marked == Some(index) => {
                    let is_shown = notes.is("textCopy") || !blocks.structure(json, revision);
                    if is_shown {
                        blocks.structure(json, revision);
                        blocks.blocks.push(text(json.as_str()).to_json());
                    }
                }
                Content::Data(json) if is_foreign(part) => blocks.blocks.push(foreign(json)),
                Content::Data(json) => {
                    if marked.is_none() && only == Some(index) {
                        blocks.structure(json, revision);
                    }
                    blocks.blocks.push(notes.around(text(json.as_str())).to_json());
                }
                Content::Text(words) => blocks.blocks.push(match notes.text("uri") {
                    Some(uri) => resource(&uri, part, &notes, "text", words),
                    None => notes.around(text(words)).to_json(),
                }),
                Content::Raw(base64) => {
                    blocks.blocks.push(raw(base64.as_str(), part, &notes, revision, || format!("{place}/{index}")));
                }
                Content::Url(url) => blocks.blocks.push(link(url, part, &notes, revision)),
            }
        }
        blocks
    }

    /// Takes a value as structured content, if it can be that; whether it is. Where there is no such thing it is told as text.
    fn structure(&mut self, json: &Json, revision: Revision) -> bool {
        let can_be = revision.has_structure() && (revision.has_any_structure() || json.is_object());
        if can_be {
            self.structured = Some(json.clone());
        }
        can_be
    }
}

/// Whether it is data that nobody has marked as anything.
pub(crate) fn is_unmarked_data(part: &Part) -> bool {
    part.as_data().is_some() && !is_foreign(part) && Notes::of(part).get("role").is_none()
}

/// Where the structured result is, if that is what has gone by reference with this part.
pub(crate) fn structured_reference(part: &Part) -> Option<&str> {
    match &part.content {
        Content::Url(url) => (Notes::of(part).text("role").as_deref() == Some("structured")).then_some(&**url),
        Content::Text(_) | Content::Raw(_) | Content::Data(_) => None,
    }
}

/// Whether it tells of what has gone by reference.
pub(crate) fn is_preview(part: &Part) -> bool {
    Notes::of(part).text("role").as_deref() == Some("preview")
}

/// Whether what has gone by reference was bytes, and no text.
pub(crate) fn was_bytes(part: &Part) -> bool {
    Notes::of(part).is("bytes")
}

/// Whether it leads to a list of parts that were too many to go by reference each for itself.
pub(crate) fn is_list_of_parts(part: &Part) -> bool {
    Notes::of(part).text("role").as_deref() == Some("parts")
}

/// The parts of such a list.
pub(crate) fn listed_parts(list: &Content) -> Option<Vec<Part>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Listed {
        text: Option<Arc<str>>,
        raw: Option<String>,
        url: Option<Arc<str>>,
        data: Option<Json>,
        media_type: Option<Arc<str>>,
        filename: Option<Arc<str>>,
        metadata: Option<Json>,
    }
    let Content::Text(text) = list else { return None };
    let listed: Vec<Listed> = serde_json::from_str(text).ok()?;
    let part = |listed: Listed| {
        let Listed { text, raw, url, data, media_type, filename, metadata } = listed;
        let raw = raw.map(|raw| Content::Raw(Base64::from_checked(&raw)));
        let content = text.map(Content::Text).or(raw).or(url.map(Content::Url)).or(data.map(Content::Data))?;
        Some(Part { content, media_type, filename, metadata })
    };
    listed.into_iter().map(part).collect()
}

/// What a tool has promised that gives a text under a name, with what is told of the text in its place.
pub(crate) fn preview_as_structure(parts: &[&Part]) -> Option<Json> {
    let name = parts.iter().find_map(|part| Notes::of(part).text("structuredAs"))?;
    let preview = parts.iter().find(|part| is_preview(part))?.as_text()?;
    Some(Json::of(&BTreeMap::from([(name, preview)])))
}

/// Whether it is a block that nobody knew, kept as it came.
fn is_foreign(part: &Part) -> bool {
    part.metadata.as_ref().is_some_and(|metadata| metadata.as_str().contains("\"mcpType\""))
        && Notes::of(part).get("mcpType").is_some()
}

/// What was a block stays one. What was none is told as it is.
fn foreign(json: &Json) -> Json {
    let is_block = json.read::<BTreeMap<String, Json>>().is_ok_and(|fields| fields.contains_key("type"));
    if is_block { json.clone() } else { text(json.as_str()).to_json() }
}

/// One of the contents of a resource: what its server calls by its `own` address is `shown` under another, if that is what was asked for.
pub(crate) fn contents(part: &Part, shown: &str, own: &str) -> Json {
    let notes = Notes::of(part);
    let uri = notes.text("uri").filter(|uri| uri != own).unwrap_or_else(|| shown.to_owned());
    let contents = Object::default().with("uri", &uri).with_some("mimeType", part.media_type.as_deref());
    let contents = match &part.content {
        Content::Text(words) => contents.with("text", words),
        Content::Raw(base64) => contents.with("blob", base64.as_str()),
        Content::Url(url) => contents.with("text", url),
        Content::Data(json) => contents.with("text", json.as_str()),
    };
    contents.with_some("_meta", notes.get("_meta")).to_json()
}

/// Whose words a part of a prompt is.
pub(crate) fn role(part: &Part) -> String {
    Notes::of(part).text("role").filter(|role| role == "assistant").unwrap_or_else(|| "user".to_owned())
}

fn text(words: &str) -> Object {
    Object::default().with("type", "text").with("text", words)
}

/// A block of text.
pub(crate) fn text_block(words: &str) -> Json {
    text(words).to_json()
}

fn resource(uri: &str, part: &Part, notes: &Notes, name: &'static str, content: &str) -> Json {
    let resource = Object::default().with("uri", uri).with_some("mimeType", part.media_type.as_deref());
    let resource = resource.with(name, content);
    notes.around(Object::default().with("type", "resource").with("resource", &resource)).to_json()
}

fn raw(base64: &str, part: &Part, notes: &Notes, revision: Revision, place: impl FnOnce() -> String) -> Json {
    let media_type = part.media_type.as_deref().unwrap_or_default();
    let kind = match media_type.split('/').next() {
        Some("image") => Some("image"),
        Some("audio") if revision.has_audio() => Some("audio"),
        Some(_) | None => None,
    };
    match (notes.text("uri"), kind) {
        (None, Some(kind)) => {
            let block = Object::default().with("type", kind).with("data", base64).with("mimeType", media_type);
            notes.around(block).to_json()
        }
        (uri, _) => resource(&uri.unwrap_or_else(place), part, notes, "blob", base64),
    }
}

fn link(url: &str, part: &Part, notes: &Notes, revision: Revision) -> Json {
    let name = part.filename.as_deref().unwrap_or(url);
    if !revision.has_resource_links() {
        return text(&if name == url { url.to_owned() } else { format!("{name}: {url}") }).to_json();
    }
    let block = Object::default()
        .with("type", "resource_link")
        .with("uri", url)
        .with("name", name)
        .with_some("title", notes.get("title"))
        .with_some("description", notes.get("description"))
        .with_some("mimeType", part.media_type.as_deref())
        .with_some("size", notes.get("size"));
    notes.around(block).to_json()
}

/// What an older host must not see in a schema: arguments are said again in headers over HTTP where a tool asks for that, and this door
/// does not.
pub(crate) fn without_headers(schema: &Json) -> Json {
    const HEADER: &str = "x-mcp-header";
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove(HEADER);
                fields.values_mut().for_each(strip);
            }
            Value::Array(values) => values.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    if !schema.as_str().contains(HEADER) {
        return schema.clone();
    }
    let mut value = schema.to_value();
    strip(&mut value);
    Json::from(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(part: Part, metadata: &str) -> Part {
        Part { metadata: Some(Json::parse(metadata).unwrap()), ..part }
    }

    fn check(parts: &[Part], revision: Revision, expected: &[&str], structured: Option<&str>) {
        let blocks = Blocks::of(parts, revision, "a2a://x");
        assert_eq!(blocks.blocks.iter().map(Json::as_str).collect::<Vec<_>>(), expected);
        assert_eq!(blocks.structured.as_ref().map(Json::as_str), structured);
    }

    fn raw_part(media_type: &str) -> Part {
        Part { media_type: Some(media_type.into()), ..Part::new(Content::Raw(Base64::from_checked("AAEC"))) }
    }

    #[test]
    fn blocks_are_as_the_server_made_them() {
        let new = Revision::V2025_11_25;
        check(
            &[Part::text("a"), noted(Part::text("b"), r#"{"annotations":{"priority":1.0}}"#)],
            new,
            &[r#"{"type":"text","text":"a"}"#, r#"{"type":"text","text":"b","annotations":{"priority":1.0}}"#],
            None,
        );
        check(
            &[noted(Part::text("no"), r#"{"rest":{"error":true}}"#)],
            new,
            &[r#"{"type":"text","text":"no","error":true}"#],
            None,
        );
        check(
            &[raw_part("image/png"), raw_part("audio/wav"), raw_part("application/zip")],
            new,
            &[
                r#"{"type":"image","data":"AAEC","mimeType":"image/png"}"#,
                r#"{"type":"audio","data":"AAEC","mimeType":"audio/wav"}"#,
                r#"{"type":"resource","resource":{"uri":"a2a://x/2","mimeType":"application/zip","blob":"AAEC"}}"#,
            ],
            None,
        );
        let text_resource = noted(Part::text("hi").named("a.txt", "text/plain"), r#"{"uri":"demo://x/a.txt"}"#);
        let raw_resource = noted(raw_part("image/png"), r#"{"uri":"u:b"}"#);
        check(
            &[text_resource, raw_resource],
            new,
            &[
                r#"{"type":"resource","resource":{"uri":"demo://x/a.txt","mimeType":"text/plain","text":"hi"}}"#,
                r#"{"type":"resource","resource":{"uri":"u:b","mimeType":"image/png","blob":"AAEC"}}"#,
            ],
            None,
        );
        let linked = noted(Part::url("file:///a").named("a", "x/y"), r#"{"size":3,"title":"A"}"#);
        check(
            std::slice::from_ref(&linked),
            new,
            &[r#"{"type":"resource_link","uri":"file:///a","name":"a","title":"A","mimeType":"x/y","size":3}"#],
            None,
        );
        check(&[linked], Revision::V2025_03_26, &[r#"{"type":"text","text":"a: file:///a"}"#], None);
        check(
            &[raw_part("audio/wav")],
            Revision::V2024_11_05,
            &[r#"{"type":"resource","resource":{"uri":"a2a://x/0","mimeType":"audio/wav","blob":"AAEC"}}"#],
            None,
        );
        let odd =
            noted(Part::data(Json::parse(r#"{"type":"hologram","z":[1.0]}"#).unwrap()), r#"{"mcpType":"hologram"}"#);
        let number = noted(Part::data(Json::of(&7)), r#"{"mcpType":""}"#);
        check(&[odd, number], new, &[r#"{"type":"hologram","z":[1.0]}"#, r#"{"type":"text","text":"7"}"#], None);
    }

    #[test]
    fn what_is_structured_is_so_again() {
        let new = Revision::V2025_11_25;
        let data = |json: &str| Part::data(Json::parse(json).unwrap());
        let copied = noted(data(r#"{"a":1.0}"#), r#"{"role":"structured","textCopy":true}"#);
        check(&[copied], new, &[r#"{"type":"text","text":"{\"a\":1.0}"}"#], Some(r#"{"a":1.0}"#));
        let alone = noted(data(r#"{"a":1}"#), r#"{"role":"structured"}"#);
        check(&[alone, Part::text("b")], new, &[r#"{"type":"text","text":"b"}"#], Some(r#"{"a":1}"#));
        let list = noted(data("[1]"), r#"{"role":"structured"}"#);
        check(std::slice::from_ref(&list), new, &[r#"{"type":"text","text":"[1]"}"#], None);
        check(&[list], Revision::V2026_07_28, &[], Some("[1]"));
        // An agent that is no MCP server marks nothing.
        check(&[data(r#"{"a":1}"#)], new, &[r#"{"type":"text","text":"{\"a\":1}"}"#], Some(r#"{"a":1}"#));
        check(&[data("{}"), data("{}")], new, &[r#"{"type":"text","text":"{}"}"#; 2], None);
    }

    #[test]
    fn parts_that_were_too_many_are_read_from_their_list() {
        let list = r#"[{"text":"a","mediaType":"x/y","metadata":{"uri":"u:a"}},{"raw":"AAEC"},{"data":{"n":1.0}}]"#;
        let parts = listed_parts(&Content::Text(list.into())).unwrap();
        let read: Vec<Json> = parts.iter().map(|part| contents(part, "u:a", "u:a")).collect();
        assert_eq!(
            read.iter().map(Json::as_str).collect::<Vec<_>>(),
            [
                r#"{"uri":"u:a","mimeType":"x/y","text":"a"}"#,
                r#"{"uri":"u:a","blob":"AAEC"}"#,
                r#"{"uri":"u:a","text":"{\"n\":1.0}"}"#
            ]
        );
        assert!(listed_parts(&Content::Text("[7]".into())).is_none());
    }

    #[test]
    fn a_schema_asks_for_no_headers() {
        let schema =
            Json::parse(r#"{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"A"}}}"#).unwrap();
        assert_eq!(
            without_headers(&schema).to_value(),
            serde_json::json!({"type":"object","properties":{"a":{"type":"string"}}})
        );
    }
}
