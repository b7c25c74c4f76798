//! A server's tools as it lists them, page by page, within bounds. One odd entry costs only itself: what was read is kept.

use std::{collections::BTreeSet, sync::Arc};

use bobbinet_core::Json;
use serde::{Deserialize, Serialize};

use crate::{
    config::McpLimits,
    json_object::JsonObject,
    mailbox::{ConnectionError, Reply, RpcError},
    session::Client,
};

/// JSON-RPC's code for a method that is not there.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;

/// One tool as its server describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawTool {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) input_schema: Option<Json>,
    #[serde(default)]
    pub(crate) output_schema: Option<Json>,
    #[serde(default)]
    pub(crate) annotations: Option<ToolHints>,
    #[serde(default)]
    pub(crate) execution: Option<ToolExecution>,
}

/// What the server says of a tool's nature. They count only where the operator says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ToolHints {
    pub(crate) title: Option<String>,
    pub(crate) read_only_hint: Option<bool>,
    pub(crate) idempotent_hint: Option<bool>,
}

/// How a tool can be called (2025-11-25).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ToolExecution {
    pub(crate) task_support: Option<String>,
}

/// What came of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) tools: Vec<RawTool>,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
    /// The server failed over it: it may say more when it is asked again.
    pub(crate) is_cut_off: bool,
}

impl RawTool {
    /// Reads a tool as far as it can be read. `None` without a name; the names of fields that are not as they must be, and
    /// are passed over, go into `odd`.
    fn read(json: &Json, odd: &mut Vec<String>) -> Option<Self> {
        let fields = JsonObject::read(json)?;
        let name = fields.text("name")?;
        let mut field = |fields: &JsonObject, key: &str, is_good: &dyn Fn(&Json) -> bool| {
            let value = fields.get(key).filter(|value| value.as_str() != "null")?;
            if is_good(value) {
                return Some(value.clone());
            }
            odd.push(format!("{key} of {name}"));
            None
        };
        let is_text = |json: &Json| json.as_str().starts_with('"');
        let is_flag = |json: &Json| matches!(json.as_str(), "true" | "false");
        // A schema may be `true` or `false`, by its own rules.
        let is_schema = |json: &Json| json.is_object() || is_flag(json);
        let text = |json: Option<Json>| json.and_then(|json| json.read::<String>().ok());
        let flag = |json: Option<Json>| json.and_then(|json| json.read::<bool>().ok());
        let title = text(field(&fields, "title", &is_text));
        let description = text(field(&fields, "description", &is_text));
        let input_schema = field(&fields, "inputSchema", &is_schema);
        let output_schema = field(&fields, "outputSchema", &is_schema);
        let hints = field(&fields, "annotations", &Json::is_object).as_ref().and_then(JsonObject::read);
        let annotations = hints.map(|hints| ToolHints {
            title: text(field(&hints, "title", &is_text)),
            read_only_hint: flag(field(&hints, "readOnlyHint", &is_flag)),
            idempotent_hint: flag(field(&hints, "idempotentHint", &is_flag)),
        });
        let execution = field(&fields, "execution", &Json::is_object).as_ref().and_then(JsonObject::read);
        let execution = execution.map(|it| ToolExecution { task_support: text(field(&it, "taskSupport", &is_text)) });
        Some(Self { name, title, description, input_schema, output_schema, annotations, execution })
    }
}

/// Reads all pages. `Err`: the connection is over.
pub(crate) async fn read(client: &Arc<Client>, limits: &McpLimits) -> Result<Listing, ConnectionError> {
    let mut reading = ListingReader::default();
    let mut cursor = None;
    for _ in 0..limits.list_pages_max {
        let params = match &cursor {
            Some(cursor) => [("cursor".to_owned(), Json::clone(cursor))].into_iter().collect::<JsonObject>().to_json(),
            None => JsonObject::default().to_json(),
        };
        let reply = tokio::time::timeout(limits.start_patience(), client.request("tools/list", params)).await;
        let page = match reply {
            Err(_) => {
                return Ok(reading.cut_off(format!("it did not list its tools within {:?}", limits.start_patience())));
            }
            Ok(Reply::Error(RpcError { code: METHOD_NOT_FOUND, .. })) => return Ok(reading.done()),
            Ok(Reply::Error(error)) => {
                return Ok(reading.cut_off(format!("it did not list its tools: {} ({})", error.message, error.code)));
            }
            Ok(Reply::NotSent(broken) | Reply::Broken(broken)) => return Err(broken),
            Ok(Reply::Unreadable(why)) => return Ok(reading.cut_off(why)),
            Ok(Reply::Result(page)) => page,
        };
        match reading.page(&page, limits) {
            Some(next) => cursor = Some(next),
            None => return Ok(reading.done()),
        }
    }
    reading.notes.push(format!("its tool list has more than {} pages", limits.list_pages_max));
    Ok(reading.done())
}

/// A listing that is being read.
#[derive(Debug, Default)]
struct ListingReader {
    tools: Vec<RawTool>,
    names: BTreeSet<String>,
    cursors: BTreeSet<String>,
    bytes: usize,
    nameless: usize,
    twice: usize,
    odd: Vec<String>,
    notes: Vec<String>,
}

impl ListingReader {
    /// Takes in a page. Returns where the next one is, if there is one that is to be read.
    fn page(&mut self, page: &Json, limits: &McpLimits) -> Option<Json> {
        self.bytes += page.as_str().len();
        if self.bytes > limits.list_bytes_max {
            self.notes.push(format!("its tool list is longer than {} bytes", limits.list_bytes_max));
            return None;
        }
        let Some(fields) = JsonObject::read(page) else {
            self.notes.push("its tool list is no object".to_owned());
            return None;
        };
        let tools = fields.get("tools").filter(|tools| tools.as_str() != "null");
        match tools.map(Json::read::<Vec<Json>>) {
            Some(Ok(tools)) => {
                for tool in &tools {
                    if !self.tool(tool, limits) {
                        return None;
                    }
                }
            }
            Some(Err(_)) => self.notes.push("its tools are no list".to_owned()),
            None => {}
        }
        let is_cursor = |json: &&Json| match json.as_str().as_bytes() {
            [b'"', inner @ .., b'"'] => !inner.is_empty(),
            [first, ..] => first.is_ascii_digit() || *first == b'-',
            [] => false,
        };
        let next = fields.get("nextCursor").filter(is_cursor)?;
        if !self.cursors.insert(next.as_str().to_owned()) {
            self.notes.push(format!("its tool list leads back to the page {}", shorten(next.as_str())));
            return None;
        }
        Some(next.clone())
    }

    /// Takes in a tool. `false` if there are too many.
    fn tool(&mut self, json: &Json, limits: &McpLimits) -> bool {
        let Some(tool) = RawTool::read(json, &mut self.odd) else {
            self.nameless += 1;
            return true;
        };
        if self.names.contains(&tool.name) {
            self.twice += 1;
            return true;
        }
        if self.tools.len() == limits.list_tools_max {
            self.notes.push(format!("it has more than {} tools", limits.list_tools_max));
            return false;
        }
        self.names.insert(tool.name.clone());
        self.tools.push(tool);
        true
    }

    fn done(mut self) -> Listing {
        if self.nameless > 0 {
            self.notes.push(format!("{} of its tools have no name", self.nameless));
        }
        if self.twice > 0 {
            self.notes.push(format!("{} of its tools have the name of another", self.twice));
        }
        if !self.odd.is_empty() {
            let first = self.odd.iter().take(ODD_NAMED_MAX).map(|name| shorten(name)).collect::<Vec<_>>().join(", ");
            let more = self.odd.len().saturating_sub(ODD_NAMED_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.notes.push(format!("not as they must be, and passed over: {first}{more}"));
        }
        Listing { tools: self.tools, notes: self.notes, is_cut_off: false }
    }

    fn cut_off(mut self, why: String) -> Listing {
        self.notes.push(why);
        Listing { is_cut_off: true, ..self.done() }
    }
}

/// Odd fields that are named in a warning.
const ODD_NAMED_MAX: usize = 3;

/// Characters of a server's own words in a warning.
const QUOTED_MAX: usize = 80;

fn shorten(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pages: &[&str], names: &str, notes: &str) {
        let mut reading = ListingReader::default();
        let mut pages = pages.iter();
        for page in pages.by_ref() {
            if reading.page(&Json::parse(page).unwrap(), &McpLimits::default()).is_none() {
                break;
            }
        }
        assert_eq!(pages.len(), 0, "all pages were asked for");
        let listing = reading.done();
        let found = listing.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(" ");
        assert_eq!((found.as_str(), listing.notes.join("; ").as_str()), (names, notes));
    }

    #[test]
    fn one_odd_entry_costs_only_itself() {
        check(&[r#"{"tools":null}"#], "", "");
        check(&["{}"], "", "");
        check(&["null"], "", "its tool list is no object");
        check(&[r#"{"tools":{"a":1}}"#], "", "its tools are no list");
        check(
            &[r#"{"tools":[7,{"name":"a"},null,{"name":7},{"name":"b"},{"name":"a"}]}"#],
            "a b",
            "3 of its tools have no name; 1 of its tools have the name of another",
        );
        check(
            &[
                r#"{"tools":[{"name":"a","title":7,"inputSchema":[],"annotations":{"readOnlyHint":"yes","title":"A"}},{"name":"b"}]}"#,
            ],
            "a b",
            "not as they must be, and passed over: title of a, inputSchema of a, readOnlyHint of a",
        );
        check(&[r#"{"tools":[{"name":"a","title":null,"annotations":null,"outputSchema":null}]}"#], "a", "");
    }

    #[test]
    fn a_cursor_is_followed_unless_it_leads_back() {
        check(
            &[r#"{"tools":[{"name":"a"}],"nextCursor":2}"#, r#"{"tools":[{"name":"b"}],"nextCursor":""}"#],
            "a b",
            "",
        );
        check(
            &[r#"{"tools":[{"name":"a"}],"nextCursor":"x"}"#, r#"{"tools":[{"name":"a"}],"nextCursor":"x"}"#],
            "a",
            "its tool list leads back to the page \"x\"; 1 of its tools have the name of another",
        );
        for end in ["null", "false", "{}", "[]"] {
            check(&[&format!(r#"{{"tools":[{{"name":"a"}}],"nextCursor":{end}}}"#)], "a", "");
        }
    }

    #[test]
    fn good_fields_of_an_odd_tool_are_kept() {
        let mut odd = Vec::new();
        let text = r#"{"name":"a","description":"d","inputSchema":true,"annotations":{"readOnlyHint":true,"idempotentHint":1},"execution":7}"#;
        let tool = RawTool::read(&Json::parse(text).unwrap(), &mut odd).unwrap();
        assert_eq!((tool.description.as_deref(), tool.input_schema.is_some()), (Some("d"), true));
        let hints = tool.annotations.unwrap();
        assert_eq!((hints.read_only_hint, hints.idempotent_hint), (Some(true), None));
        assert_eq!(odd, ["idempotentHint of a", "execution of a"]);
    }
}
