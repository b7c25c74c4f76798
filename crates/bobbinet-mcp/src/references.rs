//! A result that is too large for its task goes by reference: its large parts become blobs, and the task has a preview of them and the
//! URLs to fetch them by.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bobbinet_core::{Artifact, Content, Json, Outcome, Part};
use bobbinet_engine::{BlobError, BlobKind, Run};
use bytes::Bytes;
use serde_json::Value;

use crate::{json_object::JsonObject, schema_check};

/// Bytes that are handed on at a time, a multiple of four, so that base64 can be cut there.
const PIECE: usize = 1 << 20;

/// Parts of one result that become blobs each for itself. If even the rest is too large, all of it becomes one.
const REFERENCES_MAX: usize = 16;

/// Bytes of a preview, whatever it is of.
const PREVIEW_BYTES_MAX: usize = 1_000;

/// Bytes of the beginning of a text that a preview shows.
const HEAD_BYTES: usize = 400;

/// Bytes of what a preview says of the shape of data.
const SHAPE_BYTES_MAX: usize = 300;

/// How deep a shape is told, and how many members of an object.
const SHAPE_DEPTH: usize = 3;
const SHAPE_MEMBERS: usize = 12;

/// Bytes of a part's own metadata that its reference keeps: what MCP Apps say of a page (`_meta.ui`) fits.
const METADATA_BYTES_MAX: usize = 4 << 10;

/// What a call has come to, with what is too large in it by reference. Where that cannot be kept, it stays as it is: the tool has run, and what it
/// said is worth more than the bound.
pub(crate) async fn apply(run: &Run, inline_max: usize, outcome: Outcome) -> Outcome {
    let Outcome::Completed { artifacts, message } = outcome else { return outcome };
    let is_large = |artifact: &Arc<Artifact>| artifact.bytes() > inline_max;
    if !run.has_blobs() || !artifacts.iter().any(is_large) {
        return Outcome::Completed { artifacts, message };
    }
    let mut referenced = Vec::with_capacity(artifacts.len());
    for artifact in artifacts {
        if !is_large(&artifact) {
            referenced.push(artifact);
            continue;
        }
        match parts(run, inline_max, &artifact.parts).await {
            Ok(parts) => referenced.push(Arc::new(Artifact { parts, ..Artifact::clone(&artifact) })),
            Err(error) => {
                tracing::warn!(task = %run.task().id, %error, "a large result stays in its task, as it cannot be kept beside it");
                referenced.push(artifact);
            }
        }
    }
    Outcome::Completed { artifacts: referenced, message }
}

/// The parts, the largest by reference, as many as it takes; and before them what there is to say of those.
async fn parts(run: &Run, inline_max: usize, parts: &[Part]) -> Result<Vec<Part>, BlobError> {
    let owned = parts.to_vec();
    let bytes = parts.iter().map(Part::bytes).sum();
    let once = schema_check::apart(bytes, move || without_wrapped_copy(owned)).await;
    // What would stay in its task if it came once stays as it came, as far as it may.
    let is_still_large = once.iter().map(Part::bytes).sum::<usize>() > inline_max;
    let parts = if is_still_large { once } else { parts.to_vec() };
    let mut by_size: Vec<usize> = (0..parts.len()).collect();
    by_size.sort_by_key(|place| std::cmp::Reverse(parts[*place].bytes()));
    let mut left: usize = parts.iter().map(Part::bytes).sum();
    let mut large = Vec::new();
    for place in by_size {
        if left <= inline_max {
            break;
        }
        left -= parts[place].bytes();
        large.push(place);
    }
    if large.len() > REFERENCES_MAX {
        let whole = schema_check::apart(left.max(inline_max + 1), {
            let parts = parts.clone();
            move || as_list(&parts)
        });
        let (preview, reference) = refer(run, &whole.await).await?;
        return Ok(vec![preview_part(&preview), reference]);
    }
    large.sort_unstable();
    let (mut previews, mut kept) = (Vec::new(), Vec::with_capacity(parts.len() + 1));
    for (place, part) in parts.iter().enumerate() {
        if large.binary_search(&place).is_err() {
            kept.push(part.clone());
            continue;
        }
        let (preview, reference) = refer(run, part).await?;
        previews.push(preview);
        kept.push(reference);
    }
    kept.insert(0, preview_part(&previews.join("\n")));
    Ok(kept)
}

/// Without the structured copy of a text that is nothing but that text under a name, as servers give it that promise a structure: it is
/// large once. The text says which name that is.
fn without_wrapped_copy(mut parts: Vec<Part>) -> Vec<Part> {
    let wrapped = parts.iter().enumerate().find_map(|(place, part)| {
        let fields = JsonObject::read(part.as_data()?)?;
        let mut members = fields.iter();
        let (Some((name, value)), None) = (members.next(), members.next()) else { return None };
        let value: String = value.read().ok()?;
        let text = parts.iter().position(|part| part.as_text() == Some(value.as_str()))?;
        Some((place, text, name.to_owned()))
    });
    if let Some((structured, text, name)) = wrapped {
        let mut metadata = parts[text].metadata.as_ref().and_then(JsonObject::read).unwrap_or_default();
        metadata.set("structuredAs", Json::of(&name));
        parts[text].metadata = Some(metadata.to_json());
        parts.remove(structured);
    }
    parts
}

/// Keeps a part as a blob: what there is to say of it, and what stands in its place.
async fn refer(run: &Run, part: &Part) -> Result<(String, Part), BlobError> {
    let media_type = part.media_type.clone().unwrap_or_else(|| {
        Arc::from(match &part.content {
            Content::Text(_) => "text/plain; charset=utf-8",
            Content::Data(_) => "application/json",
            Content::Raw(_) | Content::Url(_) => "application/octet-stream",
        })
    });
    let kind = BlobKind { media_type: Some(media_type.clone()), filename: part.filename.clone() };
    let kept = run.keep_blob(kind, pieces(&part.content)).await?;
    let mut said = format!("{} bytes of {media_type}, SHA-256 {}, at {}", kept.length, kept.hash, kept.url);
    let own = part.metadata.as_ref().filter(|metadata| metadata.as_str().len() <= METADATA_BYTES_MAX);
    let mut metadata = own.and_then(JsonObject::read).unwrap_or_default();
    metadata.set("size", Json::of(&kept.length));
    metadata.set("sha256", Json::of(&kept.hash.to_string()));
    match &part.content {
        Content::Text(text) => {
            said = format!("{said}. It begins:\n{}", cut(text, HEAD_BYTES));
        }
        Content::Data(json) => {
            let of = json.clone();
            let shape = schema_check::apart(json.as_str().len(), move || shape(&of.to_value(), SHAPE_DEPTH)).await;
            let shape = cut(&shape, SHAPE_BYTES_MAX).to_owned();
            said = format!("{said}. Its shape: {shape}");
            metadata.set("shape", Json::of(&shape));
        }
        // Bytes may be those of a text.
        Content::Raw(_) => metadata.set("bytes", Json::of(&true)),
        Content::Url(_) => {}
    }
    let content = Content::Url(Arc::from(kept.url));
    let metadata = Some(metadata.to_json());
    Ok((said, Part { content, media_type: Some(media_type), filename: part.filename.clone(), metadata }))
}

fn preview_part(previews: &str) -> Part {
    let text = format!("This result is large, and is kept beside its task: {previews}");
    let mut metadata = JsonObject::default();
    metadata.set("role", Json::of("preview"));
    Part { metadata: Some(metadata.to_json()), ..Part::text(cut(&text, PREVIEW_BYTES_MAX)) }
}

/// The bytes of a content, a piece at a time: no second copy of it is made.
pub(crate) fn pieces(content: &Content) -> Box<dyn Iterator<Item = Bytes> + Send + '_> {
    match content {
        Content::Text(text) | Content::Url(text) => Box::new(text.as_bytes().chunks(PIECE).map(Bytes::copy_from_slice)),
        Content::Data(json) => Box::new(json.as_str().as_bytes().chunks(PIECE).map(Bytes::copy_from_slice)),
        Content::Raw(base64) => Box::new(base64.as_str().as_bytes().chunks(PIECE).map(|piece| {
            // It was checked when it came in, and is cut between groups of four.
            STANDARD.decode(piece).expect("standard base64").into()
        })),
    }
}

/// Parts as A2A 1.0 writes them, in a list.
fn as_list(parts: &[Part]) -> Part {
    let mut list = String::from("[");
    for (place, part) in parts.iter().enumerate() {
        let mut fields = JsonObject::default();
        match &part.content {
            Content::Text(text) => fields.set("text", Json::of(text)),
            Content::Raw(base64) => fields.set("raw", Json::of(base64.as_str())),
            Content::Url(url) => fields.set("url", Json::of(url)),
            Content::Data(json) => fields.set("data", json.clone()),
        }
        for (name, word) in [("mediaType", &part.media_type), ("filename", &part.filename)] {
            if let Some(word) = word {
                fields.set(name, Json::of(word));
            }
        }
        if let Some(metadata) = &part.metadata {
            fields.set("metadata", metadata.clone());
        }
        list.push_str(if place == 0 { "" } else { "," });
        list.push_str(fields.to_json().as_str());
    }
    list.push(']');
    let mut metadata = JsonObject::default();
    metadata.set("role", Json::of("parts"));
    Part { metadata: Some(metadata.to_json()), ..Part::data(Json::parse(&list).expect("a list of objects is JSON")) }
}

/// What a value is made of: `{"rows": [1000 of {"id": integer}]}`.
fn shape(value: &Value, depth: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(text) => format!("text of {} bytes", text.len()),
        Value::Array(items) => match items.first() {
            Some(first) if depth > 0 => format!("[{} of {}]", items.len(), shape(first, depth - 1)),
            Some(_) | None => format!("[{}]", items.len()),
        },
        Value::Object(fields) if depth == 0 => format!("{{{} members}}", fields.len()),
        Value::Object(fields) => {
            let member =
                |(name, value): (&String, &Value)| format!("{}: {}", Json::of(name).as_str(), shape(value, depth - 1));
            let mut members: Vec<String> = fields.iter().take(SHAPE_MEMBERS).map(member).collect();
            if fields.len() > SHAPE_MEMBERS {
                members.push(format!("and {} more", fields.len() - SHAPE_MEMBERS));
            }
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// The beginning of a text, of no more than so many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use bobbinet_core::Base64;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shape_tells_what_there_is_without_what_it_says() {
        let check = |value: &Value, expected: &str| assert_eq!(shape(value, SHAPE_DEPTH), expected);
        check(&json!({"content": "x".repeat(70)}), r#"{"content": text of 70 bytes}"#);
        check(&json!([{"id": 1, "ok": true, "of": null}, {}]), r#"[2 of {"id": number, "of": null, "ok": boolean}]"#);
        check(&json!({"a": {"b": {"c": {"d": 1}}}}), r#"{"a": {"b": {"c": {1 members}}}}"#);
        check(&json!([]), "[0]");
        let many: Value = (0..14).map(|n| (format!("k{n:02}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
        assert!(shape(&many, 1).ends_with(r#""k11": number, and 2 more}"#));
    }

    #[test]
    fn the_pieces_of_a_content_are_its_bytes() {
        let bytes: Vec<u8> = (0..3 * PIECE + 7).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let whole = |content: &Content| pieces(content).flatten().collect::<Vec<u8>>();
        assert!(whole(&Content::Raw(Base64::from_checked(&STANDARD.encode(&bytes)))) == bytes);
        let text = "ä".repeat(PIECE);
        assert!(whole(&Content::Text(text.as_str().into())) == text.as_bytes());
    }

    #[test]
    fn a_text_that_came_twice_is_large_once() {
        let structured = |json: &str| Part::data(Json::parse(json).unwrap());
        let parts = without_wrapped_copy(vec![structured(r#"{"content":"a\nb"}"#), Part::text("a\nb")]);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].metadata.as_ref().unwrap().as_str(), r#"{"structuredAs":"content"}"#);
        for other in [r#"{"content":"c"}"#, r#"{"content":"a\nb","n":1}"#, r#"["a\nb"]"#] {
            assert_eq!(without_wrapped_copy(vec![structured(other), Part::text("a\nb")]).len(), 2, "{other}");
        }
    }

    #[test]
    fn parts_together_are_written_as_a2a_has_them() {
        let named = Part::new(Content::Raw(Base64::from_checked("AAEC"))).named("a.bin", "x/y");
        let list = as_list(&[Part::text("a\"b"), named, Part::data(Json::parse(r#"{"n":1.0}"#).unwrap())]);
        assert_eq!(list.metadata.as_ref().unwrap().as_str(), r#"{"role":"parts"}"#);
        let expected = r#"[{"text":"a\"b"},{"raw":"AAEC","mediaType":"x/y","filename":"a.bin"},{"data":{"n":1.0},"mediaType":"application/json"}]"#;
        assert_eq!(list.as_data().unwrap().as_str(), expected);
        assert_eq!(cut("aä", 2), "a");
    }
}
