//! One content block of a result as a part. A block that nobody knows is kept whole.

use std::sync::Arc;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bobbinet_core::{Base64, Content, Json, Part};
use serde::Deserialize;

use crate::json_object::JsonObject;

/// Both alphabets are read, padded or not; only the standard one is written.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// What every kind of block may have beside its content.
const AROUND: [&str; 2] = ["annotations", "_meta"];

/// A content block as a part.
pub(crate) fn part(block: &Json) -> Part {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Block {
        r#type: String,
        #[serde(default)]
        text: Option<Arc<str>>,
        #[serde(default)]
        data: Option<String>,
        #[serde(default)]
        mime_type: Option<Arc<str>>,
        #[serde(default)]
        resource: Option<Resource>,
        #[serde(default)]
        uri: Option<Arc<str>>,
        #[serde(default)]
        name: Option<Arc<str>>,
        // Of any kind: only in a block of one type are they words.
        #[serde(default)]
        message: Option<Json>,
        #[serde(default)]
        error: Option<Json>,
    }
    if let Ok(text) = block.read::<Arc<str>>() {
        return Part::new(Content::Text(text));
    }
    let unknown = || {
        let kind = JsonObject::read(block).and_then(|fields| fields.text("type")).unwrap_or_default();
        whole(block, &kind)
    };
    let Ok(read) = block.read::<Block>() else { return unknown() };
    let kept = |names: &[&str]| {
        let whole = JsonObject::read(block).unwrap_or_default();
        let mut kept = JsonObject::default();
        for name in names {
            // Some say `null` of what is not there.
            if let Some(value) = whole.get(name).filter(|value| value.as_str() != "null") {
                kept.set(name, value.clone());
            }
        }
        (whole, kept)
    };
    let metadata = |names: &[&str]| {
        let (_, kept) = kept(names);
        (!kept.is_empty()).then(|| kept.to_json())
    };
    // The same with what nobody knows of it.
    let with_rest = |known: &[&str]| {
        let (whole, mut kept) = kept(&AROUND);
        let is_known = |name: &str| name == "type" || AROUND.contains(&name) || known.contains(&name);
        let rest = whole.iter().filter(|(name, _)| !is_known(name));
        let rest: JsonObject = rest.map(|(name, value)| (name.to_owned(), value.clone())).collect();
        if !rest.is_empty() {
            kept.set("rest", rest.to_json());
        }
        (!kept.is_empty()).then(|| kept.to_json())
    };
    let data = read.data.as_deref().map(without_url);
    let (named_type, data) = data.map_or((None, None), |(media_type, data)| (media_type, base64(data)));
    match (read.r#type.as_str(), read.text, data, read.resource, read.uri) {
        // Not of the protocol, but what some servers say in place of `isError`.
        ("error", text, ..) => match text.or_else(|| words(read.message)).or_else(|| words(read.error)) {
            Some(text) => Part::new(Content::Text(text)),
            None => unknown(),
        },
        ("text", Some(text), ..) => Part { metadata: with_rest(&["text"]), ..Part::new(Content::Text(text)) },
        ("image" | "audio", _, Some(bytes), ..) => Part {
            media_type: read.mime_type.or(named_type),
            metadata: with_rest(&["data", "mimeType"]),
            ..Part::new(Content::Raw(bytes))
        },
        ("resource", _, _, Some(resource), _) => resource.part(metadata(&AROUND)).unwrap_or_else(unknown),
        ("resource_link", _, _, _, Some(uri)) => Part {
            media_type: read.mime_type,
            filename: read.name,
            metadata: metadata(&["title", "description", "size", "annotations", "_meta"]),
            ..Part::new(Content::Url(uri))
        },
        _ => unknown(),
    }
}

/// A text, if it is one.
fn words(json: Option<Json>) -> Option<Arc<str>> {
    json?.read().ok()
}

/// One of the contents of a resource that was read: text, or bytes.
pub(crate) fn resource(contents: &Json) -> Part {
    let meta = JsonObject::read(contents).and_then(|mut fields| fields.take("_meta"));
    let meta = meta.map(|meta| [("_meta".to_owned(), meta)].into_iter().collect::<JsonObject>().to_json());
    let read = contents.read::<Resource>().ok().and_then(|resource| resource.part(meta));
    read.unwrap_or_else(|| whole(contents, "resource"))
}

/// What nobody can read, as it came.
fn whole(json: &Json, kind: &str) -> Part {
    let mut metadata = JsonObject::default();
    metadata.set("mcpType", Json::of(kind));
    Part { metadata: Some(metadata.to_json()), ..Part::data(json.clone()) }
}

/// A resource that came with the result.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    mime_type: Option<Arc<str>>,
    #[serde(default)]
    text: Option<Arc<str>>,
    #[serde(default)]
    blob: Option<String>,
}

impl Resource {
    fn part(self, around: Option<Json>) -> Option<Part> {
        let content = match (self.text, self.blob) {
            (Some(text), _) => Content::Text(text),
            (None, Some(blob)) => Content::Raw(base64(&blob)?),
            (None, None) => return None,
        };
        let mut metadata = around.as_ref().and_then(JsonObject::read).unwrap_or_default();
        let mut filename = None;
        if let Some(uri) = &self.uri {
            metadata.set("uri", Json::of(uri));
            filename =
                uri.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty());
        }
        let filename = filename.map(Arc::from);
        let metadata = (!metadata.is_empty()).then(|| metadata.to_json());
        Some(Part { media_type: self.mime_type, filename, metadata, ..Part::new(content) })
    }
}

/// Whether a block says that the tool has failed.
pub(crate) fn is_error(block: &Json) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    // Hardly any block has the word in it.
    block.as_str().contains("\"error\"") && block.read::<Kind>().is_ok_and(|kind| kind.r#type == "error")
}

/// The base64 in a `data:` URL with its media type (RFC 2397), or the text as it is.
fn without_url(text: &str) -> (Option<Arc<str>>, &str) {
    let is_url = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    let Some((head, data)) = text.get(5..).filter(|_| is_url).and_then(|rest| rest.split_once(',')) else {
        return (None, text);
    };
    let media_type = head.split(';').next().filter(|it| !it.is_empty()).map(Arc::from);
    (media_type, data)
}

/// Bytes as standard base64. What is nearly that is made so; what is not base64 at all is `None`.
fn base64(text: &str) -> Option<Base64> {
    let is_standard = text.len().is_multiple_of(4) && STANDARD.decode(text).is_ok();
    if is_standard {
        return Some(Base64::from_checked(text));
    }
    let plain = text.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>();
    let alphabet = if plain.contains(['-', '_']) { alphabet::URL_SAFE } else { alphabet::STANDARD };
    let bytes = GeneralPurpose::new(&alphabet, LENIENT).decode(plain).ok()?;
    Some(Base64::from_checked(&STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_whatever_else_its_block_says() {
        let check = |block: &str, text: &str, metadata: Option<&str>| {
            let part = part(&Json::parse(block).unwrap());
            assert_eq!(part.as_text(), Some(text), "{block}");
            assert_eq!(part.metadata.as_ref().map(Json::as_str), metadata);
        };
        check(r#"{"type":"text","text":"no","error":true}"#, "no", Some(r#"{"rest":{"error":true}}"#));
        check(r#"{"type":"text","text":"x","annotations":null,"_meta":null}"#, "x", None);
        check(
            r#"{"type":"text","text":"x","message":7,"_meta":{"a":1}}"#,
            "x",
            Some(r#"{"_meta":{"a":1},"rest":{"message":7}}"#),
        );
        check(r#"{"type":"error","message":"bad"}"#, "bad", None);
        let picture = part(&Json::parse(r#"{"type":"image","data":"AAEC","mimeType":"image/png","width":3}"#).unwrap());
        assert_eq!(picture.metadata.unwrap().as_str(), r#"{"rest":{"width":3}}"#);
    }
}
