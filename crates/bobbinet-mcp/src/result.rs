//! What a tool gave back, as artifacts and messages. Nothing is dropped for not being understood.

use std::sync::Arc;

use bobbinet_core::{
    Artifact, ArtifactId, Fault, Json, Message, MessageId, Outcome, Part, SkillId,
    json::strict::{self, StrictFault},
};

use crate::{
    block, json_object::JsonObject, mailbox::RpcError, prompts, resources, schema, schema::Violation, schema_check,
    server_feature::ServerFeature,
};

/// JSON-RPC's codes for a request that cannot be carried out as such.
const INVALID_PARAMS: i64 = -32602;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_REQUEST: i64 = -32600;
const PARSE_ERROR: i64 = -32700;

/// MCP's code for a call that needs its user to visit an address first (2025-11-25).
pub(crate) const URL_REQUIRED: i64 = -32042;

/// Content blocks that become parts of their own. What comes after them is kept as it came, in one part.
const BLOCKS_MAX: usize = 10_000;

/// The result of a call, of any generation, in whatever form it can be read.
#[derive(Debug)]
pub(crate) struct CallResult {
    feature: ServerFeature,
    /// Of a prompt: what its server says of it, once its arguments are in it.
    description: Option<String>,
    content: Vec<Json>,
    structured_content: Option<Json>,
    is_error: Option<bool>,
    meta: Option<Json>,
    result_type: Option<String>,
    pub(crate) input_requests: Option<JsonObject>,
    pub(crate) request_state: Option<Json>,
    /// Bytes of all of it.
    pub(crate) bytes: usize,
}

impl CallResult {
    /// Reads a result. What is not as the protocol has it is content all the same; the error says why a question,
    /// which must be understood to be asked, is none.
    pub(crate) fn read(feature: ServerFeature, json: &Json) -> Result<Self, String> {
        let Some(fields) = JsonObject::read(json) else {
            return Ok(Self { content: content(json), bytes: json.as_str().len(), ..Self::nothing() });
        };
        let get = |name: &str| fields.get(name).filter(|value| value.as_str() != "null");
        // The first revision had one value of any kind in place of a content.
        let mut content = get(feature.content_field()).map(content).unwrap_or_default();
        content.extend(get("toolResult").filter(|_| get("content").is_none()).map(content_of_one));
        let input_requests = match get("inputRequests") {
            Some(requests) => Some(
                JsonObject::read(requests).ok_or("it asks for something, but not in the form of requests by name")?,
            ),
            None => None,
        };
        let result_type = get("resultType").map(|word| word.read().unwrap_or_else(|_| word.as_str().to_owned()));
        let result = Self {
            feature,
            result_type,
            input_requests,
            request_state: get("requestState").cloned(),
            meta: get("_meta").cloned(),
            bytes: json.as_str().len(),
            ..Self::nothing()
        };
        let (is_tool, is_data) = match feature {
            ServerFeature::Tool => (true, false),
            ServerFeature::Resource | ServerFeature::Prompt => (false, false),
            ServerFeature::ResourceList | ServerFeature::Completion => (false, true),
        };
        if !is_tool {
            // Without it there is nothing to be told from an empty one.
            if get(feature.content_field()).is_none() && result.result_type.as_deref().is_none_or(|it| it == "complete")
            {
                return Err(format!("it has no `{}`", feature.content_field()));
            }
            if is_data {
                let own = ["_meta", "resultType", "ttlMs", "cacheScope"];
                let said = fields.iter().filter(|(name, _)| !own.contains(name));
                let said = said.map(|(name, value)| (name.to_owned(), value.clone())).collect::<JsonObject>();
                return Ok(Self { structured_content: Some(said.to_json()), ..result });
            }
            return Ok(Self { content, description: fields.text("description"), ..result });
        }
        let is_error = get("isError").and_then(flag);
        Ok(Self {
            is_error: is_error.or(content.iter().take(BLOCKS_MAX).any(block::is_error).then_some(true)),
            content,
            structured_content: get("structuredContent").cloned(),
            ..result
        })
    }

    /// A result with nothing in it.
    fn nothing() -> Self {
        Self {
            feature: ServerFeature::Tool,
            description: None,
            content: Vec::new(),
            structured_content: None,
            is_error: None,
            meta: None,
            result_type: None,
            input_requests: None,
            request_state: None,
            bytes: 0,
        }
    }

    /// The same, where a large one keeps nobody waiting.
    pub(crate) async fn read_apart(feature: ServerFeature, json: Json) -> Result<Self, String> {
        schema_check::apart(json.as_str().len(), move || Self::read(feature, &json)).await
    }

    /// Whether it is a question instead (2026-07-28).
    pub(crate) fn is_question(&self) -> bool {
        self.result_type.as_deref() == Some("input_required")
    }

    /// Whether the tool says that it has failed.
    pub(crate) fn is_error(&self) -> bool {
        self.is_error == Some(true)
    }

    /// What is to be checked against the tool's output schema.
    pub(crate) fn structured(&self) -> Option<&Json> {
        self.structured_content.as_ref().filter(|_| self.is_error != Some(true))
    }

    /// What it comes to, with what is wrong with its structured content, and what else there is to say of it.
    pub(crate) fn outcome(
        self,
        tool: Option<&SkillId>,
        violations: &[Violation],
        id: MessageId,
        notes: JsonObject,
    ) -> Outcome {
        if let Some(word) = self.result_type.as_deref().filter(|word| *word != "complete") {
            let text = format!("the server answered with a result of the kind `{word}`, which was not offered to it");
            return Outcome::Unknown { fault: Fault::new("bad-reply", text), again: false };
        }
        let is_error = self.is_error == Some(true);
        let mut metadata = JsonObject::default();
        if !violations.is_empty() {
            metadata.set("schemaValid", Json::of(&false));
            metadata.set("schemaErrors", schema::errors(violations));
        }
        if let Some(meta) = self.meta.as_ref().and_then(JsonObject::read) {
            // What the protocol itself puts there says nothing of the result.
            let own = meta.iter().filter(|(name, _)| !name.starts_with("io.modelcontextprotocol/"));
            let own = own.map(|(name, value)| (name.to_owned(), value.clone())).collect::<JsonObject>();
            if !own.is_empty() {
                metadata.set("_meta", own.to_json());
            }
        }
        metadata.merge(notes);
        let parts = self.parts();
        let metadata = (!metadata.is_empty()).then(|| metadata.to_json());
        if is_error {
            return refused(parts, metadata, id);
        }
        let artifacts = match parts.is_empty() && metadata.is_none() {
            true => Vec::new(),
            false => {
                let parts = if parts.is_empty() { vec![Part::text("")] } else { parts };
                let id = ArtifactId::parse("result").expect("a word is an id");
                vec![Arc::new(Artifact {
                    name: tool.map(|tool| Arc::from(tool.as_str())),
                    description: self.description.map(Arc::from),
                    metadata,
                    ..Artifact::new(id, parts)
                })]
            }
        };
        Outcome::Completed { artifacts, message: None }
    }

    /// The structured content first; its copy as text, which servers add for old clients, is dropped and marked.
    fn parts(&self) -> Vec<Part> {
        let content = self.content.iter().take(BLOCKS_MAX);
        let mut blocks = match self.feature {
            ServerFeature::Tool => content.map(block::part).collect::<Vec<_>>(),
            ServerFeature::Resource => content.map(resources::part).collect(),
            // They are data, and nothing else.
            ServerFeature::ResourceList | ServerFeature::Completion => Vec::new(),
            ServerFeature::Prompt => content.flat_map(prompts::parts).collect(),
        };
        if let Some(rest) = self.content.get(BLOCKS_MAX..).filter(|rest| !rest.is_empty()) {
            let metadata = Some(Json::from(&serde_json::json!({"mcpType": "content"})));
            blocks.push(Part { metadata, ..Part::data(Json::of(rest)) });
        }
        let Some(structured) = &self.structured_content else { return blocks };
        let value = structured.to_value();
        // What was checked is what is handed on: of a name that an object has twice, readers take the one or the other.
        let structured = match strict::check(structured.as_str().as_bytes()) {
            Err(StrictFault::Twice(_)) => &Json::from(&value),
            Ok(()) | Err(_) => structured,
        };
        let is_copy = |part: &Part| {
            let Some(text) = part.as_text() else { return false };
            serde_json::from_str::<serde_json::Value>(text).is_ok_and(|copy| copy == value)
        };
        let copy = blocks.iter().position(is_copy);
        let mut metadata = JsonObject::default();
        metadata.set("role", Json::of("structured"));
        if let Some(copy) = copy {
            blocks.remove(copy);
            metadata.set("textCopy", Json::of(&true));
        }
        blocks.insert(0, Part { metadata: Some(metadata.to_json()), ..Part::data(structured.clone()) });
        blocks
    }
}

/// The blocks of a content: a list of them, or one alone, or a text.
fn content(json: &Json) -> Vec<Json> {
    if json.as_str() == "null" {
        return Vec::new();
    }
    json.read::<Vec<Json>>().unwrap_or_else(|_| vec![content_of_one(json)])
}

/// One block; a text is made one.
fn content_of_one(json: &Json) -> Json {
    match json.read::<String>() {
        Ok(text) => Json::from(&serde_json::json!({"type": "text", "text": text})),
        Err(_) => json.clone(),
    }
}

/// Yes or no, as servers write it.
fn flag(json: &Json) -> Option<bool> {
    match json.as_str() {
        "true" | "\"true\"" | "1" => Some(true),
        "false" | "\"false\"" | "0" => Some(false),
        _ => None,
    }
}

/// What a tool says when it says no.
fn refused(parts: Vec<Part>, metadata: Option<Json>, id: MessageId) -> Outcome {
    let words = parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n");
    // What the official TypeScript SDK makes of a request that is wrong as such.
    for (prefix, code) in [("MCP error -32602", "bad-arguments"), ("MCP error -32601", "unknown-skill")] {
        if words.starts_with(prefix) {
            return Outcome::Rejected(Fault::new(code, words));
        }
    }
    let parts =
        if parts.is_empty() { vec![Part::text("the tool reported an error, without a word about it")] } else { parts };
    let message = Message { metadata, ..Message::from_agent(id, parts) };
    Outcome::ToolError { artifacts: Vec::new(), message: Arc::new(message) }
}

/// A result as it came, for whoever reads it himself.
pub(crate) fn whole(json: &Json) -> Outcome {
    let id = ArtifactId::parse("result").expect("a word is an id");
    let artifact = Artifact::new(id, vec![Part::data(json.clone())]);
    Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }
}

/// What a JSON-RPC error comes to. It is an answer: the server has said no.
pub(crate) fn failed(error: &RpcError, id: MessageId) -> Outcome {
    let mut data = JsonObject::default();
    data.set("code", Json::of(&error.code));
    data.set("message", Json::of(&error.message));
    if let Some(details) = &error.data {
        data.set("data", details.clone());
    }
    let data = data.to_json();
    let fault =
        |code| Fault { data: Some(data.clone()), ..Fault::new(code, format!("the server refused: {}", error.message)) };
    match error.code {
        INVALID_PARAMS => Outcome::Rejected(fault("bad-arguments")),
        METHOD_NOT_FOUND => Outcome::Rejected(fault("unknown-skill")),
        INVALID_REQUEST | PARSE_ERROR => Outcome::Failed(fault("bad-request")),
        code => {
            let text = match code {
                0 => error.message.clone(),
                code => format!("{} (MCP error {code})", error.message),
            };
            let text =
                if text.is_empty() { "the server reported an error, without a word about it".to_owned() } else { text };
            let message = Message::from_agent(id, vec![Part::text(text), Part::data(data)]);
            Outcome::ToolError { artifacts: Vec::new(), message: Arc::new(message) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use bobbinet_core::Content;

    use super::*;
    use crate::{
        catalog::{Catalog, Tool},
        config::McpConfig,
    };

    fn outcome(text: &str, tool: Option<&Tool>) -> Outcome {
        let result = CallResult::read(ServerFeature::Tool, &Json::parse(text).unwrap()).unwrap();
        let violations = result.structured().zip(tool.and_then(|tool| tool.output.as_ref()));
        let violations = violations.map(|(json, schema)| schema.check(&json.to_value())).unwrap_or_default();
        result.outcome(tool.map(|tool| &tool.id), &violations, MessageId::parse("m").unwrap(), JsonObject::default())
    }

    fn say(part: &Part) -> String {
        let content = match &part.content {
            Content::Text(text) => format!("text {text}"),
            Content::Raw(raw) => format!("raw {}", raw.as_str()),
            Content::Url(url) => format!("url {url}"),
            Content::Data(data) => format!("data {}", data.as_str()),
        };
        let extra = [
            part.media_type.as_ref().filter(|_| part.as_data().is_none()).map(|it| it.to_string()),
            part.filename.as_ref().map(|it| it.to_string()),
            part.metadata.as_ref().map(|it| it.as_str().to_owned()),
        ];
        [Some(content)].into_iter().chain(extra).flatten().collect::<Vec<_>>().join(" | ")
    }

    fn check(text: &str, expected: &[&str]) {
        let Outcome::Completed { artifacts, message: None } = outcome(text, None) else { panic!("{text}") };
        let parts = artifacts.iter().flat_map(|artifact| &artifact.parts).map(say).collect::<Vec<_>>();
        assert_eq!(parts, expected, "{text}");
    }

    #[test]
    fn every_block_becomes_a_part_in_its_order() {
        check(r#"{}"#, &[]);
        check(
            r#"{"content":[{"type":"text","text":"a","annotations":{"priority":1.0}},{"type":"text","text":"b"}]}"#,
            &[r#"text a | {"annotations":{"priority":1.0}}"#, "text b"],
        );
        check(r#"{"content":[{"type":"image","data":"AAEC","mimeType":"image/png"}]}"#, &["raw AAEC | image/png"]);
        check(r#"{"content":[{"type":"audio","data":"_-8","mimeType":"audio/wav"}]}"#, &["raw /+8= | audio/wav"]);
        check(
            r#"{"content":[{"type":"resource","resource":{"uri":"demo://x/a.txt?v=1","mimeType":"text/plain","text":"hi"}}]}"#,
            &[r#"text hi | text/plain | a.txt | {"uri":"demo://x/a.txt?v=1"}"#],
        );
        check(
            r#"{"content":[{"type":"resource","resource":{"uri":"u:b","blob":"AAEC"}}]}"#,
            &[r#"raw AAEC | u:b | {"uri":"u:b"}"#],
        );
        check(
            r#"{"content":[{"type":"resource_link","uri":"file:///a","name":"a","mimeType":"x/y","size":3}]}"#,
            &[r#"url file:///a | x/y | a | {"size":3}"#],
        );
        check(
            r#"{"content":[{"type":"hologram","z":[1.0]}]}"#,
            &[r#"data {"type":"hologram","z":[1.0]} | {"mcpType":"hologram"}"#],
        );
        check(
            r#"{"content":[{"type":"image","data":"?"},{"type":"text"},7]}"#,
            &[
                r#"data {"type":"image","data":"?"} | {"mcpType":"image"}"#,
                r#"data {"type":"text"} | {"mcpType":"text"}"#,
                r#"data 7 | {"mcpType":""}"#,
            ],
        );
    }

    #[test]
    fn what_was_read_and_what_a_prompt_says_become_parts_in_their_order() {
        let check = |feature, text: &str, expected: &[&str]| {
            let result = CallResult::read(feature, &Json::parse(text).unwrap()).unwrap();
            let outcome = result.outcome(None, &[], MessageId::parse("m").unwrap(), JsonObject::default());
            let Outcome::Completed { artifacts, message: None } = outcome else { panic!("{text}") };
            assert_eq!(artifacts.iter().flat_map(|artifact| &artifact.parts).map(say).collect::<Vec<_>>(), expected);
            artifacts.first().and_then(|artifact| artifact.description.clone())
        };
        let text = r#"{"contents":[
            {"uri":"demo://a/b.md","mimeType":"text/markdown","text":"isError","_meta":{"n":1.0}},
            {"uri":"demo://c","mimeType":"image/png","blob":"AAEC"},{"uri":"demo://d"}],"ttlMs":0}"#;
        check(
            ServerFeature::Resource,
            text,
            &[
                r#"text isError | text/markdown | b.md | {"_meta":{"n":1.0},"uri":"demo://a/b.md"}"#,
                r#"raw AAEC | image/png | c | {"uri":"demo://c"}"#,
                r#"data {"uri":"demo://d"} | {"mcpType":"resource"}"#,
            ],
        );
        check(ServerFeature::Resource, r#"{"contents":[]}"#, &[]);
        let text = r#"{"description":"A talk","messages":[
            {"role":"user","content":{"type":"text","text":"hi","annotations":{"priority":1}}},
            {"role":"assistant","content":[{"type":"text","text":"a"},{"type":"resource_link","uri":"u:a","name":"a"}]},
            {"role":"user"}],"isError":true}"#;
        let said = check(
            ServerFeature::Prompt,
            text,
            &[
                r#"text hi | {"annotations":{"priority":1},"role":"user"}"#,
                r#"text a | {"role":"assistant"}"#,
                r#"url u:a | a | {"role":"assistant"}"#,
                r#"data {"role":"user"} | {"mcpType":""}"#,
            ],
        );
        assert_eq!(said.as_deref(), Some("A talk"));
        for (feature, missing) in [(ServerFeature::Resource, "contents"), (ServerFeature::Prompt, "messages")] {
            let error = CallResult::read(feature, &Json::parse(r#"{"content":[]}"#).unwrap()).unwrap_err();
            assert_eq!(error, format!("it has no `{missing}`"));
            let asks = r#"{"resultType":"input_required","inputRequests":{}}"#;
            assert!(CallResult::read(feature, &Json::parse(asks).unwrap()).unwrap().is_question());
        }
    }

    #[test]
    fn however_much_there_is_it_is_kept_in_time() {
        crate::schema_check::in_good_time(|| {
            let keys = (0..1_000_000).map(|n| format!(r#""k{n}":{n}"#)).collect::<Vec<_>>().join(",");
            let wide = format!(r#"{{"content":[{{"type":"odd",{keys}}}],"_meta":{{{keys}}}}}"#);
            let Outcome::Completed { artifacts, .. } = outcome(&wide, None) else { panic!("a wide block is no fault") };
            assert_eq!(artifacts[0].parts.len(), 1);
        });
        let many = vec![r#"{"type":"text","text":"x"}"#; BLOCKS_MAX + 3].join(",");
        let Outcome::Completed { artifacts, .. } = outcome(&format!(r#"{{"content":[{many}]}}"#), None) else {
            panic!("many blocks are no fault")
        };
        let parts = &artifacts[0].parts;
        assert_eq!(parts.len(), BLOCKS_MAX + 1);
        let rest = parts[BLOCKS_MAX].as_data().unwrap();
        assert_eq!(rest.as_str().matches("text\":").count(), 3);
    }

    #[test]
    fn what_can_be_read_of_a_result_is_its_content() {
        check("null", &[]);
        check(r#"{"content":null}"#, &[]);
        check(r#""done""#, &["text done"]);
        check("[1]", &[r#"data 1 | {"mcpType":""}"#]);
        check(r#"{"content":"done"}"#, &["text done"]);
        check(r#"{"content":{"type":"text","text":"done"}}"#, &["text done"]);
        check(r#"{"content":["done",{"type":"text","text":"and done"}]}"#, &["text done", "text and done"]);
        check(r#"{"toolResult":"done"}"#, &["text done"]);
        check(r#"{"toolResult":{"n":1}}"#, &[r#"data {"n":1} | {"mcpType":""}"#]);
        check(r#"{"content":[],"isError":null,"resultType":null,"structuredContent":null}"#, &[]);
        assert!(matches!(outcome(r#"{"content":"no","isError":"true"}"#, None), Outcome::ToolError { .. }));
        let error = outcome(r#"{"content":[{"type":"error","message":"no such file"}]}"#, None);
        assert!(matches!(&error, Outcome::ToolError { message, .. } if message.text() == "no such file"), "{error:?}");
        check(r#"{"content":[{"type":"error","text":"odd"}],"isError":false}"#, &["text odd"]);
        check(
            r#"{"content":[{"type":"image","data":"data:image/png;base64,AAEC"},{"type":"audio","data":"DATA:audio/ogg;base64,AAEC","mimeType":"audio/wav"}]}"#,
            &["raw AAEC | image/png", "raw AAEC | audio/wav"],
        );
        assert!(CallResult::read(ServerFeature::Tool, &Json::parse(r#"{"inputRequests":[1]}"#).unwrap()).is_err());
    }

    #[test]
    fn structured_content_comes_first_without_its_copy() {
        let structured = r#"{"role":"structured","textCopy":true}"#;
        check(
            r#"{"content":[{"type":"text","text":"note"},{"type":"text","text":"{\"b\": 1, \"a\": 2.0}"}],"structuredContent":{"a":2.0,"b":1}}"#,
            &[&format!(r#"data {{"a":2.0,"b":1}} | {structured}"#), "text note"],
        );
        check(r#"{"structuredContent":{"n":{"a":1,"a":2}}}"#, &[r#"data {"n":{"a":2}} | {"role":"structured"}"#]);
        check(
            r#"{"content":[{"type":"text","text":"3"}],"structuredContent":{"result":3}}"#,
            &[r#"data {"result":3} | {"role":"structured"}"#, "text 3"],
        );
    }

    #[test]
    fn a_result_that_does_not_fit_its_schema_is_marked() {
        let listing =
            serde_json::from_value(json!([{"name":"t","outputSchema":{"type":"object","required":["n"]}}])).unwrap();
        let listing: Vec<crate::listing::RawTool> = listing;
        let catalog = Catalog::new(&McpConfig::new("a", "x", &[]), None, &listing.into(), None);
        for (structured, is_marked) in [(r#"{"n":1}"#, false), (r#"{"m":1}"#, true)] {
            let text = format!(r#"{{"content":[],"structuredContent":{structured}}}"#);
            let Outcome::Completed { artifacts, .. } = outcome(&text, catalog.get("t")) else { panic!("{text}") };
            assert_eq!(artifacts[0].metadata.is_some(), is_marked);
            assert_eq!(artifacts[0].name.as_deref(), Some("t"));
        }
    }

    #[test]
    fn noes_are_told_apart() {
        let refused = outcome(r#"{"content":[{"type":"text","text":"no such file"}],"isError":true}"#, None);
        assert!(matches!(&refused, Outcome::ToolError { message, .. } if message.text() == "no such file"));
        let silent = outcome(r#"{"content":[],"isError":true}"#, None);
        assert!(matches!(&silent, Outcome::ToolError { message, .. } if !message.text().is_empty()));
        let bad = outcome(r#"{"content":[{"type":"text","text":"MCP error -32602: bad"}],"isError":true}"#, None);
        assert!(matches!(&bad, Outcome::Rejected(fault) if fault.code == "bad-arguments"));
        assert!(matches!(outcome(r#"{"resultType":"task"}"#, None), Outcome::Unknown { again: false, .. }));
        for (code, expected) in [(-32602, "bad-arguments"), (-32601, "unknown-skill")] {
            let error = RpcError { code, ..RpcError::own("no".to_owned()) };
            assert!(
                matches!(failed(&error, MessageId::parse("m").unwrap()), Outcome::Rejected(fault) if fault.code == expected)
            );
        }
        let error = RpcError { code: -32603, data: Some(Json::of(&7)), ..RpcError::own("boom".to_owned()) };
        let Outcome::ToolError { message, .. } = failed(&error, MessageId::parse("m").unwrap()) else { panic!() };
        assert_eq!(message.text(), "boom (MCP error -32603)");
    }
}
